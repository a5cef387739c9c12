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
