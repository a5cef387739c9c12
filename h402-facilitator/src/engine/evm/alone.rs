//! Payments that failed among others, looked at alone: they go alone, or they end without anything being sent.

use super::{
    super::{Shared, drive::Failure, open::OpenPayment},
    EvmEngine,
    landed::Carrier,
    queue::Job,
    watch::{INDEXED, is_deep_enough},
};
use crate::evm::Prospect;
use h402_core::{BlockRef, Clock, PaymentKind, PaymentRow, Reject, Settlement, SettlementEvent, Store, TransactionId, Undecided};
use std::sync::Arc;

/// What becomes of a payment that is looked at alone.
enum Outlook {
    /// It is worth a transaction of its own.
    Send { gas: u64 },
    /// Somebody has brought it to the chain.
    Landed(TransactionId, BlockRef),
    /// It will not be settled.
    Refuse(Reject),
    /// The chain does not say yet.
    Wait,
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Decides about a claimed payment for which nothing has been sent: it failed when a transaction with others was tried
    /// out. Nothing that only waits to be mined ends it, since that might be the payment itself, brought by somebody else.
    pub(super) async fn look_alone(self: Arc<Self>, evm: Arc<EvmEngine>, job: Job) {
        let first = evm.config.chain.head().await.ok();
        loop {
            let row = job.open.news.borrow().clone();
            if row.state != Settlement::Claimed || job.open.term.is_over() {
                return;
            }
            let since = first.map(|head| head.number);
            match self.outlook(&evm, &row, since, None).await {
                Ok(Outlook::Send { gas }) => {
                    evm.put(Job { gas, company: false, ..job });
                    return;
                }
                Ok(Outlook::Landed(transaction, block)) => {
                    let paid = SettlementEvent::Paid { transaction, block };
                    if self.advance(&evm.payments, &job.open, paid, None).await.is_ok() {
                        return;
                    }
                }
                Ok(Outlook::Refuse(reject)) => {
                    tracing::info!(payment.id = %row.key, why = reject.word(), "refused before anything was sent");
                    let failure = Failure { word: reject.word(), text: reject.to_string() };
                    if self.advance(&evm.payments, &job.open, SettlementEvent::Refuse, Some(failure)).await.is_ok() {
                        return;
                    }
                }
                Ok(Outlook::Wait) => {}
                Err(error) => tracing::debug!(payment.id = %row.key, %error, "could not look at a payment alone"),
            }
            tokio::select! {
                biased;
                () = self.stopped() => return,
                () = tokio::time::sleep(evm.config.poll) => {}
            }
        }
    }

    /// Decides about a payment whose transaction, with others in it, is mined without it.
    ///
    /// # Errors
    /// [`Undecided`] if it has to be looked at again.
    pub(super) async fn look_after(
        &self,
        evm: &EvmEngine,
        open: &Arc<OpenPayment>,
        row: &PaymentRow,
        transaction: TransactionId,
        block: BlockRef,
    ) -> Result<(), Undecided> {
        match self.outlook(evm, row, None, Some(block)).await? {
            Outlook::Send { gas } => {
                let Some(TransactionId::Evm(after)) = row.state.transaction() else { return Ok(()) };
                if let (TransactionId::Evm(missed), Some(payer)) = (transaction, row.payer.evm()) {
                    // A node that has forgotten that block holds up no payment.
                    let has_code = evm.config.chain.has_code_at(payer, block.number).await.unwrap_or_default();
                    evm.missed(row, missed, has_code, self.clock.now());
                }
                tracing::info!(payment.id = %row.key, %transaction, "goes alone: its transaction did not carry it");
                evm.put(Job { open: open.clone(), gas, company: false, after: Some(after) });
                Ok(())
            }
            Outlook::Landed(transaction, block) => {
                self.advance(&evm.payments, open, SettlementEvent::Paid { transaction, block }, None).await
            }
            Outlook::Refuse(reject) => {
                // It was tried on chain: the words are those of a transaction that failed.
                let reverted = Reject::Reverts(reject.to_string());
                let failure = Failure { word: reverted.word(), text: reverted.to_string() };
                self.advance(&evm.payments, open, SettlementEvent::Failed { transaction, block }, Some(failure)).await
            }
            Outlook::Wait => Err(Undecided::Chain),
        }
    }

    /// `since` is the number of a block since which it is looked at, `after` the block that it has failed in.
    async fn outlook(&self, evm: &EvmEngine, row: &PaymentRow, since: Option<u64>, after: Option<BlockRef>) -> Result<Outlook, Undecided> {
        let config = &evm.config;
        let Some(lane) = evm.lane_for(row) else { return Err(Undecided::Gas) };
        let max_gas = match (row.kind, config.permit2) {
            (PaymentKind::Permit2, Some(allowed)) => allowed.max_gas,
            _ => config.max_gas,
        };
        let head = config.chain.head().await?;
        let seen = after.filter(|after| after.number >= head.number).unwrap_or(head.block());
        Ok(match config.chain.prospect(row, lane.address(), seen).await? {
            Prospect::Good { gas } if gas > max_gas => Outlook::Refuse(Reject::Cost { cost: gas, limit: max_gas }),
            Prospect::Good { gas } => Outlook::Send { gas },
            Prospect::Poor { held } => Outlook::Refuse(Reject::InsufficientFunds { held, required: row.amount }),
            Prospect::Reverts { reason } => Outlook::Refuse(Reject::Reverts(reason)),
            Prospect::Used => match self.carrier(evm, row, seen).await? {
                Carrier::Other(transaction, block) if is_deep_enough(evm, Some(head), row, block) => Outlook::Landed(transaction, block),
                Carrier::Other(..) => Outlook::Wait,
                // It paid somebody else.
                Carrier::None => Outlook::Refuse(Reject::AuthorizationUsed),
                // Cancelled, if no log comes.
                Carrier::Hidden if since.is_some_and(|since| head.number >= since.saturating_add(INDEXED)) => {
                    Outlook::Refuse(Reject::AuthorizationUsed)
                }
                Carrier::Hidden => Outlook::Wait,
            },
        })
    }
}
