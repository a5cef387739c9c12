//! What the Solana RPC proxy adds to a method that costs nothing, and what a paid one costs the chain it is paid on.

use crate::measure::{line, percentile};
use axum::{Router, routing::post};
use h402_core::{Address, Asset, Facilitator, PaymentPayload};
use h402_examples::solana_rpc_proxy::{Accepted, PriceTable, Settings, Tariff, Upstreams, routes};
use h402_facilitator::LocalFacilitator;
use h402_tests::{
    cluster::{self, ClusterRig, address},
    http::Connection,
    rig::{PAYER, Rig},
    shop::{self, HOST, ORIGIN, Shop},
};
use h402_tower::gate::{MemoryGrants, Origin};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const PRICE: u128 = 100;
const CALLS: usize = 2_000;
const ROUNDS: usize = 5;
const PAID: u64 = 50;

pub(crate) async fn run() {
    let mut rig = Rig::start().await;
    let answer = async |body: String| {
        let method = if body.contains("getHealth") { "\"ok\"" } else { "18446744073709551615" };
        ([("content-type", "application/json")], format!(r#"{{"jsonrpc":"2.0","result":{method},"id":1}}"#))
    };
    let node = Shop::open(Router::new().route("/", post(answer))).await;
    let node_url = format!("http://{}", node.address);
    let evm = proxy(&rig.asset, rig.offer(1).pay_to, shop::local(&rig), &node_url).await;
    free(&node, &evm).await;
    paid(&rig, &evm).await;
    rig.stop().await;

    let mut cluster = ClusterRig::start().await;
    let facilitator = LocalFacilitator::new(cluster.engine.clone());
    let solana = proxy(&cluster.usdc, Address::Solana(address(cluster::PAYEE)), facilitator, &node_url).await;
    paid_on_solana(&cluster, &solana).await;
    cluster.stop().await;
}

/// The two are asked in turns, each over one connection that is kept.
async fn free(node: &Shop, proxy: &Shop) {
    let mut direct = Connection::open(&format!("http://{}", node.address)).await;
    let mut through = Connection::open(&format!("http://{}", proxy.address)).await;
    let request = ask("getHealth", "");
    let (mut alone, mut with) = (Vec::new(), Vec::new());
    let mut added = f64::MAX;
    for _ in 0..ROUNDS {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            for (connection, times) in [(&mut direct, &mut first), (&mut through, &mut second)] {
                let start = Instant::now();
                connection.write(&request).await;
                let (status, body) = connection.read().await;
                times.push(start.elapsed());
                assert_eq!((status, body.as_str()), (200, r#"{"jsonrpc":"2.0","result":"ok","id":1}"#));
            }
        }
        added = added.min(percentile(&mut second, 50) - percentile(&mut first, 50));
        alone.extend(first);
        with.extend(second);
    }
    let both = |times: &mut [Duration]| format!("{:.3} / {:.3}", percentile(times, 50), percentile(times, 99));
    line("free method, node asked directly: p50 / p99, ms", both(&mut alone));
    line("free method through the proxy: p50 / p99, ms", both(&mut with));
    line("the proxy adds to a free method, p50, ms (goal <= 0.3)", format!("{added:.3}"));
}

/// One after the other, so that nothing is shared.
async fn paid(rig: &Rig, proxy: &Shop) {
    let mut connection = Connection::open(&format!("http://{}", proxy.address)).await;
    let faults = rig.chain.faults();
    let (requests, transfers) = (faults.requests(), rig.transfers());
    let mut times = Vec::new();
    for _ in 0..PAID {
        let payment = shop::header(&rig.bearer(PAYER, PRICE));
        let request = ask("getSlot", &format!("X-PAYMENT: {payment}\r\n"));
        let start = Instant::now();
        connection.write(&request).await;
        let (status, body) = connection.read().await;
        times.push(start.elapsed());
        assert_eq!((status, body.as_str()), (200, r#"{"jsonrpc":"2.0","result":18446744073709551615,"id":1}"#));
    }
    assert_eq!(rig.transfers() - transfers, usize::try_from(PAID).unwrap());
    line("gas of the last settlement, on the local token", gas(rig).await);
    let all = (faults.requests() - requests) as f64 / PAID as f64;
    line(
        "paid method on EVM, blocks at once: p50 / p99, ms",
        format!("{:.1} / {:.1}", percentile(&mut times, 50), percentile(&mut times, 99)),
    );
    line("paid method on EVM: HTTP requests to the chain, looks at blocks included", format!("{all:.2}"));
}

/// One after the other; looks at the states of signatures are shared by all that is in flight, and counted apart.
async fn paid_on_solana(rig: &ClusterRig, proxy: &Shop) {
    let mut connection = Connection::open(&format!("http://{}", proxy.address)).await;
    let faults = rig.chain.faults();
    let received = rig.received(&rig.usdc);
    let (requests, looks) = (faults.requests(), faults.calls("getSignatureStatuses"));
    let mut times = Vec::new();
    for _ in 0..PAID {
        let payment = rig.payment(cluster::PAYER, &rig.usdc, PRICE, Some(cluster::SPONSOR));
        let payment = shop::header(&PaymentPayload { resource: Some(format!("{ORIGIN}/")), ..payment });
        let request = ask("getSlot", &format!("X-PAYMENT: {payment}\r\n"));
        let start = Instant::now();
        connection.write(&request).await;
        let (status, body) = connection.read().await;
        times.push(start.elapsed());
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(u128::from(rig.received(&rig.usdc) - received), u128::from(PAID) * PRICE);
    let looks = faults.calls("getSignatureStatuses") - looks;
    let others = (faults.requests() - requests - looks) as f64 / PAID as f64;
    line(
        "paid method on Solana, slots at once: p50 / p99, ms",
        format!("{:.1} / {:.1}", percentile(&mut times, 50), percentile(&mut times, 99)),
    );
    line("paid method on Solana: HTTP requests to the chain besides looks (goal <= 2)", format!("{others:.2}"));
    line("paid method on Solana: looks at signatures, shared by what is in flight", format!("{:.2}", looks as f64 / PAID as f64));
}

/// What the newest block has used; a settlement was alone in it.
async fn gas(rig: &Rig) -> u64 {
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]}"#;
    let (_, body) = h402_tests::http::send(http::Request::post(rig.chain.url()).body(question.into()).unwrap()).await;
    let block: serde_json::Value = serde_json::from_str(&body).unwrap();
    u64::from_str_radix(block["result"]["gasUsed"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn ask(method: &str, headers: &str) -> Vec<u8> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let length = body.len();
    format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn proxy(asset: &Arc<Asset>, pay_to: Address, facilitator: impl Facilitator, node: &str) -> Shop {
    let tariff = Tariff { default: "0.0001".into(), free: vec!["getHealth".into()], ..Tariff::default() };
    let accepted = [Accepted { asset: asset.clone(), pay_to, per_dollar: None }];
    let settings = Settings {
        origin: Origin::parse(ORIGIN).unwrap(),
        allowed_hosts: Vec::new(),
        prices: PriceTable::new(&tariff, &accepted).unwrap(),
        upstreams: Arc::new(Upstreams::new(vec![node.parse().unwrap()])),
        timeout: Duration::from_secs(5),
        max_body: 4096,
        max_batch: 20,
        max_in_flight: 256,
        redeliveries: 0,
    };
    let (routes, _) = routes(settings, facilitator, MemoryGrants::new().unwrap()).unwrap();
    Shop::open(routes).await
}
