//! Going down: what runs gets its answer, what comes is sent away, nothing is lost, and it ends.

use super::{PRICE, Reply, settle, settle_until_ended, told, transfers, until, until_pending, verify};
use h402_core::wire::h402;
use h402_devnet::evm::BlockTime;
use h402_facilitator::EngineConfig;
use h402_tests::{
    http::Connection,
    rig::{PAYER, Rig, RigOptions},
};
use std::time::Duration;

/// A request as bytes, for connections that are kept.
fn settle_request(rig: &Rig, payment: &h402_core::PaymentPayload, caller: &str) -> Vec<u8> {
    let body = h402::encode_request(payment, &rig.requirements(PRICE)).unwrap();
    let head = format!("POST /settle HTTP/1.1\r\nhost: a\r\nidempotency-key: {caller}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// Ends the rig while something else goes on; it must end in time.
async fn stop(rig: &mut Rig) {
    tokio::time::timeout(Duration::from_secs(40), rig.stop()).await.expect("it ends");
}

/// A settlement that has not been claimed yet when the signal comes is finished; one that comes later is not begun.
#[tokio::test(flavor = "multi_thread")]
async fn t155_a_settlement_that_runs_gets_its_answer_and_a_new_one_is_sent_away() {
    let mut rig = Rig::start().await;
    let (running, late) = (rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE));
    let id = super::matched(&rig, &running).key().to_string();
    let mut first = Connection::open(&rig.url).await;
    let mut second = Connection::open(&rig.url).await;
    let (first_request, late_request) = (settle_request(&rig, &running, "shop-1"), settle_request(&rig, &late, "shop-2"));
    let gate = rig.chain.faults().hold("eth_call");
    first.write(&first_request).await;
    gate.reached(1).await;
    let engine = rig.engine.clone();
    let others = async {
        until("it is stopping", async || engine.ready().await.stopping).await;
        second.write(&late_request).await;
        let refused = Reply::from(second.read().await);
        assert_eq!((refused.status, refused.word().as_str()), (503, "dependency_unavailable"), "{refused:?}");
        gate.open();
        let settled = Reply::from(first.read().await);
        assert!(settled.is_settled(), "{settled:?}");
        settled
    };
    let ((), settled) = tokio::join!(stop(&mut rig), others);
    assert_eq!(transfers(&rig), 1);
    rig.reopen().await;
    rig.until_ready().await;
    assert_eq!(told(&rig, &id).await["transaction"], settled.transaction().unwrap().to_string());
    assert_eq!(settle(&rig, &running, Some("shop-1")).await, settled);
    assert!(settle(&rig, &late, Some("shop-2")).await.is_settled(), "what was sent away was not begun");
}

/// A settlement that waits for its block is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn t155_a_settlement_that_waits_for_its_block_is_waited_for() {
    let mut rig = Rig::with(RigOptions { block_time: BlockTime::Manual, ..RigOptions::default() }).await;
    let payment = rig.payment(PAYER, PRICE);
    let mut connection = Connection::open(&rig.url).await;
    connection.write(&settle_request(&rig, &payment, "shop-1")).await;
    until_pending(&rig, 1).await;
    let (engine, chain) = (rig.engine.clone(), rig.chain.clone());
    let others = async {
        until("it is stopping", async || engine.ready().await.stopping).await;
        chain.mine().await;
        assert!(Reply::from(connection.read().await).is_settled());
    };
    tokio::join!(stop(&mut rig), others);
    assert_eq!(transfers(&rig), 1);
}

/// One that does not get its block in time is told so, and goes on after the restart.
#[tokio::test(flavor = "multi_thread")]
async fn t155_a_settlement_without_a_block_is_pending_and_goes_on_later() {
    let engine = Box::new(|config: &mut EngineConfig| config.answer_within = Duration::from_millis(400));
    let mut rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let payment = rig.payment(PAYER, PRICE);
    let mut connection = Connection::open(&rig.url).await;
    connection.write(&settle_request(&rig, &payment, "shop-1")).await;
    until_pending(&rig, 1).await;
    let (pending, ()) = tokio::join!(connection.read(), stop(&mut rig));
    let pending = Reply::from(pending);
    assert_eq!(pending.word(), "settlement_pending");
    rig.chain.mine().await;
    rig.reopen().await;
    rig.until_ready().await;
    let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
    assert!(settled.is_settled());
    assert_eq!((settled.transaction(), transfers(&rig)), (pending.transaction(), 1));
}

/// Connections on which nothing happens, or half a request, do not keep the process alive.
#[tokio::test(flavor = "multi_thread")]
async fn t155_idle_and_half_done_clients_do_not_hold_it_up() {
    let mut rig = Rig::start().await;
    let request = settle_request(&rig, &rig.payment(PAYER, PRICE), "shop-1");
    let mut idle = Connection::open(&rig.url).await;
    idle.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(idle.read().await.0, 200);
    let silent = Connection::open(&rig.url).await;
    let mut half_head = Connection::open(&rig.url).await;
    half_head.write(b"POST /settle HTTP/1.1\r\nhost: a\r\ncontent-le").await;
    let mut half_body = Connection::open(&rig.url).await;
    half_body.write(&request[..request.len() - 10]).await;
    // All of them have arrived.
    assert!(verify(&rig, &rig.payment(PAYER, PRICE), None).await.is_valid());
    tokio::time::timeout(Duration::from_secs(20), rig.stop()).await.expect("it ends");
    drop((idle, silent, half_head, half_body));
}

/// A caller that hung up counts as one until its work is done: its row is not left behind.
#[tokio::test(flavor = "multi_thread")]
async fn t155_work_whose_caller_is_gone_is_finished_first() {
    let mut rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let gate = rig.chain.faults().hold("eth_call");
    {
        let mut connection = Connection::open(&rig.url).await;
        connection.write(&settle_request(&rig, &payment, "shop-1")).await;
        gate.reached(1).await;
    }
    let engine = rig.engine.clone();
    let others = async {
        until("it is stopping", async || engine.ready().await.stopping).await;
        gate.open();
    };
    tokio::join!(stop(&mut rig), others);
    rig.reopen().await;
    rig.until_ready().await;
    let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
    assert!(settled.is_settled());
    assert_eq!(transfers(&rig), 1);
}
