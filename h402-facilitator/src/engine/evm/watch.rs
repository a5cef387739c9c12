//! The watcher: one per network, looks for what was sent right after the send and then block by block.

mod fill;
mod resend;

use super::{
    super::{Shared, drive::Failure, open::OpenPayment},
    EvmEngine,
    landed::{Carrier, shows_payment},
};
use crate::evm::Head;
use alloy_primitives::B256;
use h402_core::{
    BlockRef, Clock, PaymentKind, PaymentRow, ReceiptFacts, Reject, Settlement, SettlementEvent, Store, TransactionId, Undecided,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Receipts asked for in one request.
const CHUNK: usize = 100;
/// How often the stored bytes of an unseen transaction are sent again.
const RESEND: Duration = Duration::from_secs(3);
/// How often at the least.
const LONGEST_RESEND: Duration = Duration::from_secs(300);
/// Seconds of chain time after which an expired authorization cannot come back with a reorg.
const EXPIRED_FOR_GOOD: u64 = 60;
/// Blocks after which a node has indexed the log of a used authorization, if there is one.
const INDEXED: u64 = 6;

/// Looks until the engine stops.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>) {
    let network = evm.network();
    let mut watcher = Watcher { shared: &shared, evm: &evm, asked: HashSet::new(), sent: HashMap::new(), head: None, looked: None };
    let mut tick = tokio::time::interval(evm.config.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let every_block = tokio::select! {
            () = evm.sent.notified() => false,
            _ = tick.tick() => true,
            () = shared.stopped() => return,
        };
        let looked = if every_block { watcher.block().await } else { watcher.fresh().await };
        if let Err(error) = looked {
            tracing::debug!(%network, %error, "could not look at the chain");
        }
    }
}

struct Watcher<'a, S, C> {
    shared: &'a Arc<Shared<S, C>>,
    evm: &'a Arc<EvmEngine>,
    /// Transactions that were asked for at least once.
    asked: HashSet<B256>,
    /// When unseen transactions were last sent.
    sent: HashMap<B256, Instant>,
    head: Option<Head>,
    /// The block at which everything was looked at, and understood.
    looked: Option<B256>,
}

impl<S: Store, C: Clock> Watcher<'_, S, C> {
    /// Right after a send: only what has not been asked for yet.
    async fn fresh(&mut self) -> Result<(), Undecided> {
        let open = self.unseen(|asked, hash| !asked.contains(&hash));
        let looked = self.look(open).await;
        if looked.is_err() {
            self.looked = None;
        }
        looked
    }

    /// Once per poll: if there is a new block, everything that is open; then what only time can settle.
    async fn block(&mut self) -> Result<(), Undecided> {
        self.shared.reservations.sweep(self.shared.clock.now());
        let all = self.evm.payments.each();
        if all.is_empty() {
            self.asked.clear();
            self.sent.clear();
            return Ok(());
        }
        let waiting: HashSet<B256> = self.unseen(|_, _| true).into_iter().map(|(hash, _)| hash).collect();
        self.asked.retain(|hash| waiting.contains(hash));
        self.sent.retain(|hash, _| waiting.contains(hash));
        let head = self.evm.config.chain.head().await?;
        self.head = Some(head);
        let looked = self.at(&all, head).await;
        // These look for themselves; one payment that is not understood must not hold up the others.
        self.expire(&all, head).await;
        self.resend(&all).await;
        looked
    }

    /// Looks at a new block; at the same one again if the look failed, for on a quiet chain the next may be far away.
    async fn at(&mut self, all: &[Arc<OpenPayment>], head: Head) -> Result<(), Undecided> {
        if self.looked == Some(head.hash) {
            return Ok(());
        }
        let open = self.unseen(|_, _| true);
        self.look(open).await?;
        self.deepen(all, head).await?;
        self.looked = Some(head.hash);
        Ok(())
    }

    fn unseen(&self, wanted: impl Fn(&HashSet<B256>, B256) -> bool) -> Vec<(B256, Arc<OpenPayment>)> {
        let mut unseen = Vec::new();
        for open in self.evm.payments.each() {
            let state = open.news.borrow().state;
            if let (false, Some(TransactionId::Evm(hash))) = (state.is_settled(), state.transaction())
                && wanted(&self.asked, hash)
            {
                unseen.push((hash, open));
            }
        }
        unseen
    }

    async fn look(&mut self, open: Vec<(B256, Arc<OpenPayment>)>) -> Result<(), Undecided> {
        for chunk in open.chunks(CHUNK) {
            let hashes: Vec<B256> = chunk.iter().map(|(hash, _)| *hash).collect();
            let receipts = self.evm.config.chain.receipts(&hashes).await?;
            self.asked.extend(&hashes);
            let seen = chunk.iter().zip(receipts).filter_map(|((hash, open), receipt)| Some((*hash, open, receipt?)));
            let seen = futures_util::future::join_all(seen.map(|(hash, open, receipt)| self.seen(hash, open, receipt))).await;
            seen.into_iter().collect::<Result<(), Undecided>>()?;
        }
        Ok(())
    }

    /// A transaction is in a block: is the payment in it, too?
    async fn seen(&self, hash: B256, open: &OpenPayment, receipt: ReceiptFacts) -> Result<(), Undecided> {
        let row = open.news.borrow().clone();
        let block = BlockRef { number: receipt.block, hash: receipt.block_hash };
        if !self.is_deep_enough(block) {
            return Ok(());
        }
        let transaction = TransactionId::Evm(hash);
        let result = if shows_payment(&row, &receipt) {
            self.shared.advance(&self.evm.payments, open, SettlementEvent::Paid { transaction, block }, None).await
        } else {
            self.without_payment(open, &row, transaction, block, &receipt).await
        };
        if let Err(error) = &result {
            tracing::warn!(payment.id = %row.key, %error, "what the chain shows of a payment is not settled yet");
        }
        result
    }

    /// Whether a block has as many on top of it as the network wants before a settlement counts.
    fn is_deep_enough(&self, block: BlockRef) -> bool {
        let depth = self.head.map_or(1, |head| head.number.saturating_add(1).saturating_sub(block.number));
        depth.max(1) >= self.evm.config.accept_depth
    }

    /// Our transaction did not carry the payment. Perhaps somebody else's did (T010).
    async fn without_payment(
        &self,
        open: &OpenPayment,
        row: &PaymentRow,
        transaction: TransactionId,
        block: BlockRef,
        receipt: &ReceiptFacts,
    ) -> Result<(), Undecided> {
        match self.shared.carrier(self.evm, row, block.number).await? {
            Carrier::Other(_, block) if !self.is_deep_enough(block) => return Ok(()),
            Carrier::Other(carrier, block) => {
                return self.shared.advance(&self.evm.payments, open, SettlementEvent::Paid { transaction: carrier, block }, None).await;
            }
            // A payment that is there and not shown yet must not be called failed: its payer would pay again.
            Carrier::Hidden if self.head.is_none_or(|head| head.number < block.number.saturating_add(INDEXED)) => {
                return Err(Undecided::Chain);
            }
            Carrier::Hidden | Carrier::None => {}
        }
        let reject = if receipt.success { Reject::TransferNotObserved } else { Reject::Reverts("the transaction failed on chain".into()) };
        let failure = Failure { word: reject.word(), text: reject.to_string() };
        self.shared.advance(&self.evm.payments, open, SettlementEvent::Failed { transaction, block }, Some(failure)).await
    }

    /// Included payments become final with depth, or lose their block.
    async fn deepen(&self, all: &[Arc<OpenPayment>], head: Head) -> Result<(), Undecided> {
        let mut hashes: HashMap<u64, Option<B256>> = HashMap::new();
        for open in all {
            let Settlement::Included { block, .. } = open.news.borrow().state else { continue };
            let hash = match hashes.get(&block.number) {
                Some(hash) => *hash,
                None => {
                    let hash = self.evm.config.chain.block_hash(block.number).await?;
                    hashes.insert(block.number, hash);
                    hash
                }
            };
            let depth = head.number.saturating_add(1).saturating_sub(block.number);
            if hash != Some(block.hash) {
                tracing::warn!(payment.id = %open.news.borrow().key, block = block.number, "block is gone");
                self.shared.advance(&self.evm.payments, open, SettlementEvent::Vanished, None).await?;
            } else if depth >= self.evm.config.final_depth {
                self.shared.advance(&self.evm.payments, open, SettlementEvent::Deep, None).await?;
            }
        }
        Ok(())
    }

    /// What has expired by chain time with its nonce unused cannot land any more.
    async fn expire(&self, all: &[Arc<OpenPayment>], head: Head) {
        for open in all {
            let row = open.news.borrow().clone();
            let over = row.expires.is_some_and(|expires| head.time.0 > expires.0.saturating_add(EXPIRED_FOR_GOOD));
            if row.state.is_settled() || !over {
                continue;
            }
            let result = match self.shared.carrier(self.evm, &row, head.number).await {
                Ok(Carrier::Other(_, block)) if !self.is_deep_enough(block) => continue,
                Ok(Carrier::Other(transaction, block)) => {
                    self.shared.advance(&self.evm.payments, open, SettlementEvent::Paid { transaction, block }, None).await
                }
                // Used and never shown: cancelled.
                Ok(Carrier::None | Carrier::Hidden) => {
                    let reject = Reject::ExpiresTooSoon { left: 0, required: 0 };
                    let failure = Failure { word: reject.word(), text: "the authorization expired before it was settled".into() };
                    self.shared.advance(&self.evm.payments, open, SettlementEvent::Expired, Some(failure)).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::warn!(payment.id = %row.key, %error, "could not end an expired settlement");
            }
        }
    }

    /// Sends the stored bytes of what is not in a block again, the less often the longer it waits.
    async fn resend(&mut self, all: &[Arc<OpenPayment>]) {
        let now = Instant::now();
        let mut waiting = false;
        for open in all {
            let row = open.news.borrow().clone();
            let (false, Some(TransactionId::Evm(hash))) = (row.state.is_settled(), row.state.transaction()) else { continue };
            let age = self.shared.clock.now().since(row.claimed_at);
            let last = *self.sent.entry(hash).or_insert(now);
            if now.duration_since(last) < RESEND.max(age / 8).min(LONGEST_RESEND) {
                continue;
            }
            self.sent.insert(hash, now);
            waiting |= row.kind == PaymentKind::Authorization;
            // In a task: what waits for a slow node must not keep the watcher from what has arrived.
            tokio::spawn(resend::send_again(self.shared.clone(), self.evm.clone(), open.clone(), hash));
        }
        if waiting && let Err(error) = self.shared.fill_nonces(self.evm).await {
            tracing::debug!(%error, "could not look for nonces to fill");
        }
    }
}
