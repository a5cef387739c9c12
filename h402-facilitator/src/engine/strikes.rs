//! Payers whose settlements failed after all was well when they were tried: what was paid for them is gone all the same.
//!
//! A payer can make many payments fail at once after they were sent, by one cheap transaction of its own that moves its funds
//! away or cancels them (T077, T169).

use h402_core::{Address, UnixMillis};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// When payments of payers failed. In memory, and entered again from the ledger at a start.
#[derive(Debug)]
pub(super) struct Strikes {
    many: usize,
    lately: Duration,
    failures: Mutex<HashMap<Address, Vec<UnixMillis>>>,
}

impl Strikes {
    /// What is too much of most payers: two within an hour.
    pub(super) const HOUR: Duration = Duration::from_secs(3600);
    const MANY: usize = 2;

    /// For payers who are too expensive after `many` failures within some time.
    pub(super) fn new(many: usize, lately: Duration) -> Self {
        Self { many, lately, failures: Mutex::default() }
    }

    pub(super) fn two_an_hour() -> Self {
        Self::new(Self::MANY, Self::HOUR)
    }

    /// Notes a failure at a time.
    pub(super) fn note(&self, payer: Address, at: UnixMillis) {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, failures| failures.iter().any(|failure| at.since(*failure) < self.lately));
        let failures = all.entry(payer).or_default();
        failures.retain(|failure| at.since(*failure) < self.lately);
        // More are not counted.
        if failures.len() < self.many {
            failures.push(at);
        }
    }

    /// Whether nothing more is paid for this payer for now.
    pub(super) fn is_too_much(&self, payer: Address, now: UnixMillis) -> bool {
        let all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&payer).is_some_and(|failures| failures.iter().filter(|at| now.since(**at) < self.lately).count() >= self.many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_within_the_time_are_too_much_and_forgotten_after_it() {
        let strikes = Strikes::two_an_hour();
        let (bad, good) = (Address::Evm([1; 20].into()), Address::Evm([2; 20].into()));
        let at = |minutes: u64| UnixMillis(1_800_000_000_000 + minutes * 60_000);
        strikes.note(bad, at(0));
        strikes.note(good, at(0));
        assert!(!strikes.is_too_much(bad, at(1)), "one may happen to anybody");
        strikes.note(bad, at(59));
        assert!(strikes.is_too_much(bad, at(59)) && !strikes.is_too_much(good, at(59)));
        assert!(!strikes.is_too_much(bad, at(60)), "the first is an hour old");
        strikes.note(bad, at(118));
        assert!(strikes.is_too_much(bad, at(118)));
        assert!(!strikes.is_too_much(bad, at(200)));
    }
}
