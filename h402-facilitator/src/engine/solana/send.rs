//! Sending what is stored, once or again, as many transactions as the node takes in one request.

use super::{
    super::{Shared, crash_point, open::OpenPayment},
    SolanaEngine,
};
use crate::solana::SolanaSending;
use alloy_primitives::Bytes;
use h402_core::{Clock, SettlementEvent, Store, TransactionId};
use std::sync::Arc;

impl<S: Store, C: Clock> Shared<S, C> {
    /// Sends stored bytes. Whatever the node says proves nothing: from here on the payments are looked for on chain.
    pub(super) async fn send_solana(&self, solana: &SolanaEngine, payments: &[Arc<OpenPayment>]) {
        let (open, transactions): (Vec<_>, Vec<_>) =
            payments.iter().filter_map(|open| stored(open).map(|transaction| (open, transaction))).unzip();
        crash_point("send.pre");
        let sent = solana.config.chain.send(&transactions).await;
        crash_point("send.post");
        for (open, sending) in open.into_iter().zip(sent) {
            if let SolanaSending::Refused(why) = sending {
                tracing::warn!(payment.id = %open.news.borrow().key, why, "node refused the transaction");
            }
            if let Err(error) = self.advance(&solana.payments, open, SettlementEvent::Sent, None).await {
                tracing::warn!(%error, "could not note that a transaction was sent");
            }
        }
    }
}

fn stored(open: &OpenPayment) -> Option<(TransactionId, Bytes)> {
    let row = open.news.borrow();
    Some((row.state.transaction()?, row.raw.clone()?))
}
