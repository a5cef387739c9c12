//! The process is told to end under load. Ledger and chain agree afterwards.

use super::{PRICE, Reply, transfers_to_payee};
use alloy_primitives::{B256, U256};
use futures_util::future::join_all;
use h402_core::{PaymentPayload, Requirements, wire::h402};
use h402_devnet::evm::{Chain, account};
use h402_tests::{
    dice::Dice,
    process::{Process, ProcessOptions},
    rig::{Folder, GAS, PAYER, Wallets},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinHandle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");

async fn start(folder: &Folder, chain: &Chain) -> Process {
    let process = Process::start(PROGRAM, folder, &chain.url(), &ProcessOptions::default()).await;
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

/// T155: told to end under load, it ends well and soon, and everything it was asked for is settled by the next process,
/// each in one transfer; what it answered stays.
#[tokio::test(flavor = "multi_thread")]
async fn t155_terminated_under_load_it_ends_well_and_loses_nothing() {
    let mut dice = Dice::seeded();
    let chain = Chain::builder().start().await.unwrap();
    let folder = Folder::new();
    let load = Load::new(&chain);
    for round in 0..4 {
        let mut process = start(&folder, &chain).await;
        let (workers, answers) = load.begin(&process.url, round);
        let after = u32::try_from(dice.roll(40)).unwrap();
        answers.acquire_many(after).await.unwrap().forget();
        let began = Instant::now();
        assert!(process.terminate().await.success());
        assert!(began.elapsed() < Duration::from_secs(30));
        join_all(workers).await;
    }
    let process = start(&folder, &chain).await;
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

    /// Asks for everything again: all of it is settled, in one transfer each, alone or with others, and what was told
    /// before is told again.
    async fn all_is_settled_once(&self, process: &Process, chain: &Chain) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let mut hashes = HashSet::new();
        for (caller, (request, told)) in &asked {
            let settled = settle(process, request, Some(caller)).await;
            assert!(settled.is_settled(), "{caller}: {settled:?}");
            let hash = settled.transaction().unwrap();
            assert!(told.is_none_or(|told| told == hash), "{caller} was told {told:?}, and now {hash}");
            hashes.insert(hash);
        }
        let transfers = transfers_to_payee(chain);
        assert_eq!(transfers.iter().map(|transfer| transfer.tx_hash).collect::<HashSet<_>>(), hashes);
        assert_eq!(transfers.len(), asked.len(), "one transfer for each");
        assert!(transfers.iter().all(|transfer| transfer.value == U256::from(PRICE)));
        assert_eq!((chain.nonce(account(GAS).address), chain.pending().len()), (hashes.len() as u64, 0), "and no transaction besides");
        println!("{} payments survived", asked.len());
    }
}
