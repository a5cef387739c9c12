//! Payments that others brought to the cluster between verify and settle.

use super::{
    super::{Shared, settle::Prepared, verify::claimant},
    SolanaEngine,
    settle::{block, signed},
};
use h402_core::{
    CallerKey, Checked, Clock, PaymentRow, Proof, Reject, Settlement, SolanaPolicy, SolanaReject, Store, TransactionId, Undecided,
    VerifyError,
};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Where a payment has landed that could still be made when it was verified here, and cannot now: its payer has
    /// sent it. The payee has the money.
    ///
    /// Only a payment that is still held from that verify counts: without such proof of its age, an old one could be
    /// presented as new (T052). Where we pay the fee nobody can send it before we sign.
    ///
    /// # Errors
    /// [`Undecided`] also if its block is not sure enough yet.
    pub(in crate::engine) async fn landed_solana(
        &self,
        solana: &SolanaEngine,
        checked: &Checked,
        refused: &VerifyError,
        caller: Option<CallerKey>,
    ) -> Result<Option<Prepared>, Undecided> {
        let payment = checked.matched();
        let spent = matches!(
            refused,
            VerifyError::Rejected(Reject::Reverts(_) | Reject::InsufficientFunds { .. } | Reject::Solana(SolanaReject::Expires { .. }))
        );
        let Proof::SolanaTransaction { transaction, payment: paid, raw } = payment.proof() else { return Ok(None) };
        if !spent || paid.is_sponsored() || !self.is_promised(&claimant(payment)).await? {
            return Ok(None);
        }
        let Some(signature) = transaction.signatures.first() else { return Ok(None) };
        let mut statuses = solana.config.chain.statuses_of_any_age(&[*signature]).await?;
        let Some(status) = statuses.statuses.pop().flatten().filter(|status| status.failure.is_none()) else { return Ok(None) };
        let asset = payment.requirements().offer.asset.id.address;
        if status.commitment < Some(solana.accepted_at(asset, payment.amount())) {
            return Err(Undecided::Unconfirmed);
        }
        let transaction = TransactionId::Solana(*signature);
        // If its block goes, it may land again, though not for ever: it lives by a block below the newest one, which is not
        // so far above the finalized one.
        let last = statuses.finalized_height.saturating_add(2 * SolanaPolicy::BLOCKHASH_LIFE);
        let row = self.new_row(payment, payment.key(), caller, signed(transaction, raw.clone(), Some(last)));
        let row = PaymentRow { state: Settlement::Included { transaction, block: block(status.slot) }, ..row };
        Ok(Some(Prepared { row, aliases: payment.aliases() }))
    }
}
