//! Signed receipts: a real facilitator signs, and a gate believes its key only.

use super::{Door, sells_all};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, response::IntoResponse, routing::any};
use h402_core::ReceiptKey;
use h402_tests::{
    rig::{PAYER, Rig, RigOptions},
    shop::{self, PRICE, Runs, Shop, get},
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Price},
    remote::RemoteFacilitator,
};
use std::sync::{Arc, Mutex};

/// What stands between a gate and its facilitator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Nobody.
    Honest,
    /// Somebody who keeps the signatures to himself.
    Strips,
    /// Somebody who says yes to everything, and signs it himself.
    Invents,
    /// Somebody who answers with what the facilitator has signed for another payment.
    Repeats,
}

#[derive(Clone)]
struct Middle {
    facilitator: String,
    between: Arc<Mutex<Between>>,
    last: Arc<Mutex<Option<String>>>,
}

impl Middle {
    async fn open(facilitator: &str) -> (Self, Shop) {
        let middle = Self { facilitator: facilitator.to_owned(), between: Arc::new(Mutex::new(Between::Honest)), last: Arc::default() };
        let routes = Router::new().route("/{*path}", any(pass)).with_state(middle.clone());
        (middle, Shop::open(routes).await)
    }

    fn set(&self, between: Between) {
        *self.between.lock().unwrap() = between;
    }
}

async fn pass(State(middle): State<Middle>, request: axum::extract::Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let between = *middle.between.lock().unwrap();
    let answer =
        |status: u16, text: String| (StatusCode::from_u16(status).unwrap(), [("content-type", "application/json")], text).into_response();
    if path == "/settle" && between != Between::Honest && between != Between::Strips {
        let last = middle.last.lock().unwrap().clone().expect("an honest one came first");
        let mut said: serde_json::Value = serde_json::from_str(&last).unwrap();
        if between == Between::Invents {
            let signed: h402_core::SignedReceipt = said["receipt"].as_str().unwrap().parse().unwrap();
            let own = h402_core::SignedReceipt::sign(signed.unverified().clone(), &ReceiptKey::from_seed(&[66; 32])).unwrap();
            said["receipt"] = own.to_string().into();
        }
        return answer(200, said.to_string());
    }
    let mut onward = http::Request::builder().method(parts.method).uri(format!("{}{path}", middle.facilitator));
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
        onward = onward.header(name, value);
    }
    let (status, mut text) = h402_tests::http::send(onward.body(body.into()).unwrap()).await;
    if path == "/settle" && status == 200 {
        if between == Between::Honest {
            *middle.last.lock().unwrap() = Some(text.clone());
        } else {
            let mut said: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(said.as_object_mut().unwrap().remove("receipt").is_some(), "{text}");
            text = said.to_string();
        }
    }
    answer(status, text)
}

async fn signing() -> Rig {
    Rig::with(RigOptions { engine: Box::new(|config| config.receipt_key = Some(ReceiptKey::from_seed(&[5; 32]))), ..RigOptions::default() })
        .await
}

/// T137: a gate that knows its facilitator's key serves nothing on the word of whoever answers in its place, and asks nobody to pay
/// again either. Once the facilitator is heard itself, the same payment is served, and charged once. A gate that knows no key
/// believes what it is told.
#[tokio::test(flavor = "multi_thread")]
async fn t137_a_gate_believes_its_facilitators_key_only() {
    let rig = signing().await;
    let (middle, between) = Middle::open(&rig.url).await;
    let url = format!("http://{}", between.address);
    let gate = |strict: bool, price: Price| {
        let remote = RemoteFacilitator::new(&url).unwrap();
        let remote = if strict { remote.with_receipt_issuer(ReceiptKey::from_seed(&[5; 32]).issuer()) } else { remote };
        Gate::new(remote, MemoryGrants::new().unwrap(), Origin::parse(shop::ORIGIN).unwrap(), price).build().unwrap()
    };
    for upfront in [true, false] {
        let price = || if upfront { shop::price(&rig, PRICE).upfront() } else { shop::price(&rig, PRICE) };
        let runs = Runs::default();
        let strict = Shop::open(sells_all(gate(true, price()), &runs)).await;
        middle.set(Between::Honest);
        assert_eq!(strict.ask(&get("/a").paying(&rig.pay(PAYER))).await.status, 200, "the honest twin");
        for bent in [Between::Strips, Between::Invents, Between::Repeats] {
            middle.set(bent);
            let before = Door::look(&rig, &runs);
            let ask = get("/a").paying(&rig.pay(PAYER));
            let reply = strict.ask(&ask).await;
            assert_eq!((reply.status, reply.has("retry-after")), (503, true), "{bent:?} {upfront}: {reply:?}");
            assert!(!reply.text().contains("goods"), "{bent:?}");
            middle.set(Between::Honest);
            let served = strict.ask_until_decided(&ask).await;
            assert_eq!(served.status, 200, "{bent:?} {upfront}: {served:?}");
            assert_eq!(before.since(&rig, &runs).transfers, 1, "{bent:?} {upfront}: charged once");
        }
        let trusting = Shop::open(sells_all(gate(false, price()), &runs)).await;
        middle.set(Between::Invents);
        let before = rig.transfers();
        assert_eq!(trusting.ask(&get("/b").paying(&rig.pay(PAYER))).await.status, 200, "what the key is good for");
        assert_eq!(rig.transfers(), before);
    }
}
