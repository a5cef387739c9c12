//! What is sent and in no block: the same bytes again, and never anything else.

use super::super::{
    super::{Shared, drive::Failure, open::OpenPayment},
    EvmEngine,
    queue::Job,
};
use crate::chaos::sabotaged;
use alloy_primitives::B256;
use h402_core::{Clock, PaymentKind, PaymentRow, Reject, Settlement, SettlementEvent, Store, TransactionId, evm::EvmTransaction};
use std::sync::Arc;

/// Sends the stored bytes of an unseen transaction again, and ends a payer's own that was replaced.
pub(super) async fn send_again<S: Store, C: Clock>(
    shared: Arc<Shared<S, C>>,
    evm: Arc<EvmEngine>,
    payments: Vec<Arc<OpenPayment>>,
    hash: B256,
) {
    let Some(first) = payments.first() else { return };
    let row = first.news.borrow().clone();
    if sabotaged("resend.anew") && row.kind == PaymentKind::Authorization {
        evm.put(Job { open: first.clone(), gas: evm.config.max_gas, company: false, after: Some(hash) });
        return;
    }
    let raw = match row.kind {
        PaymentKind::EvmTransaction => row.raw.clone(),
        PaymentKind::Authorization | PaymentKind::Permit2 => {
            let stored = shared.store.transaction(evm.network(), &TransactionId::Evm(hash)).await;
            stored.ok().flatten().map(|stored| stored.raw)
        }
        PaymentKind::EvmSent | PaymentKind::SolanaTransaction | PaymentKind::SolanaSent => None,
    };
    if let Some(raw) = raw {
        tracing::debug!(transaction = %hash, "sending again");
        let sent = shared.send_raw(&evm, &raw, &hash).await;
        futures_util::future::join_all(payments.iter().map(|open| shared.note_sent(&evm, open, sent))).await;
    }
    shared.replaced(&evm, first, &row).await;
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// A payer's own transaction whose nonce is used up by another one never lands (T044).
    async fn replaced(&self, evm: &EvmEngine, open: &OpenPayment, row: &PaymentRow) {
        let (PaymentKind::EvmTransaction, Some(raw), Some(payer)) = (row.kind, &row.raw, row.payer.evm()) else { return };
        let Ok(transaction) = EvmTransaction::decode(raw) else { return };
        let chain = &evm.config.chain;
        let Ok(head) = chain.head().await else { return };
        // A settlement that was dropped is lost for good then, so nothing may bring it back; nobody waits for that.
        let depth = match row.state {
            Settlement::Reorged { .. } => evm.config.final_depth,
            _ => evm.depth_for(row.asset.address, row.amount),
        };
        let height = head.number.saturating_add(1).saturating_sub(depth.max(1));
        // Both of this head: that it is in no block is not believed of a node that does not have the block of the nonce.
        let Ok(next) = chain.account_nonce_at(payer, height).await else { return };
        let Ok(receipts) = chain.receipts_up_to(&[transaction.hash], head.block()).await else { return };
        if next > transaction.nonce && receipts.first().is_some_and(Option::is_none) {
            let reject = Reject::TransactionState("it was replaced by another transaction of its sender");
            let failure = Failure { word: reject.word(), text: reject.to_string() };
            if let Err(error) = self.advance(&evm.payments, open, SettlementEvent::Expired, Some(failure)).await {
                tracing::warn!(payment.id = %row.key, %error, "could not end a replaced payment");
            }
        }
    }
}
