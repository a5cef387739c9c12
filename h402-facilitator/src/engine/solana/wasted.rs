//! Fees that were paid for payments that failed. A payer can make many payments fail at once, after they were sent, by moving
//! its funds away in one cheap transaction; their fees are gone all the same (T077).

use super::SolanaEngine;
use h402_core::{Address, PaymentRow, UnixMillis, solana::SolanaTransaction};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A payer with so many failures lately pays its own fees.
const MANY: usize = 2;
/// For how long a failure counts.
const LATELY: Duration = Duration::from_secs(3600);

/// When payments of payers failed. Kept in memory: whoever restarts forgives.
#[derive(Default)]
pub(super) struct Wasted(Mutex<HashMap<Address, Vec<UnixMillis>>>);

impl Wasted {
    pub(super) fn note(&self, payer: Address, now: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, failures| failures.iter().any(|at| now.since(*at) < LATELY));
        let failures = all.entry(payer).or_default();
        failures.retain(|at| now.since(*at) < LATELY);
        // More are not counted.
        if failures.len() < MANY {
            failures.push(now);
        }
    }

    pub(super) fn is_too_much(&self, payer: Address, now: UnixMillis) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&payer).is_some_and(|failures| failures.iter().filter(|at| now.since(**at) < LATELY).count() >= MANY)
    }
}

impl SolanaEngine {
    /// Whether the fee of a stored payment is the sponsor's to pay.
    pub(super) fn pays_for(&self, row: &PaymentRow) -> bool {
        let fee_payer = row.raw.as_deref().and_then(|raw| SolanaTransaction::decode(raw).ok()).map(|known| known.message.fee_payer());
        fee_payer.is_some() && fee_payer == self.config.sponsor() && fee_payer.map(Address::Solana) != Some(row.payer)
    }
}
