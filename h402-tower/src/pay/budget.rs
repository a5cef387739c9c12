//! What all calls together may cost in some time.

use crate::chaos::sabotaged;
use h402_core::{Amount, AssetId};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The most that may be signed away within a sliding window, asset by asset. What is not listed is not paid with.
///
/// Counted when a payment is signed, not when it is settled, and never credited back: a refused payment may still
/// land. Clones share one count, so several layers can draw on one budget.
///
/// ```
/// use h402_core::{Amount, Assets};
/// use h402_tower::pay::Budget;
/// use std::time::Duration;
///
/// let assets = Assets::known();
/// let usdc = assets.by_symbol("eip155:8453".parse()?, "USDC").expect("USDC on Base is in the table");
/// let budget = Budget::per(Duration::from_secs(3600)).allow(usdc.id, Amount::from_units("1.00", usdc.decimals)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Budget {
    window: Duration,
    limits: Vec<(AssetId, Amount)>,
    spent: Arc<Mutex<VecDeque<Spent>>>,
}

struct Spent {
    at: Instant,
    asset: AssetId,
    amount: Amount,
}

/// More would be signed away than the budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    /// Allows nothing yet, within each `window` of time.
    pub fn per(window: Duration) -> Self {
        Self { window, limits: Vec::new(), spent: Arc::default() }
    }

    /// Allows `most` of an asset, in its smallest unit.
    pub fn allow(mut self, asset: AssetId, most: Amount) -> Self {
        self.limits.retain(|(id, _)| *id != asset);
        self.limits.push((asset, most));
        self
    }

    /// Counts a payment about to be signed. Counting and comparing is one step under one lock.
    pub(super) fn draw(&self, asset: AssetId, amount: Amount) -> Result<Draw, Exhausted> {
        let limit = self.limits.iter().find(|(id, _)| *id == asset).map_or(Amount::ZERO, |(_, most)| *most);
        let now = Instant::now();
        let mut spent = self.lock();
        while spent.front().is_some_and(|first| now.duration_since(first.at) >= self.window) {
            spent.pop_front();
        }
        let before = spent.iter().filter(|entry| entry.asset == asset).try_fold(Amount::ZERO, |sum, entry| sum.checked_add(entry.amount));
        let after = before.and_then(|sum| sum.checked_add(amount));
        if after.is_none_or(|after| after > limit) && !sabotaged("budget.ignore") {
            return Err(Exhausted);
        }
        spent.push_back(Spent { at: now, asset, amount });
        Ok(Draw { budget: self.clone(), at: now, asset, amount, signed: false })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Spent>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("window", &self.window).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A counted payment. Dropped before anything is signed, it is given back.
pub(super) struct Draw {
    budget: Budget,
    at: Instant,
    asset: AssetId,
    amount: Amount,
    signed: bool,
}

impl Draw {
    /// From here on it counts, whatever becomes of the payment.
    pub(super) fn signed(mut self) {
        self.signed = true;
    }
}

impl Drop for Draw {
    fn drop(&mut self) {
        if self.signed {
            return;
        }
        let mut spent = self.budget.lock();
        let same = |entry: &Spent| entry.at == self.at && entry.asset == self.asset && entry.amount == self.amount;
        if let Some(at) = spent.iter().position(same) {
            spent.remove(at);
        }
    }
}
