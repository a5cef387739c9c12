//! What our keys have signed and the chain may still mine, or lose again: which transaction carries which payments.

use alloy_primitives::B256;
use h402_core::{EvmAddress, PaymentKey, TransactionId, TransactionRow, evm::EvmTransaction};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A stored transaction of ours, without its bytes: those are in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carrier {
    pub hash: B256,
    pub sender: EvmAddress,
    pub nonce: u64,
    /// The payments it carries, in the order of its calls.
    pub payments: Vec<PaymentKey>,
    /// The most it can cost, in wei.
    pub most: u128,
}

impl Carrier {
    /// As the ledger has it; none for a transaction of another kind of chain.
    pub(super) fn of(row: &TransactionRow) -> Option<Self> {
        let TransactionId::Evm(hash) = row.id else { return None };
        // Whose they are is known: recovering that would be most of what a start with a long ledger does.
        let most = EvmTransaction::gas_cost_of(&row.raw).map_or(0, |most| most.saturating_to());
        Some(Self { hash, sender: row.sender, nonce: row.nonce, payments: row.payments.clone(), most })
    }

    /// Whether both have the same account nonce, so that one of them is mined at most.
    pub(super) fn is_rival_of(&self, other: &Self) -> bool {
        self.sender == other.sender && self.nonce == other.nonce
    }
}

/// All of them, by hash and by payment.
#[derive(Debug, Default)]
pub(super) struct Carriers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_hash: BTreeMap<B256, Arc<Carrier>>,
    by_payment: BTreeMap<PaymentKey, Vec<B256>>,
}

impl Carriers {
    pub(super) fn enter(&self, carrier: Carrier) -> Arc<Carrier> {
        let mut known = self.known();
        if let Some(carrier) = known.by_hash.get(&carrier.hash) {
            return carrier.clone();
        }
        let carrier = Arc::new(carrier);
        known.by_hash.insert(carrier.hash, carrier.clone());
        for payment in &carrier.payments {
            known.by_payment.entry(*payment).or_default().push(carrier.hash);
        }
        carrier
    }

    pub(super) fn find(&self, hash: &B256) -> Option<Arc<Carrier>> {
        self.known().by_hash.get(hash).cloned()
    }

    /// The transactions that were signed for a payment, in the order they were.
    pub(super) fn of(&self, payment: &PaymentKey) -> Vec<B256> {
        self.known().by_payment.get(payment).cloned().unwrap_or_default()
    }

    /// What the transactions of a key can cost together from a nonce on. Of rivals for a nonce the dearest counts.
    pub(super) fn most_from(&self, sender: EvmAddress, nonce: u64) -> u128 {
        self.most_with(sender, nonce, [])
    }

    /// The same if others were signed besides, each given by its nonce and the most that it can cost.
    pub(super) fn most_with(&self, sender: EvmAddress, nonce: u64, others: impl IntoIterator<Item = (u64, u128)>) -> u128 {
        let mut dearest: BTreeMap<u64, u128> = others.into_iter().collect();
        for carrier in self.known().by_hash.values().filter(|carrier| carrier.sender == sender && carrier.nonce >= nonce) {
            let most = dearest.entry(carrier.nonce).or_default();
            *most = carrier.most.max(*most);
        }
        dearest.values().fold(0, |sum, most| sum.saturating_add(*most))
    }

    /// Forgets those that `is_over` says can be: mined, and none of their payments open.
    pub(super) fn forget(&self, is_over: impl Fn(&Carrier) -> bool) {
        let mut known = self.known();
        let over: Vec<Arc<Carrier>> = known.by_hash.values().filter(|carrier| is_over(carrier)).cloned().collect();
        for carrier in over {
            known.by_hash.remove(&carrier.hash);
            for payment in &carrier.payments {
                let Some(hashes) = known.by_payment.get_mut(payment) else { continue };
                hashes.retain(|hash| *hash != carrier.hash);
                if hashes.is_empty() {
                    known.by_payment.remove(payment);
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(hash: u8, nonce: u64, payments: &[u8], most: u128) -> Carrier {
        let payments = payments.iter().map(|byte| PaymentKey::from_bytes([*byte; 32])).collect();
        Carrier { hash: B256::repeat_byte(hash), sender: EvmAddress::ZERO, nonce, payments, most }
    }

    #[test]
    fn every_transaction_of_a_payment_is_found_until_it_is_over() {
        let carriers = Carriers::default();
        carriers.enter(carrier(1, 5, &[7, 8], 10));
        carriers.enter(carrier(2, 5, &[7, 8], 15));
        carriers.enter(carrier(3, 6, &[7], 4));
        let hashes = |payment| carriers.of(&PaymentKey::from_bytes([payment; 32]));
        assert_eq!(hashes(7), [B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3)]);
        assert_eq!(hashes(8).len(), 2);
        assert_eq!(carriers.most_from(EvmAddress::ZERO, 5), 19, "one of two rivals is mined at most");
        assert_eq!(carriers.most_from(EvmAddress::ZERO, 6), 4);
        assert_eq!(carriers.most_from(EvmAddress::repeat_byte(1), 0), 0);
        carriers.forget(|carrier| carrier.nonce == 5);
        assert_eq!(hashes(7), [B256::repeat_byte(3)]);
        assert!(hashes(8).is_empty() && carriers.find(&B256::repeat_byte(1)).is_none());
    }
}
