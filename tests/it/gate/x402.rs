//! Games that payers in x402 can play: credentials, sizes, and one payment in several dialects.

use super::{Door, sells_all};
use axum::{Router, extract::Request, routing::any};
use h402_core::{
    Dialect,
    wire::x402::{SettleAnswer, v2},
};
use h402_tests::{
    raw::Reply,
    rig::{PAYER, Rig},
    shop::{ORIGIN, PRICE, Runs, Shop, gate, get, price},
};
use h402_tower::gate::Payment;

const HEADER: &str = "PAYMENT-SIGNATURE";

async fn open(rig: &Rig, runs: &Runs) -> Shop {
    Shop::open(sells_all(gate(rig, price(rig, PRICE)).build().unwrap(), runs)).await
}

fn receipt(reply: &Reply) -> SettleAnswer {
    let header = reply.header("payment-response").unwrap_or_else(|| panic!("no receipt: {reply:?}"));
    v2::decode_receipt(header.as_bytes()).unwrap()
}

/// The JSON of a header.
fn json(header: &str) -> serde_json::Value {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    serde_json::from_slice(&BASE64_STANDARD.decode(header).unwrap()).unwrap()
}

fn base64(json: impl AsRef<[u8]>) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(json)
}

/// T096, T107, T111: one payment in one header of its own dialect, or none at all. Whatever else is refused before anybody is
/// asked about it, and the payment is as good as before.
#[tokio::test(flavor = "multi_thread")]
async fn t096_t107_t111_more_than_one_credential_is_none() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = open(&rig, &runs).await;
    let unpaid = shop.ask(&get("/a")).await;
    let (_, payment) = rig.pay_in(Dialect::X402V2, PAYER, &unpaid);
    let (_, other) = rig.pay_in(Dialect::X402V2, 3, &unpaid);
    let (_, of_v1) = rig.pay_in(Dialect::X402V1, PAYER, &unpaid);
    let of_h402 = rig.pay(PAYER);
    let a = || get("/a");
    let pays = |payment: &str| get("/a").with(HEADER, payment);
    let versioned = |version: serde_json::Value| {
        let mut json = json(&payment);
        json["x402Version"] = version;
        base64(json.to_string())
    };
    let twice_named = {
        let text = json(&payment).to_string();
        base64(format!("{{\"x402Version\":2,{}", &text[1..]))
    };
    let refused = [
        ("twice", pays(&payment).with(HEADER, &payment), 400),
        ("two", pays(&payment).with(HEADER, &other), 400),
        ("two, in other cases", a().with("payment-signature", &payment).with("Payment-Signature", &other), 400),
        ("twice, once empty", pays(&payment).with(HEADER, ""), 400),
        ("a list", pays(&format!("{payment}, {other}")), 400),
        ("a list of one", pays(&format!("{payment},")), 400),
        ("both headers, one payment", pays(&payment).paying(&of_v1), 400),
        ("both headers, two dialects", pays(&payment).paying(&of_h402), 400),
        ("both headers, one empty", pays(&payment).paying(""), 400),
        ("version 1 in the header of version 2", pays(&of_v1), 400),
        ("version 2 in the header of version 1", a().paying(&payment), 402),
        ("a later version", pays(&versioned(3.into())), 402),
        ("a version of text", pays(&versioned("2".into())), 402),
        ("a version twice", pays(&twice_named), 400),
        ("in Connection", pays(&payment).with("Connection", "PAYMENT-SIGNATURE"), 400),
        ("in Connection, in a list", pays(&payment).with("Connection", "close, payment-signature"), 400),
        ("the other header in Connection", pays(&payment).with("Connection", "x-payment"), 400),
        ("under another name", a().with("PAYMENT_SIGNATURE", &payment), 402),
        ("as Authorization", a().with("Authorization", format!("PAYMENT-SIGNATURE {payment}")), 402),
        ("in the query", get(&format!("/a?PAYMENT-SIGNATURE={payment}")), 402),
        ("as a cookie", a().with("Cookie", format!("PAYMENT-SIGNATURE={payment}")), 402),
        ("the receipt's header", a().with("PAYMENT-RESPONSE", &payment), 402),
        ("the offer's header", a().with("PAYMENT-REQUIRED", &payment), 402),
        ("folded", a().with(HEADER, format!("\r\n {payment}")), 400),
    ];
    let asked = rig.chain.faults().calls("eth_getCode");
    let before = Door::look(&rig, &runs);
    for (name, ask, status) in refused {
        let reply = shop.ask(&ask).await;
        assert_eq!(reply.status, status, "{name}: {reply:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    assert_eq!(rig.chain.faults().calls("eth_getCode"), asked, "nobody was asked");

    // The honest twins: in any case, beside a connection header that does not name it.
    for (at, header) in [("/a", &payment), ("/b", &other)] {
        let reply = shop.ask(&get(at).with("pAyMeNt-SiGnAtUrE", header).with("Connection", "close")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(receipt(&reply).success);
    }
    assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 2 });
}

/// T110: what the payer says that it pays is one of the offers to the letter, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t110_what_is_accepted_was_offered() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = open(&rig, &runs).await;
    let unpaid = shop.ask(&get("/a")).await;
    let (_, payment) = rig.pay_in(Dialect::X402V2, PAYER, &unpaid);
    let bends: [(&str, fn(&mut serde_json::Value)); 7] = [
        ("amount", |accepted| accepted["amount"] = "1".into()),
        ("payee", |accepted| accepted["payTo"] = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".into()),
        ("asset", |accepted| accepted["asset"] = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".into()),
        ("network", |accepted| accepted["network"] = "eip155:8453".into()),
        ("scheme", |accepted| accepted["scheme"] = "upto".into()),
        ("method", |accepted| accepted["extra"]["assetTransferMethod"] = "permit2".into()),
        ("flow", |accepted| accepted["extra"]["paymentFlow"] = "upfront".into()),
    ];
    let before = Door::look(&rig, &runs);
    for (name, bend) in bends {
        let mut bent = json(&payment);
        bend(&mut bent["accepted"]);
        let reply = shop.ask(&get("/a").with(HEADER, base64(bent.to_string()))).await;
        assert_eq!(reply.status, 402, "{name}: {reply:?}");
        assert!(reply.has("payment-required"), "{name}: {reply:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    assert_eq!(shop.ask(&get("/a").with(HEADER, base64(json(&payment).to_string()))).await.status, 200);
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
}

/// T001, T111: one signature is one payment, in whichever dialects it is presented: the same request gets the same goods again with
/// a receipt as the payer reads it, another request gets nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t001_t111_one_signature_is_one_payment_in_all_dialects() {
    let rig = Rig::start().await;
    let dialects = [Dialect::H402V1, Dialect::X402V2, Dialect::X402V1];
    for first in dialects {
        let runs = Runs::default();
        let shop = open(&rig, &runs).await;
        let unpaid = shop.ask(&get("/a")).await;
        let signed = rig.bearer(PAYER, PRICE);
        let before = Door::look(&rig, &runs);
        let bought = shop.ask(&get("/a").with_credential(&rig.credential(&signed, first, &unpaid))).await;
        assert_eq!(bought.status, 200, "{first:?}: {bought:?}");
        for dialect in dialects {
            let credential = rig.credential(&signed, dialect, &unpaid);
            let again = shop.ask(&get("/a").with_credential(&credential)).await;
            assert_eq!((again.status, &again.body), (200, &bought.body), "{first:?}, then {dialect:?}: {again:?}");
            let in_v2 = dialect == Dialect::X402V2;
            assert_eq!((again.has("payment-response"), again.has("x-payment-response")), (in_v2, !in_v2), "{first:?}, then {dialect:?}");
            let elsewhere = shop.ask(&get("/b").with_credential(&credential)).await;
            assert_eq!(elsewhere.status, 409, "{first:?}, then {dialect:?}: {elsewhere:?}");
        }
        assert_eq!(before.since(&rig, &runs), Door::OPENED, "{first:?}");
    }
}

/// T098: the header is read up to 16 KiB, and a 402 stays readable for clients with small buffers, however long the URL is.
#[tokio::test(flavor = "multi_thread")]
async fn t098_long_headers_are_answered_and_none_is_sent() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = open(&rig, &runs).await;
    let unpaid = shop.ask(&get("/a")).await;
    let (_, payment) = rig.pay_in(Dialect::X402V2, PAYER, &unpaid);
    let padded = |length: usize| {
        let text = json(&payment).to_string();
        base64(format!("{text}{}", " ".repeat(length / 4 * 3 - text.len())))
    };
    let before = Door::look(&rig, &runs);
    for (length, junk, bought) in [(16 * 1024 + 4, 431, 431), (64 * 1024, 431, 431), (16 * 1024, 400, 200)] {
        assert_eq!(shop.ask(&get("/a").with(HEADER, "A".repeat(length))).await.status, junk, "{length}");
        assert_eq!(shop.ask(&get("/a").with(HEADER, padded(length))).await.status, bought, "{length}");
    }
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    for length in [10, 2_000, 8_000] {
        let target = format!("/a?{}", "q".repeat(length));
        let unpaid = shop.ask(&get(&target)).await;
        let header = unpaid.header("payment-required").unwrap();
        assert!(unpaid.status == 402 && header.len() <= 4096, "{length}: {} bytes", header.len());
        let url = &rig.offered_in_x402(&unpaid).resource.url;
        let whole = format!("{ORIGIN}{target}");
        assert!(*url == if length == 8_000 { format!("{ORIGIN}/a") } else { whole }, "{length}: {url}");
        // What is said of the resource decides nothing: the payment opens just what is asked for.
        let before = Door::look(&rig, &runs);
        let paid = get(&target).with_credential(&rig.pay_in(Dialect::X402V2, PAYER, &unpaid));
        assert_eq!(shop.ask(&paid).await.status, 200, "{length}");
        assert_eq!(before.since(&rig, &runs), Door::OPENED, "{length}");
    }
}

/// T106: no handler sees the credential, no answer repeats it.
#[tokio::test(flavor = "multi_thread")]
async fn t106_nobody_sees_the_credential() {
    let rig = Rig::start().await;
    let echo = async |request: Request| {
        let paid = request.extensions().get::<Payment>().map(|payment| payment.payer.to_string());
        format!("{:?} {paid:?}", request.headers())
    };
    let routes = Router::new().route("/{*path}", any(echo)).route_layer(gate(&rig, price(&rig, PRICE)).build().unwrap());
    let shop = Shop::open(routes).await;
    let unpaid = shop.ask(&get("/a")).await;
    for (payer, status) in [(PAYER, 200), (9, 402)] {
        let payment = rig.bearer(payer, PRICE);
        let h402_core::Payload::Authorization(signed) = &payment.payload else { panic!("no authorization") };
        let signature = signed.signature.to_string();
        let credential = rig.credential(&payment, Dialect::X402V2, &unpaid);
        let reply = shop.ask(&get("/a").with_credential(&credential).with("X-Keep", "kept")).await;
        assert_eq!(reply.status, status, "{reply:?}");
        let decoded: Vec<String> = ["payment-required", "payment-response"]
            .iter()
            .filter_map(|name| reply.header(name))
            .map(|header| json(header).to_string())
            .collect();
        let everything = format!("{reply:?}{}{decoded:?}", reply.text());
        for secret in [credential.1.as_str(), &signature, &signature[10..50]] {
            assert!(!everything.contains(secret), "{everything}");
        }
        if status == 200 {
            let payer = h402_devnet::evm::account(PAYER).address.to_string();
            assert!(!reply.text().contains("payment-signature") && reply.text().contains("x-keep"), "{}", reply.text());
            assert!(reply.text().contains(&payer), "{}", reply.text());
        }
    }
}

/// T108: browsers' code may read the offer and the receipt, and may send the payment if it asks.
#[tokio::test(flavor = "multi_thread")]
async fn t108_browsers_may_read_offers_and_receipts() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = open(&rig, &runs).await;
    let exposes = |reply: &Reply, name: &str| {
        let lists = reply.headers.iter().filter(|(known, _)| known == "access-control-expose-headers");
        lists.flat_map(|(_, list)| list.split(',')).any(|known| known.trim().eq_ignore_ascii_case(name))
    };
    let unpaid = shop.ask(&get("/a").with("Origin", "https://app.test")).await;
    assert!(unpaid.status == 402 && exposes(&unpaid, "payment-required"), "{unpaid:?}");
    let ask = get("/a").with("Origin", "https://app.test").with_credential(&rig.pay_in(Dialect::X402V2, PAYER, &unpaid));
    for _ in 0..2 {
        let paid = shop.ask(&ask).await;
        assert!(paid.status == 200 && exposes(&paid, "payment-response"), "{paid:?}");
    }
}
