//! Our gate and our client, in this process.

use super::{
    chains::Person,
    parties::{Chain, Facilitator, Gate},
    program::Bought,
    street::PRICE,
};
use crate::shop::Shop;
use axum::{Json, Router, extract::State, routing::get};
use bytes::Bytes;
use h402_core::{Assets, Dialect, EvmKey, Network, SolanaKey};
use h402_tower::{
    gate::{self, MemoryGrants, Origin, Payee, Price},
    pay::{Cap, EvmWallet, HttpHints, Paid, Pay, SolanaWallet},
    remote::RemoteFacilitator,
};
use http::{Response, Uri};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};

/// How often each cell was served.
type Served = Arc<Mutex<HashMap<String, u64>>>;

/// Opens a shop behind our gate, which asks the facilitator in a dialect that it knows: a route for each chain, and a handler
/// that counts.
pub(super) async fn open(kind: Gate, facilitator: Facilitator, url: &str, payee: &Person) -> Shop {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let dialect = match facilitator {
        Facilitator::Ours => Dialect::H402V1,
        Facilitator::NodeV2 | Facilitator::Python => Dialect::X402V2,
        Facilitator::NodeV1 => Dialect::X402V1,
    };
    let mut routes = Router::new();
    for chain in Chain::ALL {
        let network: Network = chain.network().parse().unwrap();
        let payee = Payee::new(network, payee.address(chain).parse().unwrap());
        let price = Price::usd(PRICE.trim_start_matches('$')).to(&[payee], &Assets::known()).unwrap();
        let facilitator = RemoteFacilitator::new(url).unwrap().with_dialect(dialect);
        let gate = gate::Gate::new(facilitator, MemoryGrants::new().unwrap(), Origin::parse(&origin).unwrap(), price);
        let gate = match kind {
            Gate::OursV1 => gate.with_x402_v1_body(),
            _ => gate,
        };
        let gate = gate.build().unwrap();
        gate.prepare().await.unwrap();
        routes = routes.route(&format!("/{}", chain.word()), get(serve).route_layer(gate));
    }
    Shop::at(listener, routes.route("/served", get(count)).with_state(Served::default()))
}

async fn serve(State(served): State<Served>, asked: Uri) -> Json<Value> {
    let cell = cell(&asked);
    *served.lock().unwrap().entry(cell.clone()).or_default() += 1;
    Json(json!({ "served": cell }))
}

async fn count(State(served): State<Served>, asked: Uri) -> Json<u64> {
    Json(served.lock().unwrap().get(&cell(&asked)).copied().unwrap_or_default())
}

fn cell(asked: &Uri) -> String {
    asked.query().and_then(|query| query.strip_prefix("cell=")).unwrap_or_default().to_owned()
}

/// Buys with our client. It comes back by itself while the outcome is unknown.
pub(super) async fn buy(url: &str, chain: Chain, key: &str, solana: &str) -> Bought {
    // As dear as anything here is.
    let cap = Cap::usd("0.01", &Assets::known()).unwrap();
    let request = http::Request::get(url).body(Full::<Bytes>::default()).unwrap();
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Full<Bytes>>();
    // What is between client and gate has an address of its own.
    let answer = match chain {
        Chain::Evm => {
            let wallet = EvmWallet::from_key(EvmKey::from_hex(key).unwrap());
            let pay = Pay::new(wallet, cap).with_foreign_resource_allowed_insecure();
            pay.layer(client).oneshot(request).await.map(Response::into_parts)
        }
        Chain::Solana => {
            let wallet = SolanaWallet::from_key(SolanaKey::from_text(key).unwrap());
            let network = chain.network().parse().unwrap();
            let hints = HttpHints::new(client.clone()).with_rpc(network, solana.parse().unwrap());
            let wallet = wallet.with_key_of_cluster_only(network).with_hints(hints);
            let pay = Pay::new(wallet, cap).with_foreign_resource_allowed_insecure();
            pay.layer(client).oneshot(request).await.map(Response::into_parts)
        }
    };
    match answer {
        Ok((head, _)) => {
            let receipt = head.extensions.get::<Paid>().and_then(|paid| paid.receipt.as_ref());
            let receipt = receipt
                .map(|receipt| json!({ "success": receipt.success, "transaction": receipt.transaction.as_ref().map(ToString::to_string) }));
            Bought { status: Some(head.status.as_u16()), receipt, ..Bought::default() }
        }
        Err(error) => Bought { error: Some(error.to_string()), ..Bought::default() },
    }
}
