//! Whether a chain makes blocks while something waits for one.

use h402_core::Undecided;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The newest block that was seen while something waited for a block, and since when it is the newest.
///
/// Without anything that waits a chain may make no blocks and be well, as those do that make them on demand.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<Option<Newest>>);

#[derive(Debug, Clone, Copy)]
struct Newest {
    block: u64,
    since: Instant,
    /// When it was last looked at.
    looked: Instant,
}

impl Progress {
    /// The newest block, at a time when something waits for the next.
    pub(super) fn waits_at(&self, block: u64) {
        let mut newest = self.newest();
        let now = Instant::now();
        *newest = Some(match *newest {
            // A node that is behind shows no progress.
            Some(known) if block <= known.block => Newest { looked: now, ..known },
            _ => Newest { block, since: now, looked: now },
        });
    }

    /// Nothing waits any more.
    pub(super) fn idle(&self) {
        *self.newest() = None;
    }

    /// Refuses new payments of a chain that has stood still for so long: they would only join those that wait (T156).
    pub(super) fn ensure(&self, limit: Duration) -> Result<(), Undecided> {
        match *self.newest() {
            // What nobody looks at any more, as where another process drives the network, says nothing.
            Some(newest) if newest.since.elapsed() >= limit && newest.looked.elapsed() < limit => Err(Undecided::Halted),
            _ => Ok(()),
        }
    }

    fn newest(&self) -> MutexGuard<'_, Option<Newest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn t156_a_chain_that_stands_still_while_something_waits_is_halted() {
        let progress = Progress::default();
        progress.waits_at(7);
        tokio::time::advance(LIMIT - Duration::from_millis(1)).await;
        // A node that is behind makes nothing new of it.
        progress.waits_at(6);
        assert_eq!(progress.ensure(LIMIT), Ok(()));
        tokio::time::advance(Duration::from_millis(1)).await;
        progress.waits_at(7);
        assert_eq!(progress.ensure(LIMIT), Err(Undecided::Halted));
        progress.waits_at(8);
        assert_eq!(progress.ensure(LIMIT), Ok(()), "a block has come");
        tokio::time::advance(LIMIT).await;
        assert_eq!(progress.ensure(LIMIT), Ok(()), "nobody has looked");
        progress.waits_at(8);
        assert_eq!(progress.ensure(LIMIT), Err(Undecided::Halted));
        progress.idle();
        assert_eq!(progress.ensure(LIMIT), Ok(()), "nothing waits");
    }
}
