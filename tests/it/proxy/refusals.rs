//! What never reaches a node, and what of a client never does.

use super::{DEFAULT, Proxy, batch, call, is_charged, paying, post};
use h402_tests::{
    raw::Ask,
    rig::{PAYER, Rig},
    shop::HOST,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_method_is_refused_alone_and_in_a_batch() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, 2 * DEFAULT);
    let alone = proxy.pay(&payment, &call("denied")).await;
    assert_eq!((alone.status, alone.json()["error"]["code"].as_i64(), alone.json()["id"].as_str()), (403, Some(-32601), Some("7")));
    let among = proxy.pay(&payment, &batch(&["getSlot", "denied"])).await;
    assert_eq!((among.status, among.json()["id"].is_null()), (403, true));
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (0, 0));
    assert!(is_charged(&proxy.pay(&payment, &batch(&["getSlot", "allowed"])).await), "the same with another name");
}

/// Two parsers that read a request differently would let one price buy another call. Whatever they could read
/// differently is refused, the payment beside it stays whole, and the same call in its one spelling is served.
#[tokio::test(flavor = "multi_thread")]
async fn what_parsers_could_read_differently_costs_nothing() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, DEFAULT);
    let many = batch(&["getHealth"; 21]);
    let cases = [
        "",
        "getSlot",
        "[]",
        "{}",
        r#"{"jsonrpc":"2.0","id":1,"method":"getHealth","method":"getProgramAccounts"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"getHealth","Method":"getProgramAccounts"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"getHealth","meth\u006fd":"getProgramAccounts"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"getHealth"}{"jsonrpc":"2.0","id":1,"method":"getProgramAccounts"}"#,
        r#"[[{"jsonrpc":"2.0","id":1,"method":"getProgramAccounts"}]]"#,
        r#"{"jsonrpc":"2.0","method":"getSlot"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"getSlot"}"#,
        r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"getSlot"}"#,
        r#"{"jsonrpc":"2.0","id":1e9,"method":"getSlot"}"#,
        r#"["2.0",1,"getSlot"]"#,
        &many,
    ];
    for body in cases {
        let reply = proxy.pay(&payment, body).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        let error = reply.json();
        assert_eq!(error["jsonrpc"].as_str(), Some("2.0"), "{body}");
        assert!(matches!(error["error"]["code"].as_i64(), Some(-32700 | -32600)), "{body}: {error}");
    }
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (0, 0));
    let honest = proxy.pay(&payment, r#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#).await;
    assert_eq!((honest.status, is_charged(&honest)), (200, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_posts_of_plain_json_are_passed_on() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, DEFAULT);
    let long = call(&"x".repeat(5000));
    let cases = [
        (Ask::new("GET", "/", HOST), 405),
        (Ask::new("PUT", "/", HOST).body(call("getSlot")), 405),
        (Ask::new("POST", "/elsewhere", HOST).body(call("getSlot")), 404),
        (Ask::new("GET", "/", HOST).with("Upgrade", "websocket").with("Connection", "Upgrade").with("Sec-WebSocket-Version", "13"), 501),
        (post(&call("getSlot")).with("Upgrade", "websocket").with("Connection", "Upgrade"), 501),
        (post(&call("getSlot")).with("Content-Encoding", "gzip"), 415),
        (post(&long), 413),
        (Ask::new("POST", "/", "other.test").body(call("getSlot")), 421),
        (Ask::new("POST", "/", "other.test").body(call("getHealth")), 421),
    ];
    for (ask, status) in cases {
        let reply = proxy.shop.ask(&ask.clone().paying(&payment)).await;
        assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(&ask.bytes()));
        if status == 501 {
            assert!(reply.text().contains("WebSocket") && reply.text().contains("HTTP POST"), "{}", reply.text());
        }
    }
    assert_eq!(proxy.shop.ask(&Ask::new("GET", "/", HOST)).await.header("allow"), Some("POST"));
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (0, 0));
    assert!(is_charged(&proxy.shop.ask(&post(&call("getSlot")).with("Upgrade", "h2c").paying(&payment)).await));
}

/// T106, T107: a node gets the body and nothing that a client has said about itself, and its own headers stay with us.
#[tokio::test(flavor = "multi_thread")]
async fn t106_t107_no_credential_reaches_a_node_and_no_header_of_a_node_a_client() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let ask = |body: &str| {
        post(body)
            .with("Cookie", "session=1")
            .with("Authorization", "Bearer secret")
            .with("X-Payment-Response", "forged")
            .with("X-Forwarded-For", "10.0.0.1")
            .with("Connection", "keep-alive, x-private")
            .with("X-Private", "1")
            .with("TE", "trailers")
            .with("Accept-Encoding", "gzip")
            .with("Solana-Client", "rust/4.2.2")
    };
    let free = proxy.shop.ask(&ask(&call("getHealth")).paying(&paying(&rig, PAYER, DEFAULT))).await;
    let paid = proxy.shop.ask(&ask(&call("getSlot")).paying(&paying(&rig, PAYER, DEFAULT))).await;
    assert!(is_charged(&paid));
    for seen in proxy.node().seen() {
        let mut names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "content-length", "content-type", "host", "solana-client"]);
        assert_eq!(seen.headers["accept-encoding"], "identity");
    }
    for reply in [free, paid] {
        assert!(!reply.has("set-cookie") && !reply.has("x-y"), "{reply:?}");
        assert!(!reply.headers.iter().any(|(_, value)| value == "forged"), "{reply:?}");
    }
}

/// T108: a page may ask, pay and read the receipt, wherever it comes from.
#[tokio::test(flavor = "multi_thread")]
async fn t108_browsers_may_pay() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let from = |ask: Ask| ask.with("Origin", "https://page.example");
    let preflight = from(Ask::new("OPTIONS", "/", HOST))
        .with("Access-Control-Request-Method", "POST")
        .with("Access-Control-Request-Headers", "content-type,payment-signature,access-control-expose-headers");
    let preflight = proxy.shop.ask(&preflight).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("POST"));
    for name in ["content-type", "x-payment", "payment-signature", "access-control-expose-headers", "payment-retry"] {
        assert!(preflight.header("access-control-allow-headers").unwrap().split(',').any(|known| known.trim() == name), "{name}");
    }
    let payment = paying(&rig, PAYER, DEFAULT);
    let replies = [
        (402, from(post(&call("getSlot")))),
        (200, from(post(&call("getSlot"))).paying(&payment)),
        (400, from(post("{"))),
        (403, from(post(&call("denied")))),
        (413, from(post(&" ".repeat(5000)))),
    ];
    for (status, ask) in replies {
        let reply = proxy.shop.ask(&ask).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, Some("*")));
        let exposed: Vec<_> = reply.headers.iter().filter(|(name, _)| name == "access-control-expose-headers").collect();
        for name in ["x-payment-response", "payment-response", "payment-required"] {
            assert!(exposed.iter().any(|(_, list)| list.to_lowercase().split(',').any(|known| known == name)), "{name}: {reply:?}");
        }
        assert!(!reply.has("access-control-allow-credentials"));
    }
}
