//! What was charged can be proved, and reconciled with the chain.

use super::{PRICE, Reply};
use h402_core::{Assets, BadReceipt, Network, PaymentKey, ReceiptIssuer, ReceiptKey, ReceiptPurpose, SignedReceipt, wire::h402};
use h402_devnet::evm::account;
use h402_facilitator::ReconcileConfig;
use h402_tests::rig::{GAS, PAYEE, PAYER, Rig, RigOptions, evm, key};
use sqlx::{Connection as _, SqliteConnection};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

fn receipt_key() -> ReceiptKey {
    ReceiptKey::from_seed(&[5; 32])
}

/// A facilitator that signs, compares often, and takes a block for final at once.
async fn rig(stop_above: u64) -> Rig {
    rig_that_compares(stop_above, Arc::new(AtomicU64::new(100))).await
}

/// As above; how often it compares, in milliseconds, counts from its next start on.
async fn rig_that_compares(stop_above: u64, every: Arc<AtomicU64>) -> Rig {
    Rig::with(RigOptions {
        engine: Box::new(move |config| {
            config.receipt_key = Some(receipt_key());
            config.reconcile = ReconcileConfig { every: Duration::from_millis(every.load(Ordering::SeqCst)), stop_above };
            evm(config).final_depth = 1;
        }),
        ..RigOptions::default()
    })
    .await
}

async fn get(rig: &Rig, path: &str) -> Reply {
    rig.get(path).await.into()
}

async fn settle(rig: &Rig, payer: usize, caller: &str) -> Reply {
    rig.post("/settle", &rig.payment(payer, PRICE), PRICE, Some(caller)).await.into()
}

/// T125, G31: the signed receipt comes with the settlement, is found again by the transaction, survives a restart byte for byte,
/// and verifies under the published key only.
#[tokio::test(flavor = "multi_thread")]
async fn t125_a_settlement_leaves_a_receipt_that_proves_itself() {
    let mut rig = rig(0).await;
    let issuer: ReceiptIssuer = h402::decode_receipt_issuer(get(&rig, "/receipts/key").await.text.as_bytes()).unwrap();
    assert_eq!(issuer, receipt_key().issuer());
    let payment = rig.payment(PAYER, PRICE);
    let settled: Reply = rig.post("/settle", &payment, PRICE, Some("shop")).await.into();
    let receipt: SignedReceipt = settled.json()["receipt"].as_str().unwrap().parse().unwrap();
    let said = receipt.verify(&[issuer]).unwrap();
    assert_eq!((said.purpose, said.amount.to_string()), (ReceiptPurpose::Settled, PRICE.to_string()));
    assert_eq!(said.transaction.to_string(), settled.json()["transaction"].as_str().unwrap());
    assert_eq!((said.payer.evm(), said.pay_to.evm()), (Some(key(PAYER).address()), Some(account(PAYEE).address)));
    assert_eq!(said.asset, rig.asset.id);
    let stranger = ReceiptKey::from_seed(&[6; 32]).issuer();
    assert_eq!(receipt.verify(&[stranger]), Err(BadReceipt::Issuer(issuer)));

    let payment_id: PaymentKey = said.payment;
    let by_id = get(&rig, &format!("/payments/{payment_id}/receipt")).await;
    let by_transaction = get(&rig, &format!("/payments/{}/receipt", said.transaction)).await;
    assert_eq!((by_id.status, &by_id.text), (200, &by_transaction.text));
    assert_eq!(h402::decode_signed_receipt(by_id.text.as_bytes()).unwrap(), receipt);
    rig.restart().await;
    assert_eq!(get(&rig, &format!("/payments/{payment_id}/receipt")).await, by_id);
    let again: Reply = rig.post("/settle", &payment, PRICE, Some("shop")).await.into();
    assert_eq!(again, settled, "the same bytes");
    let unknown = get(&rig, &format!("/payments/{}/receipt", PaymentKey::from_bytes([0; 32]))).await;
    assert_eq!((unknown.status, unknown.word().as_str()), (404, "unknown_payment"));
    rig.stop().await;
}

/// A change of the ledger behind the facilitator's back, while it is stopped.
async fn tamper(rig: &mut Rig, sql: &'static str) {
    rig.stop().await;
    let file = rig.folder.path().join("ledger.sqlite");
    let mut ledger = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::query("PRAGMA foreign_keys = off").execute(&mut ledger).await.unwrap();
    let changed = sqlx::query(sql).execute(&mut ledger).await.unwrap();
    assert_eq!(changed.rows_affected(), 1, "{sql}");
    ledger.close().await.unwrap();
    rig.reopen().await;
}

/// The kinds of what differs, once the wanted one is among them.
pub(super) async fn differences(rig: &Rig, wanted: Option<&str>) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for _ in 0..1200 {
        kinds.clear();
        let network = Network::Evm(rig.chain.chain_id());
        for difference in rig.engine.reconciliation(network).await.unwrap().differences {
            *kinds.entry(difference.kind.as_str().to_owned()).or_default() += 1;
        }
        if wanted.is_none_or(|wanted| kinds.contains_key(wanted)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kinds
}

/// Waits until everything that is final now was compared.
pub(super) async fn compared(rig: &Rig) {
    let network = Network::Evm(rig.chain.chain_id());
    let begun = rig.engine.reconciliation(network).await.unwrap().at;
    rig.clock.advance(Duration::from_secs(10));
    let mut passes = Vec::from_iter(begun);
    for _ in 0..1200 {
        let now = rig.engine.reconciliation(network).await.unwrap().at;
        if let Some(at) = now.filter(|at| !passes.contains(at)) {
            passes.push(at);
            rig.clock.advance(Duration::from_millis(1));
        }
        if passes.len() >= 5 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not compare");
}

/// T159, G12: an honest ledger has no difference; a row that was altered, invented or lost, and what a key does beside the ledger,
/// each is found, and tells what it is.
#[tokio::test(flavor = "multi_thread")]
async fn t159_what_differs_from_the_chain_is_found() {
    let cases: [(&str, Option<&'static str>, &str); 5] = [
        (
            "told as failed",
            Some(
                "UPDATE payments SET state = 'abandoned', open = 0, block = NULL, block_hash = NULL WHERE rowid = (SELECT max(rowid) FROM payments)",
            ),
            "refused",
        ),
        ("altered", Some("UPDATE payments SET amount = randomblob(32) WHERE rowid = (SELECT min(rowid) FROM payments)"), "altered"),
        ("missing", Some("UPDATE payments SET tx = randomblob(32) WHERE rowid = (SELECT min(rowid) FROM payments)"), "missing"),
        ("lost", Some("DELETE FROM payments WHERE rowid = (SELECT max(rowid) FROM payments)"), "unexplained"),
        ("outside", None, "unexplained"),
    ];
    futures_util::future::join_all(cases.map(async |(case, sql, kind)| {
        let every = Arc::new(AtomicU64::new(100));
        let mut rig = rig_that_compares(1000, every.clone()).await;
        compared(&rig).await;
        if sql.is_some() {
            // What is tampered with must not have been compared before.
            every.store(3_600_000, Ordering::SeqCst);
            rig.restart().await;
        }
        for caller in ["a", "b", "c"] {
            assert!(settle(&rig, PAYER, caller).await.is_settled(), "{case}");
        }
        match sql {
            Some(sql) => {
                every.store(100, Ordering::SeqCst);
                tamper(&mut rig, sql).await;
            }
            None => drop(rig.send(GAS, rig.native_transfer(GAS, account(PAYER).address, 7)).await),
        }
        rig.until_ready().await;
        rig.chain.mine().await;
        rig.clock.advance(Duration::from_secs(10));
        let found = differences(&rig, Some(kind)).await;
        assert!(found.contains_key(kind), "{case}: {found:?}");
        rig.stop().await;
    }))
    .await;
    // The honest twin.
    let mut rig = rig(0).await;
    compared(&rig).await;
    for caller in ["a", "b", "c"] {
        assert!(settle(&rig, PAYER, caller).await.is_settled());
    }
    rig.chain.mine().await;
    compared(&rig).await;
    assert_eq!(differences(&rig, None).await, BTreeMap::new());
    let network = Network::Evm(rig.chain.chain_id());
    assert!(rig.engine.reconciliation(network).await.unwrap().reached.row.is_some(), "and it did look");
    rig.stop().await;
}

/// T159: an asset that is not accepted any more was when its payments were made: they are on chain as the ledger says.
#[tokio::test(flavor = "multi_thread")]
async fn t159_payments_in_an_asset_of_before_are_no_difference() {
    let (every, gone) = (Arc::new(AtomicU64::new(100)), Arc::new(AtomicBool::new(false)));
    let (often, without) = (every.clone(), gone.clone());
    let mut rig = Rig::with(RigOptions {
        engine: Box::new(move |config| {
            config.reconcile = ReconcileConfig { every: Duration::from_millis(often.load(Ordering::SeqCst)), stop_above: 0 };
            evm(config).final_depth = 1;
            if without.load(Ordering::SeqCst) {
                config.assets = Assets::none();
            }
        }),
        ..RigOptions::default()
    })
    .await;
    compared(&rig).await;
    every.store(3_600_000, Ordering::SeqCst);
    rig.restart().await;
    for caller in ["a", "b", "c"] {
        assert!(settle(&rig, PAYER, caller).await.is_settled());
    }
    every.store(100, Ordering::SeqCst);
    gone.store(true, Ordering::SeqCst);
    rig.restart().await;
    rig.chain.mine().await;
    compared(&rig).await;
    assert_eq!(differences(&rig, None).await, BTreeMap::new());
    let network = Network::Evm(rig.chain.chain_id());
    assert!(rig.engine.reconciliation(network).await.unwrap().reached.row.is_some(), "and it did look");
    rig.stop().await;
}

/// T158, G32: at any scrape, also under load, what was received is the sum of all states; and all that was settled is counted.
#[tokio::test(flavor = "multi_thread")]
async fn t158_numbers_add_up_at_any_scrape() {
    let mut rig = rig(0).await;
    let scrape = async || {
        let metrics = get(&rig, "/metrics").await;
        assert_eq!(metrics.status, 200);
        let (mut states, mut received) = (BTreeMap::new(), 0);
        for line in metrics.text.lines().filter(|line| !line.starts_with('#')) {
            let (name, count) = line.rsplit_once(' ').unwrap();
            let count: u64 = count.parse().unwrap();
            if let Some((_, state)) = name.strip_prefix("h402_payments{").and_then(|labels| labels.split_once("state=\"")) {
                *states.entry(state.trim_end_matches("\"}").to_owned()).or_insert(0) += count;
            } else if name.starts_with("h402_payments_received_total{") {
                received += count;
            }
        }
        assert_eq!(states.values().sum::<u64>(), received, "{}", metrics.text);
        (states, received)
    };
    let calls = (0..24).map(async |n: usize| settle(&rig, PAYER + n % 6, &format!("shop-{n}")).await.is_settled());
    let watched = async {
        let mut last = 0;
        for _ in 0..40 {
            let (_, received) = scrape().await;
            assert!(received >= last, "a counter does not go back");
            last = received;
        }
    };
    let (settled, ()) = futures_util::future::join(futures_util::future::join_all(calls), watched).await;
    let settled = settled.into_iter().filter(|settled| *settled).count();
    let (states, received) = scrape().await;
    assert_eq!(received, 24);
    assert_eq!(usize::try_from(states["included"] + states["final"]).unwrap(), settled);
    rig.stop().await;
}
