//! How many payments go together in a transaction of one key: fewer after those that came to harm there.
//!
//! A payer whose account gets code between the dry run and the block can burn the gas of all that come after it (T169). What
//! that costs is bounded by the size of the transaction, and each time that size is halved.

use super::batch::MEMBERS;
use alloy_primitives::B256;
use h402_core::PaymentKey;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long it takes until as many go together as ever.
const GROWN: Duration = Duration::from_secs(600);
/// Mined transactions whose missed members are remembered.
const REMEMBERED: usize = 64;

/// The size of a key's transactions.
#[derive(Debug, Default)]
pub(super) struct Company(Mutex<Missed>);

#[derive(Debug, Default)]
struct Missed {
    /// How many went together at most, and when that was set.
    least: Option<(usize, Instant)>,
    lately: VecDeque<(B256, BTreeSet<PaymentKey>)>,
}

impl Company {
    /// How many may go together now.
    pub(super) fn now(&self) -> usize {
        self.missed().allowed()
    }

    /// Notes that a mined transaction of so many members has missed one of them; whether that is news. One may have its own
    /// reasons; with the second, only half as many go together from then on.
    pub(super) fn note(&self, transaction: B256, members: usize, payment: PaymentKey) -> bool {
        let mut missed = self.missed();
        let known = missed.lately.iter().position(|(known, _)| *known == transaction);
        let at = known.unwrap_or_else(|| {
            if missed.lately.len() >= REMEMBERED {
                missed.lately.pop_front();
            }
            missed.lately.push_back((transaction, BTreeSet::new()));
            missed.lately.len() - 1
        });
        let Some((_, payments)) = missed.lately.get_mut(at) else { return false };
        let news = payments.insert(payment);
        if news && payments.len() == 2 {
            let half = missed.allowed().min(members) / 2;
            missed.least = Some((half.max(1), Instant::now()));
        }
        news
    }

    fn missed(&self) -> MutexGuard<'_, Missed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Missed {
    fn allowed(&self) -> usize {
        let Some((least, since)) = self.least else { return MEMBERS };
        let grown = usize::try_from(since.elapsed().as_secs() / (GROWN.as_secs() / 50)).unwrap_or(MEMBERS);
        least.saturating_add(grown).min(MEMBERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn half_as_many_go_together_after_two_were_missed_and_all_ten_minutes_later() {
        let company = Company::default();
        let payment = |tag| PaymentKey::from_bytes([tag; 32]);
        let transaction = B256::repeat_byte;
        assert_eq!(company.now(), MEMBERS);
        assert!(company.note(transaction(1), 50, payment(1)));
        assert_eq!(company.now(), MEMBERS, "one may have its own reasons");
        assert!(!company.note(transaction(1), 50, payment(1)), "seen again");
        assert_eq!(company.now(), MEMBERS);
        for tag in 2..50 {
            assert!(company.note(transaction(1), 50, payment(tag)));
        }
        assert_eq!(company.now(), 25, "once for a transaction");
        for (tag, left) in [(2, 12), (3, 6), (4, 3), (5, 1), (6, 1)] {
            company.note(transaction(tag), 50, payment(1));
            company.note(transaction(tag), 50, payment(2));
            assert_eq!(company.now(), left);
        }
        tokio::time::advance(Duration::from_secs(120)).await;
        assert_eq!(company.now(), 11);
        company.note(transaction(7), 4, payment(1));
        company.note(transaction(7), 4, payment(2));
        assert_eq!(company.now(), 2, "of those that went together");
        tokio::time::advance(GROWN).await;
        assert_eq!(company.now(), MEMBERS);
    }
}
