//! Nonces whose payments have ended: what was signed for them must be mined all the same.

use super::super::{super::Shared, EvmEngine, lane::KeyLane};
use crate::chaos::crash_point;
use h402_core::{Applied, Change, Clock, SentState, Store, Undecided};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Sends what was signed and is not mined once more, if its payment has ended: lapsed, or carried by another
    /// transaction. Every later nonce of the key waits for it. What is mined is noted, so that it is not looked at again.
    pub(super) async fn fill_nonces(&self, evm: &EvmEngine) -> Result<(), Undecided> {
        for lane in &evm.lanes {
            self.fill_nonces_of(evm, lane).await?;
        }
        Ok(())
    }

    async fn fill_nonces_of(&self, evm: &EvmEngine, lane: &KeyLane) -> Result<(), Undecided> {
        let sender = lane.address();
        let mined = evm.config.chain.account_nonce(sender).await?;
        lane.mined(mined);
        let Some(term) = evm.payments.term() else { return Ok(()) };
        let mut change = Change { fence: Some(term.fence()), ..Change::default() };
        for stored in self.store.lane(evm.network(), &sender).await?.open {
            if stored.nonce < mined {
                change.sent.push(SentState { network: stored.network, id: stored.id, done: true, cost: None });
            } else if stored.payments.iter().all(|payment| evm.payments.find(payment).is_none()) {
                tracing::info!(nonce = stored.nonce, transaction = %stored.id, "filling a nonce");
                crash_point("nonce.fill");
                evm.config.chain.send(&stored.raw).await;
            }
        }
        if !change.sent.is_empty() && self.store.apply(change).await? == Applied::Fenced {
            term.end();
        }
        Ok(())
    }
}
