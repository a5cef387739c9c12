//! How many blocks a node looks through at once, which it tells by refusing more.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The blocks that are asked for at once. Halved when that fails, and as at first some time after that.
#[derive(Debug)]
pub(super) struct Span {
    most: u64,
    /// After this a refusal may have had another reason.
    believed: Duration,
    refused: Mutex<Option<(u64, Instant)>>,
}

impl Span {
    /// For logs: taken by most nodes.
    pub(super) const LOGS: u64 = 1024;
    /// For whole blocks: with all their transactions they are large.
    pub(super) const BLOCKS: u64 = 8;

    pub(super) const fn of_logs() -> Self {
        Self { most: Self::LOGS, believed: Duration::from_secs(60), refused: Mutex::new(None) }
    }

    pub(super) const fn of_blocks() -> Self {
        Self { most: Self::BLOCKS, believed: Duration::from_secs(3600), refused: Mutex::new(None) }
    }

    pub(super) fn now(&self) -> u64 {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.filter(|(_, at)| at.elapsed() < self.believed).map_or(self.most, |(span, _)| span)
    }

    /// Notes that so many were refused; whether fewer can be asked for.
    pub(super) fn is_too_much(&self, span: u64) -> bool {
        let fewer = (span / 2).max(1);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((fewer, Instant::now()));
        fewer < span
    }
}
