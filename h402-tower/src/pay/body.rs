//! Bodies, read whole and never past a limit.

use super::error::BoxError;
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::pin::pin;

/// Why a body was not read.
pub(super) enum ReadError {
    /// It is longer than the limit.
    TooLarge,
    /// It failed.
    Failed(BoxError),
}

/// Reads a body of at most `limit` bytes. One that announces more is not read at all.
pub(super) async fn read<B>(body: B, limit: usize) -> Result<Bytes, ReadError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > limit {
        return Err(ReadError::TooLarge);
    }
    match pin!(Limited::new(body, limit)).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge),
        Err(error) => Err(ReadError::Failed(error)),
    }
}
