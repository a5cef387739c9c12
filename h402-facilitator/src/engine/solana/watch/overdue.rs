//! What has outlived its blocks, or is not where it was: ended only with proof.

use super::{super::super::drive::Failure, InFlight, REMEMBERED, Watcher};
use crate::solana::SignatureStatus;
use h402_core::{Clock, Reject, Settlement, SettlementEvent, SolanaReject, Store, Undecided, UnixSeconds, solana::SolanaTransaction};
use std::time::Duration;
use tokio::time::Instant;

/// Seconds by which the cluster's clock and ours may differ.
const MARGIN: u64 = 60;
/// How often it is said that a node remembers too little.
const COMPLAIN: Duration = Duration::from_secs(60);

impl<S: Store, C: Clock> Watcher<'_, S, C> {
    /// Looks for transactions in all that the node remembers.
    ///
    /// `overdue` have a last block height below the finalized one. They are over if, besides that, their blockhash is
    /// invalid in a finalized block, and after that was known no block has them, asked of a node that remembers all of their
    /// life. `vanished` were in a block before.
    pub(super) async fn look_back(&mut self, overdue: Vec<InFlight>, vanished: Vec<InFlight>) -> Result<(), Undecided> {
        let hashes: Vec<[u8; 32]> = overdue.iter().map(|payment| blockhash(payment).unwrap_or_default()).collect();
        let valid = self.solana.config.chain.are_blockhashes_valid(&hashes).await?;
        let gone = overdue.into_iter().zip(valid).filter(|(payment, valid)| !valid && blockhash(payment).is_some());
        let overdue: Vec<InFlight> = gone.map(|(payment, _)| payment).collect();
        let signatures: Vec<[u8; 64]> = overdue.iter().chain(&vanished).map(|payment| payment.signature).collect();
        if signatures.is_empty() {
            return Ok(());
        }
        let answer = self.solana.config.chain.statuses_of_any_age(&signatures).await?;
        let remembers =
            if overdue.is_empty() { UnixSeconds(u64::MAX) } else { self.solana.config.chain.time_of(answer.first_slot).await? };
        let mut statuses = answer.statuses.into_iter();
        for payment in overdue {
            let status = statuses.next().flatten();
            let claimed = payment.open.news.borrow().claimed_at.seconds();
            if status.is_none() && claimed.0 < remembers.0.saturating_add(MARGIN) {
                self.complain(&payment);
                continue;
            }
            self.overdue(&payment, status, answer.finalized_height).await;
        }
        for payment in vanished {
            self.vanished(&payment, statuses.next().flatten(), answer.slot).await;
        }
        Ok(())
    }

    /// A node that has forgotten what it knew, or came later, proves nothing: the payment may have landed.
    fn complain(&mut self, payment: &InFlight) {
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            let network = self.solana.network();
            let payment = payment.open.news.borrow().key;
            tracing::error!(%network, payment.id = %payment, "the node remembers too little to tell whether a payment has expired or landed");
        }
    }

    async fn overdue(&self, payment: &InFlight, status: Option<SignatureStatus>, finalized_height: u64) {
        if let Some(status) = status {
            return self.seen(payment, status).await;
        }
        // Behind one URL may be many nodes: the one that does not know it must be as far itself.
        let last = payment.open.news.borrow().last_block_height;
        if last.is_none_or(|last| finalized_height <= last) {
            return;
        }
        let reject = Reject::from(SolanaReject::Expires { left: 0, required: 0 });
        let failure = Failure { word: reject.word(), text: "its blockhash expired before it was in a block".into() };
        self.tell(payment, SettlementEvent::Expired, Some(failure)).await;
    }

    async fn vanished(&self, payment: &InFlight, status: Option<SignatureStatus>, slot: u64) {
        let (Settlement::Included { block, .. } | Settlement::Reverted { block, .. }) = payment.open.news.borrow().state else { return };
        match status {
            Some(status) => self.seen(payment, status).await,
            // A node that is behind, or has forgotten, proves nothing.
            None if slot > block.number && slot < block.number.saturating_add(REMEMBERED) => {
                tracing::warn!(payment.id = %payment.open.news.borrow().key, slot = block.number, "block is gone");
                self.tell(payment, SettlementEvent::Vanished, None).await;
            }
            None => {}
        }
    }

    async fn tell(&self, payment: &InFlight, event: SettlementEvent, failure: Option<Failure>) {
        if let Err(error) = self.shared.advance(&self.solana.payments, &payment.open, event, failure).await {
            tracing::warn!(payment.id = %payment.open.news.borrow().key, %error, "could not note what became of a payment");
        }
    }
}

/// The blockhash that a payment lives by.
fn blockhash(payment: &InFlight) -> Option<[u8; 32]> {
    let raw = payment.open.news.borrow().raw.clone()?;
    Some(*SolanaTransaction::decode(&raw).ok()?.message.blockhash())
}
