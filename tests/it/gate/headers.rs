//! Games with headers: hosts, credentials, sizes, and what the handler gets to see.

use super::{Door, sells_all};
use axum::{Router, extract::Request, routing::any};
use bytes::Bytes;
use h402_core::Dialect;
use h402_tests::{
    raw::{Ask, Line, Reply},
    rig::{PAYER, Rig},
    shop::{HOST, ORIGIN, PRICE, Runs, Shop, gate, get, header, price},
};
use h402_tower::gate::{Payment, Price, Quote};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;

fn to_host(target: &str, host: &str) -> Ask {
    Ask::new("GET", target, host)
}

/// T095: who the shop is comes from its configuration. A request for another host is none of ours, and whatever a
/// header says, what is offered and paid for is the configured origin's.
#[tokio::test(flavor = "multi_thread")]
async fn t095_who_the_shop_is_never_comes_from_a_request() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let foreign = [
        to_host("/a", "evil.test"),
        to_host("/a", "shop.test.evil.test"),
        to_host("/a", "evil.test#shop.test"),
        to_host("/a", "shop.test:81"),
        to_host("/a", "shop.test:"),
        to_host("/a", "shop.test:080:80"),
        to_host("/a", "shop.test."),
        to_host("/a", "shop.test, evil.test"),
        to_host("/a", "user@shop.test"),
        to_host("/a", "[::1]"),
        to_host("/a", "127.0.0.1"),
        to_host("/a", ""),
        to_host("http://evil.test/a", HOST),
        to_host("http://shop.test/a", "evil.test"),
        to_host("http://user@shop.test/a", HOST),
        to_host("http://shop.test@evil.test/a", HOST),
        to_host("http://shop.test:81/a", HOST),
        get("/a").with("Host", "evil.test"),
        get("/a").with("host", HOST),
    ];
    let payment = rig.pay(PAYER);
    let in_x402 = rig.pay_in(Dialect::X402V2, PAYER, &shop.ask(&get("/a")).await);
    let before = Door::look(&rig, &runs);
    for ask in foreign {
        for ask in [ask.clone(), ask.clone().with_credential(&in_x402), ask.paying(&payment)] {
            let reply = shop.ask(&ask).await;
            assert!(matches!(reply.status, 400 | 421), "{:?}: {reply:?}", String::from_utf8_lossy(&ask.bytes()));
            assert!(!reply.text().contains("evil"), "{reply:?}");
        }
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);

    // What proxies and rewriters say is not believed; the names of the host itself are.
    let forwarded = [
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "81"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "host=evil.test;proto=https"),
        ("X-Original-URL", "/evil"),
        ("X-Rewrite-URL", "/evil"),
        ("X-Original-Host", "evil.test"),
        ("Referer", "http://evil.test/"),
        ("Origin", "http://evil.test"),
    ];
    let honest = ["/a", "http://shop.test/a", "http://SHOP.test:80/a"].map(get).into_iter();
    let honest = honest.chain(["SHOP.TEST", "shop.test:80"].map(|host| to_host("/a", host)));
    let asks = honest.chain(forwarded.map(|(name, value)| get("/a").with(name, value)));
    for ask in asks {
        let unpaid = shop.ask(&ask).await;
        assert_eq!(unpaid.status, 402, "{unpaid:?}");
        assert_eq!(rig.offered(&unpaid).url, format!("{ORIGIN}/a"));
        assert_eq!(rig.offered_in_x402(&unpaid).resource.url, format!("{ORIGIN}/a"));
    }
    // A payment that says what it is for is good for the configured origin, however it arrives.
    let for_here = h402_core::PaymentPayload { resource: Some(format!("{ORIGIN}/a")), ..rig.bearer(PAYER, PRICE) };
    assert_eq!(shop.ask(&get("/a").with("X-Forwarded-Host", "evil.test").paying(&header(&for_here))).await.status, 200);
    let for_evil = h402_core::PaymentPayload { resource: Some("http://evil.test/a".into()), ..rig.bearer(PAYER, PRICE) };
    assert_eq!(shop.ask(&get("/a").with("X-Forwarded-Host", "evil.test").paying(&header(&for_evil))).await.status, 402);
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    // Old clients name no host at all.
    let mut line = Line::open(shop.address).await;
    line.send(b"GET /a HTTP/1.0\r\n\r\n").await;
    let reply = line.reply(false).await.unwrap();
    assert_eq!((reply.status, rig.offered(&reply).url), (402, format!("{ORIGIN}/a")));
}

/// T096, T107: one payment in one header, or none at all. Whatever else is refused before anybody is asked about it,
/// and the payment is as good as before.
#[tokio::test(flavor = "multi_thread")]
async fn t096_t107_more_than_one_credential_is_none() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let payment = rig.pay(PAYER);
    let other = rig.pay(3);
    let a = || get("/a");
    let chunked = |ask: Ask, trailers: &str| {
        let head = ask.with("Transfer-Encoding", "chunked").with("Trailer", "X-PAYMENT").bytes();
        [head, format!("1\r\nx\r\n0\r\n{trailers}\r\n").into_bytes()].concat()
    };
    let refused: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("twice", a().paying(&payment).paying(&payment).bytes(), &[400]),
        ("two", a().paying(&payment).paying(&other).bytes(), &[400]),
        ("two, in other cases", a().with("x-payment", &payment).with("X-Payment", &other).bytes(), &[400]),
        ("twice, once empty", a().paying(&payment).paying("").bytes(), &[400]),
        ("a list", a().paying(&format!("{payment}, {other}")).bytes(), &[400]),
        ("a list of one", a().paying(&format!("{payment},")).bytes(), &[400]),
        ("both dialects", a().paying(&payment).with("PAYMENT-SIGNATURE", &payment).bytes(), &[400]),
        ("both dialects, other order", a().with("payment-signature", &other).paying(&payment).bytes(), &[400]),
        ("h402 in the header of x402", a().with("PAYMENT-SIGNATURE", &payment).bytes(), &[400]),
        ("in Connection", a().with("Connection", "X-PAYMENT").paying(&payment).bytes(), &[400]),
        ("in Connection, in a list", a().with("Connection", "close, x-payment").paying(&payment).bytes(), &[400]),
        ("in Connection, second line", a().with("Connection", "close").with("connection", "X-Payment").paying(&payment).bytes(), &[400]),
        ("in Connection, beside bytes", a().with("Connection", b"X-PAYMENT, \xff").paying(&payment).bytes(), &[400]),
        ("in Connection, with tabs", a().with("Connection", "close,\tX-PAYMENT\t").paying(&payment).bytes(), &[400]),
        ("other dialect in Connection", a().with("Connection", "payment-signature").paying(&payment).bytes(), &[400]),
        ("under another name", a().with("X_PAYMENT", &payment).bytes(), &[402]),
        ("as Authorization", a().with("Authorization", format!("X-PAYMENT {payment}")).bytes(), &[402]),
        ("in the query", get(&format!("/a?X-PAYMENT={payment}")).bytes(), &[402]),
        ("as a cookie", a().with("Cookie", format!("X-PAYMENT={payment}")).bytes(), &[402]),
        ("in a trailer", chunked(a(), &format!("X-PAYMENT: {payment}\r\n")), &[402]),
        ("a space before the colon", a().with("X-PAYMENT ", &payment).bytes(), &[400]),
        ("folded", a().with("X-PAYMENT", format!("\r\n {payment}")).bytes(), &[400]),
    ];
    let asked = rig.chain.faults().calls("eth_getCode");
    let before = Door::look(&rig, &runs);
    for (name, bytes, statuses) in refused {
        let mut line = Line::open(shop.address).await;
        line.send(&bytes).await;
        let reply = line.reply(false).await.unwrap();
        assert!(statuses.contains(&reply.status), "{name}: {reply:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    assert_eq!(rig.chain.faults().calls("eth_getCode"), asked, "nobody was asked");

    // The honest twins: one header in any case, with a connection header that does not name it, and with a trailer
    // that is not looked at.
    let spelled = a().with("x-PaYmEnT", &payment).with("Connection", "close").bytes();
    let beside_a_trailer = chunked(get("/b").paying(&other), "X-PAYMENT: x\r\n");
    for bytes in [spelled, beside_a_trailer] {
        let mut line = Line::open(shop.address).await;
        line.send(&bytes).await;
        let reply = line.reply(false).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 2 });
}

/// T107: where a body ends is hyper's matter, one way for all it takes; whatever is hidden behind a body is a
/// request of its own at the gate, and costs.
#[tokio::test(flavor = "multi_thread")]
async fn t107_what_is_hidden_behind_a_body_costs() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let hidden = format!("GET /b HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let length = (hidden.len() + 5).to_string();
    let post = || Ask::new("POST", "/a", HOST);
    // What is refused, and what is read as chunked whatever length it claims.
    let heads = [
        (false, post().with("Content-Length", &length).with("Transfer-Encoding", "chunked")),
        (false, post().with("Transfer-Encoding", "chunked").with("Content-Length", &length)),
        (false, post().with("Transfer-Encoding", "chunked")),
        (true, post().with("Content-Length", "5").with("Content-Length", &length)),
        (true, post().with("Content-Length", format!("5, {length}"))),
        (true, post().with("Content-Length", "+5")),
        (true, post().with("Content-Length", "0x5")),
        (true, post().with("Transfer-Encoding", "chunked, identity")),
        (true, post().with("Transfer-Encoding", "xchunked")),
        (true, post().with("Transfer-Encoding", "identity").with("Content-Length", &length)),
    ];
    for (refused, head) in heads {
        let what = String::from_utf8_lossy(&head.bytes()).into_owned();
        let before = Door::look(&rig, &runs);
        let mut line = Line::open(shop.address).await;
        line.send(&[head.paying(&rig.pay(PAYER)).bytes(), format!("0\r\n\r\n{hidden}").into_bytes()].concat()).await;
        let first = line.reply(false).await.unwrap();
        assert_eq!(first.status, if refused { 400 } else { 200 }, "{what}: {first:?}");
        line.shut().await;
        let rest = String::from_utf8_lossy(&line.rest().await).into_owned();
        assert!(!rest.contains("goods") && !rest.contains(" 200 "), "{what}: {rest}");
        assert_eq!(before.since(&rig, &runs), if refused { Door::SHUT } else { Door::OPENED }, "{what}");
    }
}

/// A payment header of exactly so many bytes: the same payment, with space in its JSON.
fn padded(header: &str, length: usize) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let json = BASE64_STANDARD.decode(header).unwrap();
    let padded = BASE64_STANDARD.encode([json.as_slice(), &vec![b' '; length / 4 * 3 - json.len()]].concat());
    assert_eq!(padded.len(), length);
    padded
}

/// T098: a payment header of 16 KiB is read, a longer one is 431, over HTTP/1.1 and over HTTP/2; nothing hangs.
#[tokio::test(flavor = "multi_thread")]
async fn t098_long_and_many_headers_are_answered() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let payment = rig.pay(PAYER);
    let before = Door::look(&rig, &runs);
    let sizes = [4096, 8192, 16 * 1024, 16 * 1024 + 4, 64 * 1024, 256 * 1024, 1024 * 1024];
    for size in sizes {
        let junk = shop.ask(&get("/a").paying(&"A".repeat(size))).await;
        let expected: u16 = if size <= 16 * 1024 { 402 } else { 431 };
        assert_eq!(junk.status, expected, "{size}: {junk:?}");
        if size > 16 * 1024 {
            assert_eq!(shop.ask(&get("/a").paying(&padded(&payment, size))).await.status, 431, "{size}");
        }
    }
    // Many headers, long other headers, a long target: an answer, whatever it is, but never the goods.
    let many = (0..200).fold(get("/a"), |ask, index| ask.with(&format!("x-{index}"), "x"));
    let asks = [many, get("/a").with("x-long", "x".repeat(1024 * 1024)), get(&format!("/{}", "a".repeat(100_000)))];
    for ask in asks {
        let reply = shop.ask(&ask.paying(&payment)).await;
        assert!(matches!(reply.status, 414 | 431), "{reply:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    // Honest twin: the longest that is read.
    assert_eq!(shop.ask(&get("/a").paying(&padded(&payment, 16 * 1024))).await.status, 200);
    assert_eq!(before.since(&rig, &runs), Door::OPENED);

    // Over HTTP/2 too long a list of headers ends the stream, with a status or without one; at once in any case.
    for size in sizes {
        let status = over_h2(shop.address, &"A".repeat(size)).await;
        let expected: &[Option<u16>] = if size <= 8192 { &[Some(402)] } else { &[Some(402), Some(431), None] };
        assert!(expected.contains(&status), "{size}: {status:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    assert_eq!(over_h2(shop.address, &rig.pay(PAYER)).await, Some(200));
    assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 2 });
}

/// One request over HTTP/2; `None` if it ends without a status.
async fn over_h2(address: std::net::SocketAddr, payment: &str) -> Option<u16> {
    let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = http::Request::get(format!("{ORIGIN}/a")).header("x-payment", payment).body(Empty::<Bytes>::new()).unwrap();
    let reply = tokio::time::timeout(Duration::from_secs(20), sender.send_request(request)).await.expect("an answer in time");
    driven.abort();
    reply.ok().map(|reply| reply.status().as_u16())
}

/// What a handler saw, as its answer tells.
fn saw(reply: &Reply) -> Vec<String> {
    reply.text().lines().map(str::to_owned).collect()
}

/// T106: no handler sees a payment header, or what looks like the gate's own word; it gets a typed payment from the
/// gate or none at all. Free requests too.
#[tokio::test(flavor = "multi_thread")]
async fn t106_the_handler_sees_no_credential_and_believes_no_header() {
    let rig = Rig::start().await;
    let echo = async |request: Request| {
        let mut lines: Vec<String> = request.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.push(match request.extensions().get::<Payment>() {
            Some(payment) => format!("paid by {}", payment.payer),
            None => "not paid".to_owned(),
        });
        lines.push(format!("uri {}", request.uri()));
        lines.join("\n")
    };
    let offers = price(&rig, PRICE).quote().unwrap();
    let by_path = Price::per_request(move |parts| Ok(if parts.uri.path() == "/free" { Quote::Free } else { offers.clone() }));
    let gate = gate(&rig, by_path).build().unwrap();
    let shop = Shop::open(Router::new().route("/{*path}", any(echo)).route_layer(gate)).await;
    let payment = rig.pay(PAYER);
    let spoofed = |target: &str| {
        let receipt = "eyJzdWNjZXNzIjp0cnVlfQ==";
        get(target)
            .with("X-PAYMENT-RESPONSE", receipt)
            .with("PAYMENT-RESPONSE", receipt)
            .with("x-payment-response", receipt)
            .with("X-Payer", "0x0000000000000000000000000000000000000001")
            .with("X-Keep", "kept")
    };
    for (target, payments) in [("/a", vec![&payment]), ("/free", vec![&payment]), ("/free", vec![&payment, &payment]), ("/free", vec![])] {
        let ask = payments.iter().fold(spoofed(target), |ask, payment| ask.paying(payment));
        let reply = shop.ask(&ask.with("PAYMENT-SIGNATURE", "x").without(if target == "/a" { "PAYMENT-SIGNATURE" } else { "-" })).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let seen = saw(&reply);
        let mut names: Vec<&str> = seen.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-keep", "x-payer"], "{target}");
        assert!(!reply.text().contains(&payment));
        let paid = format!("paid by {}", h402_devnet::evm::account(PAYER).address);
        assert!(seen.contains(&if target == "/a" { paid } else { "not paid".to_owned() }), "{seen:?}");
    }
}

/// T106: what the payer wrote comes back in no answer: not the header, not the signature, not a part of them.
#[tokio::test(flavor = "multi_thread")]
async fn t106_no_answer_repeats_a_credential() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let poor = rig.bearer(9, PRICE);
    let used = rig.bearer(PAYER, PRICE);
    assert_eq!(shop.ask(&get("/a").paying(&header(&used))).await.status, 200);
    for payment in [poor, used] {
        let h402_core::Payload::Authorization(signed) = &payment.payload else { panic!("no authorization") };
        let signature = signed.signature.to_string();
        let refused = shop.ask(&get("/b").paying(&header(&payment))).await;
        assert!(matches!(refused.status, 402 | 409), "{refused:?}");
        let everything = format!("{refused:?}{}", refused.text());
        for secret in [header(&payment).as_str(), &signature, &signature[10..50]] {
            assert!(!everything.contains(secret));
        }
    }
    let reply = shop.ask(&get("/a").paying("<script>alert(1)</script>")).await;
    assert_eq!(reply.status, 402);
    assert!(!reply.text().contains("script"), "{}", reply.text());
}

/// T105: whoever announces a body gets the 402 before sending it, and nobody reads it.
#[tokio::test(flavor = "multi_thread")]
async fn t105_no_body_is_asked_for_or_read_before_the_402() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let upload = Ask::new("POST", "/a", HOST).with("Expect", "100-continue").with("Content-Length", "1073741824");
    let mut line = Line::open(shop.address).await;
    let reply = line.ask(&upload).await.unwrap();
    assert_eq!((reply.status, reply.interim.as_slice()), (402, [].as_slice()));
    // Who sends it all the same finds a closed door long before the end.
    let sent = send_until_closed(shop.address, &upload, 64 * 1024 * 1024).await;
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
    assert_eq!(runs.count(), 0);
    // Honest twin: a handler that reads the body is asked for after the payment, and then the body is.
    let reads = any(async |body: Bytes| format!("{} bytes", body.len()));
    let gate = gate(&rig, price(&rig, PRICE)).build().unwrap();
    let shop = Shop::open(Router::new().route("/a", reads).route_layer(gate)).await;
    let mut line = Line::open(shop.address).await;
    let head = Ask::new("POST", "/a", HOST).with("Expect", "100-continue").with("Content-Length", "5").paying(&rig.pay(PAYER));
    line.send(&head.bytes()).await;
    assert!(line.until(b"HTTP/1.1 100 Continue\r\n\r\n").await);
    line.send(b"hello").await;
    let reply = line.reply(false).await.unwrap();
    assert_eq!((reply.status, reply.text().as_str(), reply.interim.as_slice()), (200, "5 bytes", [100].as_slice()));
}

/// How many bytes of a body go out before the server has had enough, at most `limit`.
async fn send_until_closed(address: std::net::SocketAddr, ask: &Ask, limit: usize) -> usize {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(&ask.bytes()).await.unwrap();
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < limit && stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    sent
}

/// T108: browsers' code may read the receipt, and a 402 needs no permission for its body.
#[tokio::test(flavor = "multi_thread")]
async fn t108_browsers_may_read_the_receipt() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let ask = get("/a").with("Origin", "https://app.test").paying(&rig.pay(PAYER));
    for _ in 0..2 {
        let paid = shop.ask(&ask).await;
        assert_eq!(paid.header("access-control-expose-headers"), Some("X-PAYMENT-RESPONSE"));
    }
}
