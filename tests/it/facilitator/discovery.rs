//! `GET /discovery/resources`: what the operator lists, page by page, and nothing anybody else could write there.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use h402_core::{
    Amount, Assets, GenesisPrefix, Network, Offer, Requirements, Resource,
    wire::x402::{Listed, v2},
};
use h402_facilitator::server::{ConnectionLimits, Discovery, Services, serve_with};
use h402_tests::{http::exchange, rig::Rig};
use http::{Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;

const UPDATED: &str = "2026-11-22T00:00:00Z";

fn listed(rig: &Rig, number: u128) -> Listed {
    let requirements = rig.requirements(number);
    let url = format!("https://api.example/item/{number}");
    let resource = Resource { url, description: Some(format!("item {number}")), mime_type: None };
    Listed { resource, terms: vec![requirements.into()], updated: UPDATED.to_owned() }
}

/// On a cluster whose fees nobody pays here: x402 cannot offer it.
fn unsponsored() -> Listed {
    let usdc = Assets::known().by_symbol(Network::Solana(GenesisPrefix::DEVNET), "USDC").unwrap().clone();
    let offer = Offer::new(usdc, Amount::from_atomic(1), "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f".parse().unwrap()).unwrap();
    let resource = Resource { url: "https://api.example/solana".to_owned(), ..Resource::default() };
    let offer = Arc::new(offer);
    let requirements =
        Requirements { offer, resource: Arc::new(resource.clone()), lifetime_seconds: None, solana: None, facilitator: None };
    Listed { resource, terms: vec![requirements.into()], updated: UPDATED.to_owned() }
}

async fn serve(rig: &Rig, discovery: Option<Discovery>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let services = Services { solana_rpc: None, discovery };
    tokio::spawn(serve_with(listener, rig.engine.clone(), services, ConnectionLimits::default(), std::future::pending()));
    url
}

async fn get(url: &str, path: &str) -> Response<String> {
    exchange(Request::get(format!("{url}{path}")).body(Default::default()).unwrap()).await
}

fn body(answer: &Response<String>) -> Value {
    assert_eq!(answer.status(), 200, "{answer:?}");
    serde_json::from_str(answer.body()).unwrap()
}

fn urls(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["resource"].as_str().unwrap().rsplit('/').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_is_found_page_by_page() {
    let rig = Rig::start().await;
    let all = (1..=30).map(|number| listed(&rig, number)).chain([unsponsored()]).collect();
    let url = serve(&rig, Some(Discovery::new(all))).await;
    let numbers = |range: std::ops::RangeInclusive<u32>| range.map(|number| number.to_string()).collect::<Vec<_>>();
    let (payee, network) = (rig.requirements(1).offer.pay_to.to_string(), rig.requirements(1).offer.network().to_string());
    let escaped = network.replace(':', "%3A");
    let pages = [
        (String::new(), numbers(1..=20), 20, 0, 30),
        ("?limit=5&offset=10".into(), numbers(11..=15), 5, 10, 30),
        ("?limit=100".into(), numbers(1..=30), 100, 0, 30),
        ("?offset=29&type=http&unknown=1".into(), numbers(30..=30), 20, 29, 30),
        ("?offset=30".into(), vec![], 20, 30, 30),
        ("?type=mcp".into(), vec![], 20, 0, 0),
        ("?extensions=bazaar".into(), vec![], 20, 0, 0),
        (format!("?network={escaped}&scheme=exact&payTo={payee}&limit=1"), numbers(1..=1), 1, 0, 30),
        ("?network=eip155:1".into(), vec![], 20, 0, 0),
        ("?scheme=upto".into(), vec![], 20, 0, 0),
        ("?payTo=0x0000000000000000000000000000000000000001".into(), vec![], 20, 0, 0),
    ];
    for (query, found, limit, offset, total) in pages {
        for prefix in ["", "/api"] {
            let answer = get(&url, &format!("{prefix}/discovery/resources{query}")).await;
            let page = body(&answer);
            assert_eq!(urls(&page), found, "{query}");
            assert_eq!(page["pagination"], json!({ "limit": limit, "offset": offset, "total": total }), "{query}");
            assert_eq!((&page["x402Version"], answer.headers()["cache-control"].as_bytes()), (&json!(2), &b"no-store"[..]));
        }
    }

    // Each item is of the shape that clients of x402 know, and a client reads its terms as those of a 402.
    let page = body(&get(&url, "/discovery/resources?limit=1").await);
    let item = &page["items"][0];
    let keys: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["accepts", "lastUpdated", "metadata", "resource", "type", "x402Version"]);
    assert_eq!(
        (&item["type"], &item["x402Version"], &item["lastUpdated"], &item["metadata"]),
        (&json!("http"), &json!(2), &json!(UPDATED), &json!({ "description": "item 1" }))
    );
    let challenge = json!({ "x402Version": 2, "resource": { "url": item["resource"] }, "accepts": item["accepts"] });
    let read = v2::decode_challenge(BASE64_STANDARD.encode(challenge.to_string()).as_bytes(), rig.engine.assets()).unwrap();
    let terms = read.offers[0].terms.as_ref().unwrap();
    assert_eq!(terms.requirements.offer, rig.requirements(1).offer);
}

/// A question that could be meant in two ways, or in none, is nobody's page.
#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_refused_and_without_a_list_nothing_is_found() {
    let rig = Rig::start().await;
    let url = serve(&rig, Some(Discovery::new(vec![listed(&rig, 1)]))).await;
    let bad = [
        "limit=0",
        "limit=101",
        "limit=",
        "limit=%31%30x",
        "limit=1&limit=1",
        "offset=-1",
        "type=ftp",
        "payTo=x",
        "network=base",
        "offset=99999999999",
    ];
    for query in bad {
        let answer = get(&url, &format!("/discovery/resources?{query}")).await;
        let told: Value = serde_json::from_str(answer.body()).unwrap();
        assert_eq!((answer.status().as_u16(), told["error"].as_str()), (400, Some("invalid_request")), "{query}: {answer:?}");
    }
    assert_eq!(urls(&body(&get(&url, "/discovery/resources?limit=%31").await)), ["1"], "the honest twin");
    assert_eq!(get(&url, "/discovery/search?query=x").await.status(), 404);
    let post = Request::post(format!("{url}/discovery/resources")).body(Default::default()).unwrap();
    assert_eq!(exchange(post).await.status(), 405);

    let off = serve(&rig, None).await;
    for path in ["/discovery/resources", "/discovery/resources?limit=5", "/api/discovery/resources"] {
        let answer = get(&off, path).await;
        let told: Value = serde_json::from_str(answer.body()).unwrap();
        assert_eq!((answer.status().as_u16(), told["error"].as_str()), (404, Some("not_found")), "{path}");
    }
    let empty = serve(&rig, Some(Discovery::new(Vec::new()))).await;
    assert_eq!(body(&get(&empty, "/discovery/resources").await)["items"], json!([]));
}
