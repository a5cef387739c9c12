//! Ledger and cluster compared: what the key that pays fees has signed, and what has become final.

use super::{PRICE, send, settle, settle_held};
use crate::facilitator::{Reply, until};
use h402_core::{
    Address, Amount, Network, Offer, Payload, PaymentPayload,
    solana::{SolanaTerms, sign_payment},
};
use h402_devnet::solana::{Delivery, SolanaChain, SolanaConfig, account};
use h402_facilitator::ReconcileConfig;
use h402_tests::{
    cluster::{Cluster, ClusterRig, PAYER, SPONSOR, address, key, network, solana},
    process::{Place, Process, ProcessOptions, Ran, run},
    rig::Folder,
};
use sqlx::{Connection as _, SqliteConnection};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");

/// A facilitator that compares every so many milliseconds, counted from its next start on.
async fn rig(every: &Arc<AtomicU64>) -> ClusterRig {
    let every = every.clone();
    ClusterRig::with(move |config| {
        config.reconcile = ReconcileConfig { every: Duration::from_millis(every.load(Ordering::SeqCst)), stop_above: 0 };
        solana(config).max_block_age = Duration::from_secs(3600);
    })
    .await
}

/// Something that the key does without the ledger.
fn moonlight(cluster: &Cluster) -> PaymentPayload {
    cluster.payment(SPONSOR, &cluster.sol, PRICE, None)
}

/// What a stranger sends to the account that pays fees.
fn tip(cluster: &Cluster) -> PaymentPayload {
    let offer = Offer::new(cluster.sol.clone(), Amount::from_atomic(PRICE), Address::Solana(address(SPONSOR))).unwrap();
    let blockhash = cluster.chain.latest_blockhash().0.to_bytes();
    let terms = SolanaTerms { blockhash, fee_payer: None, creates_account: true, unique: [9; 16] };
    cluster.presented(Payload::SolanaTransaction(sign_payment(&key(PAYER), &offer, Amount::from_atomic(PRICE), &terms).unwrap()))
}

/// As final as nodes list it.
fn bury(chain: &SolanaChain) {
    chain.finalize();
    chain.advance_slots(64);
}

async fn compared_at(rig: &ClusterRig) -> Option<u64> {
    rig.engine.reconciliation(network(&rig.chain)).await.unwrap().at.map(|at| at.0)
}

/// Waits until everything that is final now was compared.
async fn compared(rig: &ClusterRig) {
    rig.clock.advance(Duration::from_secs(10));
    for _ in 0..4 {
        let last = compared_at(rig).await;
        rig.clock.advance(Duration::from_millis(1));
        until("it compares", async || compared_at(rig).await > last).await;
    }
}

async fn differences(rig: &ClusterRig) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for difference in rig.engine.reconciliation(network(&rig.chain)).await.unwrap().differences {
        *kinds.entry(difference.kind.as_str()).or_default() += 1;
    }
    kinds
}

async fn until_final(rig: &ClusterRig, id: &str) {
    super::until_state(rig, id, "final").await;
}

/// T159: what the key signs through the ledger differs in nothing, whether it succeeds or fails, nor does what others send to it or
/// pay for themselves. What it signs beside the ledger stops new payments, until that is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn t159_a_sponsors_key_that_is_used_beside_the_ledger_is_told() {
    let rig = rig(&Arc::new(AtomicU64::new(50))).await;
    compared(&rig).await;
    let mut settled = Vec::new();
    for (asset, sponsor) in super::ways(&rig) {
        let reply = settle(&rig, &rig.payment(PAYER, &asset, PRICE, sponsor), &asset, Some("shop")).await;
        assert!(reply.is_settled(), "{reply:?}");
        settled.push(reply.json()["transaction"].as_str().unwrap().to_owned());
    }
    send(&rig, &tip(&rig.cluster)).await;
    rig.chain.set_delivery(Delivery::Hold);
    let fails =
        settle_held(&rig, &rig.payment(PAYER + 1, &rig.usdc, PRICE, Some(SPONSOR)), || super::outcome::drain(&rig, PAYER + 1)).await;
    assert_eq!(fails.word(), "transfer_reverts", "{fails:?}");
    rig.chain.set_delivery(Delivery::Land);
    bury(&rig.chain);
    for id in &settled {
        until_final(&rig, id).await;
    }
    let before = rig.engine.reconciliation(network(&rig.chain)).await.unwrap().reached;
    compared(&rig).await;
    assert_eq!(differences(&rig).await, BTreeMap::new());
    let reached = rig.engine.reconciliation(network(&rig.chain)).await.unwrap().reached;
    assert!(reached.block > before.block.min(Some(rig.chain.slot() - 100)) && reached.row.is_some(), "and it did look: {reached:?}");

    let outside = moonlight(&rig.cluster);
    send(&rig, &outside).await;
    bury(&rig.chain);
    until("it is told", async || !differences(&rig).await.is_empty()).await;
    let found = rig.engine.reconciliation(network(&rig.chain)).await.unwrap().differences;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].transaction.to_string(), super::signature(&outside).to_string());
    assert_eq!((found[0].amount, found[0].kind.as_str()), (Some(Amount::from_atomic(PRICE)), "unexplained"));
    until("it stops", async || Reply::from(rig.get("/ready").await).status == 503).await;
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.status, 503);
    use h402_core::{Clock as _, Store as _};
    assert_eq!(rig.store.accept_differences(network(&rig.chain), rig.clock.now()).await, Ok(1));
    rig.until_ready().await;
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
}

/// T159: a payment that the ledger has lost, one that the cluster does not know, and one that it knows otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn t159_a_ledger_that_differs_from_its_cluster_is_told() {
    let sponsored = "(SELECT rowid FROM payments ORDER BY claimed_at LIMIT 1)";
    let cases = [
        ("unexplained", format!("DELETE FROM payments WHERE rowid = {sponsored}")),
        ("missing", format!("UPDATE payments SET tx = randomblob(64) WHERE rowid = {sponsored}")),
        ("altered", format!("UPDATE payments SET amount = randomblob(32) WHERE rowid = {sponsored}")),
    ];
    futures_util::future::join_all(cases.map(async |(kind, sql)| {
        let every = Arc::new(AtomicU64::new(50));
        let mut rig = rig(&every).await;
        compared(&rig).await;
        // What is tampered with must not have been compared before.
        every.store(3_600_000, Ordering::SeqCst);
        rig.restart().await;
        for payer in [PAYER, PAYER + 1] {
            let reply = settle(&rig, &rig.payment(payer, &rig.usdc, PRICE, Some(SPONSOR)), &rig.usdc, Some("shop")).await;
            assert!(reply.is_settled(), "{reply:?}");
            bury(&rig.chain);
            until_final(&rig, reply.json()["transaction"].as_str().unwrap()).await;
        }
        every.store(50, Ordering::SeqCst);
        rig.stop().await;
        let file = rig.folder.path().join("ledger.sqlite");
        let mut ledger = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query("PRAGMA foreign_keys = off").execute(&mut ledger).await.unwrap();
        let changed = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut ledger).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{kind}");
        ledger.close().await.unwrap();
        rig.reopen().await;
        rig.clock.advance(Duration::from_secs(10));
        until(kind, async || differences(&rig).await.contains_key(kind)).await;
        assert_eq!(differences(&rig).await.len(), 1, "{kind}");
        rig.stop().await;
    }))
    .await;
}

/// T159: the same by the program's own command, in the server's stead.
#[tokio::test(flavor = "multi_thread")]
async fn t159_the_command_compares_a_cluster() {
    let cluster = Cluster::new(&SolanaChain::start(SolanaConfig::default()).await.unwrap());
    let Network::Solana(_) = network(&cluster.chain) else { panic!("not Solana") };
    let (id, rpc, key) = (network(&cluster.chain).to_string(), cluster.chain.url(), account(SPONSOR).to_base58_string());
    let place = Place { network: &id, assets: r#"["USDC", "SOL"]"#, rpc: &rpc, key: &key };
    let (folder, options) = (Folder::new(), ProcessOptions::default());
    let reconcile = async |arguments: &[&str]| -> Ran {
        let arguments: Vec<&str> = ["reconcile"].iter().chain(arguments).copied().collect();
        run(PROGRAM, &folder, &place, &options, &arguments).await
    };
    let since = cluster.chain.slot().to_string();
    assert_eq!(reconcile(&[]).await.code, 0);
    let mut server = Process::start_on(PROGRAM, &folder, &place, &options).await;
    server.until_ready().await;
    let payment = cluster.payment(PAYER, &cluster.usdc, PRICE, Some(SPONSOR));
    let request = h402_core::wire::h402::encode_request(&payment, &cluster.requirements(&cluster.usdc, PRICE)).unwrap();
    let settled = Reply::from(server.post("/settle", &request, Some("shop")).await.unwrap());
    assert!(settled.is_settled(), "{settled:?}");
    bury(&cluster.chain);
    assert!(server.terminate().await.success());
    let agree = reconcile(&["--network", &id, "--from-block", &since]).await;
    assert_eq!(agree.code, 0, "{agree:?}");
    let elsewhere = reconcile(&["--network", "eip155:1"]).await;
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");

    let outside = moonlight(&cluster);
    cluster.chain.send(bincode::deserialize(&super::bytes(&outside).transaction).unwrap());
    bury(&cluster.chain);
    let differ = reconcile(&[]).await;
    assert_eq!(differ.code, 1, "{differ:?}");
    assert!(differ.said.contains(&format!("unexplained  {}", super::signature(&outside))), "{differ:?}");
    let accepted = reconcile(&["--accept"]).await;
    assert_eq!((accepted.code, accepted.said.contains("accepted 1")), (0, true), "{accepted:?}");
    assert_eq!(reconcile(&["--from-block", &since]).await.code, 0);
}
