//! The watcher: one per network, looks for what was sent right after the send and then block by block.

mod doubts;
mod resend;
mod tend;
mod turn;
mod unpaid;

use super::{
    super::{Shared, open::OpenPayment},
    EvmEngine,
};
use crate::{chaos::sabotaged, evm::Head};
use alloy_primitives::B256;
use doubts::Doubts;
use h402_core::{BlockRef, Clock, PaymentRow, ReceiptFacts, Settlement, SettlementEvent, Store, TransactionId, Undecided};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tend::Tending;
use tokio::time::Instant;

/// Receipts asked for in one request.
const CHUNK: usize = 100;
/// How often the stored bytes of an unseen transaction are sent again.
const RESEND: Duration = Duration::from_secs(3);
/// How often at the least.
const LONGEST_RESEND: Duration = Duration::from_secs(300);
/// How many are sent again in one look at the most, those first that wait longest: a node that takes a second for each, or a
/// ledger with very many, must not have the process hold a request for all of them.
const RESENT: usize = 256;
/// Blocks after which a node has indexed the log of a used authorization, if there is one.
pub(super) const INDEXED: u64 = 6;

/// Looks until the engine stops.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>) {
    let network = evm.network();
    let mut watcher = Watcher {
        shared: &shared,
        evm: &evm,
        asked: HashSet::new(),
        sent: HashMap::new(),
        head: None,
        looked: None,
        doubts: Arc::default(),
        tending: Tending::default(),
    };
    let mut tick = tokio::time::interval(evm.config.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let every_block = tokio::select! {
            biased;
            () = shared.stopped() => return,
            _ = tick.tick() => true,
            () = evm.sent.notified() => false,
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
    /// The block at which everything was looked at.
    looked: Option<B256>,
    /// What was not understood there.
    doubts: Arc<Doubts>,
    tending: Tending,
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
        self.evm.forget_carriers();
        let undecided = |open: Arc<OpenPayment>| !open.news.borrow().state.is_decided();
        // One that is not held may come back.
        let is_whole = self.evm.payments.is_whole();
        self.doubts.retain(|payment| self.evm.payments.find(payment).map_or(!is_whole, undecided));
        if all.is_empty() && !self.evm.has_unmined() {
            self.asked.clear();
            self.sent.clear();
            self.evm.progress.idle();
            self.evm.interval.idle();
            return self.turn(None).await;
        }
        let waiting: HashSet<B256> = self.unseen(|_, _| true).into_iter().map(|(hash, _)| hash).collect();
        if waiting.is_empty() {
            self.evm.progress.idle();
            self.evm.interval.idle();
        }
        self.asked.retain(|hash| waiting.contains(hash));
        self.sent.retain(|hash, _| waiting.contains(hash));
        let head = self.evm.config.chain.head().await?;
        self.head = Some(head);
        if !waiting.is_empty() {
            self.evm.progress.waits_at(head.number);
            self.evm.interval.waits_at(head, self.shared.clock.now());
        }
        let looked = self.at(&all, head).await;
        // These look for themselves.
        self.expire(&all, head);
        self.resend(&all).await;
        // Only after everything was looked at: a nonce whose transaction was dropped with its block is no hole.
        if looked.is_ok()
            && let Err(error) = self.tend(head).await
        {
            tracing::debug!(%error, "could not look after what waits for a block");
        }
        // Nobody is at work on them any more, but for those in doubt.
        drop(all);
        looked.and(self.turn(Some(head)).await)
    }

    /// Looks at a new block; at the same one again if the look failed, for on a quiet chain the next may be far away. One
    /// payment that is not understood does not make it fail: it is looked at again for itself.
    async fn at(&mut self, all: &[Arc<OpenPayment>], head: Head) -> Result<(), Undecided> {
        if self.looked == Some(head.hash) {
            let due = self.doubts.due();
            let again = if due.is_empty() { Vec::new() } else { self.unseen(|_, hash| due.contains(&hash)) };
            if let Err(error) = self.look(again).await {
                tracing::debug!(%error, "could not look at what is in doubt");
            }
            return Ok(());
        }
        let open = self.unseen(|_, _| true);
        let looked = self.look(open).await;
        // Whatever the look has shown: what was dropped with its block waits for nobody.
        let (dropped, stored) = self.deepen(all, head).await?;
        looked?;
        if dropped {
            // It may be in another one already, and deep enough in that.
            let open = self.unseen(|_, _| true);
            self.look(open).await?;
        }
        self.looked = (stored && !dropped).then_some(head.hash);
        Ok(())
    }

    /// The transactions that may have brought a payment to the chain, each with the payments that wait for it: of what we
    /// have signed for a payment not only the last.
    fn unseen(&self, wanted: impl Fn(&HashSet<B256>, B256) -> bool) -> Vec<(B256, Vec<Arc<OpenPayment>>)> {
        let mut unseen: BTreeMap<B256, Vec<Arc<OpenPayment>>> = BTreeMap::new();
        for open in self.evm.payments.each() {
            let row = open.news.borrow().clone();
            if row.state.is_decided() {
                continue;
            }
            let mut hashes = self.evm.carriers.of(&row.key);
            if let Some(TransactionId::Evm(hash)) = row.state.transaction()
                && !hashes.contains(&hash)
            {
                hashes.push(hash);
            }
            for hash in hashes.into_iter().filter(|hash| wanted(&self.asked, *hash)) {
                unseen.entry(hash).or_default().push(open.clone());
            }
        }
        unseen.into_iter().collect()
    }

    /// Asks once for each transaction, however many payments it carries.
    ///
    /// # Errors
    /// [`Undecided`] if the node did not answer for all of them, or the ledger does not say whose they are; not if what it answered is not the whole story of a payment.
    async fn look(&mut self, open: Vec<(B256, Vec<Arc<OpenPayment>>)>) -> Result<(), Undecided> {
        let mut looked = Ok(());
        for chunk in open.chunks(CHUNK) {
            let hashes: Vec<B256> = chunk.iter().map(|(hash, _)| *hash).collect();
            let receipts = self.evm.config.chain.receipts(&hashes).await?;
            self.asked.extend(&hashes);
            let seen = chunk.iter().zip(receipts).filter_map(|((hash, open), receipt)| Some((*hash, open, receipt?)));
            let seen = futures_util::future::join_all(seen.map(|(hash, open, receipt)| self.seen(hash, open, receipt))).await;
            looked = seen.into_iter().fold(looked, |looked, seen| looked.and(seen));
        }
        looked
    }

    /// A transaction is in a block: are its payments in it, too?
    async fn seen(&self, hash: B256, payments: &[Arc<OpenPayment>], receipt: ReceiptFacts) -> Result<(), Undecided> {
        if let Some(carrier) = self.ours(TransactionId::Evm(hash)).await?
            && let Some(lane) = self.evm.lane_of(carrier.sender)
        {
            lane.mined(carrier.nonce.saturating_add(1));
            self.shared.note_cost(self.evm, lane, hash, &receipt);
        }
        let receipt = Arc::new(receipt);
        futures_util::future::join_all(payments.iter().map(|open| self.seen_one(hash, open, &receipt))).await;
        Ok(())
    }

    async fn seen_one(&self, hash: B256, open: &Arc<OpenPayment>, receipt: &Arc<ReceiptFacts>) {
        let row = open.news.borrow().clone();
        let block = BlockRef { number: receipt.block, hash: receipt.block_hash };
        if !is_deep_enough(self.evm, self.head, &row, block) {
            return;
        }
        let transaction = TransactionId::Evm(hash);
        let paid = match self.shared.shows(self.evm, &row, receipt).await {
            Ok(true) => self.shared.advance(&self.evm.payments, open, SettlementEvent::Paid { transaction, block }, None).await,
            Ok(false) if self.is_last_word(&row, hash) => return self.explain(open, hash, receipt.clone()),
            // Another was signed for it since, with a nonce of its own.
            Ok(false) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = paid {
            tracing::warn!(payment.id = %row.key, %error, "a payment is in a block, and that is not stored yet");
            if self.doubts.begin(row.key, Some(hash), receipt.block).is_some() {
                self.doubts.ended(&row.key, false);
            }
        }
    }

    /// Whether nothing else that we signed for a payment can land once this transaction has: it is the last, or has the
    /// nonce of the last.
    fn is_last_word(&self, row: &PaymentRow, hash: B256) -> bool {
        let Some(TransactionId::Evm(last)) = row.state.transaction() else { return false };
        let carriers = &self.evm.carriers;
        let rivals = || Some(carriers.find(&last)?.is_rival_of(carriers.find(&hash)?.as_ref()));
        last == hash || rivals().unwrap_or(false)
    }

    /// What is in a block becomes final with depth, or loses its block; whether any has lost it, and whether all that is stored.
    ///
    /// Only another block in its place proves that one is gone, or under it: that a node does not have it may mean that the
    /// node is behind.
    async fn deepen(&self, all: &[Arc<OpenPayment>], head: Head) -> Result<(bool, bool), Undecided> {
        let in_block = |open: &Arc<OpenPayment>| match open.news.borrow().state {
            Settlement::Included { block, .. } | Settlement::Reverted { block, .. } => Some((open.clone(), block)),
            _ => None,
        };
        let mut in_blocks: Vec<(Arc<OpenPayment>, BlockRef)> = all.iter().filter_map(in_block).collect();
        in_blocks.sort_by_key(|(_, block)| block.number);
        let mut there: Option<(u64, Option<B256>)> = None;
        let (mut events, mut dropped, mut unsure) = (Vec::new(), false, false);
        for (open, block) in in_blocks {
            let hash = match there {
                Some((number, hash)) if number == block.number => hash,
                _ if block.number > head.number => None,
                _ => self.evm.config.chain.block_hash(block.number).await?,
            };
            there = Some((block.number, hash));
            let depth = head.number.saturating_add(1).saturating_sub(block.number);
            // From the lowest up: what is above a block that is gone is gone with it.
            let gone = hash.map_or(dropped, |hash| hash != block.hash);
            if gone && !sabotaged("reorg.ignore") {
                tracing::warn!(payment.id = %open.news.borrow().key, block = block.number, "block is gone");
                dropped = true;
                self.evm.config.chain.dropped(&block.hash);
                events.push((open, SettlementEvent::Vanished));
            } else if hash.is_none() {
                unsure |= block.number <= head.number;
            } else if depth >= self.evm.config.final_depth {
                events.push((open, SettlementEvent::Deep));
            }
        }
        // Together, so that they share the store's commits.
        let advanced = events.iter().map(|(open, event)| self.shared.advance(&self.evm.payments, open, *event, None));
        let stored = futures_util::future::join_all(advanced).await.iter().all(Result::is_ok);
        if unsure { Err(Undecided::Chain) } else { Ok((dropped, stored)) }
    }

    /// Looks after what our keys have signed, while anything waits for it: a payment, or a nonce that is signed and not
    /// mined, which all later payments would wait for.
    async fn tend(&mut self, head: Head) -> Result<(), Undecided> {
        let waits = |open: &Arc<OpenPayment>| {
            let row = open.news.borrow();
            !row.state.is_decided() && row.kind.is_carried() && row.state != Settlement::Claimed
        };
        let anything = self.evm.has_unmined() || self.evm.payments.each().iter().any(waits);
        if !anything || !self.tending.is_due() {
            return Ok(());
        }
        let began = Instant::now();
        let mut tended = Ok(());
        for lane in &self.evm.lanes {
            tended = tended.and(self.shared.tend(self.evm, lane, head, &mut self.tending).await);
        }
        self.tending.done(began);
        tended
    }

    /// Sends the stored bytes of what is not in a block again, the less often the longer it waits; a transaction that
    /// carries several payments once.
    async fn resend(&mut self, all: &[Arc<OpenPayment>]) {
        let now = Instant::now();
        let is_whole = self.evm.payments.is_whole();
        let mut late: BTreeMap<B256, Vec<Arc<OpenPayment>>> = BTreeMap::new();
        for open in all {
            let row = open.news.borrow().clone();
            let (false, Some(TransactionId::Evm(hash))) = (row.state.is_decided(), row.state.transaction()) else { continue };
            let reorged = matches!(row.state, Settlement::Reorged { .. });
            let age = if reorged { Duration::ZERO } else { self.shared.clock.now().since(row.claimed_at) };
            let is_due = match self.sent.get(&hash) {
                // What was dropped with its block goes out at once; what is new has just been sent.
                // What is looked at in turn is not here long enough to wait.
                None => reorged || (!is_whole && age >= RESEND),
                Some(last) => now.duration_since(*last) >= RESEND.max(age / 8).min(LONGEST_RESEND),
            };
            if !is_due {
                self.sent.entry(hash).or_insert(now);
                continue;
            }
            late.entry(hash).or_default().push(open.clone());
        }
        let mut late: Vec<(B256, Vec<Arc<OpenPayment>>)> = late.into_iter().collect();
        // Of those that are looked at in turn others come first in each turn.
        let turn = if is_whole { 0 } else { u8::try_from(self.evm.payments.passes() % 16).unwrap_or_default() };
        let rank = |hash: &B256| hash.first().map(|byte| byte.wrapping_sub(turn.wrapping_mul(16)));
        late.sort_by_key(|(hash, _)| (self.sent.get(hash).copied(), rank(hash)));
        for (hash, payments) in late.into_iter().take(RESENT) {
            self.sent.insert(hash, now);
            // In a task: what waits for a slow node must not keep the watcher from what has arrived.
            tokio::spawn(resend::send_again(self.shared.clone(), self.evm.clone(), payments, hash));
        }
    }
}

/// Whether a block has as many on top of it as are wanted before what became of a payment counts.
pub(super) fn is_deep_enough(evm: &EvmEngine, head: Option<Head>, row: &PaymentRow, block: BlockRef) -> bool {
    let depth = head.map_or(1, |head| head.number.saturating_add(1).saturating_sub(block.number));
    depth.max(1) >= evm.depth_for(row.asset.address, row.amount) || sabotaged("depth.ignore")
}
