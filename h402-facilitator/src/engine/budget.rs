//! What was spent within the last day, in memory; the ledger has it for a start.

use alloy_primitives::U256;
use h402_core::UnixMillis;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The time that a budget is for: at any moment it is what was spent since then that counts.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

const MINUTE: u64 = 60_000;

/// Spending by the minute, for a day.
#[derive(Debug, Default)]
pub(super) struct Spent(Mutex<BTreeMap<u64, U256>>);

impl Spent {
    /// Notes what was spent at a time.
    pub(super) fn add(&self, amount: U256, at: UnixMillis) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = minutes.entry(at.0 / MINUTE).or_default();
        *minute = minute.saturating_add(amount);
    }

    /// The sum of a day. What is older is forgotten; a minute at the edge counts whole.
    pub(super) fn within_a_day(&self, now: UnixMillis) -> U256 {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = start_of_day(now).0 / MINUTE;
        *minutes = minutes.split_off(&oldest);
        minutes.values().fold(U256::ZERO, |sum, spent| sum.saturating_add(*spent))
    }

    /// Forgets everything, to be filled again from the ledger.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A day before now.
pub(super) fn start_of_day(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_rolls() {
        let spent = Spent::default();
        let at = |hours: u64| UnixMillis(1_800_000_000_000 + hours * 3_600_000);
        spent.add(U256::from(5), at(0));
        spent.add(U256::from(7), at(0));
        spent.add(U256::from(11), at(12));
        assert_eq!(spent.within_a_day(at(12)), U256::from(23));
        assert_eq!(spent.within_a_day(at(24)), U256::from(23), "the minute at the edge counts");
        assert_eq!(spent.within_a_day(at(25)), U256::from(11));
        assert_eq!(spent.within_a_day(at(37)), U256::ZERO);
        spent.add(U256::MAX, at(37));
        spent.add(U256::MAX, at(37));
        assert_eq!(spent.within_a_day(at(37)), U256::MAX, "it does not wrap");
        spent.clear();
        assert_eq!(spent.within_a_day(at(37)), U256::ZERO);
    }
}
