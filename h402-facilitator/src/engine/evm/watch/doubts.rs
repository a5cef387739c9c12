//! Payments that the chain does not explain yet. Each is looked at by itself, and holds up neither the others nor the watcher.

use alloy_primitives::B256;
use h402_core::PaymentKey;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many are looked at at once: less than the requests that a node gets at once.
const AT_ONCE: usize = 48;
/// How long one is left alone at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Payments in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<BTreeMap<PaymentKey, Doubt>>);

#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Instant,
    /// The head when it came into doubt.
    head: u64,
    /// The transaction that is in a block without it, if there is one.
    transaction: Option<B256>,
    /// Not to be looked at before this; none while it is looked at.
    next: Option<Instant>,
}

impl Doubts {
    /// Begins to look at a payment, with the number of the head at which it came into doubt; none if that is done already or
    /// is for later. Whoever begins must say how it ended.
    pub(super) fn begin(&self, payment: PaymentKey, transaction: Option<B256>, head: u64) -> Option<u64> {
        let mut doubts = self.doubts();
        let full = doubts.values().filter(|doubt| doubt.next.is_none()).count() >= AT_ONCE;
        if full && transaction.is_none() && !doubts.contains_key(&payment) {
            return None;
        }
        let now = Instant::now();
        let doubt = doubts.entry(payment).or_insert(Doubt { since: now, head, transaction, next: Some(now) });
        doubt.transaction = transaction.or(doubt.transaction);
        if full || doubt.next.is_none_or(|next| next > now) {
            return None;
        }
        doubt.next = None;
        Some(doubt.head)
    }

    /// Notes that a payment was looked at: it is in doubt no more, or to be looked at again, the later the longer it lasts.
    pub(super) fn ended(&self, payment: &PaymentKey, explained: bool) {
        let mut doubts = self.doubts();
        if explained {
            doubts.remove(payment);
        } else if let Some(doubt) = doubts.get_mut(payment) {
            doubt.next = Some(Instant::now() + (doubt.since.elapsed() / 4).min(LONGEST_PAUSE));
        }
    }

    /// The transactions that are to be asked for again.
    pub(super) fn due(&self) -> HashSet<B256> {
        let now = Instant::now();
        let is_due = |doubt: &&Doubt| doubt.next.is_some_and(|next| next <= now);
        self.doubts().values().filter(is_due).filter_map(|doubt| doubt.transaction).collect()
    }

    /// Forgets those that are over.
    pub(super) fn retain(&self, is_open: impl Fn(&PaymentKey) -> bool) {
        self.doubts().retain(|payment, _| is_open(payment));
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<PaymentKey, Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(tag: u8) -> PaymentKey {
        PaymentKey::from_bytes([tag; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_in_doubt_is_looked_at_ever_less_often_and_once_at_a_time() {
        let doubts = Doubts::default();
        let hash = B256::repeat_byte(1);
        assert_eq!(doubts.begin(payment(1), Some(hash), 7), Some(7));
        assert_eq!(doubts.begin(payment(1), None, 8), None, "it is looked at");
        assert!(doubts.due().is_empty());
        doubts.ended(&payment(1), false);
        assert_eq!(doubts.due(), HashSet::from([hash]));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(doubts.begin(payment(1), None, 9), Some(7), "since the first time");
        doubts.ended(&payment(1), false);
        tokio::time::advance(Duration::from_millis(1_900)).await;
        assert_eq!(doubts.begin(payment(1), None, 9), None);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(doubts.begin(payment(1), None, 9), Some(7));
        doubts.ended(&payment(1), true);
        assert_eq!(doubts.begin(payment(1), None, 9), Some(9), "a new doubt");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_looked_at_at_once() {
        let doubts = Doubts::default();
        let begun = (0..100).filter(|tag| doubts.begin(payment(*tag), None, 1).is_some()).count();
        assert_eq!(begun, AT_ONCE);
        let hash = B256::repeat_byte(1);
        assert_eq!(doubts.begin(payment(200), Some(hash), 1), None);
        assert_eq!(doubts.due(), HashSet::from([hash]), "its turn comes");
        doubts.retain(|of| *of == payment(200));
        assert_eq!(doubts.begin(payment(200), Some(hash), 2), Some(1));
    }
}
