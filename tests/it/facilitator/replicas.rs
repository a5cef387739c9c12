//! Several facilitators on one ledger, in this process: one drives, all settle, and none does what another has taken over.

use super::{PRICE, Reply, transfers_to_payee, until};
use alloy_primitives::U256;
use futures_util::future::join_all;
use h402_core::{Applied, LeaseAnswer, LeaseAsk, Network, PaymentPayload, Store, wire::h402};
use h402_devnet::evm::{Chain, account};
use h402_facilitator::{
    Engine, EngineConfig, SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::{
    holds::Holds,
    replica::{Held, Replica},
    rig::{Folder, GAS, PAYER, Wallets, network},
};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// Facilitators on one ledger and one chain.
struct Replicas {
    wallets: Wallets,
    store: SqliteStore,
    holds: Arc<Holds>,
    each: Vec<(Replica<SqliteStore>, Engine<Replica<SqliteStore>, SystemClock>, String)>,
    _folder: Folder,
}

impl Replicas {
    async fn start(count: usize) -> Self {
        let chain = Chain::builder().start().await.unwrap();
        let wallets = Wallets::new(&chain);
        let folder = Folder::new();
        let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
        let mut replicas = Self { wallets, store, holds: Arc::default(), each: Vec::new(), _folder: folder };
        for _ in 0..count {
            replicas.join().await;
        }
        replicas
    }

    /// One more.
    async fn join(&mut self) {
        let replica = Replica::of(self.store.clone(), self.holds.clone());
        let assets = h402_core::Assets::none().with((*self.wallets.asset).clone());
        let config = EngineConfig::new(assets, vec![network(&self.wallets.chain).into()]);
        let engine = Engine::start(config, replica.clone(), SystemClock).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(h402_facilitator::server::serve(listener, engine.clone(), std::future::pending()));
        let started = &engine;
        until("it is ready", async || started.ready().await.is_ready()).await;
        self.each.push((replica, engine, url));
    }

    async fn settle(&self, at: usize, payment: &PaymentPayload, caller: Option<&str>) -> Reply {
        let body = h402::encode_request(payment, &self.wallets.requirements(PRICE)).unwrap();
        let mut request = http::Request::post(format!("{}/settle", self.each[at].2)).header("content-type", "application/json");
        if let Some(caller) = caller {
            request = request.header("idempotency-key", caller);
        }
        Reply::from(h402_tests::http::send(request.body(body.into()).unwrap()).await)
    }

    async fn drives(&self, at: usize) -> bool {
        self.each[at].1.ready().await.networks[0].drives
    }

    /// Who drives.
    async fn drivers(&self) -> Vec<usize> {
        let mut drivers = Vec::new();
        for at in 0..self.each.len() {
            if self.drives(at).await {
                drivers.push(at);
            }
        }
        drivers
    }

    fn transfers(&self) -> usize {
        transfers_to_payee(&self.wallets.chain).len()
    }

    fn broadcasts(&self) -> u64 {
        self.wallets.chain.nonce(account(GAS).address)
    }

    fn network(&self) -> Network {
        Network::Evm(self.wallets.chain.chain_id())
    }
}

/// One of three drives; every one of them settles, verifies what another has claimed, and knows how it stands.
#[tokio::test(flavor = "multi_thread")]
async fn one_drives_and_all_settle() {
    let replicas = Replicas::start(3).await;
    assert_eq!(replicas.drivers().await, [0]);
    for at in 0..3 {
        let began = Instant::now();
        let payment = replicas.wallets.payment(PAYER, PRICE);
        let settled = replicas.settle(at, &payment, Some("shop-1")).await;
        assert!(settled.is_settled(), "{at}: {settled:?}");
        println!("settled at {at} in {:?}", began.elapsed());
        for other in 0..3 {
            assert_eq!(replicas.settle(other, &payment, Some("shop-1")).await, settled, "the same caller gets its answer at {other}");
            assert_eq!(replicas.settle(other, &payment, None).await.word(), "duplicate_settlement", "{other}");
        }
        // Without a key the success is told once, wherever it is asked for.
        let payment = replicas.wallets.payment(PAYER, PRICE);
        assert!(replicas.settle(at, &payment, None).await.is_settled());
        for other in 0..3 {
            assert_eq!(replicas.settle(other, &payment, None).await.word(), "duplicate_settlement", "{other}");
        }
    }
    assert_eq!((replicas.transfers(), replicas.broadcasts()), (6, 6));
}

/// T153: 64 copies of a payment, one after the other to each of three facilitators: one caller succeeds, there is one
/// transfer and one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn t153_of_64_copies_at_three_facilitators_one_is_settled() {
    let replicas = Replicas::start(3).await;
    let before = replicas.wallets.received();
    for round in 0..8 {
        let payment = replicas.wallets.payment(PAYER + round % 4, PRICE);
        let key = |copy: usize| match round % 4 {
            0 => None,
            1 => Some("shop".to_owned()),
            2 => Some(format!("shop-{copy}")),
            _ => copy.is_multiple_of(2).then(|| "shop".to_owned()),
        };
        let replies = join_all((0..64).map(|copy| {
            let (replicas, payment, caller) = (&replicas, &payment, key(copy));
            async move { (copy, replicas.settle(copy % 3, payment, caller.as_deref()).await) }
        }))
        .await;
        let mut winners = HashSet::new();
        for (copy, reply) in replies {
            if reply.is_settled() {
                winners.insert(key(copy).unwrap_or_else(|| format!("nobody-{copy}")));
            } else {
                assert!(["settlement_pending", "duplicate_settlement"].contains(&reply.word().as_str()), "{round}: {reply:?}");
                assert_ne!(round % 4, 1, "who repeats itself gets its answer: {reply:?}");
            }
        }
        assert_eq!(winners.len(), 1, "{round}: {winners:?}");
        assert_eq!((replicas.transfers(), replicas.broadcasts()), (round + 1, round as u64 + 1), "{round}");
        assert_eq!(replicas.wallets.received() - before, U256::from(PRICE * (round as u128 + 1)), "{round}");
    }
}

/// T153: the driver is held up between signing and storing, for longer than its lease. Another one takes over and settles.
/// What the first one had on its way reaches the ledger late, and changes nothing; it sends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t153_what_a_driver_stores_after_its_lease_is_refused_and_never_sent() {
    let replicas = Replicas::start(2).await;
    assert_eq!(replicas.drivers().await, [0]);
    let (first, _, _) = &replicas.each[0];
    first.hold(Held::Driver);
    let held_up = replicas.wallets.payment(PAYER, PRICE);
    let began = Instant::now();
    // It claims, and signs, and cannot store what it signed; the answer comes from the ledger, once another one has settled.
    let settled = replicas.settle(0, &held_up, Some("shop-1")).await;
    println!("taken over after {:?}", began.elapsed());
    assert!(settled.is_settled(), "{settled:?}");
    assert!(began.elapsed() < Duration::from_secs(25));
    assert_eq!((replicas.drivers().await, replicas.broadcasts()), (vec![1], 1));
    let more = join_all((0..4).map(async |number| {
        replicas.settle(number % 2, &replicas.wallets.payment(PAYER + number, PRICE), Some("shop-1")).await.is_settled()
    }));
    assert_eq!(more.await, [true; 4]);
    let sends = replicas.wallets.chain.faults().calls("eth_sendRawTransaction");
    let position = replicas.store.lane(replicas.network(), &account(GAS).address, 0, u32::MAX).await.unwrap();
    first.hold(Held::Nothing);
    until("what was on its way arrives", async || !first.late().is_empty()).await;
    assert!(first.late().iter().all(|applied| *applied == Applied::Fenced), "{:?}", first.late());
    assert_eq!(replicas.store.lane(replicas.network(), &account(GAS).address, 0, u32::MAX).await.unwrap().greatest, position.greatest);
    assert_eq!(replicas.wallets.chain.faults().calls("eth_sendRawTransaction"), sends, "and sends nothing");
    // It follows now, and is of use.
    assert!(replicas.settle(0, &replicas.wallets.payment(PAYER, PRICE), Some("shop-1")).await.is_settled());
    assert_eq!((replicas.drivers().await, replicas.transfers(), replicas.broadcasts()), (vec![1], 6, 6));
    assert_eq!(replicas.wallets.chain.pending().len(), 0);
}

/// T155: who stops gives its lease back: it is anybody's at once, and the next one drives on.
#[tokio::test(flavor = "multi_thread")]
async fn t155_a_clean_stop_gives_the_lease_back_at_once() {
    let replicas = Replicas::start(2).await;
    assert_eq!(replicas.drivers().await, [0]);
    let ask = LeaseAsk { network: replicas.network(), holder: [7; 16], ttl: Duration::ZERO };
    assert!(matches!(replicas.store.lease(ask).await, Ok(LeaseAnswer::Other { .. })), "it is held");
    // Nobody else takes it meanwhile.
    replicas.each[1].0.hold(Held::Driver);
    replicas.each[0].1.shutdown(Duration::from_secs(5)).await;
    assert!(matches!(replicas.store.lease(ask).await, Ok(LeaseAnswer::Held { .. })), "it is anybody's");
    assert_eq!(replicas.drivers().await, [0usize; 0]);
    replicas.each[1].0.hold(Held::Nothing);
    let settled = replicas.settle(1, &replicas.wallets.payment(PAYER, PRICE), Some("shop-1")).await;
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(replicas.drivers().await, [1]);
}
