//! The process dies, at every step and at any moment. The ledger and the chain agree afterwards.

use super::{PRICE, Reply, transfers_to_payee};
use alloy_primitives::{B256, U256};
use futures_util::future::join_all;
use h402_core::{PaymentPayload, Requirements, wire::h402};
use h402_devnet::evm::{Chain, account};
use h402_tests::{
    dice::Dice,
    process::{Process, ProcessOptions},
    rig::{Folder, GAS, PAYEE, PAYER, Wallets},
    transactions::sign,
};
use std::{
    collections::{HashMap, HashSet},
    os::unix::process::ExitStatusExt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinHandle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");
const STEPS: [&str; 5] = ["claimed", "signed", "sent", "included", "answered"];
const SIGABRT: i32 = 6;

async fn start(folder: &Folder, chain: &Chain, chaos: Option<&str>) -> Process {
    let options = ProcessOptions { chaos: chaos.map(str::to_owned), ..ProcessOptions::default() };
    let process = Process::start(PROGRAM, folder, &chain.url(), &options).await;
    process.until_ready().await;
    process
}

fn body(payment: &PaymentPayload, terms: &Requirements) -> Vec<u8> {
    h402::encode_request(payment, terms).unwrap()
}

/// Asks until the settlement is not pending any more.
async fn settle(process: &Process, body: &[u8], caller: Option<&str>) -> Reply {
    for _ in 0..400 {
        let reply = Reply::from(process.post("/settle", body, caller).await.expect("an answer"));
        if reply.status == 200 && reply.word() != "settlement_pending" {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("pending for ever");
}

/// T009, T014, T142: killed at each step of a settlement, then started again: the same request has success, there is one
/// transfer and one transaction, and the ledger says what the chain says.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t142_killed_at_each_step_a_settlement_ends_once() {
    for step in STEPS {
        let cases = [(Some("shop-1"), false), (None, false), (Some("shop-1"), true), (None, true)];
        // The payer has signed his own transaction; there is no such step.
        let cases = cases.into_iter().filter(|(_, own_transaction)| !(*own_transaction && step == "signed"));
        join_all(cases.map(|(caller, own_transaction)| killed_once(step, caller, own_transaction))).await;
    }
}

async fn killed_once(step: &str, caller: Option<&str>, own_transaction: bool) {
    let name = format!("{step}, {caller:?}, own transaction: {own_transaction}");
    let chain = Chain::builder().start().await.unwrap();
    let folder = Folder::new();
    let wallets = Wallets::new(&chain);
    let payment = if own_transaction {
        wallets.by_transaction(PAYER, &sign(PAYER, wallets.token_transfer(PAYER, account(PAYEE).address, PRICE)))
    } else {
        wallets.payment(PAYER, PRICE)
    };
    let request = body(&payment, &wallets.requirements(PRICE));
    let mut dying = start(&folder, &chain, Some(step)).await;
    let verified = Reply::from(dying.post("/verify", &request, caller).await.expect("an answer"));
    assert!(verified.is_valid(), "{name}: {verified:?}");
    assert_eq!(dying.post("/settle", &request, caller).await, None, "{name}: it dies before it answers");
    assert_eq!(dying.ended().await.signal(), Some(SIGABRT), "{name}");

    let process = start(&folder, &chain, None).await;
    let settled = settle(&process, &request, caller).await;
    if step == "answered" && caller.is_none() {
        // The success was about to be told to somebody without a name. Perhaps it was, so nobody else
        // hears it as one; but the ledger tells everybody what became of the money.
        assert_eq!(settled.word(), "duplicate_settlement", "{name}: {settled:?}");
    } else {
        assert!(settled.is_settled(), "{name}: {settled:?}");
    }
    let hash = settled.transaction().expect("its hash");
    let transfers = transfers_to_payee(&chain);
    assert_eq!(transfers.iter().map(|transfer| transfer.tx_hash).collect::<Vec<B256>>(), [hash], "{name}");
    let sender = account(if own_transaction { PAYER } else { GAS }).address;
    assert_eq!((chain.nonce(sender), chain.pending().len()), (1, 0), "{name}: one transaction");
    let (_, told) = process.get(&format!("/payments/{}", verified.payment_id())).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["state"].as_str(), told["transaction"].as_str()), (Some("included"), Some(&*hash.to_string())), "{name}");
    let stranger = settle(&process, &request, Some("shop-2")).await;
    assert_eq!(stranger.word(), "duplicate_settlement", "{name}");
}

/// Failpoints do nothing unless the environment names them.
#[tokio::test(flavor = "multi_thread")]
async fn failpoints_are_off_unless_they_are_named() {
    for chaos in [None, Some(""), Some("no such step"), Some("signed:1000")] {
        let chain = Chain::builder().start().await.unwrap();
        let folder = Folder::new();
        let wallets = Wallets::new(&chain);
        let mut process = start(&folder, &chain, chaos).await;
        for _ in 0..5 {
            let request = body(&wallets.payment(PAYER, PRICE), &wallets.requirements(PRICE));
            assert!(settle(&process, &request, Some("shop-1")).await.is_settled(), "{chaos:?}");
        }
        assert!(process.is_running());
        assert!(process.terminate().await.success(), "{chaos:?}");
    }
}

/// T155: told to end under load, it ends well and soon, and everything it was asked for is settled by the next process,
/// each in one transfer; what it answered stays.
#[tokio::test(flavor = "multi_thread")]
async fn t155_terminated_under_load_it_ends_well_and_loses_nothing() {
    let mut dice = Dice::seeded();
    let chain = Chain::builder().start().await.unwrap();
    let folder = Folder::new();
    let load = Load::new(&chain);
    for round in 0..4 {
        let mut process = start(&folder, &chain, None).await;
        let (workers, answers) = load.begin(&process.url, round);
        let after = u32::try_from(dice.roll(40)).unwrap();
        answers.acquire_many(after).await.unwrap().forget();
        let began = Instant::now();
        assert!(process.terminate().await.success());
        assert!(began.elapsed() < Duration::from_secs(30));
        join_all(workers).await;
    }
    let process = start(&folder, &chain, None).await;
    load.all_is_settled_once(&process, &chain).await;
}

/// T142: twenty times `kill -9` under load, at a moment that chance decides. In the end everything that was ever asked for
/// is settled, each in one transfer, and no answer that was given is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t142_killed_twenty_times_under_load_nothing_is_lost_or_paid_twice() {
    let mut dice = Dice::seeded();
    let chain = Chain::builder().start().await.unwrap();
    let folder = Folder::new();
    let load = Load::new(&chain);
    for round in 0..20 {
        let mut process = start(&folder, &chain, None).await;
        let (workers, answers) = load.begin(&process.url, round);
        // After so many answers, while seven others are on their way.
        let after = u32::try_from(dice.roll(40)).unwrap();
        answers.acquire_many(after).await.unwrap().forget();
        process.kill();
        join_all(workers).await;
        process.ended().await;
    }
    let process = start(&folder, &chain, None).await;
    load.all_is_settled_once(&process, &chain).await;
}

/// Every request that was ever sent, and the transaction that was told for it, if one was.
type Asked = HashMap<String, (Vec<u8>, Option<B256>)>;

/// Payments that are settled one after the other by eight workers, as long as there is a server.
struct Load {
    wallets: Arc<Wallets>,
    asked: Arc<Mutex<Asked>>,
}

impl Load {
    fn new(chain: &Chain) -> Self {
        Self { wallets: Arc::new(Wallets::new(chain)), asked: Arc::default() }
    }

    /// Starts the workers; the semaphore gets a permit for each answer.
    fn begin(&self, url: &str, round: usize) -> (Vec<JoinHandle<()>>, Arc<Semaphore>) {
        let answers = Arc::new(Semaphore::new(0));
        let worker = |worker: usize| {
            let (url, wallets, asked, answers) = (url.to_owned(), self.wallets.clone(), self.asked.clone(), answers.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let caller = format!("{round}-{worker}-{number}");
                    let request = body(&wallets.payment(PAYER + worker % 7, PRICE), &wallets.requirements(PRICE));
                    asked.lock().unwrap().insert(caller.clone(), (request.clone(), None));
                    let post = http::Request::post(format!("{url}/settle")).header("idempotency-key", &caller).body(request.into());
                    let Some(answer) = h402_tests::http::try_send(post.unwrap()).await else { return };
                    let reply = Reply::from(answer);
                    match reply.status {
                        200 if reply.is_settled() => asked.lock().unwrap().get_mut(&caller).unwrap().1 = reply.transaction(),
                        200 => assert_eq!(reply.word(), "settlement_pending", "{reply:?}"),
                        status => assert_eq!(status, 503, "{reply:?}"),
                    }
                    answers.add_permits(1);
                }
            })
        };
        ((0..8).map(worker).collect(), answers)
    }

    /// Asks for everything again: all of it is settled, in one transfer and one transaction each, and what was told
    /// before is told again.
    async fn all_is_settled_once(&self, process: &Process, chain: &Chain) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let mut hashes = HashSet::new();
        for (caller, (request, told)) in &asked {
            let settled = settle(process, request, Some(caller)).await;
            assert!(settled.is_settled(), "{caller}: {settled:?}");
            let hash = settled.transaction().unwrap();
            assert!(told.is_none_or(|told| told == hash), "{caller} was told {told:?}, and now {hash}");
            assert!(hashes.insert(hash), "{caller}: {hash} is told for another payment, too");
        }
        let transfers = transfers_to_payee(chain);
        assert_eq!(transfers.iter().map(|transfer| transfer.tx_hash).collect::<HashSet<_>>(), hashes);
        assert_eq!(transfers.len(), asked.len(), "one transfer for each");
        assert!(transfers.iter().all(|transfer| transfer.value == U256::from(PRICE)));
        assert_eq!((chain.nonce(account(GAS).address), chain.pending().len()), (asked.len() as u64, 0), "and one transaction");
        println!("{} payments survived", asked.len());
    }
}
