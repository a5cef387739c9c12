//! Nonces whose payments have ended: what was signed for them must be mined all the same.

use super::super::{super::Shared, EvmEngine};
use h402_core::{Change, Clock, SentState, Store, Undecided};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Sends what was signed and is not mined once more, if its payment has ended: lapsed, or carried by another
    /// transaction. Every later nonce of the key waits for it. What is mined is noted, so that it is not looked at again.
    pub(super) async fn fill_nonces(&self, evm: &EvmEngine) -> Result<(), Undecided> {
        let sender = evm.config.signer.address();
        let mined = evm.config.chain.account_nonce(sender).await?;
        let mut change = Change::default();
        for stored in self.store.lane(evm.network(), &sender).await?.open {
            if stored.nonce < mined {
                change.sent.push(SentState { network: stored.network, id: stored.id, done: true });
            } else if stored.payments.iter().all(|payment| evm.payments.find(payment).is_none()) {
                tracing::info!(nonce = stored.nonce, transaction = %stored.id, "filling a nonce");
                evm.config.chain.send(&stored.raw).await;
            }
        }
        if !change.sent.is_empty() {
            self.store.apply(change).await?;
        }
        Ok(())
    }
}
