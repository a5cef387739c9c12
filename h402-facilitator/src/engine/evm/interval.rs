//! How far apart the blocks of a chain are, as seen while something waited for one: a payment must live until the next.

use crate::evm::Head;
use h402_core::{CheckPolicy, UnixMillis, UnixSeconds};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The longest of so many counts: one slot that was missed is soon forgotten.
const REMEMBERED: usize = 5;
/// More is a chain that stands still, and no reason to refuse what lives for a minute.
const SLOWEST: u64 = 15;
/// What a settlement takes besides waiting for its block, in seconds.
const SETTLING: u64 = 3;

/// Seconds between blocks.
#[derive(Debug, Default)]
pub(super) struct Interval(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The block at which something waited last, and when it was first seen.
    last: Option<(u64, UnixSeconds, UnixMillis)>,
    apart: VecDeque<u64>,
}

impl Interval {
    /// The newest block, at a time when something waits for the next.
    pub(super) fn waits_at(&self, head: Head, now: UnixMillis) {
        let mut seen = self.seen();
        if let Some((number, time, at)) = seen.last {
            let Some(blocks @ 1..) = head.number.checked_sub(number) else { return };
            // A chain that makes blocks on demand shows in their times how long nobody wanted any.
            let apart = head.time.0.saturating_sub(time.0).min(now.since(at).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
            if seen.apart.len() >= REMEMBERED {
                seen.apart.pop_front();
            }
            seen.apart.push_back(apart.div_ceil(blocks).min(SLOWEST));
        }
        seen.last = Some((head.number, head.time, now));
    }

    /// Nothing waits any more.
    pub(super) fn idle(&self) {
        self.seen().last = None;
    }

    /// How long the next block may take; zero as long as that is not known.
    pub(super) fn seconds(&self) -> u64 {
        self.seen().apart.iter().copied().max().unwrap_or_default()
    }

    /// How long a payment must live to be taken: two blocks, for it may miss one (T019). For one that was found good a moment
    /// ago one block is enough: a handler may have run for it.
    pub(super) fn least_left(&self, promised: bool) -> u64 {
        let blocks = if promised { 1 } else { 2 };
        CheckPolicy::MIN_LEFT.max(blocks * self.seconds() + SETTLING)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn t019_the_longest_of_the_last_waits_counts() {
        let interval = Interval::default();
        let head = |number, time| Head { number, hash: B256::ZERO, time: UnixSeconds(time), base_fee: None, gas_limit: None };
        let at = |seconds: u64| UnixMillis(seconds * 1000);
        assert_eq!((interval.least_left(false), interval.least_left(true)), (12, 12));
        interval.waits_at(head(7, 1_000), at(1_001));
        interval.waits_at(head(7, 1_000), at(1_005));
        assert_eq!(interval.seconds(), 0);
        interval.waits_at(head(8, 1_012), at(1_013));
        assert_eq!((interval.least_left(false), interval.least_left(true)), (27, 15));
        interval.waits_at(head(10, 1_016), at(1_017));
        assert_eq!(interval.seconds(), 12, "the longest");
        interval.waits_at(head(9, 1_014), at(1_018));
        interval.waits_at(head(11, 1_100), at(1_102));
        assert_eq!(interval.seconds(), SLOWEST);
        for block in 12..17 {
            interval.waits_at(head(block, 1_088 + block), at(1_091 + block));
        }
        assert_eq!(interval.seconds(), 1, "forgotten");
        interval.idle();
        interval.waits_at(head(17, 5_000), at(5_000));
        interval.waits_at(head(18, 9_000), at(5_000));
        assert_eq!(interval.seconds(), 1, "made on demand");
    }
}
