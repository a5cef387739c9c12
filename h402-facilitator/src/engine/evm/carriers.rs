//! What our keys have signed and the chain may still mine, or lose again: which transaction carries which payments.

use alloy_primitives::B256;
use h402_core::{EvmAddress, PaymentKey, TransactionId, TransactionRow, evm::EvmTransaction};
use std::{
    collections::{BTreeMap, VecDeque},
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

/// Those of payments that are held, by hash and by payment; of the others what they can cost.
#[derive(Debug, Default)]
pub(super) struct Carriers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_hash: BTreeMap<B256, Arc<Carrier>>,
    by_payment: BTreeMap<PaymentKey, Vec<B256>>,
    /// The most that the dearest for a nonce of a key can cost, in the order of nonces.
    counted: BTreeMap<EvmAddress, VecDeque<(u64, u128)>>,
}

impl Carriers {
    /// Begins anew with those of a key that are only counted.
    pub(super) fn open(&self, sender: EvmAddress) {
        self.known().counted.remove(&sender);
    }

    /// Counts what a transaction can cost whose payments are not held.
    pub(super) fn count(&self, carrier: &Carrier) {
        self.known().count(carrier);
    }

    /// Only counts those from now on that `is_aside` picks.
    pub(super) fn put_aside(&self, is_aside: impl Fn(&Carrier) -> bool) {
        let mut known = self.known();
        for carrier in known.take(is_aside) {
            known.count(&carrier);
        }
    }

    /// Whether any of a key's are only counted.
    pub(super) fn counts(&self, sender: EvmAddress) -> bool {
        self.known().counted.get(&sender).is_some_and(|counted| !counted.is_empty())
    }

    /// Counts nothing any more for the nonces of a key that are mined.
    pub(super) fn mined(&self, sender: EvmAddress, floor: u64) {
        let mut known = self.known();
        let Some(counted) = known.counted.get_mut(&sender) else { return };
        let over = counted.partition_point(|(nonce, _)| *nonce < floor);
        drop(counted.drain(..over));
    }

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
        let known = self.known();
        for carrier in known.by_hash.values().filter(|carrier| carrier.sender == sender && carrier.nonce >= nonce) {
            let most = dearest.entry(carrier.nonce).or_default();
            *most = carrier.most.max(*most);
        }
        let mut sum: u128 = 0;
        let mut dearest = dearest.into_iter().peekable();
        let counted = known.counted.get(&sender).into_iter().flatten().filter(|(counted, _)| *counted >= nonce);
        for (counted, most) in counted {
            while let Some((_, before)) = dearest.next_if(|(known, _)| known < counted) {
                sum = sum.saturating_add(before);
            }
            let rival = dearest.next_if(|(known, _)| known == counted).map_or(0, |(_, rival)| rival);
            sum = sum.saturating_add(rival.max(*most));
        }
        dearest.fold(sum, |sum, (_, most)| sum.saturating_add(most))
    }

    /// Forgets those that `is_over` says can be: mined, and none of their payments open.
    pub(super) fn forget(&self, is_over: impl Fn(&Carrier) -> bool) {
        drop(self.known().take(is_over));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn take(&mut self, wanted: impl Fn(&Carrier) -> bool) -> Vec<Arc<Carrier>> {
        let taken: Vec<Arc<Carrier>> = self.by_hash.values().filter(|carrier| wanted(carrier)).cloned().collect();
        for carrier in &taken {
            self.by_hash.remove(&carrier.hash);
            for payment in &carrier.payments {
                let Some(hashes) = self.by_payment.get_mut(payment) else { continue };
                hashes.retain(|hash| *hash != carrier.hash);
                if hashes.is_empty() {
                    self.by_payment.remove(payment);
                }
            }
        }
        taken
    }

    fn count(&mut self, carrier: &Carrier) {
        let counted = self.counted.entry(carrier.sender).or_default();
        let at = counted.partition_point(|(nonce, _)| *nonce < carrier.nonce);
        match counted.get_mut(at) {
            Some((nonce, most)) if *nonce == carrier.nonce => *most = carrier.most.max(*most),
            Some(_) | None => counted.insert(at, (carrier.nonce, carrier.most)),
        }
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
        carriers.put_aside(|carrier| carrier.nonce == 5);
        assert_eq!(carriers.most_from(EvmAddress::ZERO, 5), 19, "what is put aside costs the same");
        assert_eq!(carriers.most_from(EvmAddress::ZERO, 6), 4);
        assert_eq!(carriers.most_with(EvmAddress::ZERO, 5, [(5, 20), (4, 1), (7, 2)]), 27, "the dearest of three rivals, and two more");
        carriers.mined(EvmAddress::ZERO, 6);
        assert_eq!(carriers.most_from(EvmAddress::ZERO, 5), 4);
        assert_eq!(hashes(7), [B256::repeat_byte(3)]);
        assert!(hashes(8).is_empty() && carriers.find(&B256::repeat_byte(1)).is_none());
    }
}
