//! Payers that were just found to hold too little: they are not looked up again for a moment (T161).

use h402_core::{Address, Amount, AssetId, Reject, UnixMillis};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a balance that was too small is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// How many are remembered at once; more are looked up each time.
const MAX: usize = 16_384;

/// Balances that were too small for a payment, by payer and asset.
#[derive(Debug, Default)]
pub(super) struct Insolvent(Mutex<HashMap<(Address, AssetId), (Amount, UnixMillis)>>);

impl Insolvent {
    /// Remembers a balance, if it is less than what was to be paid.
    pub(super) fn note(&self, payer: Address, asset: AssetId, balance: Amount, required: Amount, now: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if balance >= required {
            all.remove(&(payer, asset));
            return;
        }
        if all.len() >= MAX {
            all.retain(|_, (_, at)| now.since(*at) < BELIEVED);
        }
        if all.len() < MAX {
            all.insert((payer, asset), (balance, now));
        }
    }

    /// Refuses what is more than the payer held a moment ago.
    pub(super) fn refuse(&self, payer: Address, asset: AssetId, required: Amount, now: UnixMillis) -> Result<(), Reject> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&(payer, asset)) {
            Some((held, at)) if now.since(*at) < BELIEVED && *held < required => Err(Reject::InsufficientFunds { held: *held, required }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use h402_core::Network;

    #[test]
    fn a_balance_that_was_too_small_is_believed_for_five_seconds() {
        let insolvent = Insolvent::default();
        let payer = Address::Evm([1; 20].into());
        let asset = AssetId { network: Network::Evm(1), address: payer };
        let (amount, at) = (Amount::from_atomic, |millis: u64| UnixMillis(1_800_000_000_000 + millis));
        let refuse = |required, millis| insolvent.refuse(payer, asset, amount(required), at(millis)).is_err();
        assert!(!refuse(10, 0));
        insolvent.note(payer, asset, amount(4), amount(10), at(0));
        assert!(refuse(10, 4_999) && refuse(5, 0) && !refuse(4, 0), "what it holds it may pay");
        assert!(!refuse(10, 5_000));
        insolvent.note(payer, asset, amount(10), amount(10), at(1));
        assert!(!refuse(10, 2), "it has got something meanwhile");
    }
}
