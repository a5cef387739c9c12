//! Agents that know nothing of payments, behind a forwarder that pays.

use super::{DEFAULT, Proxy, SEND, call, is_charged, node::SLOT, paying, post};
use h402_core::EvmKey;
use h402_devnet::evm::account;
use h402_examples::{
    https,
    paying_forwarder::{self, Destination},
};
use h402_tests::{
    raw::{Ask, Line, Reply},
    rig::{PAYER, Rig},
    shop::Shop,
};
use h402_tower::pay::{Cap, EvmWallet, Pay};
use std::net::SocketAddr;
use tower::ServiceBuilder;

/// A forwarder to a proxy, paying from a development account within a cap in millionths of a dollar.
async fn forwarder(rig: &Rig, to: SocketAddr, payer: usize, cap: u128) -> Shop {
    let wallet = EvmWallet::from_key(EvmKey::from_bytes(&account(payer).secret_key).unwrap());
    let cap = Cap::new().allow(rig.asset.clone(), h402_core::Amount::from_atomic(cap));
    let agent = ServiceBuilder::new().layer(Pay::new(wallet, cap)).service(https::client());
    let to: Destination = format!("http://{to}").parse().unwrap();
    Shop::open(paying_forwarder::routes(to, agent)).await
}

/// A proxy that is known by the address at which it listens, as forwarders reach it.
async fn reachable(rig: &Rig) -> Proxy {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let node = super::node::Node::start(rig).await;
    let mut settings = super::settings(rig, std::slice::from_ref(&node));
    settings.origin = h402_tower::gate::Origin::parse(&origin).unwrap();
    let grants = h402_tower::gate::MemoryGrants::new().unwrap();
    let (routes, metrics) = h402_examples::solana_rpc_proxy::routes(settings, h402_tests::shop::local(rig), grants).unwrap();
    Proxy { shop: Shop::at(listener, routes), metrics, nodes: vec![node] }
}

/// A request as any local program makes it.
fn local(body: &str) -> Ask {
    Ask::new("POST", "/", "127.0.0.1").with("Content-Type", "application/json").body(body.to_owned())
}

fn text(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_pays_for_what_it_forwards() {
    let rig = Rig::start().await;
    let proxy = reachable(&rig).await;
    let forwarder = forwarder(&rig, proxy.shop.address, PAYER, DEFAULT).await;
    let paid = forwarder.ask(&local(&call("getSlot"))).await;
    assert_eq!(text(&paid), (200, format!(r#"{{"jsonrpc":"2.0","result":{SLOT},"id":"7"}}"#)));
    assert!(is_charged(&paid));
    assert_eq!(forwarder.ask(&local(&call("getHealth"))).await.status, 200);
    assert_eq!(rig.transfers(), 1);
    let dear = forwarder.ask(&local(&call("sendTransaction"))).await;
    assert_eq!(dear.status, 403, "above the cap nothing is signed: {}", dear.text());
    assert!(dear.text().contains(&SEND.to_string()), "{}", dear.text());
    assert_eq!(rig.transfers(), 1);
}

/// Money that a page in a browser, or a name that points here, could spend would be anybody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_pays_for_no_web_page() {
    let rig = Rig::start().await;
    let proxy = reachable(&rig).await;
    let forwarder = forwarder(&rig, proxy.shop.address, PAYER, DEFAULT).await;
    let cases = [
        (local(&call("getSlot")).with("Origin", "https://page.example"), 403),
        (local(&call("getSlot")).with("Sec-Fetch-Site", "cross-site"), 403),
        (local(&call("getSlot")).without("host").with("Host", "rebound.example"), 421),
        (local(&call("getSlot")).with("Upgrade", "websocket").with("Connection", "Upgrade"), 501),
    ];
    for (ask, status) in cases {
        assert_eq!(forwarder.ask(&ask).await.status, status);
    }
    assert_eq!(rig.transfers(), 0);
    for host in ["127.0.0.1:8898", "localhost:8898", "[::1]:8898"] {
        let ask = local(&call("getHealth")).without("host").with("Host", host);
        assert_eq!(forwarder.ask(&ask).await.status, 200, "{host}");
    }
}

/// Many agents at once, each paying for its own calls: every call one payment, every payment one call.
#[tokio::test(flavor = "multi_thread")]
async fn agents_call_at_once() {
    const AGENTS: usize = 6;
    const CALLS: usize = 8;
    let rig = Rig::start().await;
    let proxy = reachable(&rig).await;
    let mut tasks = Vec::new();
    for agent in 0..AGENTS {
        let forwarder = forwarder(&rig, proxy.shop.address, PAYER + agent, DEFAULT).await;
        tasks.push(tokio::spawn(async move {
            for number in 0..CALLS {
                let body = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"call{agent}"}}"#);
                let reply = forwarder.ask(&local(&body)).await;
                assert_eq!(text(&reply), (200, format!(r#"{{"jsonrpc":"2.0","result":"call{agent}","id":{number}}}"#)));
                assert!(is_charged(&reply));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (AGENTS * CALLS, AGENTS * CALLS));
}

/// One payment in many hands: one call reaches a node, one transfer reaches the payee.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_payment_buy_one_call() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, DEFAULT);
    let mut tasks = Vec::new();
    for copy in 0..32 {
        let (address, payment) = (proxy.shop.address, payment.clone());
        // Half of them for the same bytes, half for a call of their own.
        let body = if copy % 2 == 0 { call("getSlot") } else { call(&format!("other{copy}")) };
        tasks.push(tokio::spawn(async move { Line::open(address).await.ask(&post(&body).paying(&payment)).await.unwrap().status }));
    }
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (1, 1));
}
