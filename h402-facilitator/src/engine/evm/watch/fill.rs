//! Nonces whose payments have ended: what was signed for them must be mined all the same.

use super::super::super::{Shared, network::NetworkEngine};
use h402_core::{Change, Clock, SentState, Store, Undecided};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Sends what was signed and is not mined once more, if its payment has ended: lapsed, or carried by another
    /// transaction. Every later nonce of the key waits for it. What is mined is noted, so that it is not looked at again.
    pub(super) async fn fill_nonces(&self, network: &NetworkEngine) -> Result<(), Undecided> {
        let sender = network.config.signer.address();
        let mined = network.config.chain.account_nonce(sender).await?;
        let mut change = Change::default();
        for stored in self.store.lane(network.network(), &sender).await?.open {
            if stored.nonce < mined {
                change.sent.push(SentState { network: stored.network, id: stored.id, done: true });
            } else if stored.payments.iter().all(|payment| network.find(payment).is_none()) {
                tracing::info!(nonce = stored.nonce, transaction = %stored.id, "filling a nonce");
                network.config.chain.send(&stored.raw).await;
            }
        }
        if !change.sent.is_empty() {
            self.store.apply(change).await?;
        }
        Ok(())
    }
}
