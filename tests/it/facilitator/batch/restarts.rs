//! Transactions that carry several payments, and a process that ends meanwhile.

use super::*;
use h402_core::wire::h402;
use h402_tests::{
    process::{Process, ProcessOptions},
    rig::{Folder, Wallets},
};
use std::os::unix::process::ExitStatusExt;

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");

/// T142, T144: a stored transaction with many payments, forgotten by the node while the process was away, is sent again as
/// it is; all of its payments settle in it, and their callers hear so.
#[tokio::test(flavor = "multi_thread")]
async fn t142_a_transaction_of_many_payments_survives_a_restart() {
    let rig = patient(true).await;
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    let payments: Vec<_> = (0..20).map(|index| lucky(&rig, index)).collect();
    for payment in &payments {
        crowd.settle(payment.clone());
    }
    crowd.until_claimed(20).await;
    gate.open();
    crowd.until_sent(20).await;
    let pending = rig.chain.pending();
    // The callers are gone with the process.
    crowd.settling.iter().for_each(JoinHandle::abort);
    join_all(std::mem::take(&mut crowd.settling)).await;
    drop(crowd);
    let mut rig = until_alone(rig).await;
    rig.stop().await;
    for hash in &pending {
        assert!(rig.chain.drop_pending(*hash));
    }
    rig.reopen().await;
    rig.until_ready().await;
    until("the same bytes are there again", async || {
        let again = rig.chain.pending();
        pending.iter().all(|hash| again.contains(hash))
    })
    .await;
    let block = rig.chain.mine().await;
    let replies = join_all(payments.iter().enumerate().map(|(index, payment)| {
        let (rig, caller) = (&rig, format!("shop-{index}"));
        async move { settle(rig, payment, Some(&caller)).await }
    }))
    .await;
    all_settled(&replies);
    each_has_its_transfer(&rig, &replies);
    assert!(transfers_to_payee(&rig.chain).iter().skip(1).all(|transfer| transfer.block == block));
    assert_eq!(broadcasts(&rig), 1 + pending.len() as u64);
    assert_eq!(settle(&rig, &payments[0], Some("another")).await.word(), "duplicate_settlement");
}

/// A member that its mined transaction does not show, and the process ends before it went alone: the next one sees to it.
#[tokio::test(flavor = "multi_thread")]
async fn t142_a_missed_member_goes_alone_after_a_restart() {
    let rig = patient(true).await;
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    let missed = rig.payment(4, PRICE);
    crowd.settle(missed.clone());
    for index in 1..10 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(10).await;
    gate.open();
    crowd.until_sent(10).await;
    rig.chain.blacklist(rig.chain.usdc(), account(4).address, true).unwrap();
    // Whether the payment would fare better alone is not told before the process ends.
    let silence = Fault::Error(RpcError { code: -32000, message: "busy".into(), data: None });
    rig.chain.faults().add("eth_estimateGas", silence, Times::Always);
    let block = rig.chain.mine().await;
    until("the others are settled", async || states(&rig).await.get("included") == Some(&10)).await;
    rig.chain.blacklist(rig.chain.usdc(), account(4).address, false).unwrap();
    crowd.settling.iter().for_each(JoinHandle::abort);
    join_all(std::mem::take(&mut crowd.settling)).await;
    drop(crowd);
    let mut rig = until_alone(rig).await;
    rig.stop().await;
    rig.chain.faults().clear();
    rig.reopen().await;
    rig.until_ready().await;
    let sent = rig.chain.pending().len();
    assert!(sent <= 1);
    until("it goes alone", async || rig.chain.pending().len() == 1).await;
    assert_eq!(rig.chain.mine().await, block + 1);
    let settled = settle(&rig, &missed, Some("shop-0")).await;
    assert!(settled.is_settled(), "{settled:?}");
    let transfers: Vec<_> = transfers_to_payee(&rig.chain).into_iter().filter(|transfer| transfer.from == account(4).address).collect();
    assert_eq!(transfers.iter().map(|transfer| Some(transfer.tx_hash)).collect::<Vec<_>>(), [settled.transaction()]);
}

/// Waits until nobody else holds the rig.
pub(super) async fn until_alone(rig: Arc<Rig>) -> Rig {
    let mut rig = Some(rig);
    for _ in 0..3000 {
        match Arc::try_unwrap(rig.take().unwrap()) {
            Ok(alone) => return alone,
            Err(shared) => rig = Some(shared),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("somebody holds the rig");
}

/// T014, T142: the process dies with several payments in one transaction, at each step from its nonce to its receipt. The
/// next process settles each of them once, and tells each caller of its own transfer.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t142_killed_with_many_payments_in_one_transaction_each_is_settled_once() {
    let steps = ["nonce.alloc:2", "sign.post:2", "send.pre:2", "send.mid:2", "send.post:2", "receipt.post:3"];
    join_all(steps.map(killed)).await;
}

async fn killed(step: &str) {
    let chain = Chain::builder().start().await.unwrap();
    let folder = Folder::new();
    let wallets = Wallets::new(&chain);
    let requests: Vec<Vec<u8>> = (0..12)
        .map(|index| h402::encode_request(&wallets.payment(PAYER + index % 2, PRICE), &wallets.requirements(PRICE)).unwrap())
        .collect();
    let options = ProcessOptions { chaos: Some(step.to_owned()), ..ProcessOptions::default() };
    let mut dying = Process::start(PROGRAM, &folder, &chain.url(), &options).await;
    dying.until_ready().await;
    // The first is under way until the others wait behind it, or the client loses patience.
    let gate = chain.faults().hold("eth_sendRawTransaction");
    let asking = join_all(requests.iter().enumerate().map(|(index, request)| {
        let (dying, caller) = (&dying, format!("shop-{index}"));
        async move { dying.post("/settle", request, Some(&caller)).await }
    }));
    let opening = async {
        gate.reached(1).await;
        until("all are asked for", async || chain.faults().calls("eth_estimateGas") >= 12).await;
        gate.open();
    };
    tokio::join!(asking, opening);
    assert_eq!(dying.ended().await.signal(), Some(6), "{step}: it dies");
    let process = Process::start(PROGRAM, &folder, &chain.url(), &ProcessOptions::default()).await;
    process.until_ready().await;
    let mut told = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let caller = format!("shop-{index}");
        let reply = loop {
            let reply = Reply::from(process.post("/settle", request, Some(&caller)).await.expect("an answer"));
            if reply.status == 200 && reply.word() != "settlement_pending" {
                break reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(reply.is_settled(), "{step}: {reply:?}");
        told.push(reply.transaction().unwrap());
    }
    let mut made: Vec<B256> = transfers_to_payee(&chain).into_iter().map(|transfer| transfer.tx_hash).collect();
    made.sort_unstable();
    told.sort_unstable();
    assert_eq!(made, told, "{step}");
    assert!(chain.pending().is_empty(), "{step}");
    assert!(chain.nonce(account(GAS).address) <= 12, "{step}");
}
