//! A nonce lane: the account nonces of one key on one network, as a pure machine.

use crate::TransactionId;
use alloy_primitives::B256;
use std::collections::BTreeMap;

/// The nonces of one key: none given twice, none left out.
///
/// ```
/// use h402_core::Lane;
/// let mut lane = Lane::open(5, None, []);
/// assert_eq!((lane.assign(), lane.assign()), (5, 6));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    floor: u64,
    next: u64,
    open: BTreeMap<u64, Option<B256>>,
}

impl Lane {
    /// Opens a lane from the chain's count of mined transactions, the greatest nonce ever stored and the stored
    /// transactions that may not be mined.
    ///
    /// The chain's own count of pending ones is not used: a lagging node understates it, and a nonce given twice
    /// is worse than one that waits.
    pub fn open(mined: u64, greatest: Option<u64>, stored: impl IntoIterator<Item = (u64, B256)>) -> Self {
        let next = greatest.map_or(mined, |greatest| mined.max(greatest.saturating_add(1)));
        let mut lane = Self { floor: mined, next, open: BTreeMap::new() };
        for (nonce, hash) in stored {
            lane.next = lane.next.max(nonce.saturating_add(1));
            if nonce >= mined {
                lane.open.insert(nonce, Some(hash));
            }
        }
        lane
    }

    /// Gives out the next nonce.
    pub fn assign(&mut self) -> u64 {
        let nonce = self.next;
        self.next = self.next.saturating_add(1);
        self.open.insert(nonce, None);
        nonce
    }

    /// Takes back the last nonce given, if nothing was stored under it and none came after.
    pub fn take_back(&mut self, nonce: u64) -> bool {
        let last = nonce.saturating_add(1) == self.next && self.open.get(&nonce) == Some(&None);
        if last {
            self.open.remove(&nonce);
            self.next = nonce;
        }
        last
    }

    /// Records the transaction that is stored under a nonce, or one that takes the place of another there.
    pub fn stored(&mut self, nonce: u64, transaction: B256) {
        self.open.insert(nonce, Some(transaction));
    }

    /// Records that the chain has mined all nonces below `mined`. The floor never goes down (T144).
    pub fn mined(&mut self, mined: u64) {
        self.floor = self.floor.max(mined);
        self.open = self.open.split_off(&mined);
        self.next = self.next.max(mined);
    }

    /// Nonces given out below `self.next` that hold no transaction: holes everything after waits for.
    pub fn holes(&self) -> impl Iterator<Item = u64> {
        self.open.iter().filter(|(_, hash)| hash.is_none()).map(|(nonce, _)| *nonce)
    }

    /// Transactions that are not known to be mined, in nonce order.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, TransactionId)> {
        self.open.iter().filter_map(|(nonce, hash)| hash.map(|hash| (*nonce, TransactionId::Evm(hash))))
    }

    /// Everything below is mined.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// How many are waiting.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_restart_goes_on_after_the_stored_nonces() {
        let hash = B256::repeat_byte(1);
        let mut lane = Lane::open(5, Some(6), [(4, hash), (5, hash), (6, hash)]);
        assert_eq!(lane.assign(), 7, "4 is mined, 5 and 6 wait");
        assert_eq!(lane.waiting().map(|(nonce, _)| nonce).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(lane.floor(), 5);
        lane.mined(7);
        lane.mined(6);
        assert_eq!((lane.floor(), lane.depth()), (7, 1), "a floor never goes down, and 7 is given");
        assert_eq!(Lane::open(9, Some(4), [(4, hash)]).assign(), 9, "somebody used the key meanwhile");
    }

    proptest! {
        /// No nonce is given twice unless it was taken back with nothing stored; a lagging chain lowers nothing.
        #[test]
        fn no_nonce_is_given_twice(mined in 0u64..10, steps in proptest::collection::vec((0u8..4, 0u64..20), 0..60)) {
            let mut lane = Lane::open(mined, None, []);
            let mut given = std::collections::BTreeSet::new();
            for (step, number) in steps {
                match step {
                    0 => prop_assert!(given.insert(lane.assign())),
                    1 => lane.mined(number),
                    2 => if lane.take_back(number) { prop_assert!(given.remove(&number)); },
                    _ => if given.contains(&number) && lane.holes().any(|hole| hole == number) { lane.stored(number, B256::ZERO) },
                }
            }
        }
    }
}
