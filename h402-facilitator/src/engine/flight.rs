//! One at a time takes on a payment; its copies wait, and then find it in the ledger.

use h402_core::PaymentKey;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OwnedMutexGuard;

#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<PaymentKey, Arc<tokio::sync::Mutex<()>>>>);

/// The right to take on a payment; dropping it lets the next copy in.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    key: PaymentKey,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Flights {
    /// Waits until nobody else works on this payment.
    pub(super) async fn enter(&self, key: PaymentKey) -> Flight<'_> {
        let mut flight = Flight { flights: self, key, turn: None };
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        flight.turn = Some(lock.lock_owned().await);
        flight
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut all = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.turn.take());
        // Whoever waits holds a clone; copies are made under the lock of the map only.
        if all.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// T003: copies of one payment follow each other, other payments do not wait, and nothing is left behind.
    #[tokio::test]
    async fn t003_one_at_a_time_for_each_payment() {
        let flights = Flights::default();
        let inside = AtomicUsize::new(0);
        let one = PaymentKey::from_bytes([1; 32]);
        let copies = (0..32).map(async |_| {
            let _flight = flights.enter(one).await;
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        });
        join_all(copies).await;
        let first = flights.enter(one).await;
        let other = flights.enter(PaymentKey::from_bytes([2; 32])).await;
        {
            let waiting = flights.enter(one);
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("two at once"),
                () = std::future::ready(()) => {}
            }
            // It gives up.
        }
        drop((first, other));
        assert!(flights.0.lock().unwrap().is_empty());
    }
}
