//! What payments have promised of their payers' balances: in this process's memory if it works on the ledger alone, else in the
//! ledger, where every process sees it.

use super::{
    HOLD, Shared,
    reserve::{Awaited, Claimant, Terms},
};
use h402_core::{Amount, Clock, HoldAnswer, HoldAsk, Reject, Store, Undecided, VerifyError};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Judges a payment by what the payer's other payments have promised already, and if it is accepted promises it as well: for a
    /// minute, or a settlement until it is included.
    pub(super) async fn promise<T, E: Into<VerifyError>>(
        &self,
        claimant: Claimant,
        terms: Terms,
        judge: impl FnOnce(Amount) -> Result<T, E>,
    ) -> Result<T, VerifyError> {
        let judge = |reserved| judge(reserved).map_err(Into::into);
        if !self.store.is_shared() {
            let _kept = self.known(claimant).await?;
            return self.reservations.decide(claimant, terms, judge);
        }
        let Claimant { payer, asset, key, amount } = claimant;
        let ask = HoldAsk { key, payer, asset, amount, exclusive: terms.exclusive, block: terms.block, ttl: HOLD };
        let (others, is_new) = match self.store.hold(ask).await.map_err(Undecided::from)? {
            HoldAnswer::Held { others, is_new } => (others, is_new),
            HoldAnswer::Taken => return Err(Reject::InProgress.into()),
        };
        let judged = if others.len() >= terms.max_open {
            Err(Reject::TooManyOpen.into())
        } else {
            let sum = others.into_iter().try_fold(Amount::ZERO, Amount::checked_add);
            judge(sum.unwrap_or(Amount::from(alloy_primitives::U256::MAX)))
        };
        // What an earlier look has promised stays promised for its minute.
        if judged.is_err()
            && is_new
            && let Err(error) = self.store.let_go(&key).await
        {
            tracing::warn!(payment.id = %key, %error, "could not end a hold; it ends by itself");
        }
        judged
    }

    /// Sees that what the payer's open payments promise is in this process's memory, and keeps it there until the answer is
    /// dropped.
    async fn known(&self, claimant: Claimant) -> Result<Awaited<'_>, Undecided> {
        let awaited = self.reservations.await_for(claimant.payer, claimant.asset);
        while let Some(missed) = awaited.unknown() {
            let rows = self.store.promised(&claimant.payer, claimant.asset).await?;
            awaited.learn(missed, &rows, self.clock.now());
        }
        Ok(awaited)
    }

    /// Whether this very payment is held: whoever verified it, in whatever process, found it unspent.
    pub(super) async fn is_promised(&self, claimant: &Claimant) -> Result<bool, Undecided> {
        if self.store.is_shared() {
            return Ok(self.store.is_held(&claimant.key).await?);
        }
        Ok(self.reservations.holds(claimant, self.clock.now()))
    }
}
