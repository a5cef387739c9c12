//! Request bodies, read whole: neither longer nor later than a server can bear.

use axum::body::{Body, Bytes, HttpBody as _};
use std::time::Duration;

/// Longest body in bytes: twenty Solana transactions with room to spare.
const MAX: usize = 64 * 1024;
/// How long it may take to arrive.
const TIME: Duration = Duration::from_secs(10);

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is too long, or broke off.
    TooLarge,
    /// It did not come in time.
    TooSlow,
}

impl Unread {
    /// The same for people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "body is longer than 64 KiB or broke off",
            Self::TooSlow => "body did not come in time",
        }
    }
}

/// Reads a body.
pub(super) async fn read(body: Body) -> Result<Bytes, Unread> {
    // What says that it is too long is not waited for.
    if usize::try_from(body.size_hint().lower()).map_or(true, |least| least > MAX) {
        return Err(Unread::TooLarge);
    }
    match tokio::time::timeout(TIME, axum::body::to_bytes(body, MAX)).await {
        Ok(read) => read.map_err(|_| Unread::TooLarge),
        Err(_) => Err(Unread::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt as _, stream};
    use std::convert::Infallible;

    /// A body that comes byte by byte, one in so much time.
    fn dribbling(bytes: usize, every: Duration) -> Body {
        let byte = move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, Infallible>("x")
        };
        Body::from_stream(stream::iter(0..bytes).then(byte))
    }

    /// T163: a body may take ten seconds, however often a byte of it comes.
    #[tokio::test(start_paused = true)]
    async fn t163_a_body_that_dribbles_is_given_up() {
        assert_eq!(read(dribbling(11, Duration::from_secs(1))).await, Err(Unread::TooSlow));
        assert_eq!(read(dribbling(9, Duration::from_secs(1))).await.unwrap().len(), 9);
        assert_eq!(read(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())).await, Err(Unread::TooSlow));
    }

    /// T165: one without a length is not read beyond the limit.
    #[tokio::test]
    async fn t165_a_body_of_any_length_is_read_up_to_the_limit() {
        let endless = stream::repeat_with(|| Ok::<_, Infallible>([0; 1024].as_slice()));
        assert_eq!(read(Body::from_stream(endless)).await, Err(Unread::TooLarge));
        let longest = stream::repeat_with(|| Ok::<_, Infallible>([0; 1024].as_slice())).take(64);
        assert_eq!(read(Body::from_stream(longest)).await.unwrap().len(), 64 * 1024);
    }
}
