//! Several facilitators in processes of their own, on one PostgreSQL database: killed, stopped and let go on, restarted one
//! after the other, with clocks that disagree. The ledger and the chain agree afterwards.

use super::{PRICE, Reply, transfers_to_payee, until};
use alloy_primitives::{B256, Bytes, keccak256};
use axum::{Router, extract::State, routing::post};
use futures_util::future::join_all;
use h402_core::{LanePosition, Network, Store, wire::h402};
use h402_devnet::evm::{Chain, account};
use h402_facilitator::postgres::{OpenOptions, PostgresStore};
use h402_tests::{
    dice::Dice,
    http::try_send,
    postgres::{self, Database},
    process::{Process, ProcessOptions},
    rig::{Folder, GAS, PAYER, Wallets},
};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinHandle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");
/// A take-over takes ten seconds; a machine with much else to do gets three times as long.
const TAKE_OVER: Duration = Duration::from_secs(30);

/// A chain, a database, and the list of all transactions that anybody ever handed to the chain.
struct House {
    chain: Chain,
    wallets: Arc<Wallets>,
    database: Database,
    store: PostgresStore,
    /// In front of the chain's node.
    node: String,
    handed: Arc<Mutex<BTreeSet<B256>>>,
}

impl House {
    /// None where no PostgreSQL server is installed.
    async fn build() -> Option<Self> {
        let database = postgres::database().await?;
        let chain = Chain::builder().start().await.unwrap();
        let wallets = Arc::new(Wallets::new(&chain));
        let store = PostgresStore::open(database.url(), OpenOptions::default()).await.unwrap();
        let handed = Arc::default();
        let node = record(chain.url(), Arc::clone(&handed)).await;
        Some(Self { chain, wallets, database, store, node, handed })
    }

    async fn start(&self, clock: i64) -> Replica {
        let folder = Folder::new();
        let options = ProcessOptions { database: Some(self.database.url().to_owned()), clock, ..ProcessOptions::default() };
        let process = Process::start(PROGRAM, &folder, &self.node, &options).await;
        process.until_ready().await;
        Replica { process, _folder: folder }
    }

    fn request(&self, payer: usize) -> Vec<u8> {
        h402::encode_request(&self.wallets.payment(payer, PRICE), &self.wallets.requirements(PRICE)).unwrap()
    }

    /// The lane of the key, as the ledger has it.
    async fn lane(&self) -> LanePosition {
        self.store.lane(Network::Evm(self.chain.chain_id()), &account(GAS).address, 0, u32::MAX).await.unwrap()
    }

    /// How many payments, transactions and nonces the ledger has.
    async fn counts(&self) -> (i64, i64, i64) {
        let mut conn = self.database.connect().await;
        let counts =
            "SELECT (SELECT count(*) FROM payments), (SELECT count(*) FROM transactions), (SELECT count(DISTINCT nonce) FROM transactions)";
        sqlx::query_as(counts).fetch_one(&mut conn).await.unwrap()
    }

    /// Every transaction that the ledger has.
    async fn stored(&self) -> BTreeSet<B256> {
        let mut conn = self.database.connect().await;
        let ids: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT id FROM transactions").fetch_all(&mut conn).await.unwrap();
        ids.iter().map(|(id,)| B256::from_slice(id)).collect()
    }

    /// Ledger and chain say the same: so many payments, each in one transfer; nothing was sent that is not stored; every
    /// nonce is used once.
    async fn agrees(&self, payments: usize) {
        let transfers = transfers_to_payee(&self.chain);
        assert_eq!(transfers.len(), payments, "one transfer for each payment");
        let (rows, transactions, nonces) = self.counts().await;
        assert_eq!(rows, payments as i64);
        assert_eq!(transactions, nonces, "no nonce was signed for twice");
        assert_eq!(self.chain.nonce(account(GAS).address), nonces as u64);
        assert_eq!(self.chain.pending().len(), 0);
        let stored = self.stored().await;
        let handed = self.handed.lock().unwrap().clone();
        assert!(handed.is_subset(&stored), "sent and not stored: {:?}", handed.difference(&stored).collect::<Vec<_>>());
        let carriers: BTreeSet<B256> = transfers.iter().map(|transfer| transfer.tx_hash).collect();
        assert!(carriers.is_subset(&stored));
        let unfinished = self.store.unfinished(Network::Evm(self.chain.chain_id()), None, 10_000).await.unwrap();
        assert!(unfinished.iter().all(|row| row.state.is_settled()), "left behind");
    }
}

/// A facilitator's process.
struct Replica {
    process: Process,
    _folder: Folder,
}

impl Replica {
    async fn drives(&self) -> bool {
        let Some((200, text)) = self.process.get("/ready").await else { return false };
        let told: Value = serde_json::from_str(&text).unwrap();
        text_of(&told, "eip155:84532 role") == "drives"
    }

    async fn settle(&self, request: &[u8], caller: Option<&str>) -> Reply {
        Reply::from(self.process.post("/settle", request, caller).await.expect("an answer"))
    }
}

/// The text under a name, wherever it is.
fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => text,
            _ => fields.values().map(|value| text_of(value, name)).find(|text| !text.is_empty()).unwrap_or_default(),
        },
        _ => "",
    }
}

/// Passes calls on to a node, and keeps the hash of every transaction that is handed to it.
async fn record(node: String, handed: Arc<Mutex<BTreeSet<B256>>>) -> String {
    let pass = move |State(node): State<String>, body: String| {
        let handed = handed.clone();
        async move {
            let calls: Value = serde_json::from_str(&body).unwrap();
            for call in calls.as_array().unwrap_or(&vec![calls.clone()]) {
                if call["method"] == "eth_sendRawTransaction" {
                    let raw: Bytes = call["params"][0].as_str().unwrap().parse().unwrap();
                    handed.lock().unwrap().insert(keccak256(raw));
                }
            }
            let request = http::Request::post(node).header("content-type", "application/json").body(body.into()).unwrap();
            h402_tests::http::send(request).await.1
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Router::new().route("/", post(pass)).with_state(node);
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    url
}

/// T153, T154: 64 copies of a payment at three processes whose clocks are half a minute apart each way: one is settled, in one
/// transfer and one transaction, and every process tells its caller the same afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn t153_t154_of_64_copies_at_three_processes_one_is_settled() {
    let Some(house) = House::build().await else { return };
    let replicas = join_all([0, 30_000, -30_000].map(|clock| house.start(clock))).await;
    for round in 0..8 {
        let request = house.request(PAYER + round % 4);
        let caller = |copy: usize| match round % 4 {
            0 => None,
            1 => Some("shop".to_owned()),
            2 => Some(format!("shop-{copy}")),
            _ => copy.is_multiple_of(2).then(|| "shop".to_owned()),
        };
        let replies = join_all((0..64).map(|copy| {
            let (replica, request, caller) = (&replicas[copy % 3], &request, caller(copy));
            async move { (copy, replica.settle(request, caller.as_deref()).await) }
        }))
        .await;
        let mut winners = HashSet::new();
        let mut told = HashSet::new();
        for (copy, reply) in replies {
            if reply.is_settled() {
                winners.insert(caller(copy).unwrap_or_else(|| format!("nobody-{copy}")));
                told.insert(reply.text);
            } else {
                assert!(["settlement_pending", "duplicate_settlement"].contains(&reply.word().as_str()), "{round}: {reply:?}");
                assert_ne!(round % 4, 1, "who repeats itself gets its answer: {reply:?}");
            }
        }
        assert_eq!((winners.len(), told.len()), (1, 1), "{round}: {winners:?}");
        for replica in &replicas {
            let again = replica.settle(&request, Some("somebody else")).await;
            assert_eq!(again.word(), "duplicate_settlement", "{round}");
        }
        house.agrees(round + 1).await;
    }
}

/// T003, T024, T153: what one process has verified the others know of: of copies of a payment without a caller's key one is good, wherever
/// they are verified, and two payments that the balance does not cover together are not both good.
#[tokio::test(flavor = "multi_thread")]
async fn t003_t024_t153_what_one_process_has_verified_all_know_of() {
    let Some(house) = House::build().await else { return };
    let replicas = join_all([0, 0, 0].map(|clock| house.start(clock))).await;
    let verify = async |at: usize, request: &[u8], caller: Option<&str>| {
        Reply::from(replicas[at % 3].process.post("/verify", request, caller).await.expect("an answer"))
    };
    for _ in 0..4 {
        let request = house.request(PAYER);
        let replies = join_all((0..30).map(|copy| verify(copy, &request, None))).await;
        assert_eq!(replies.iter().filter(|reply| reply.is_valid()).count(), 1, "one door");
        assert!(replies.iter().all(|reply| reply.is_valid() || reply.word() == "payment_in_progress"), "{replies:?}");
        // The honest twin: whoever has a name, and remembers, is not kept out.
        let named = join_all((0..30).map(|copy| verify(copy, &request, Some("shop")))).await;
        assert!(named.iter().all(Reply::is_valid), "{named:?}");
    }
    let price = alloy_primitives::U256::from(PRICE);
    house.chain.mint(house.chain.usdc(), account(9).address, price).unwrap();
    let (first, second) = (house.request(9), house.request(9));
    assert!(verify(0, &first, Some("shop-1")).await.is_valid());
    assert_eq!(verify(1, &second, Some("shop-2")).await.word(), "insufficient_funds");
    assert_eq!(replicas[2].settle(&second, Some("shop-2")).await.word(), "insufficient_funds");
    house.chain.mint(house.chain.usdc(), account(9).address, price).unwrap();
    assert!(verify(1, &second, Some("shop-2")).await.is_valid(), "now it is covered");
    assert!(replicas[2].settle(&second, Some("shop-2")).await.is_settled());
    assert!(replicas[1].settle(&first, Some("shop-1")).await.is_settled());
}

/// T153: the process that drives is killed under load. Another one drives on within ten seconds; everything that was ever asked
/// for is settled, each in one transfer, and no answer is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn t153_a_driver_that_is_killed_is_taken_over_and_nothing_is_lost() {
    let Some(house) = House::build().await else { return };
    let house = Arc::new(house);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(house.start(0).await);
    }
    assert!(replicas[0].drives().await, "the first one does");
    let load = Load::begin(&house, replicas.iter().map(|replica| replica.process.url.clone()).collect());
    load.until_settled(40).await;
    let dead = replicas.remove(0);
    dead.process.kill();
    let began = Instant::now();
    until_within(TAKE_OVER, "another one drives", async || replicas[0].drives().await || replicas[1].drives().await).await;
    println!("taken over {:?} after the kill", began.elapsed());
    load.until_settled(40).await;
    println!("settling again {:?} after the kill", began.elapsed());
    let payments = load.end().await;
    house.agrees(payments).await;
}

/// T153: the process that drives is stopped in the middle of its work for longer than its lease, and let go on. Another one
/// has taken over; the first one sends nothing that was not stored before, and stores nothing under its old lease.
#[tokio::test(flavor = "multi_thread")]
async fn t153_a_driver_that_was_stopped_sends_and_stores_nothing_new() {
    let Some(house) = House::build().await else { return };
    let house = Arc::new(house);
    let (first, second) = (house.start(0).await, house.start(0).await);
    assert!(first.drives().await && !second.drives().await);
    let load = Load::begin(&house, vec![first.process.url.clone(), second.process.url.clone()]);
    load.until_settled(40).await;
    first.process.pause();
    let began = Instant::now();
    // What is on its way to the one that is stopped waits; the rest goes to the other one.
    load.only(&second.process.url);
    until_within(TAKE_OVER, "the other one drives", async || second.drives().await).await;
    println!("taken over {:?} after the stop", began.elapsed());
    load.until_settled(40).await;
    load.pause().await;
    until("all of it is settled", async || house.lane().await.open.is_empty() || house.chain.pending().is_empty()).await;
    let (before, stored) = (house.counts().await, house.stored().await);
    let handed = house.handed.lock().unwrap().clone();
    first.process.resume();
    until_within(TAKE_OVER, "it follows", async || first.process.get("/ready").await.is_some_and(|(status, _)| status == 200)).await;
    assert!(!first.drives().await && second.drives().await);
    // What hung at the first one is answered now: settled by the second one, under nonces after all that were.
    let payments = load.end().await;
    house.agrees(payments).await;
    let (after, all) = (house.counts().await, house.stored().await);
    let news: BTreeSet<_> = house.handed.lock().unwrap().difference(&handed).copied().collect();
    let late = payments - before.0 as usize;
    assert!(news.is_disjoint(&stored) && news.is_subset(&all), "what is sent now was signed now");
    assert!(news.len() <= late && (after.1 - before.1) as usize <= late, "for what was claimed now only: {before:?} {after:?} {news:?}");
    println!("{payments} payments, of them {} answered by the process that was stopped", late);
}

/// T155: two processes are restarted one after the other, over and over, under load. Whoever asks again where the other one is
/// gets every payment settled; nobody is told anything but a success, or to come back. `H402_ROLLING` says how many restarts.
#[tokio::test(flavor = "multi_thread")]
async fn t155_rolling_restarts_lose_nothing() {
    let Some(house) = House::build().await else { return };
    let house = Arc::new(house);
    let restarts = std::env::var("H402_ROLLING").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let mut replicas = vec![house.start(0).await, house.start(0).await];
    let load = Load::begin(&house, replicas.iter().map(|replica| replica.process.url.clone()).collect());
    let mut dice = Dice::seeded();
    for restart in 0..restarts {
        load.until_settled(10 + dice.roll(20) as usize).await;
        let mut old = replicas.remove(0);
        let stays = replicas[0].process.url.clone();
        // As whoever balances the load does that asks `/ready`.
        load.only(&stays);
        assert!(old.process.terminate().await.success(), "{restart}");
        let new = house.start(0).await;
        load.at(vec![stays, new.process.url.clone()]);
        replicas.push(new);
    }
    let payments = load.end().await;
    println!("{restarts} restarts, {payments} payments");
    house.agrees(payments).await;
}

/// T154: the clocks of two processes jump an hour apart. What chain time and one's own time agree on is settled; what either
/// says is over is not; durations are as long as they were.
#[tokio::test(flavor = "multi_thread")]
async fn t154_a_clock_that_is_an_hour_wrong_settles_nothing_that_is_over() {
    let Some(house) = House::build().await else { return };
    let behind = house.start(-3_600_000).await;
    // Over by chain time for a minute, and good for an hour by the clock that is behind.
    let over = h402_core::Authorization {
        valid_after: alloy_primitives::U256::from(h402_tests::rig::now() - 7200),
        valid_before: alloy_primitives::U256::from(h402_tests::rig::now() - 60),
        ..house.wallets.authorization(PAYER, PRICE)
    };
    let over = h402::encode_request(&house.wallets.signed(PAYER, over), &house.wallets.requirements(PRICE)).unwrap();
    let refused = behind.settle(&over, Some("shop")).await;
    assert!(!refused.is_settled(), "{refused:?}");
    house.agrees(0).await;
    // Others on the same ledger, with a good clock, settle what is good, whatever the one beside them thinks of the time; and
    // who drives is told by the store's clock.
    let good = house.start(0).await;
    assert!(behind.drives().await && !good.drives().await);
    let request = house.request(PAYER);
    let settled = good.settle(&request, Some("shop")).await;
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(behind.settle(&request, Some("shop")).await, settled);
    house.agrees(1).await;
}

async fn until_within<F: Future<Output = bool>>(time: Duration, what: &str, mut check: impl FnMut() -> F) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < time, "not within {time:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Eight callers that each settle one payment after the other, and ask again, at any of the processes, until it is settled.
struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    house: Arc<House>,
    urls: Mutex<Vec<String>>,
    settled: AtomicUsize,
    asked: AtomicUsize,
    told: Mutex<HashMap<String, B256>>,
    pauses: AtomicBool,
    busy: AtomicUsize,
    ends: AtomicBool,
}

impl Load {
    fn begin(house: &Arc<House>, urls: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            house: house.clone(),
            urls: Mutex::new(urls),
            settled: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            told: Mutex::default(),
            pauses: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        });
        let callers = (0..8).map(|worker| tokio::spawn(work(shared.clone(), worker))).collect();
        Self { shared, callers }
    }

    /// Where to ask from now on.
    fn at(&self, urls: Vec<String>) {
        *self.shared.urls.lock().unwrap() = urls;
    }

    fn only(&self, url: &str) {
        self.at(vec![url.to_owned()]);
    }

    /// Waits until so many more are settled.
    async fn until_settled(&self, more: usize) {
        let goal = self.shared.settled.load(Ordering::SeqCst) + more;
        until_within(Duration::from_secs(120), "payments are settled", async || self.shared.settled.load(Ordering::SeqCst) >= goal).await;
    }

    /// Begins nothing more, and waits for what does not hang.
    async fn pause(&self) {
        self.shared.pauses.store(true, Ordering::SeqCst);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let busy = self.shared.busy.load(Ordering::SeqCst);
            if busy != last {
                (last, since) = (busy, Instant::now());
            }
            if busy == 0 || since.elapsed() > Duration::from_secs(3) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends, once everything that was begun is settled; how many payments there were.
    async fn end(self) -> usize {
        self.shared.ends.store(true, Ordering::SeqCst);
        tokio::time::timeout(Duration::from_secs(120), join_all(self.callers))
            .await
            .expect("all of it ends")
            .into_iter()
            .for_each(Result::unwrap);
        let asked = self.shared.asked.load(Ordering::SeqCst);
        let stored = self.shared.house.stored().await;
        let told = self.shared.told.lock().unwrap();
        assert_eq!(told.len(), asked, "everything is settled");
        assert!(told.values().all(|hash| stored.contains(hash)));
        asked
    }
}

async fn work(shared: Arc<Shared>, worker: usize) {
    for number in 0.. {
        while shared.pauses.load(Ordering::SeqCst) && !shared.ends.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let caller = format!("{worker}-{number}");
        let request = shared.house.request(PAYER + worker % 7);
        shared.asked.fetch_add(1, Ordering::SeqCst);
        shared.busy.fetch_add(1, Ordering::SeqCst);
        let hash = settled(&shared, &request, &caller, worker + number).await;
        shared.busy.fetch_sub(1, Ordering::SeqCst);
        shared.settled.fetch_add(1, Ordering::SeqCst);
        shared.told.lock().unwrap().insert(caller, hash);
    }
}

/// Asks until it is settled: elsewhere if a process is gone, again if it says so.
async fn settled(shared: &Shared, request: &[u8], caller: &str, turn: usize) -> B256 {
    for attempt in turn.. {
        let url = {
            let urls = shared.urls.lock().unwrap();
            urls[attempt % urls.len()].clone()
        };
        let post = http::Request::post(format!("{url}/settle")).header("idempotency-key", caller).body(request.to_vec().into());
        let Some(answer) = try_send(post.unwrap()).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let reply = Reply::from(answer);
        match reply.status {
            200 if reply.is_settled() => return reply.transaction().unwrap(),
            200 => assert_eq!(reply.word(), "settlement_pending", "{caller}: {reply:?}"),
            status => assert_eq!(status, 503, "{caller}: {reply:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("attempts do not end")
}
