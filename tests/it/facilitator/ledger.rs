//! A ledger that fails at the worst moment, and one that did what it said it could not.

use super::{PRICE, Reply, transfers_to_payee};
use alloy_primitives::U256;
use h402_core::{
    Address, Applied, AssetId, Assets, Change, EvmAddress, HoldAnswer, HoldAsk, LanePosition, LeaseAnswer, LeaseAsk, Network, PaymentKey,
    PaymentRow, PaymentTotal, Reconciliation, ReconciliationPass, Store, StoreUnavailable, TransactionId, TransactionRow, UnixMillis,
    wire::h402,
};
use h402_devnet::evm::{Chain, account};
use h402_facilitator::{
    Engine, EngineConfig, SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::rig::{Folder, GAS, PAYER, Wallets, network};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

/// What a write does that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing happened.
    Before,
    /// Everything happened.
    After,
    /// Everything happened, and it does not say so when it is asked either.
    Unread,
    /// Nothing happens, and nothing is answered to anybody, until it is mended.
    Silent,
}

/// A ledger whose writes fail from a certain one on, until it is mended.
#[derive(Clone)]
struct Failing {
    store: SqliteStore,
    failure: Failure,
    /// Writes that still succeed.
    good: Arc<AtomicI64>,
}

impl Failing {
    fn fails(&self) -> bool {
        self.good.fetch_sub(1, Ordering::SeqCst) <= 0
    }

    fn is_broken(&self) -> bool {
        self.good.load(Ordering::SeqCst) < 0
    }

    async fn reads(&self) -> Result<(), StoreUnavailable> {
        if self.failure == Failure::Silent {
            self.mended().await;
        }
        if self.failure == Failure::Unread && self.is_broken() { Err(StoreUnavailable("no answer".into())) } else { Ok(()) }
    }

    async fn mended(&self) {
        super::until("it is mended", async || !self.is_broken()).await;
    }

    fn mend(&self) {
        self.good.store(i64::MAX, Ordering::SeqCst);
    }
}

impl Store for Failing {
    async fn apply(&self, change: Change) -> Result<Applied, StoreUnavailable> {
        let fails = self.fails();
        if fails && self.failure == Failure::Before {
            return Err(StoreUnavailable("disk is full".into()));
        }
        if fails && self.failure == Failure::Silent {
            self.mended().await;
            return self.store.apply(change).await;
        }
        let applied = self.store.apply(change).await?;
        if fails { Err(StoreUnavailable("no answer".into())) } else { Ok(applied) }
    }

    async fn payment(&self, key: &PaymentKey) -> Result<Option<PaymentRow>, StoreUnavailable> {
        self.reads().await?;
        self.store.payment(key).await
    }

    async fn transaction(&self, network: Network, id: &TransactionId) -> Result<Option<TransactionRow>, StoreUnavailable> {
        self.store.transaction(network, id).await
    }

    async fn unfinished(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.store.unfinished(network, after, limit).await
    }

    async fn untouched(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentKey>, StoreUnavailable> {
        self.store.untouched(network, after, limit).await
    }

    async fn lane(&self, network: Network, sender: &EvmAddress, from: u64, limit: u32) -> Result<LanePosition, StoreUnavailable> {
        self.store.lane(network, sender, from, limit).await
    }

    async fn promised(&self, payer: &Address, asset: AssetId) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.store.promised(payer, asset).await
    }

    async fn is_taken(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        self.store.is_taken(key).await
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<LeaseAnswer, StoreUnavailable> {
        self.store.lease(ask).await
    }

    async fn release(&self, network: Network, holder: [u8; 16]) -> Result<(), StoreUnavailable> {
        self.store.release(network, holder).await
    }

    async fn spent(&self, network: Network, sender: &EvmAddress, since: UnixMillis) -> Result<U256, StoreUnavailable> {
        self.store.spent(network, sender, since).await
    }

    async fn failed(&self, network: Network, since: UnixMillis, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.store.failed(network, since, limit).await
    }

    async fn signed_since(
        &self,
        network: Network,
        since: UnixMillis,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.store.signed_since(network, since, after, limit).await
    }

    async fn finals(
        &self,
        network: Network,
        after: Option<(UnixMillis, PaymentKey)>,
        until: UnixMillis,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        self.store.finals(network, after, until, limit).await
    }

    async fn reconciliation(&self, network: Network) -> Result<Reconciliation, StoreUnavailable> {
        self.store.reconciliation(network).await
    }

    async fn reconcile(&self, pass: ReconciliationPass) -> Result<(), StoreUnavailable> {
        self.store.reconcile(pass).await
    }

    async fn accept_differences(&self, network: Network, now: UnixMillis) -> Result<u64, StoreUnavailable> {
        self.store.accept_differences(network, now).await
    }

    async fn totals(&self) -> Result<Vec<PaymentTotal>, StoreUnavailable> {
        self.store.totals().await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn hold(&self, ask: HoldAsk) -> Result<HoldAnswer, StoreUnavailable> {
        self.store.hold(ask).await
    }

    async fn let_go(&self, key: &PaymentKey) -> Result<(), StoreUnavailable> {
        self.store.let_go(key).await
    }

    async fn is_held(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        self.store.is_held(key).await
    }

    async fn ready(&self) -> Result<(), StoreUnavailable> {
        self.store.ready().await
    }
}

/// T009, T014: the ledger fails at each of its writes, having done them or not. Nothing is sent that is not stored,
/// and once it works again the same request has success, in one transfer and one transaction. Nor does anybody wait for ever
/// for a ledger that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn t009_t014_a_ledger_that_fails_delays_and_never_doubles() {
    let mut cases = Vec::new();
    for failure in [Failure::Before, Failure::After, Failure::Unread, Failure::Silent] {
        for good in 0..6 {
            cases.push((failure, good));
        }
    }
    futures_util::future::join_all(cases.into_iter().map(|(failure, good)| settled_once(failure, good))).await;
}

async fn settled_once(failure: Failure, good: i64) {
    let name = format!("{failure:?} after {good} writes");
    let chain = Chain::builder().start().await.unwrap();
    let wallets = Wallets::new(&chain);
    let folder = Folder::new();
    let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
    let failing = Failing { store, failure, good: Arc::new(AtomicI64::new(i64::MAX)) };
    let mut config = EngineConfig::new(Assets::none().with((*wallets.asset).clone()), vec![network(&chain).into()]);
    config.answer_within = Duration::from_millis(1500);
    let engine = Engine::start(config, failing.clone(), SystemClock).await.unwrap();
    super::until("it is ready", async || engine.ready().await.is_ready()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(h402_facilitator::server::serve(listener, engine, std::future::pending()));

    let payment = wallets.payment(PAYER, PRICE);
    let body = h402::encode_request(&payment, &wallets.requirements(PRICE)).unwrap();
    let settle = async |body: &[u8]| {
        let body = body.to_vec();
        let request = http::Request::post(format!("{url}/settle")).header("idempotency-key", "shop-1").body(body.into()).unwrap();
        Reply::from(h402_tests::http::send(request).await)
    };
    failing.good.store(good, Ordering::SeqCst);
    let first = tokio::time::timeout(Duration::from_secs(50), settle(&body)).await;
    let first = first.unwrap_or_else(|_| panic!("{name}: nobody waits for a ledger for ever"));
    if good == 0 && failure == Failure::Before {
        assert_eq!((first.status, chain.transaction_count_seen()), (503, 0), "{name}: {first:?}");
    }
    assert!(first.status == 503 || first.is_settled() || first.word() == "settlement_pending", "{name}: {first:?}");
    failing.mend();
    let mut last = settle(&body).await;
    for _ in 0..100 {
        if last.status == 200 && last.word() != "settlement_pending" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = settle(&body).await;
    }
    assert!(last.is_settled(), "{name}: {last:?}");
    if first.status == 200 && first.is_settled() {
        assert_eq!(first, last, "{name}");
    }
    assert_eq!((transfers_to_payee(&chain).len(), chain.nonce(account(GAS).address)), (1, 1), "{name}");
    // And the ledger is what the next process will read.
    let row = failing.store.payment(&matched(&wallets, &payment)).await.unwrap().unwrap();
    assert_eq!(
        row.state.transaction().map(|transaction| transaction.to_string()),
        last.transaction().map(|hash| hash.to_string()),
        "{name}"
    );
    // The nonces are in order, too.
    let next = h402::encode_request(&wallets.payment(PAYER + 1, PRICE), &wallets.requirements(PRICE)).unwrap();
    let next = settle(&next).await;
    assert!(next.is_settled(), "{name}: {next:?}");
    assert_eq!((transfers_to_payee(&chain).len(), chain.nonce(account(GAS).address)), (2, 2), "{name}");
    serving.abort();
}

fn matched(wallets: &Wallets, payment: &h402_core::PaymentPayload) -> PaymentKey {
    let body = h402::encode_request(payment, &wallets.requirements(PRICE)).unwrap();
    h402::decode_request(&body, &Assets::none().with((*wallets.asset).clone())).unwrap().matched().unwrap().key()
}
