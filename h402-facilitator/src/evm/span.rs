//! How many blocks a node looks through for logs at once, which it tells by refusing more.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The blocks that are asked for at once. Halved when the node refuses them, and as at first some time after that.
#[derive(Debug, Default)]
pub(super) struct Span(Mutex<Option<(u64, Instant)>>);

impl Span {
    /// Taken by most nodes.
    pub(super) const MOST: u64 = 1024;
    /// After this a refusal may have had another reason.
    const BELIEVED: Duration = Duration::from_secs(60);

    pub(super) fn now(&self) -> u64 {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.filter(|(_, at)| at.elapsed() < Self::BELIEVED).map_or(Self::MOST, |(span, _)| span)
    }

    /// Notes that so many were refused; whether fewer can be asked for.
    pub(super) fn is_too_much(&self, span: u64) -> bool {
        let fewer = (span / 2).max(1);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((fewer, Instant::now()));
        fewer < span
    }
}
