//! The ledger is lost, or an old copy of it is put back.

use super::{PRICE, settle, transfers, verify};
use crate::gate::{Door, sells_all};
use h402_core::{Amount, Offer, PaymentPayload};
use h402_devnet::evm::account;
use h402_facilitator::EngineConfig;
use h402_tests::{
    cluster::{self, ClusterRig},
    rig::{Folder, PAYEE, Rig, RigOptions},
    shop::{self, ORIGIN, Runs, Shop, get, grants, header, remote},
    transactions::sign,
};
use h402_tower::{
    gate::{Gate, Origin, Price},
    remote::RemoteFacilitator,
};
use std::{path::Path, time::Duration};

/// Puts the databases of one folder, without their locks, in the place of those of another.
fn put(from: &Path, to: &Path) {
    put_named("", from, to);
}

/// Puts those whose names begin so.
fn put_named(prefix: &str, from: &Path, to: &Path) {
    for folder in [to, from] {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            match (name.starts_with(prefix) && name.contains(".sqlite") && !name.ends_with(".lock"), folder == to) {
                (true, true) => std::fs::remove_file(&file).unwrap(),
                (true, false) => drop(std::fs::copy(&file, to.join(name)).unwrap()),
                (false, _) => {}
            }
        }
    }
}

async fn accepting() -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| config.accept_sent = true);
    Rig::with(RigOptions { engine, ..RigOptions::default() }).await
}

/// One payment of each kind, all settled.
async fn paid(rig: &Rig) -> Vec<PaymentPayload> {
    let payee = account(PAYEE).address;
    let signed = sign(3, rig.token_transfer(3, payee, PRICE));
    let sent = rig.send(4, rig.token_transfer(4, payee, PRICE)).await;
    let payments = vec![rig.payment(2, PRICE), rig.by_transaction(3, &signed), rig.by_hash(4, sent)];
    for payment in &payments {
        let settled = settle(rig, payment, Some("shop-1")).await;
        assert!(settled.is_settled(), "{settled:?}");
    }
    payments
}

/// Starts again some seconds later, on whatever ledger is there, and has the chain go on.
async fn later(rig: &mut Rig) {
    rig.clock.advance(Duration::from_secs(10));
    rig.reopen().await;
    rig.until_ready().await;
    rig.chain.advance_time(10);
}

async fn refused(rig: &Rig, payments: &[PaymentPayload]) {
    let before = transfers(rig);
    for payment in payments {
        for caller in [Some("shop-1"), Some("shop-2"), None] {
            let (verified, settled) = (verify(rig, payment, caller).await, settle(rig, payment, caller).await);
            assert!(!verified.is_valid() && !settled.is_settled(), "{verified:?} {settled:?}");
            assert_ne!(settled.word(), "settlement_pending");
        }
    }
    assert_eq!(transfers(rig), before, "nothing is paid twice");
}

/// T152: what was paid after the copy was made, or with a ledger that is gone, is neither settled nor good again, of whatever
/// kind: the chain shows that it is used, or it was sent before the start. What the copy knows keeps its answer, and who pays
/// anew is served.
#[tokio::test(flavor = "multi_thread")]
async fn t152_no_payment_counts_again_with_an_old_ledger_or_none() {
    let mut rig = accepting().await;
    let known = paid(&rig).await;
    rig.stop().await;
    let copy = Folder::new();
    put(rig.folder.path(), copy.path());
    later(&mut rig).await;
    let forgotten = paid(&rig).await;
    rig.stop().await;

    put(copy.path(), rig.folder.path());
    later(&mut rig).await;
    refused(&rig, &forgotten).await;
    for payment in &known {
        assert!(settle(&rig, payment, Some("shop-1")).await.is_settled(), "the copy knows it");
        assert_eq!(settle(&rig, payment, Some("shop-2")).await.word(), "duplicate_settlement");
    }
    let anew = paid(&rig).await;
    rig.stop().await;

    put(Folder::new().path(), rig.folder.path());
    later(&mut rig).await;
    for payments in [&known, &forgotten, &anew] {
        refused(&rig, payments).await;
    }
    let before = transfers(&rig);
    paid(&rig).await;
    assert_eq!(transfers(&rig), before + 3);
}

/// T152: the same at a gate whose grants are put back, or gone, alone or together with the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn t152_a_gate_serves_no_payment_again_with_old_grants_or_none() {
    let mut rig = Rig::start().await;
    let runs = Runs::default();
    let file = rig.folder.path().join("grants.sqlite");
    let open = async |rig: &Rig| {
        let grants = grants(&file, &rig.clock).await;
        let gate = Gate::new(remote(rig), grants.clone(), Origin::parse(ORIGIN).unwrap(), shop::price(rig, shop::PRICE));
        (Shop::open(sells_all(gate.with_clock(rig.clock.clone()).build().unwrap(), &runs)).await, grants)
    };
    // Buys once by each kind; the headers.
    let buy = async |rig: &Rig, shop: &Shop| {
        let signed = sign(3, rig.token_transfer(3, account(PAYEE).address, shop::PRICE));
        let headers = [rig.pay(2), header(&rig.pay_by_transaction(3, &signed, "/a"))];
        let before = Door::look(rig, &runs);
        for payment in &headers {
            assert_eq!(shop.ask(&get("/a").paying(payment)).await.status, 200);
        }
        assert_eq!(before.since(rig, &runs), Door { runs: 2, transfers: 2 });
        headers
    };
    let (shop, held) = open(&rig).await;
    let known = buy(&rig, &shop).await;
    drop(shop);
    held.close().await.unwrap();
    rig.stop().await;
    let copy = Folder::new();
    put(rig.folder.path(), copy.path());
    later(&mut rig).await;
    let (shop, held) = open(&rig).await;
    let forgotten = buy(&rig, &shop).await;
    drop(shop);
    held.close().await.unwrap();
    rig.stop().await;

    // The ledger is whole, the grants are not: they know nothing of what was served, and the ledger must not vouch for it.
    put_named("grants", copy.path(), rig.folder.path());
    later(&mut rig).await;
    let (shop, held) = open(&rig).await;
    let before = Door::look(&rig, &runs);
    for payment in &forgotten {
        let reply = shop.ask(&get("/a").paying(payment)).await;
        assert_eq!((reply.status, reply.word().as_str()), (409, "duplicate_settlement"), "{reply:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    for payment in &known {
        assert_eq!(shop.ask(&get("/a").paying(payment)).await.status, 200, "the copy has its answer");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    buy(&rig, &shop).await;
    drop(shop);
    held.close().await.unwrap();
    rig.stop().await;

    let empty = Folder::new();
    for (old, lost) in [(&copy, vec![&forgotten]), (&empty, vec![&known, &forgotten])] {
        put(old.path(), rig.folder.path());
        later(&mut rig).await;
        let (shop, held) = open(&rig).await;
        let before = Door::look(&rig, &runs);
        for payment in lost.into_iter().flatten() {
            for target in ["/a", "/b"] {
                let reply = shop.ask(&get(target).paying(payment)).await;
                assert!(matches!(reply.status, 402 | 409), "{reply:?}");
            }
        }
        assert_eq!(before.since(&rig, &runs), Door::SHUT);
        buy(&rig, &shop).await;
        drop(shop);
        held.close().await.unwrap();
        rig.stop().await;
    }
}

/// T013, T152: a gate forgets a payment on Solana some days after it lapsed, or with an old copy of its grants. Its bytes stand
/// on the chain for ever: whoever presents them then is sold nothing, though the ledger knows that this very request was paid
/// for with them.
#[tokio::test(flavor = "multi_thread")]
async fn t013_t152_a_payment_on_solana_that_the_gate_forgot_buys_nothing() {
    let rig = ClusterRig::start().await;
    let (folder, copy) = (Folder::new(), Folder::new());
    let runs = Runs::default();
    let offer = Offer::new(rig.usdc.clone(), Amount::from_atomic(shop::PRICE), cluster::address(cluster::PAYEE).into()).unwrap();
    let open = async || {
        let grants = grants(&folder.path().join("grants.sqlite"), &rig.clock).await;
        let facilitator = RemoteFacilitator::new(&rig.url).unwrap();
        let gate = Gate::new(facilitator, grants.clone(), Origin::parse(ORIGIN).unwrap(), Price::offers([offer.clone()]).unwrap());
        (Shop::open(sells_all(gate.with_clock(rig.clock.clone()).build().unwrap(), &runs)).await, grants)
    };
    let fresh = || {
        let payment = rig.payment(cluster::PAYER, &rig.usdc, shop::PRICE, Some(cluster::SPONSOR));
        get("/a").paying(&header(&PaymentPayload { resource: None, ..payment }))
    };
    let (shop, held) = open().await;
    drop(shop);
    held.close().await.unwrap();
    put(folder.path(), copy.path());

    let (shop, held) = open().await;
    let payment = fresh();
    for _ in 0..2 {
        assert_eq!(shop.ask(&payment).await.status, 200);
    }
    drop(shop);
    held.close().await.unwrap();
    for after in [Duration::ZERO, Duration::from_secs(3 * 24 * 3600 + 3600)] {
        put(copy.path(), folder.path());
        rig.clock.advance(after);
        let (shop, held) = open().await;
        let reply = shop.ask(&payment).await;
        assert_eq!((reply.status, reply.word().as_str()), (409, "duplicate_settlement"), "{reply:?}");
        assert_eq!(runs.count(), 1);
        drop(shop);
        held.close().await.unwrap();
    }
    // Honest twin: who pays anew is served.
    let (shop, _held) = open().await;
    assert_eq!(shop.ask(&fresh()).await.status, 200);
    assert_eq!(runs.count(), 2);
}
