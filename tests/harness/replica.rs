//! One of several facilitators in this process that share a ledger, with its own way to it: which can be held up, as that of
//! a process that was stopped, or of one behind a broken network.

use crate::holds::Holds;
use alloy_primitives::U256;
use h402_core::{
    Address, Applied, AssetId, Change, Clock, EvmAddress, HoldAnswer, HoldAsk, LanePosition, LeaseAnswer, LeaseAsk, Network, PaymentKey,
    PaymentRow, PaymentTotal, Reconciliation, ReconciliationPass, Store, StoreUnavailable, TransactionId, TransactionRow, UnixMillis,
};
use h402_facilitator::SystemClock;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// What a driver writes, and the renewal of its lease: others go on.
    Driver,
    /// Everything.
    All,
}

/// A shared ledger, as one facilitator sees it. Clones are the same facilitator.
#[derive(Clone)]
pub struct Replica<S> {
    store: S,
    holds: Arc<Holds>,
    held: watch::Sender<Held>,
    late: Arc<Mutex<Vec<Applied>>>,
}

impl<S: Store + Clone> Replica<S> {
    /// Another facilitator on this ledger; those that share one have the same holds.
    pub fn of(store: S, holds: Arc<Holds>) -> Self {
        Self { store, holds, held: watch::Sender::new(Held::Nothing), late: Arc::default() }
    }

    /// Holds up what comes from now on, or lets go of it.
    pub fn hold(&self, held: Held) {
        self.held.send_replace(held);
    }

    /// What came of the driver's writes that were held up. They reached the ledger all the same, once they could.
    pub fn late(&self) -> Vec<Applied> {
        self.late.lock().unwrap().clone()
    }

    async fn pass(&self, what: Held) {
        let is_free = |held: &Held| *held == Held::Nothing || (*held == Held::Driver && what == Held::All);
        self.held.subscribe().wait_for(is_free).await.unwrap();
    }
}

impl<S: Store + Clone> Store for Replica<S> {
    async fn apply(&self, change: Change) -> Result<Applied, StoreUnavailable> {
        let what = if change.fence.is_some() { Held::Driver } else { Held::All };
        let held = *self.held.borrow();
        if held == Held::Nothing || (held == Held::Driver && what == Held::All) {
            return self.store.apply(change).await;
        }
        // It is on its way: whoever sent it may be gone by the time it gets there.
        let replica = self.clone();
        let late = tokio::spawn(async move {
            replica.pass(what).await;
            let applied = replica.store.apply(change).await;
            replica.late.lock().unwrap().extend(applied.clone());
            applied
        });
        late.await.unwrap()
    }

    async fn payment(&self, key: &PaymentKey) -> Result<Option<PaymentRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.payment(key).await
    }

    async fn transaction(&self, network: Network, id: &TransactionId) -> Result<Option<TransactionRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.transaction(network, id).await
    }

    async fn unfinished(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.unfinished(network, after, limit).await
    }

    async fn untouched(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentKey>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.untouched(network, after, limit).await
    }

    async fn lane(&self, network: Network, sender: &EvmAddress, from: u64, limit: u32) -> Result<LanePosition, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.lane(network, sender, from, limit).await
    }

    async fn promised(&self, payer: &Address, asset: AssetId) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.promised(payer, asset).await
    }

    async fn is_taken(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.is_taken(key).await
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<LeaseAnswer, StoreUnavailable> {
        self.pass(Held::Driver).await;
        self.store.lease(ask).await
    }

    async fn release(&self, network: Network, holder: [u8; 16]) -> Result<(), StoreUnavailable> {
        self.pass(Held::Driver).await;
        self.store.release(network, holder).await
    }

    async fn spent(&self, network: Network, sender: &EvmAddress, since: UnixMillis) -> Result<U256, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.spent(network, sender, since).await
    }

    async fn failed(&self, network: Network, since: UnixMillis, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.failed(network, since, limit).await
    }

    async fn signed_since(
        &self,
        network: Network,
        since: UnixMillis,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.signed_since(network, since, after, limit).await
    }

    async fn finals(
        &self,
        network: Network,
        after: Option<(UnixMillis, PaymentKey)>,
        until: UnixMillis,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.finals(network, after, until, limit).await
    }

    async fn reconciliation(&self, network: Network) -> Result<Reconciliation, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.reconciliation(network).await
    }

    async fn reconcile(&self, pass: ReconciliationPass) -> Result<(), StoreUnavailable> {
        self.pass(Held::Driver).await;
        self.store.reconcile(pass).await
    }

    async fn accept_differences(&self, network: Network, now: UnixMillis) -> Result<u64, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.accept_differences(network, now).await
    }

    async fn totals(&self) -> Result<Vec<PaymentTotal>, StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.totals().await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn hold(&self, ask: HoldAsk) -> Result<HoldAnswer, StoreUnavailable> {
        self.pass(Held::All).await;
        let unfinished = self.store.unfinished(ask.asset.network, None, 10_000).await?;
        let answer = self.holds.hold(ask, SystemClock.now(), |key| unfinished.iter().any(|row| row.key == *key));
        let HoldAnswer::Held { mut others, is_new } = answer else { return Ok(answer) };
        let is_promised =
            |row: &&PaymentRow| row.payer == ask.payer && row.asset == ask.asset && row.key != ask.key && !row.state.is_decided();
        others.extend(unfinished.iter().filter(is_promised).map(|row| row.amount));
        Ok(HoldAnswer::Held { others, is_new })
    }

    async fn let_go(&self, key: &PaymentKey) -> Result<(), StoreUnavailable> {
        self.pass(Held::All).await;
        self.holds.let_go(key);
        Ok(())
    }

    async fn is_held(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        self.pass(Held::All).await;
        Ok(self.holds.is_held(key, SystemClock.now()))
    }

    async fn ready(&self) -> Result<(), StoreUnavailable> {
        self.pass(Held::All).await;
        self.store.ready().await
    }
}
