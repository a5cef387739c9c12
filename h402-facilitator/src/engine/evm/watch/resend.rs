//! What is sent and in no block: the same bytes again, and never anything else.

use super::super::{
    super::{Shared, drive::Failure, open::OpenPayment},
    EvmEngine,
};
use alloy_primitives::B256;
use h402_core::{Clock, PaymentKind, PaymentRow, Reject, SettlementEvent, Store, TransactionId, evm::EvmTransaction};
use std::sync::Arc;

/// Sends the stored bytes of an unseen transaction again, and ends a payer's own that was replaced.
pub(super) async fn send_again<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>, open: Arc<OpenPayment>, hash: B256) {
    let row = open.news.borrow().clone();
    let raw = match row.kind {
        PaymentKind::EvmTransaction => row.raw.clone(),
        PaymentKind::Authorization => {
            let stored = shared.store.transaction(evm.network(), &TransactionId::Evm(hash)).await;
            stored.ok().flatten().map(|stored| stored.raw)
        }
        PaymentKind::EvmSent | PaymentKind::SolanaTransaction | PaymentKind::SolanaSent => None,
    };
    if let Some(raw) = raw {
        tracing::debug!(payment.id = %row.key, "sending again");
        shared.send_stored(&evm, &open, &raw).await;
    }
    shared.replaced(&evm, &open, &row).await;
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// A payer's own transaction whose nonce is used up by another one never lands (T044).
    async fn replaced(&self, evm: &EvmEngine, open: &OpenPayment, row: &PaymentRow) {
        let (PaymentKind::EvmTransaction, Some(raw), Some(payer)) = (row.kind, &row.raw, row.payer.evm()) else { return };
        let Ok(transaction) = EvmTransaction::decode(raw) else { return };
        let chain = &evm.config.chain;
        // The nonce is read before the receipt: a transaction mined in between shows in the receipt.
        let (Ok(next), Ok(receipts)) = (chain.account_nonce(payer).await, chain.receipts(&[transaction.hash]).await) else { return };
        if next > transaction.nonce && receipts.first().is_some_and(Option::is_none) {
            let reject = Reject::TransactionState("it was replaced by another transaction of its sender");
            let failure = Failure { word: reject.word(), text: reject.to_string() };
            if let Err(error) = self.advance(&evm.payments, open, SettlementEvent::Expired, Some(failure)).await {
                tracing::warn!(payment.id = %row.key, %error, "could not end a replaced payment");
            }
        }
    }
}
