//! Sending stored bytes, ours or a payer's. Whatever the node says proves nothing: from here on the payment is looked for
//! on chain.

use super::{
    super::{Shared, crash_point, drive::Failure, open::OpenPayment},
    EvmEngine,
};
use crate::{chaos::sabotaged, evm::Sent};
use alloy_primitives::{B256, Bytes, keccak256};
use h402_core::{Clock, SettlementEvent, Store};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Sends a payer's own transaction.
    pub(super) async fn send_own(&self, evm: &EvmEngine, open: &OpenPayment, raw: &Bytes) {
        let sent = self.send_raw(evm, raw, &keccak256(raw)).await;
        self.note_sent(evm, open, sent).await;
    }

    /// Hands stored bytes to the node and has the watcher look at once.
    pub(super) async fn send_raw(&self, evm: &EvmEngine, raw: &Bytes, hash: &B256) -> Sent {
        crash_point("send.pre");
        let sent = evm.config.chain.send(raw).await;
        crash_point("send.post");
        if let Sent::Refused(why) = &sent {
            tracing::warn!(transaction = %hash, ?why, "node refused the transaction");
        }
        evm.sent.notify_one();
        sent
    }

    /// That the state says `broadcast` is for people, so it may come later than the send.
    pub(super) async fn note_sent(&self, evm: &EvmEngine, open: &OpenPayment, sent: Sent) {
        if sabotaged("send.failed") && sent != Sent::Accepted {
            let failure = Failure { word: "settlement_failed", text: "not sent".into() };
            let _failed = self.advance(&evm.payments, open, SettlementEvent::Expired, Some(failure)).await;
            return;
        }
        if let Err(error) = self.advance(&evm.payments, open, SettlementEvent::Sent, None).await {
            tracing::warn!(%error, "could not note that a transaction was sent");
        }
    }
}
