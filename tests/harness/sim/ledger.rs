//! The ledger of the simulated facilitator: what is on disk, and what is on its way there.

use super::{
    scenario::Fault,
    world::{Life, lock},
};
use crate::holds::Holds;
use alloy_primitives::U256;
use h402_core::{
    Address, Applied, AssetId, Change, Difference, EvmAddress, HoldAnswer, HoldAsk, LanePosition, LeaseAnswer, LeaseAsk, Network,
    PaymentKey, PaymentKind, PaymentRow, PaymentTotal, Reconciled, Reconciliation, ReconciliationPass, SentState, Store, StoreUnavailable,
    TransactionId, TransactionRow, UnixMillis,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::time::sleep;

/// What is durable, and the queue of what is not yet.
#[derive(Default)]
pub struct Ledger {
    pub payments: BTreeMap<PaymentKey, PaymentRow>,
    /// Other names, and what they lead to; a transaction's own name leads to none.
    names: BTreeMap<PaymentKey, Option<PaymentKey>>,
    pub transactions: Vec<TransactionRow>,
    leases: BTreeMap<Network, Lease>,
    compared: BTreeMap<Network, Compared>,
    holds: Holds,
    waiting: VecDeque<Waiting>,
    next: u64,
    done: BTreeMap<u64, Applied>,
}

struct Waiting {
    ticket: u64,
    life: u64,
    change: Change,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    holder: Option<[u8; 16]>,
    epoch: u64,
    until: UnixMillis,
}

/// How far a network was compared with its chain, and what differs; accepted or not.
#[derive(Debug, Clone, Default)]
struct Compared {
    reached: Reconciled,
    at: Option<UnixMillis>,
    found: BTreeMap<[u8; 32], (Difference, bool)>,
}

impl Ledger {
    fn enqueue(&mut self, life: u64, change: Change) -> u64 {
        self.next += 1;
        self.waiting.push_back(Waiting { ticket: self.next, life, change });
        self.next
    }

    /// Writes everything up to a ticket, in order, and says what became of that one.
    fn sync(&mut self, ticket: u64) -> Option<Applied> {
        while self.waiting.front().is_some_and(|first| first.ticket <= ticket) {
            let Some(first) = self.waiting.pop_front() else { break };
            let applied = self.write(first.change);
            self.done.insert(first.ticket, applied);
        }
        self.done.remove(&ticket)
    }

    /// Drops what a dead process had not synced, but for the first few, which made it. Says how many did of how many.
    pub fn crash(&mut self, life: u64, kept: impl FnOnce(u64) -> u64) -> (u64, u64) {
        let mine = self.waiting.iter().filter(|waiting| waiting.life == life).count() as u64;
        let (keeps, mut seen) = (kept(mine), 0);
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.life != life {
                self.waiting.push_back(waiting);
                continue;
            }
            if seen < keeps {
                self.write(waiting.change);
            }
            seen += 1;
        }
        (keeps, mine)
    }

    /// What opening the ledger does where one process alone can have it open, as with SQLite.
    pub fn end_leases(&mut self) {
        for lease in self.leases.values_mut() {
            lease.holder = None;
        }
    }

    /// The rules of the port, all or nothing.
    fn write(&mut self, change: Change) -> Applied {
        let Change { claim, updates, transactions, sent, fence } = change;
        if let Some(fence) = fence
            && self.leases.get(&fence.network).is_none_or(|lease| lease.epoch != fence.epoch || lease.holder.is_none())
        {
            return Applied::Fenced;
        }
        let mut new = Vec::new();
        if let Some(claim) = &claim {
            new.push(claim.row.key);
            new.extend(&claim.aliases);
        }
        new.extend(transactions.iter().map(own_name));
        let unique = new.iter().collect::<std::collections::BTreeSet<_>>().len() == new.len();
        if !unique || new.iter().any(|name| self.is_taken(name)) {
            return Applied::Conflict;
        }
        let current = |row: &PaymentRow| self.payments.get(&row.key).is_some_and(|stored| stored.version + 1 == row.version);
        if !updates.iter().all(|update| current(&update.row)) {
            return Applied::Conflict;
        }
        if let Some(claim) = claim {
            self.names.extend(claim.aliases.into_iter().map(|alias| (alias, Some(claim.row.key))));
            self.payments.insert(claim.row.key, claim.row);
        }
        for update in updates {
            self.payments.insert(update.row.key, update.row);
        }
        for row in transactions {
            self.names.insert(own_name(&row), None);
            self.transactions.push(row);
        }
        for state in sent {
            self.note(state);
        }
        Applied::Applied
    }

    fn note(&mut self, state: SentState) {
        for row in &mut self.transactions {
            if row.network == state.network && row.id == state.id {
                row.done = state.done;
                row.cost = state.cost.or(row.cost);
            }
        }
    }

    pub fn is_taken(&self, key: &PaymentKey) -> bool {
        self.payments.contains_key(key) || self.names.contains_key(key)
    }

    pub fn find(&self, key: &PaymentKey) -> Option<&PaymentRow> {
        match self.names.get(key) {
            Some(owner) => self.payments.get(owner.as_ref()?),
            None => self.payments.get(key),
        }
    }

    /// Rows by age, then by key.
    fn page(&self, after: Option<PaymentKey>, limit: u32, wanted: impl Fn(&PaymentRow) -> bool) -> Vec<PaymentRow> {
        let age = |row: &PaymentRow| (row.claimed_at, row.key);
        let after = after.and_then(|key| self.payments.get(&key)).map(age);
        let mut rows: Vec<PaymentRow> = self.payments.values().filter(|row| wanted(row)).cloned().collect();
        rows.sort_by_key(age);
        rows.retain(|row| after.is_none_or(|after| age(row) > after));
        rows.truncate(usize::try_from(limit).expect("small"));
        rows
    }

    pub fn has_transaction(&self, hash: alloy_primitives::B256) -> bool {
        self.transactions.iter().any(|row| row.id == TransactionId::Evm(hash))
    }
}

fn own_name(row: &TransactionRow) -> PaymentKey {
    PaymentKey::of_transaction(row.network, &row.id)
}

/// The port, as one life of a facilitator has it.
pub struct SimStore(pub Life);

impl SimStore {
    /// Reads take a moment, and sometimes fail.
    async fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> Result<T, StoreUnavailable> {
        self.0.step("read").await;
        let world = self.0.world();
        if world.has(Fault::LedgerSlow) {
            world.pause(60).await;
        }
        if world.chance(Fault::LedgerFails, 25) {
            return Err(StoreUnavailable("simulated".to_owned()));
        }
        let found = read(&lock(&world.ledger));
        self.0.step("read").await;
        Ok(found)
    }
}

impl Store for SimStore {
    async fn apply(&self, change: Change) -> Result<Applied, StoreUnavailable> {
        self.0.step("before a write").await;
        let world = self.0.world();
        if world.chance(Fault::LedgerFails, 25) {
            world.tell(format_args!("ledger fails before a write"));
            return Err(StoreUnavailable("simulated".to_owned()));
        }
        let ticket = lock(&world.ledger).enqueue(self.0.id, change);
        sleep(Duration::from_millis(1)).await;
        if world.has(Fault::LedgerSlow) {
            world.pause(250).await;
        }
        self.0.step("in a write").await;
        let applied = lock(&world.ledger).sync(ticket);
        self.0.step("after a write").await;
        super::oracle::after_write(world);
        match applied {
            Some(_) if world.chance(Fault::LedgerFails, 25) => {
                world.tell(format_args!("ledger fails after a write"));
                Err(StoreUnavailable("simulated".to_owned()))
            }
            Some(applied) => Ok(applied),
            None => Err(StoreUnavailable("lost".to_owned())),
        }
    }

    async fn payment(&self, key: &PaymentKey) -> Result<Option<PaymentRow>, StoreUnavailable> {
        self.read(|ledger| ledger.find(key).cloned()).await
    }

    async fn transaction(&self, network: Network, id: &TransactionId) -> Result<Option<TransactionRow>, StoreUnavailable> {
        self.read(|ledger| ledger.transactions.iter().find(|row| row.network == network && row.id == *id).cloned()).await
    }

    async fn unfinished(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.read(|ledger| ledger.page(after, limit, |row| row.asset.network == network && row.state.is_open())).await
    }

    async fn untouched(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentKey>, StoreUnavailable> {
        self.read(|ledger| {
            let untouched = |row: &&PaymentRow| row.asset.network == network && row.state.is_open() && row.version == 1;
            let keys = ledger.payments.values().filter(untouched).map(|row| row.key).filter(|key| after.is_none_or(|after| *key > after));
            keys.take(usize::try_from(limit).expect("small")).collect()
        })
        .await
    }

    fn is_shared(&self) -> bool {
        self.0.world().scenario.facilitators > 1
    }

    async fn hold(&self, ask: HoldAsk) -> Result<HoldAnswer, StoreUnavailable> {
        let now = self.0.world().now();
        self.read(|ledger| {
            let answer = ledger.holds.hold(ask, now, |key| ledger.payments.contains_key(key));
            let HoldAnswer::Held { mut others, is_new } = answer else { return answer };
            let sent = [PaymentKind::EvmSent, PaymentKind::SolanaSent];
            let promised = ledger.payments.values().filter(|row| {
                let shows = row.state.is_settled() && row.state.block().is_none_or(|block| block.number <= ask.block);
                let pending = !row.state.is_decided() || (row.state.is_settled() && !shows);
                row.payer == ask.payer && row.asset == ask.asset && row.key != ask.key && pending && !sent.contains(&row.kind)
            });
            others.extend(promised.map(|row| row.amount));
            HoldAnswer::Held { others, is_new }
        })
        .await
    }

    async fn let_go(&self, key: &PaymentKey) -> Result<(), StoreUnavailable> {
        self.read(|ledger| ledger.holds.let_go(key)).await
    }

    async fn is_held(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        let now = self.0.world().now();
        self.read(|ledger| ledger.holds.is_held(key, now)).await
    }

    async fn signed_since(
        &self,
        network: Network,
        since: UnixMillis,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let wanted =
            |row: &PaymentRow| row.asset.network == network && row.kind == PaymentKind::SolanaTransaction && row.claimed_at >= since;
        self.read(|ledger| ledger.page(after, limit, wanted)).await
    }

    async fn failed(&self, network: Network, since: UnixMillis, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.read(|ledger| {
            let failed = |row: &&PaymentRow| {
                let ended = !row.state.is_open() && !row.state.is_settled();
                row.asset.network == network && ended && row.updated_at >= since
            };
            let mut rows: Vec<PaymentRow> = ledger.payments.values().filter(failed).cloned().collect();
            rows.sort_by_key(|row| (Reverse(row.updated_at), row.key));
            rows.truncate(usize::try_from(limit).expect("small"));
            rows
        })
        .await
    }

    async fn finals(
        &self,
        network: Network,
        after: Option<(UnixMillis, PaymentKey)>,
        until: UnixMillis,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.read(|ledger| {
            let place = |row: &PaymentRow| (row.updated_at, row.key);
            let wanted = |row: &&PaymentRow| {
                let is_final = row.asset.network == network && row.state.as_str() == "final";
                is_final && row.updated_at <= until && after.is_none_or(|after| place(row) > after)
            };
            let mut rows: Vec<PaymentRow> = ledger.payments.values().filter(wanted).cloned().collect();
            rows.sort_by_key(place);
            rows.truncate(usize::try_from(limit).expect("small"));
            rows
        })
        .await
    }

    async fn reconciliation(&self, network: Network) -> Result<Reconciliation, StoreUnavailable> {
        self.read(|ledger| {
            let compared = ledger.compared.get(&network).cloned().unwrap_or_default();
            let mut open: Vec<([u8; 32], Difference)> =
                compared.found.into_iter().filter(|(_, (_, accepted))| !accepted).map(|(id, (difference, _))| (id, difference)).collect();
            open.sort_by_key(|(id, difference)| (difference.found_at, *id));
            let count = open.len() as u64;
            open.truncate(usize::try_from(Reconciliation::SHOWN).expect("small"));
            let differences = open.into_iter().map(|(_, difference)| difference).collect();
            Reconciliation { reached: compared.reached, at: compared.at, open: count, differences }
        })
        .await
    }

    async fn reconcile(&self, pass: ReconciliationPass) -> Result<(), StoreUnavailable> {
        self.read(|_| ()).await?;
        let mut ledger = lock(&self.0.world().ledger);
        let compared = ledger.compared.entry(pass.network).or_default();
        compared.reached.block = compared.reached.block.max(pass.reached.block);
        compared.reached.row = compared.reached.row.max(pass.reached.row);
        compared.at = Some(pass.at);
        for difference in pass.found {
            compared.found.entry(difference.id(pass.network)).or_insert((difference, false));
        }
        Ok(())
    }

    async fn accept_differences(&self, network: Network, _: UnixMillis) -> Result<u64, StoreUnavailable> {
        self.read(|_| ()).await?;
        let mut ledger = lock(&self.0.world().ledger);
        let compared = ledger.compared.entry(network).or_default();
        let open = compared.found.values_mut().filter(|(_, accepted)| !*accepted);
        Ok(open.map(|(_, accepted)| *accepted = true).count() as u64)
    }

    async fn totals(&self) -> Result<Vec<PaymentTotal>, StoreUnavailable> {
        self.read(|ledger| {
            let mut counts = BTreeMap::<(Network, &'static str), u64>::new();
            ledger.payments.values().for_each(|row| *counts.entry((row.asset.network, row.state.as_str())).or_default() += 1);
            counts.into_iter().map(|((network, state), count)| PaymentTotal { network, state, count }).collect()
        })
        .await
    }

    async fn promised(&self, payer: &Address, asset: AssetId) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let mine = |row: &&PaymentRow| row.payer == *payer && row.asset == asset && row.state.is_open();
        self.read(|ledger| ledger.payments.values().filter(mine).cloned().collect()).await
    }

    async fn lane(&self, network: Network, sender: &EvmAddress, from: u64, limit: u32) -> Result<LanePosition, StoreUnavailable> {
        self.read(|ledger| {
            let mine = || ledger.transactions.iter().filter(|row| row.network == network && row.sender == *sender);
            let mut open: Vec<TransactionRow> = mine().filter(|row| !row.done && row.nonce >= from).cloned().collect();
            open.sort_by_key(|row| (row.nonce, row.signed_at));
            open.truncate(usize::try_from(limit).expect("small"));
            LanePosition { open, greatest: mine().map(|row| row.nonce).max() }
        })
        .await
    }

    async fn is_taken(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        self.read(|ledger| ledger.is_taken(key)).await
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<LeaseAnswer, StoreUnavailable> {
        let now = self.0.world().now();
        self.read(|_| ()).await?;
        let mut ledger = lock(&self.0.world().ledger);
        let lease = ledger.leases.entry(ask.network).or_insert(Lease { holder: None, epoch: 0, until: now });
        let free = lease.holder.is_none() || lease.holder == Some(ask.holder) || lease.until <= now;
        if !free {
            return Ok(LeaseAnswer::Other { left: lease.until.since(now) });
        }
        lease.epoch += u64::from(lease.holder != Some(ask.holder));
        (lease.holder, lease.until) = (Some(ask.holder), now.plus(ask.ttl));
        Ok(LeaseAnswer::Held { epoch: lease.epoch, left: ask.ttl })
    }

    async fn release(&self, network: Network, holder: [u8; 16]) -> Result<(), StoreUnavailable> {
        self.read(|_| ()).await?;
        let mut ledger = lock(&self.0.world().ledger);
        if let Some(lease) = ledger.leases.get_mut(&network).filter(|lease| lease.holder == Some(holder)) {
            lease.holder = None;
        }
        Ok(())
    }

    async fn spent(&self, network: Network, sender: &EvmAddress, since: UnixMillis) -> Result<U256, StoreUnavailable> {
        self.read(|ledger| {
            let mine = |row: &&TransactionRow| row.network == network && row.sender == *sender && row.signed_at >= since;
            ledger.transactions.iter().filter(mine).filter_map(|row| row.cost).fold(U256::ZERO, |sum, cost| sum.saturating_add(cost))
        })
        .await
    }

    async fn ready(&self) -> Result<(), StoreUnavailable> {
        self.read(|_| ()).await
    }
}
