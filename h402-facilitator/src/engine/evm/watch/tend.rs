//! What our keys have signed and the chain does not mine: sent again, its fee raised, its holes filled, or taken by a stranger.

use super::super::{
    super::{Shared, recover},
    EvmEngine,
    carriers::Carrier,
    lane::KeyLane,
    recover::whole_nonces,
};
use crate::{chaos::crash_point, evm::Head};
use alloy_primitives::B256;
use h402_core::{Applied, Change, Clock, EvmAddress, PaymentKey, SentState, Store, TransactionId, TransactionRow, Undecided};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How often a lane is looked after while anything waits.
const PAUSE: Duration = Duration::from_secs(2);
/// After this nothing can be coming any more for a nonce that nothing is stored for, while later ones are.
const HOLE: Duration = Duration::from_secs(5);
/// The same while more is open than is held: what was mined for such a nonce may have been dropped by a reorganisation, and nobody has
/// looked at its payments since.
const UNSEEN_HOLE: Duration = Duration::from_secs(60);
/// Nonces that are worked on at once, the first ones: all others wait for them.
const AT_ONCE: usize = 64;
/// Stored transactions of a key that are looked at together, those with the first nonces; the others when these are over.
const READ: u32 = 1000;
/// Blocks, its own included, after which a stranger's use of a nonce is believed.
const BELIEVED: u64 = 2;

/// What is remembered from one look to the next.
#[derive(Default)]
pub(super) struct Tending {
    /// Not to be looked after again before this.
    next: Option<Instant>,
    /// Nonces that nothing is stored for, and since when that is known.
    holes: BTreeMap<(EvmAddress, u64), Instant>,
}

impl Tending {
    pub(super) fn is_due(&self) -> bool {
        self.next.is_none_or(|next| next <= Instant::now())
    }

    /// Notes that all lanes were looked after since `began`: the longer that takes, the less often it is done.
    pub(super) fn done(&mut self, began: Instant) {
        let now = Instant::now();
        self.next = Some(now + PAUSE.max(now.duration_since(began).saturating_mul(10)));
    }

    /// Those of a key's holes that stay.
    fn lasting(&mut self, sender: EvmAddress, holes: &[u64], is_whole: bool) -> Vec<u64> {
        let long = if is_whole { HOLE } else { UNSEEN_HOLE };
        self.holes.retain(|(of, nonce), _| *of != sender || holes.contains(nonce));
        let now = Instant::now();
        let lasts = |nonce: &&u64| self.holes.entry((sender, **nonce)).or_insert(now).elapsed() >= long;
        holes.iter().filter(lasts).copied().collect()
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Looks after one key.
    pub(super) async fn tend(
        self: &Arc<Self>,
        evm: &Arc<EvmEngine>,
        lane: &KeyLane,
        head: Head,
        tending: &mut Tending,
    ) -> Result<(), Undecided> {
        let sender = lane.address();
        // Of the head that was looked at: a node that is behind has no answer, instead of an old one.
        let mined = evm.config.chain.account_nonce_at(sender, head.number).await?;
        lane.mined(mined);
        let (past, open) = self.stored(evm, sender, mined).await?;
        let first = open.chunk_by(|one, next| one.nonce == next.nonce).take(AT_ONCE).flatten();
        let first: Vec<PaymentKey> = past.iter().chain(first).flat_map(|row| row.payments.iter().copied()).collect();
        recover::enter_these(self, &evm.payments, first, |row| evm.resume(row)).await?;
        enter_rivals(evm, &past, &open);
        self.look_at_past(evm, sender, head, &past).await?;
        self.fill(evm, &open).await;
        let holes = tending.lasting(sender, &holes(mined, &open), evm.payments.is_whole());
        self.raise(evm, lane, head, &open, &holes).await
    }

    /// The first of what is stored for nonces that are used, and for those that are not.
    async fn stored(
        &self,
        evm: &EvmEngine,
        sender: EvmAddress,
        mined: u64,
    ) -> Result<(Vec<TransactionRow>, Vec<TransactionRow>), Undecided> {
        let mut past = self.store.lane(evm.network(), &sender, 0, READ).await?.open;
        let is_all = whole_nonces(&mut past, READ).is_none();
        let mut open = past.split_off(past.partition_point(|row| row.nonce < mined));
        if !is_all {
            open = self.store.lane(evm.network(), &sender, mined, READ).await?.open;
            whole_nonces(&mut open, READ);
        }
        Ok((past, open))
    }

    /// Nonces that are used. Where no payment waits for what was signed for them, that is noted, so that it is not looked at
    /// again; where one does and nothing of ours is in a block, somebody has the key and not the ledger.
    async fn look_at_past(&self, evm: &EvmEngine, sender: EvmAddress, head: Head, past: &[TransactionRow]) -> Result<(), Undecided> {
        let rivals = past.chunk_by(|one, next| one.nonce == next.nonce);
        let (named, over): (Vec<_>, Vec<_>) = rivals.partition(|rivals| rivals.iter().any(|row| is_named(evm, row)));
        let over: Vec<&TransactionRow> = over.into_iter().flatten().collect();
        self.learn_costs(evm, sender, &over).await?;
        let done = |row: &TransactionRow| SentState { network: row.network, id: row.id, done: true, cost: evm.payments.cost(&row.id) };
        let sent: Vec<SentState> = over.into_iter().map(done).collect();
        let Some(term) = evm.payments.term() else { return Ok(()) };
        let change = Change { sent, fence: Some(term.fence()), ..Change::default() };
        if !change.sent.is_empty() && self.store.apply(change).await? == Applied::Fenced {
            term.end();
        }
        if named.is_empty() {
            return Ok(());
        }
        // Read before the receipts: what is mined in between shows in a receipt.
        let believed = evm.config.chain.account_nonce_at(sender, head.number.saturating_add(1).saturating_sub(BELIEVED)).await?;
        for rivals in named.into_iter().filter(|rivals| rivals.iter().all(|row| row.nonce < believed)) {
            // What only used the nonce up has paid for nobody.
            let own: BTreeSet<B256> = rivals.iter().filter(|row| !row.payments.is_empty()).filter_map(hash).collect();
            // Whatever was signed for their payments, on this nonce or another.
            let signed_for = |payment: &PaymentKey| -> Vec<B256> {
                let stored = past.iter().filter(|row| row.payments.contains(payment)).filter_map(hash);
                stored.chain(evm.carriers.of(payment)).collect()
            };
            let signed: BTreeSet<B256> =
                rivals.iter().flat_map(|row| &row.payments).flat_map(signed_for).chain(own.iter().copied()).collect();
            let signed: Vec<B256> = signed.into_iter().collect();
            let receipts = evm.config.chain.receipts_up_to(&signed, head.block()).await?;
            let mined: BTreeSet<B256> = signed.into_iter().zip(receipts).filter_map(|(hash, receipt)| receipt.map(|_| hash)).collect();
            if own.is_disjoint(&mined) {
                self.sign_anew(evm, rivals, |payment| signed_for(payment).iter().all(|hash| !mined.contains(hash)));
            }
        }
        Ok(())
    }

    /// Sends once more what no payment waits for any more: all have ended, or go on with another nonce. Every later nonce of the
    /// key waits for it.
    async fn fill(&self, evm: &EvmEngine, open: &[TransactionRow]) {
        for rivals in open.chunk_by(|one, next| one.nonce == next.nonce).take(AT_ONCE) {
            let Some(last) = rivals.iter().max_by_key(|row| row.signed_at) else { continue };
            // Those that wait for it send it themselves.
            if !rivals.iter().any(|row| is_named(evm, row)) {
                tracing::info!(nonce = last.nonce, transaction = %last.id, "filling a nonce");
                crash_point("nonce.fill");
                evm.config.chain.send(&last.raw).await;
            }
        }
    }
}

/// What was signed for a payment may have been put aside while the payment was not held, and may still be what is mined.
fn enter_rivals(evm: &EvmEngine, past: &[TransactionRow], open: &[TransactionRow]) {
    let past = past.chunk_by(|one, next| one.nonce == next.nonce).filter(|rivals| rivals.iter().any(|row| is_named(evm, row)));
    let open = open.chunk_by(|one, next| one.nonce == next.nonce).take(AT_ONCE);
    for carrier in past.chain(open).flatten().filter_map(Carrier::of) {
        evm.carriers.enter(carrier);
    }
}

/// Nonces before the last that is stored for which nothing is stored.
fn holes(mined: u64, open: &[TransactionRow]) -> Vec<u64> {
    let stored: BTreeSet<u64> = open.iter().map(|row| row.nonce).collect();
    let end = stored.last().copied().unwrap_or(mined);
    (mined..end).filter(|nonce| !stored.contains(nonce)).take(AT_ONCE).collect()
}

fn hash(row: &TransactionRow) -> Option<B256> {
    match row.id {
        TransactionId::Evm(hash) => Some(hash),
        _ => None,
    }
}

/// Whether a payment that is not decided has this transaction as its last.
fn is_named(evm: &EvmEngine, row: &TransactionRow) -> bool {
    let names = |key| {
        evm.payments.find(key).is_some_and(|open| {
            let state = open.news.borrow().state;
            !state.is_decided() && state.transaction() == Some(row.id)
        })
    };
    row.payments.iter().any(names)
}
