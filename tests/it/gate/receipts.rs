//! Signed receipts from end to end: a real facilitator signs, a gate believes its key only, a paying client and the program's own
//! command check what it got.

use super::{Door, sells_all};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, response::IntoResponse, routing::any};
use h402_core::{ReceiptIssuer, ReceiptKey};
use h402_devnet::evm::{Chain, account};
use h402_examples::https;
use h402_tests::{
    process::{Place, Process, ProcessOptions, Ran, gas_key, run},
    rig::{Folder, PAYER, Rig, RigOptions, Wallets},
    shop::{self, PRICE, Runs, Shop, get},
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Price},
    pay::{Cap, EvmWallet, Paid, Pay, Unproved},
    remote::RemoteFacilitator,
};
use std::sync::{Arc, Mutex};
use tower::{ServiceBuilder, ServiceExt as _};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");

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

type Call = http::Request<http_body_util::Full<Bytes>>;

/// One call of a client.
async fn call<S: tower::Service<Call>>(client: &mut S, request: Call) -> S::Response
where
    S::Error: std::fmt::Debug,
{
    client.ready().await.unwrap().call(request).await.unwrap()
}

/// What a shop's handler does.
#[derive(Clone, Default)]
struct Mood(Arc<Mutex<bool>>);

/// T125, T137, T101: the program makes a key, signs with it, and checks with it. A client that pays proves from the answer that it was
/// charged; one that was charged and not served is served for the same header, or holds a credit. The program's own command tells
/// good receipts from bent ones, from those of others and from no receipt.
#[tokio::test(flavor = "multi_thread")]
async fn t125_receipts_and_credits_from_the_key_to_the_command() {
    // As an operator: a key, and where its public half is read.
    let (folder, keys) = (Folder::new(), Folder::new());
    let chain = Chain::builder().start().await.unwrap();
    let (rpc, gas) = (chain.url(), gas_key());
    let place = Place::evm(&rpc, &gas);
    let made = tokio::process::Command::new(PROGRAM)
        .args(["init", "--receipt-key", "--config"])
        .arg(keys.path().join("h402.toml"))
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let key_file = keys.path().join("receipt.key");
    let options = ProcessOptions { settings: format!("[receipts]\nkey_file = {key_file:?}"), ..ProcessOptions::default() };
    let receipt = async |arguments: &[&str]| -> Ran {
        let arguments: Vec<&str> = ["receipt"].iter().chain(arguments).copied().collect();
        run(PROGRAM, &folder, &place, &options, &arguments).await
    };
    let issuer = receipt(&["key"]).await.said.trim().to_owned();
    let mut facilitator = Process::start_on(PROGRAM, &folder, &place, &options).await;
    facilitator.until_ready().await;
    let (status, published) = facilitator.get("/receipts/key").await.unwrap();
    assert!(status == 200 && published.contains(&issuer), "{published}");
    let trusted: ReceiptIssuer = issuer.parse().unwrap();

    // A shop that signs credits, and whose handler fails as long as it is told to.
    let wallets = Wallets::new(&chain);
    let merchant = ReceiptKey::from_seed(&[8; 32]);
    let fails = Mood::default();
    let mood = fails.clone();
    let handler = any(async move || if *mood.0.lock().unwrap() { Err(StatusCode::INTERNAL_SERVER_ERROR) } else { Ok("goods") });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let price = Price::offers([h402_core::Offer::clone(&wallets.offer(PRICE))]).unwrap().upfront();
    let remote = RemoteFacilitator::new(&facilitator.url).unwrap().with_receipt_issuer(trusted);
    let gate = Gate::new(remote, MemoryGrants::new().unwrap(), Origin::parse(&origin).unwrap(), price);
    let gate = gate.with_credit_key(merchant.clone()).build().unwrap();
    let _shop = Shop::at(listener, Router::new().route("/{*path}", handler.layer(gate)));

    // A client that pays.
    let wallet = EvmWallet::from_key(h402_core::EvmKey::from_bytes(&account(PAYER).secret_key).unwrap());
    let cap = Cap::new().allow(wallets.asset.clone(), h402_core::Amount::from_atomic(PRICE));
    let mut client = ServiceBuilder::new().layer(Pay::new(wallet, cap)).service(https::client());
    let request = |path: &str, paid: Option<&Paid>| {
        let mut request = http::Request::get(format!("{origin}{path}")).body(http_body_util::Full::<Bytes>::default()).unwrap();
        if let Some(paid) = paid {
            request.extensions_mut().insert(paid.payment.clone());
        }
        request
    };
    let header = |answer: &http::HeaderMap| answer["x-payment-response"].to_str().unwrap().to_owned();
    let paid_of = |extensions: &http::Extensions| extensions.get::<Paid>().expect("it was paid").clone();

    let good = call(&mut client, request("/a", None)).await;
    assert_eq!(good.status(), 200);
    let (good_header, paid) = (header(good.headers()), paid_of(good.extensions()));
    let said = paid.proved(&[trusted]).unwrap();
    assert_eq!((said.payer.evm(), said.amount.to_string()), (Some(account(PAYER).address), PRICE.to_string()));
    assert!(matches!(paid.proved(&[merchant.issuer()]), Err(Unproved::Receipt(_))), "of another key it proves nothing");
    assert_eq!(paid.credit(&[merchant.issuer()]), Err(Unproved::Unsigned), "what was served is no credit");

    // Charged and not served: served for the same header.
    *fails.0.lock().unwrap() = true;
    let failed = call(&mut client, request("/b", None)).await;
    assert_eq!(failed.status(), 500);
    let owed = paid_of(failed.extensions());
    assert!(owed.proved(&[trusted]).is_ok(), "it was charged");
    *fails.0.lock().unwrap() = false;
    let again = call(&mut client, request("/b", Some(&owed))).await;
    assert_eq!(again.status(), 200);
    assert_eq!(paid_of(again.extensions()).proved(&[trusted]), owed.proved(&[trusted]), "by the one charge");

    // Charged and never served: a credit.
    *fails.0.lock().unwrap() = true;
    let failed = call(&mut client, request("/c", None)).await;
    let owed = paid_of(failed.extensions());
    let mut last = failed;
    for _ in 0..3 {
        last = call(&mut client, request("/c", Some(&owed))).await;
    }
    assert_eq!(last.status(), 409);
    let (credit_header, credited) = (header(last.headers()), paid_of(last.extensions()));
    let credit = credited.credit(&[merchant.issuer()]).unwrap();
    assert_eq!(credit.payment, owed.proved(&[trusted]).unwrap().payment);
    assert!(credited.credit(&[trusted]).is_err(), "the facilitator signs no credits");
    let to_payee = chain.transfers(chain.usdc()).iter().filter(|transfer| transfer.from == account(PAYER).address).count();
    assert_eq!(to_payee, 3, "three payments, each charged once");

    // The command, with the operator's own key, with a named one, and without.
    let signed = paid.receipt.as_ref().unwrap().signed.as_ref().unwrap().to_string();
    let merchant_key = merchant.issuer().to_string();
    let mut bent = signed.clone().into_bytes();
    let middle = bent.len() / 2;
    bent[middle] = if bent[middle] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    let by_operator = receipt(&["verify", &signed]).await;
    assert_eq!(by_operator.code, 0, "{by_operator:?}");
    assert!(by_operator.said.contains(&issuer) && by_operator.said.contains(&said.transaction.to_string()), "{by_operator:?}");
    let cases: [(&str, &[&str], bool); 6] = [
        ("the header it came in", &["verify", &good_header, "--key", &issuer], true),
        ("a credit, by its merchant's key", &["verify", &credit_header, "--key", &merchant_key], true),
        ("a credit, by the facilitator's key", &["verify", &credit_header], false),
        ("by a stranger's key", &["verify", &signed, "--key", &merchant_key], false),
        ("bent", &["verify", &bent], false),
        ("none", &["verify", "receipt"], false),
    ];
    for (name, arguments, is_good) in cases {
        let ran = receipt(arguments).await;
        assert_eq!((ran.code == 0, ran.said.is_empty()), (is_good, !is_good), "{name}: {ran:?}");
    }
    assert!(facilitator.terminate().await.success());
}
