//! One flight per payment in this process: whoever comes while one is in the air is told to wait (T003).

use h402_core::{Address, PaymentKey};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Payments somebody is working on. The payer is part of the name, so that a stranger who presents the public
/// hash of somebody's transaction keeps nobody waiting.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashSet<(PaymentKey, Address)>>>);

/// Held while a payment is worked on.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Flights,
    name: (PaymentKey, Address),
}

impl Flights {
    /// Takes off, unless this payment is in the air already.
    pub(super) fn enter(&self, payment: PaymentKey, payer: Address) -> Option<Flight> {
        let name = (payment, payer);
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        free.then(|| Flight { flights: self.clone(), name })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_in_the_air_once_and_can_take_off_again() {
        let flights = Flights::default();
        let (payer, stranger) = (Address::Solana([1; 32].into()), Address::Solana([2; 32].into()));
        let payment = PaymentKey::from_bytes([7; 32]);
        let first = flights.enter(payment, payer);
        assert!(first.is_some());
        assert!(flights.enter(payment, payer).is_none());
        assert!(flights.enter(payment, stranger).is_some());
        assert!(flights.enter(PaymentKey::from_bytes([8; 32]), payer).is_some());
        drop(first);
        assert!(flights.enter(payment, payer).is_some());
    }
}
