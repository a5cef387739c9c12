//! The paid Solana RPC proxy from end to end: real sockets, a real facilitator on a real chain, nodes by script.

mod agents;
mod calls;
mod cluster;
mod node;
mod refusals;
mod upstreams;

use h402_core::{
    Facilitator, Grants, PaymentPayload,
    wire::{h402, x402},
};
use h402_examples::solana_rpc_proxy::{Accepted, Metrics, PriceTable, Settings, Tariff, Upstreams, routes};
use h402_tests::{
    raw::{Ask, Reply},
    rig::{PAYEE, Rig},
    shop::{self, HOST, ORIGIN, Shop},
};
use h402_tower::gate::{MemoryGrants, Origin};
use node::Node;
use std::{sync::Arc, time::Duration};

/// What a call costs that the tariff does not name, and others, in millionths of a dollar.
const DEFAULT: u128 = 100;
const SEND: u128 = 1_000;
const SCAN: u128 = 5_000;

/// A proxy with its nodes.
struct Proxy {
    shop: Shop,
    metrics: Metrics,
    nodes: Vec<Node>,
}

impl Proxy {
    /// One node, a facilitator in the same process, grants in memory.
    async fn start(rig: &Rig) -> Self {
        Self::with(rig, 1, |_| ()).await
    }

    /// As many nodes as are asked for, and other settings.
    async fn with(rig: &Rig, nodes: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut running = Vec::new();
        for _ in 0..nodes {
            running.push(Node::start(rig).await);
        }
        Self::before(rig, running, shop::local(rig), MemoryGrants::new().unwrap(), change).await
    }

    /// Before nodes that run already.
    async fn before<F: Facilitator, G: Grants>(
        rig: &Rig,
        nodes: Vec<Node>,
        facilitator: F,
        grants: G,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = settings(rig, &nodes);
        change(&mut settings);
        let (routes, metrics) = routes(settings, facilitator, grants).unwrap();
        Self { shop: Shop::open(routes).await, metrics, nodes }
    }

    fn node(&self) -> &Node {
        &self.nodes[0]
    }

    async fn ask(&self, body: &str) -> Reply {
        self.shop.ask(&post(body)).await
    }

    async fn pay(&self, payment: &str, body: &str) -> Reply {
        self.shop.ask(&post(body).paying(payment)).await
    }
}

fn settings(rig: &Rig, nodes: &[Node]) -> Settings {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let tariff = Tariff {
        default: "0.0001".into(),
        free: list(&["getHealth", "getVersion"]),
        deny: list(&["denied"]),
        upfront: list(&["sendTransaction", "sendError"]),
        methods: [("sendTransaction", "0.001"), ("sendError", "0.001"), ("getProgramAccounts", "0.005")]
            .map(|(method, price)| (method.to_owned(), price.to_owned()))
            .into(),
        minimum: None,
    };
    let pay_to = h402_core::Address::Evm(h402_devnet::evm::account(PAYEE).address);
    let accepted = [Accepted { asset: rig.asset.clone(), pay_to, per_dollar: None }];
    Settings {
        origin: Origin::parse(ORIGIN).unwrap(),
        allowed_hosts: Vec::new(),
        prices: PriceTable::new(&tariff, &accepted).unwrap(),
        upstreams: Arc::new(Upstreams::new(nodes.iter().map(|node| node.url.parse().unwrap()).collect())),
        timeout: Duration::from_secs(5),
        max_body: 4096,
        max_batch: 20,
        max_in_flight: 256,
        redeliveries: 0,
    }
}

fn post(body: &str) -> Ask {
    Ask::new("POST", "/", HOST).with("Content-Type", "application/json").body(body.to_owned())
}

/// A call of a method without parameters.
fn call(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"7","method":"{method}"}}"#)
}

/// A batch of such calls.
fn batch(methods: &[&str]) -> String {
    format!("[{}]", methods.iter().map(|method| call(method)).collect::<Vec<_>>().join(","))
}

/// A payment of so much, as a header.
fn paying(rig: &Rig, payer: usize, amount: u128) -> String {
    shop::header(&bearer(rig, payer, amount))
}

fn bearer(rig: &Rig, payer: usize, amount: u128) -> PaymentPayload {
    rig.bearer(payer, amount)
}

/// The amounts that a 402 asks for.
fn asked(reply: &Reply) -> Vec<u128> {
    assert_eq!(reply.status, 402, "{reply:?}");
    let accepts = reply.json()["accepts"].as_array().unwrap().clone();
    accepts.iter().map(|offer| offer["amountRequired"].as_u64().unwrap().into()).collect()
}

/// Whether an answer says that it was charged.
fn is_charged(reply: &Reply) -> bool {
    if let Some(receipt) = reply.header("payment-response") {
        return x402::v2::decode_receipt(receipt.as_bytes()).unwrap().success;
    }
    reply.has("x-payment-response") && h402::decode_receipt(reply.receipt().as_bytes()).unwrap().success
}
