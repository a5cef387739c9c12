//! When blocks are made, and what becomes of what was in dropped ones.

use std::time::Duration;

use tokio::{sync::watch, time::MissedTickBehavior};

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockTime {
    /// As soon as a transaction that can be mined arrives, before it is answered.
    ///
    /// Calls at the newest block see the chain's clock as its time, as if a fresh empty block had just been made.
    Auto,
    /// At this interval, empty or not.
    Every(Duration),
    /// Only when the chain's owner says so.
    Manual,
}

/// What happens to the transactions of dropped blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They wait for a block again.
    Return,
    /// They are forgotten.
    Drop,
}

/// Makes a block at each interval while there is one; returns when the sender of the mode is gone.
pub(crate) async fn make(mut mode: watch::Receiver<BlockTime>, mut block: impl FnMut()) {
    loop {
        let block_time = *mode.borrow_and_update();
        let BlockTime::Every(period) = block_time else {
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        };
        let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => block(),
                changed = mode.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
        }
    }
}
