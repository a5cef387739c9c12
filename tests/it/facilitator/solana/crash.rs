//! The process dies at every step. The ledger and the cluster agree afterwards.

use super::PRICE;
use crate::facilitator::Reply;
use futures_util::future::join_all;
use h402_core::wire::h402;
use h402_devnet::solana::{Signature, SolanaChain, SolanaConfig, account};
use h402_tests::{
    cluster::{Cluster, PAYER, SPONSOR, network},
    process::{Place, Process, ProcessOptions},
    rig::Folder,
};
use std::{os::unix::process::ExitStatusExt, time::Duration};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");
const STEPS: [&str; 5] = ["claimed", "signed", "sent", "included", "answered"];
const SIGABRT: i32 = 6;

async fn start(folder: &Folder, chain: &SolanaChain, chaos: Option<&str>) -> Process {
    let options = ProcessOptions { chaos: chaos.map(str::to_owned), ..ProcessOptions::default() };
    let place = Place {
        network: &network(chain).to_string(),
        assets: r#"["SOL", "USDC"]"#,
        rpc: &chain.url(),
        key: &account(SPONSOR).to_base58_string(),
    };
    let process = Process::start_on(PROGRAM, folder, &place, &options).await;
    process.until_ready().await;
    process
}

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

/// T014, T142: killed at each step of a settlement, then started again: the same request has success, the price is paid once by
/// one transaction, and the ledger says what the cluster says.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t142_killed_at_each_step_a_payment_on_solana_is_settled_once() {
    for step in STEPS {
        let cases = [(Some("shop-1"), None), (Some("shop-1"), Some(SPONSOR)), (None, Some(SPONSOR))];
        join_all(cases.map(|(caller, sponsor)| killed_once(step, caller, sponsor))).await;
    }
}

async fn killed_once(step: &str, caller: Option<&str>, sponsor: Option<usize>) {
    let name = format!("{step}, {caller:?}, sponsor: {sponsor:?}");
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let folder = Folder::new();
    let cluster = Cluster::new(&chain);
    let before = cluster.received(&cluster.usdc);
    let payment = cluster.payment(PAYER, &cluster.usdc, PRICE, sponsor);
    let request = h402::encode_request(&payment, &cluster.requirements(&cluster.usdc, PRICE)).unwrap();
    let mut dying = start(&folder, &chain, Some(step)).await;
    let verified = Reply::from(dying.post("/verify", &request, caller).await.expect("an answer"));
    assert!(verified.is_valid(), "{name}: {verified:?}");
    assert_eq!(dying.post("/settle", &request, caller).await, None, "{name}: it dies before it answers");
    assert_eq!(dying.ended().await.signal(), Some(SIGABRT), "{name}");

    let process = start(&folder, &chain, None).await;
    let settled = settle(&process, &request, caller).await;
    if step == "answered" && caller.is_none() {
        // Perhaps it was told, so nobody else hears it as a success; but the ledger tells what became of the money.
        assert_eq!(settled.word(), "duplicate_settlement", "{name}: {settled:?}");
    } else {
        assert!(settled.is_settled(), "{name}: {settled:?}");
    }
    let hash: Signature = settled.json()["transaction"].as_str().unwrap().parse().unwrap();
    assert_eq!(chain.landed(), [hash], "{name}: one transaction");
    assert_eq!(u128::from(cluster.received(&cluster.usdc) - before), PRICE, "{name}");
    let (_, told) = process.get(&format!("/payments/{}", verified.payment_id())).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["state"].as_str(), told["transaction"].as_str()), (Some("included"), Some(&*hash.to_string())), "{name}");
}
