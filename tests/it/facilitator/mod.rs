//! The facilitator under attack, over its own sockets.

mod authorization;
mod batch;
mod books;
mod budget;
mod contracts;
mod crowded;
mod dialects;
mod discovery;
mod floods;
mod kinds;
mod ledger;
mod load;
mod outcome;
mod permit2;
mod policy;
mod races;
mod reconcile;
mod recovery;
mod reorg;
mod replicas;
mod restart;
mod restored;
mod scale_out;
mod secrets;
mod sent;
mod shutdown;
mod signed;
mod solana;
mod solana_rpc;
mod stuck;
mod surface;
mod tokens;
mod unexplained;

use alloy_primitives::{B256, Bytes};
use h402_core::{Amount, Asset, Matched, Offer, PaymentPayload, Requirements, Resource, wire::h402};
use h402_devnet::evm::{Chain, Transfer, account};
use h402_facilitator::evm::EvmChain;
use h402_tests::rig::{GAS, PAYEE, Rig};
use serde_json::Value;
use std::{future::Future, sync::Arc, time::Duration};

/// What a call costs.
pub(crate) const PRICE: u128 = 10_000;

/// An answer of the facilitator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl From<(u16, String)> for Reply {
    fn from((status, text): (u16, String)) -> Self {
        Self { status, text }
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn field(&self, name: &str) -> String {
        self.json().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn says(&self, name: &str) -> bool {
        assert_eq!(self.status, 200, "{self:?}");
        self.json().get(name).and_then(Value::as_bool).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.says("isValid")
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.says("success")
    }

    /// Our own word for a refusal.
    pub(crate) fn word(&self) -> String {
        let json = self.json();
        // Refusals carry word and text in one field, other errors the word alone in `error`.
        let text = match json.get("isValid") {
            Some(_) => self.field("errorMessage"),
            None => self.field("error"),
        };
        text.split(':').next().unwrap_or_default().to_owned()
    }

    /// The transaction that it names.
    pub(crate) fn transaction(&self) -> Option<B256> {
        self.field("transaction").parse().ok()
    }

    pub(crate) fn payment_id(&self) -> String {
        self.field("paymentId")
    }
}

pub(crate) async fn verify(rig: &Rig, payment: &PaymentPayload, caller: Option<&str>) -> Reply {
    rig.post("/verify", payment, PRICE, caller).await.into()
}

pub(crate) async fn settle(rig: &Rig, payment: &PaymentPayload, caller: Option<&str>) -> Reply {
    rig.post("/settle", payment, PRICE, caller).await.into()
}

/// Asks again as long as the settlement is pending.
pub(crate) async fn settle_until_ended(rig: &Rig, payment: &PaymentPayload, caller: Option<&str>) -> Reply {
    for _ in 0..200 {
        let reply = settle(rig, payment, caller).await;
        if reply.word() != "settlement_pending" {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("pending for ever");
}

/// Asks for a payment of any asset.
pub(crate) async fn ask(rig: &Rig, path: &str, payment: &PaymentPayload, requirements: &Requirements, caller: Option<&str>) -> Reply {
    rig.post_body(path, h402::encode_request(payment, requirements).unwrap(), caller).await.into()
}

/// Requirements of the price in any asset, to any account.
pub(crate) fn requirements(asset: &Asset, pay_to: alloy_primitives::Address, units: u128) -> Requirements {
    let offer = Offer::new(Arc::new(asset.clone()), Amount::from_atomic(units), pay_to.into()).unwrap();
    let resource = Arc::new(Resource { url: "http://127.0.0.1/paid".into(), description: None, mime_type: None });
    Requirements { offer: Arc::new(offer), resource, lifetime_seconds: Some(70), solana: None, facilitator: None }
}

/// What the ledger says of a payment.
pub(crate) async fn told(rig: &Rig, id: &str) -> Value {
    let reply = Reply::from(rig.get(&format!("/payments/{id}")).await);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

pub(crate) fn matched(rig: &Rig, payment: &PaymentPayload) -> Matched {
    let body = h402::encode_request(payment, &rig.requirements(PRICE)).unwrap();
    h402::decode_request(&body, rig.engine.assets()).unwrap().matched().unwrap()
}

/// The call data that settles a payment by authorization, as anybody who has seen it can send it.
pub(crate) fn settlement_call(rig: &Rig, payment: &PaymentPayload) -> Bytes {
    EvmChain::settlement_call(&matched(rig, payment)).unwrap().1
}

/// Transfers of the chain's token to the payee, as the chain's own blocks have them.
pub(crate) fn transfers_to_payee(chain: &Chain) -> Vec<Transfer> {
    chain.transfers(chain.usdc()).into_iter().filter(|transfer| transfer.to == account(PAYEE).address).collect()
}

/// How many there are.
pub(crate) fn transfers(rig: &Rig) -> usize {
    transfers_to_payee(&rig.chain).len()
}

/// Transactions of the facilitator in blocks.
pub(crate) fn broadcasts(rig: &Rig) -> u64 {
    rig.chain.nonce(account(GAS).address)
}

/// Calls that handed a transaction to the node.
pub(crate) fn sends(rig: &Rig) -> u64 {
    rig.chain.faults().calls("eth_sendRawTransaction")
}

/// Waits for something that must come true soon.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Waits until so many transactions wait for a block.
pub(crate) async fn until_pending(rig: &Rig, count: usize) {
    until(&format!("{count} pending"), async || rig.chain.pending().len() == count).await;
}
