//! Payments on Solana, over the facilitator's own sockets and a local cluster.

mod books;
mod brought;
mod claims;
mod expiry;
mod outcome;
mod reorg;
mod replay;
mod requests;
mod secrets;
mod sent;
mod sponsor;
mod start;

use super::{Reply, until};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use h402_core::{Asset, Payload, PaymentPayload, SignedSolanaTransaction, solana::SolanaTransaction};
use h402_devnet::solana::Signature;
use h402_tests::cluster::{ClusterRig, PAYER, SPONSOR};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a call costs, in the smallest unit of any asset.
const PRICE: u128 = 1_000_000;

async fn verify(rig: &ClusterRig, payment: &PaymentPayload, asset: &Arc<Asset>, caller: Option<&str>) -> Reply {
    rig.post("/verify", payment, &rig.requirements(asset, PRICE), caller).await.into()
}

async fn settle(rig: &ClusterRig, payment: &PaymentPayload, asset: &Arc<Asset>, caller: Option<&str>) -> Reply {
    rig.post("/settle", payment, &rig.requirements(asset, PRICE), caller).await.into()
}

/// Settles a payment in USDC that the cluster holds back: once it is there, something happens, and then it goes on.
async fn settle_held(rig: &ClusterRig, payment: &PaymentPayload, meanwhile: impl FnOnce()) -> Reply {
    let going_on = async {
        until("it is held", async || rig.chain.held().len() == 1).await;
        meanwhile();
        rig.chain.release();
    };
    tokio::join!(settle(rig, payment, &rig.usdc, Some("shop")), going_on).0
}

/// What the ledger says of a payment.
async fn state(rig: &ClusterRig, id: &str) -> String {
    let reply = Reply::from(rig.get(&format!("/payments/{id}")).await);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["state"].as_str().unwrap().to_owned()
}

/// Waits until the ledger says so.
async fn until_state(rig: &ClusterRig, id: &str, wanted: &str) {
    until(&format!("{id} is {wanted}"), async || state(rig, id).await == wanted).await;
}

/// The signed bytes of a payment.
fn bytes(payment: &PaymentPayload) -> &SignedSolanaTransaction {
    let Payload::SolanaTransaction(signed) = &payment.payload else { panic!("not signed") };
    signed
}

/// A payment with other bytes.
fn with_bytes(payment: &PaymentPayload, transaction: Vec<u8>) -> PaymentPayload {
    let signed = SignedSolanaTransaction { transaction: transaction.into(), ..bytes(payment).clone() };
    PaymentPayload { payload: Payload::SolanaTransaction(signed), ..payment.clone() }
}

/// The first signature of a payment that its payer pays the fee of.
fn signature(payment: &PaymentPayload) -> Signature {
    SolanaTransaction::decode(&bytes(payment).transaction).unwrap().signatures[0].into()
}

/// Calls a method of the node; its result.
async fn rpc(rig: &ClusterRig, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let request = http::Request::post(rig.chain.url()).header("content-type", "application/json").body(body.into()).unwrap();
    let (_, answer) = h402_tests::http::send(request).await;
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].take()
}

/// Hands a payment to the node, as its payer can.
async fn send(rig: &ClusterRig, payment: &PaymentPayload) {
    let transaction = STANDARD.encode(&bytes(payment).transaction);
    rpc(rig, "sendTransaction", json!([transaction, { "encoding": "base64", "skipPreflight": true }])).await;
}

/// Calls of this method so far.
fn calls(rig: &ClusterRig, method: &str) -> u64 {
    rig.chain.faults().calls(method)
}

/// Every asset with every way to pay the fee.
fn ways(rig: &ClusterRig) -> Vec<(Arc<Asset>, Option<usize>)> {
    [&rig.sol, &rig.usdc].into_iter().flat_map(|asset| [(asset.clone(), None), (asset.clone(), Some(SPONSOR))]).collect()
}

/// SOL and a token, the fee paid by the payer or by us: verified, settled, seen on chain, final once the cluster is sure;
/// the same caller hears it again, another one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_payment_is_settled_once() {
    let rig = ClusterRig::start().await;
    for (asset, sponsor) in ways(&rig) {
        let name = format!("{} {sponsor:?}", asset.symbol);
        let before = rig.received(&asset);
        let payment = rig.payment(PAYER, &asset, PRICE, sponsor);
        let verified = verify(&rig, &payment, &asset, Some("shop")).await;
        assert!(verified.is_valid(), "{name}: {verified:?}");
        let settled = settle(&rig, &payment, &asset, Some("shop")).await;
        assert!(settled.is_settled(), "{name}: {settled:?}");
        assert_eq!(u128::from(rig.received(&asset) - before), PRICE, "{name}");
        let hash: Signature = settled.json()["transaction"].as_str().unwrap().parse().unwrap();
        assert_eq!(rig.chain.outcome(&hash).unwrap().error, None, "{name}");
        assert_eq!(settle(&rig, &payment, &asset, Some("shop")).await.text, settled.text, "{name}");
        assert_eq!(settle(&rig, &payment, &asset, Some("other")).await.word(), "duplicate_settlement", "{name}");
        let id = verified.payment_id();
        assert_eq!(state(&rig, &id).await, "included", "{name}");
        rig.chain.finalize();
        until_state(&rig, &id, "final").await;
        assert_eq!(u128::from(rig.received(&asset) - before), PRICE, "{name}: once");
    }
}
