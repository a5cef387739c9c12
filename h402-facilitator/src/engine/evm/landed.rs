//! What the chain shows of a payment, whoever brought it there.

use super::{
    super::{Shared, settle::Prepared, verify::claimant},
    EvmEngine,
};
use crate::evm::Permit2Transfer;
use alloy_primitives::{B256, U256};
use h402_core::{
    BlockRef, CallerKey, Checked, Clock, PaymentKind, PaymentRow, Proof, ReceiptFacts, Reject, Settlement, Store, TransactionId, Undecided,
    UnixSeconds, VerifyError,
};

/// Seconds before its claim in which a payment that is settled may have been used: those for which it is promised after it was
/// verified, and what clocks differ by.
const BEFORE_CLAIM: u64 = 600;

/// Who has used an authorization.
pub(super) enum Carrier {
    /// This transaction, and it shows the payment.
    Other(TransactionId, BlockRef),
    /// Nobody, or one that paid somebody else.
    None,
    /// Somebody, and the node does not show who yet.
    Hidden,
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Looks for a payment in any transaction, as it is at this block or later: for its authorization, or its transfer through
    /// Permit2.
    ///
    /// # Errors
    /// [`Undecided`], also if the node is behind that block.
    pub(super) async fn carrier(&self, evm: &EvmEngine, row: &PaymentRow, block: BlockRef) -> Result<Carrier, Undecided> {
        let (Some(nonce), Some(token), Some(from)) = (row.nonce, row.asset.address.evm(), row.payer.evm()) else {
            return Ok(Carrier::None);
        };
        // When it was verified it was unused.
        let since = UnixSeconds(row.claimed_at.seconds().0.saturating_sub(BEFORE_CLAIM));
        let trace = match (row.kind, row.pay_to.evm()) {
            (PaymentKind::Permit2, Some(to)) => {
                let wanted = Permit2Transfer { token, from, to, amount: row.amount, nonce: U256::from_be_bytes(nonce) };
                evm.config.chain.permit2_transfer(&wanted, block, since).await?
            }
            (PaymentKind::Permit2, None) => return Ok(Carrier::None),
            _ => evm.config.chain.authorization(token, from, B256::from(nonce), block, since).await?,
        };
        Ok(match trace.log {
            Some(log) if self.shows(evm, row, &log.receipt).await? => {
                Carrier::Other(TransactionId::Evm(log.transaction), block_of(&log.receipt))
            }
            None if trace.used => Carrier::Hidden,
            Some(_) | None => Carrier::None,
        })
    }

    /// Where a payment has landed that the chain took for unspent when it was verified here, and refuses now: its payer
    /// has sent it, or somebody who saw it (T010, T045). The payee has the money.
    ///
    /// Only a payment that is still held from that verify counts: without such proof of its age, an old one could be
    /// presented as new (T052).
    ///
    /// # Errors
    /// [`Undecided`] also if its block is not deep enough yet.
    pub(in crate::engine) async fn landed_evm(
        &self,
        evm: &EvmEngine,
        checked: &Checked,
        refused: &VerifyError,
        caller: Option<CallerKey>,
    ) -> Result<Option<Prepared>, Undecided> {
        let spent = matches!(refused, VerifyError::Rejected(Reject::AuthorizationUsed | Reject::TransactionState(_)));
        if !spent || !self.is_promised(&claimant(checked.matched())).await? {
            return Ok(None);
        }
        let payment = checked.matched();
        let row = self.evm_row(evm, payment, payment.key(), None, caller)?;
        let head = evm.config.chain.head().await?;
        let found = match payment.proof() {
            Proof::Authorization { .. } | Proof::Permit2 { .. } => match self.carrier(evm, &row, head.block()).await? {
                Carrier::Other(transaction, block) => Some((transaction, block)),
                // Cancelled, most likely; there is nothing to wait for that could be told from it.
                Carrier::Hidden | Carrier::None => None,
            },
            Proof::EvmTransaction { transaction, .. } => {
                let receipt = evm.config.chain.receipts_up_to(&[transaction.hash], head.block()).await?.pop().flatten();
                match receipt {
                    Some(receipt) if self.shows(evm, &row, &receipt).await? => {
                        Some((TransactionId::Evm(transaction.hash), block_of(&receipt)))
                    }
                    Some(_) | None => None,
                }
            }
            Proof::EvmSent { .. } | Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => None,
        };
        match found {
            Some((_, block))
                if head.number.saturating_add(1) < block.number.saturating_add(evm.depth_for(row.asset.address, row.amount)) =>
            {
                Err(Undecided::Chain)
            }
            Some((transaction, block)) => {
                let row = PaymentRow { state: Settlement::Included { transaction, block }, ..row };
                Ok(Some(Prepared { row, aliases: payment.aliases() }))
            }
            None => Ok(None),
        }
    }
}

fn block_of(receipt: &ReceiptFacts) -> BlockRef {
    BlockRef { number: receipt.block, hash: receipt.block_hash }
}
