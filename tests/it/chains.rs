//! The whole story on a chain of either make: the default run uses ours, `cargo xtask anvil` an independent one.

mod stuck;

use axum::{Router, routing::get};
use bytes::Bytes;
use h402_core::{Address, Amount, Assets, Network, Offer, TransactionId};
use h402_devnet::evm::{MULTICALL3, account};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, Signer, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    sqlite::{OpenOptions, SqlGrants, SqliteStore},
};
use h402_tests::{
    node::{CHAIN_ID, Node},
    rig::{Folder, GAS, PAYEE, PAYER, key},
};
use h402_tower::{
    gate::{Gate, Origin, Price},
    pay::{Cap, EvmWallet, HttpHints, Paid, Pay, PayError, PayService, Wallet},
    remote::RemoteFacilitator,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

const CENT: u128 = 10_000;
const MILLIETHER: u128 = 1_000_000_000_000_000;

type Http = Client<HttpConnector, Full<Bytes>>;

/// A chain, a facilitator and a gated shop.
struct Street {
    node: Node,
    shop: String,
    engine: Engine<SqliteStore, SystemClock>,
    _folder: Folder,
}

impl Street {
    async fn open() -> Self {
        let node = Node::start().await;
        let assets = Assets::none().with(node.usdc()).with(node.ether());
        let signer = Signer::Local(key(GAS));
        let rpc = Rpc::new(RpcConfig::new(vec![node.url.parse().unwrap()]));
        let chain = EvmChain::new(EvmConfig { chain_id: CHAIN_ID, multicall3: Some(MULTICALL3), simulate_from: signer.address(), rpc });
        let network = EvmNetwork { poll: Duration::from_millis(50), ..EvmNetwork::new(chain, signer) };
        let folder = Folder::new();
        let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
        let config = EngineConfig { answer_within: Duration::from_secs(2), ..EngineConfig::new(assets, vec![network.into()]) };
        let engine = Engine::start(config, store, SystemClock).await.unwrap();
        let (facilitator, listener) = listen().await;
        tokio::spawn(h402_facilitator::server::serve(listener, engine.clone(), std::future::pending()));
        for _ in 0..500 {
            if engine.ready().await.is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(engine.ready().await.is_ready());

        let (shop, listener) = listen().await;
        let pay_to = Address::Evm(account(PAYEE).address);
        let offer = |asset, amount| Offer::new(Arc::new(asset), Amount::from_atomic(amount), pay_to).unwrap();
        let gated = |name: &str, price| {
            let path = folder.path().join(format!("{name}.sqlite"));
            let (shop, facilitator) = (shop.clone(), facilitator.clone());
            async move {
                let grants = SqlGrants::open(path, OpenOptions::default()).await.unwrap();
                let remote = RemoteFacilitator::new(&facilitator).unwrap();
                let gate = Gate::new(remote, grants, Origin::parse(&shop).unwrap(), price).build().unwrap();
                get(async || "sold").route_layer(gate)
            }
        };
        let token = gated("token", Price::offers([offer(node.usdc(), CENT)]).unwrap()).await;
        let native = gated("native", Price::offers([offer(node.ether(), MILLIETHER)]).unwrap()).await;
        let routes = Router::new().route("/token", token).route("/native", native);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { node, shop, engine, _folder: folder }
    }

    /// A client that pays by authorization.
    fn payer(&self, index: usize) -> PayService<Http, EvmWallet> {
        self.pays(EvmWallet::from_key(key(index)))
    }

    /// A client that pays by signed transaction.
    fn sender(&self, index: usize) -> PayService<Http, impl Wallet + use<>> {
        let hints = HttpHints::new(client()).with_rpc(Network::Evm(CHAIN_ID), self.node.url.parse().unwrap());
        let gas = Amount::from_atomic(10 * MILLIETHER);
        self.pays(EvmWallet::from_key(key(index)).with_transactions(hints, gas).with_transactions_preferred())
    }

    fn pays<W: Wallet>(&self, wallet: W) -> PayService<Http, W> {
        let cap = Cap::new().allow(self.node.usdc(), Amount::from_atomic(CENT)).allow(self.node.ether(), Amount::from_atomic(MILLIETHER));
        ServiceBuilder::new().layer(Pay::new(wallet, cap).with_deadline(Duration::from_secs(4))).service(client())
    }

    fn ask(&self, path: &str) -> Request<Full<Bytes>> {
        Request::get(format!("{}{path}", self.shop)).body(Full::default()).unwrap()
    }
}

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn listen() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// The transaction of an answer that was paid for, and its text.
async fn sold<B>(answer: Response<B>) -> (TransactionId, String)
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    assert_eq!(answer.status(), StatusCode::OK);
    let receipt = answer.extensions().get::<Paid>().expect("it was paid for").receipt.clone().expect("a receipt");
    assert!(receipt.success);
    let body = answer.into_body().collect().await.unwrap_or_else(|error| panic!("{error:?}")).to_bytes();
    (receipt.transaction.unwrap(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_buys_one_answer() {
    let street = Street::open().await;
    let before = street.node.balance(account(PAYEE).address).await;
    let answer = street.payer(PAYER).oneshot(street.ask("/token")).await.unwrap();
    let (transaction, text) = sold(answer).await;
    assert_eq!(text, "sold");
    assert_eq!(street.node.balance(account(PAYEE).address).await - before, alloy_primitives::U256::from(CENT));
    let row = street.engine.payment_in(Network::Evm(CHAIN_ID), &transaction).await.unwrap().expect("it is in the ledger");
    assert!(row.state.is_settled());
    assert_eq!(row.payer, Address::Evm(account(PAYER).address));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_transfer_buys_one_answer() {
    let street = Street::open().await;
    let before = street.node.balance(account(PAYEE).address).await;
    let answer = street.sender(PAYER).oneshot(street.ask("/token")).await.unwrap();
    sold(answer).await;
    assert_eq!(street.node.balance(account(PAYEE).address).await - before, alloy_primitives::U256::from(CENT));
    assert_eq!(street.node.transactions(account(PAYER).address).await, alloy_primitives::U256::from(1), "the payer's own transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_native_transfer_buys_one_answer() {
    let street = Street::open().await;
    let before = street.node.native_balance(account(PAYEE).address).await;
    let answer = street.sender(PAYER).oneshot(street.ask("/native")).await.unwrap();
    sold(answer).await;
    assert_eq!(street.node.native_balance(account(PAYEE).address).await - before, alloy_primitives::U256::from(MILLIETHER));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_payers_at_once_are_each_charged_once() {
    let street = Street::open().await;
    let before = street.node.balance(account(PAYEE).address).await;
    let calls = (0..32).map(|call| street.payer(2 + call % 7).oneshot(street.ask("/token")));
    for answer in futures_util::future::join_all(calls).await {
        sold(answer.unwrap()).await;
    }
    assert_eq!(street.node.balance(account(PAYEE).address).await - before, alloy_primitives::U256::from(32 * CENT));
}

/// T023: who holds nothing gets nothing, and nothing is sent for him.
#[tokio::test(flavor = "multi_thread")]
async fn t023_a_payer_without_tokens_is_refused() {
    let street = Street::open().await;
    let sent = street.node.transactions(account(GAS).address).await;
    let answer = street.payer(9).oneshot(street.ask("/token")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYMENT_REQUIRED);
    let text = answer.into_body().collect().await.unwrap_or_else(|error| panic!("{error:?}")).to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("insufficient_funds"), "{text:?}");
    assert_eq!(street.node.transactions(account(GAS).address).await, sent);
    let answer = street.payer(PAYER).oneshot(street.ask("/token")).await.unwrap();
    sold(answer).await;
}

/// T007, T008: while the block does not come the answer is "wait"; the same payment is served once it has.
#[tokio::test(flavor = "multi_thread")]
async fn t007_t008_a_late_block_delays_and_charges_once() {
    let street = Street::open().await;
    let before = street.node.balance(account(PAYEE).address).await;
    street.node.set_automine(false).await;
    // The facilitator waits for two seconds and the client for four: it hears "wait" before it gives up.
    let unknown = street.payer(PAYER).oneshot(street.ask("/token")).await.unwrap_err();
    let PayError::OutcomeUnknown { payment, status, transaction, .. } = unknown else { panic!("{unknown}") };
    assert_eq!(status, Some(StatusCode::SERVICE_UNAVAILABLE), "after a broadcast never 402");
    let sent = transaction.expect("the answer names what was sent");
    assert_eq!(street.node.balance(account(PAYEE).address).await, before);
    street.node.mine().await;
    let mut again = street.ask("/token");
    again.extensions_mut().insert(*payment);
    let (settled, _) = sold(street.payer(PAYER).oneshot(again).await.unwrap()).await;
    assert_eq!(settled, sent);
    assert_eq!(street.node.balance(account(PAYEE).address).await - before, alloy_primitives::U256::from(CENT));
}
