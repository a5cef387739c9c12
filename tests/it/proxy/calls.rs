//! What is sold, at which price, and what is charged.

use super::{
    DEFAULT, Proxy, SCAN, SEND, asked, batch, call, is_charged,
    node::{LARGE, SLOT},
    paying, post,
};
use h402_examples::solana_rpc_proxy::Outcome;
use h402_tests::rig::{PAYER, Rig};

fn result(value: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","result":{value},"id":"7"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_method_needs_no_payment_and_takes_none() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let reply = proxy.ask(&call("getHealth")).await;
    assert_eq!((reply.status, reply.text()), (200, result("\"ok\"")));
    let payment = paying(&rig, PAYER, DEFAULT);
    let reply = proxy.pay(&payment, &batch(&["getHealth", "getVersion"])).await;
    assert_eq!((reply.status, is_charged(&reply), rig.transfers()), (200, false, 0));
    assert!(proxy.node().seen().iter().all(|seen| !seen.headers.contains_key("x-payment")));
    // The payment is as good as new.
    assert!(is_charged(&proxy.pay(&payment, &call("getSlot")).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_has_its_price_and_a_batch_their_sum() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let cases = [
        (call("getSlot"), DEFAULT),
        (call("neverHeardOf"), DEFAULT),
        (call("getProgramAccounts"), SCAN),
        (call("sendTransaction"), SEND),
        (batch(&["getSlot"]), DEFAULT),
        (batch(&["getSlot", "getHealth", "getSlot"]), 2 * DEFAULT),
        (batch(&["getSlot", "sendTransaction", "getProgramAccounts", "neverHeardOf"]), 2 * DEFAULT + SEND + SCAN),
    ];
    for (body, price) in cases {
        assert_eq!(asked(&proxy.ask(&body).await), [price], "{body}");
        let before = rig.transfers();
        let less = proxy.pay(&paying(&rig, PAYER, price - 1), &body).await;
        assert_eq!((asked(&less), rig.transfers()), (vec![price], before), "{body}: one less is refused");
        let paid = proxy.pay(&paying(&rig, PAYER, price), &body).await;
        assert_eq!((paid.status, is_charged(&paid), rig.transfers()), (200, true, before + 1), "{body}");
    }
    let unpaid = proxy.node().seen().iter().filter(|seen| seen.headers.contains_key("x-payment")).count();
    assert_eq!((unpaid, proxy.node().seen().len()), (0, 7), "only what was paid for reaches a node");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_passed_on_byte_by_byte() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let slot = proxy.pay(&paying(&rig, PAYER, DEFAULT), &call("getSlot")).await;
    assert_eq!(slot.text(), result(SLOT), "all digits of a 64-bit number");
    let large = proxy.pay(&paying(&rig, PAYER, SCAN), &call("getProgramAccounts")).await;
    assert_eq!((large.status, is_charged(&large), large.whole), (200, true, true));
    assert_eq!(large.text(), result(&format!("\"{}\"", "x".repeat(LARGE))));
    let nothing = proxy.pay(&paying(&rig, PAYER, DEFAULT), &call("getNothing")).await;
    assert_eq!((nothing.text(), is_charged(&nothing)), (result("null"), true), "that there is nothing is an answer");
    let sent = proxy.node().asked();
    assert_eq!(sent, [call("getSlot"), call("getProgramAccounts"), call("getNothing")], "requests pass as they came");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_not_charged_and_may_be_tried_three_times() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, DEFAULT);
    for _ in 0..3 {
        let reply = proxy.pay(&payment, &call("error")).await;
        assert_eq!((reply.status, is_charged(&reply)), (200, false));
        assert!(reply.text().contains("-32602"), "{}", reply.text());
    }
    let reply = proxy.pay(&payment, &call("error")).await;
    assert_eq!((reply.status, reply.word()), (409, "payment_runs_exhausted".to_owned()));
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (3, 0));
    assert_eq!(proxy.metrics.calls("other", Outcome::Failed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_charged_unless_every_call_failed() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let failing = vec!["longError"; 10];
    let cases = [
        (batch(&["error", "error"]), 2 * DEFAULT, false),
        (batch(&["error", "getSlot"]), 2 * DEFAULT, true),
        (batch(&["getSlot", "error"]), 2 * DEFAULT, true),
        // A free call that succeeds is something that was delivered.
        (batch(&["error", "getHealth"]), DEFAULT, true),
        (batch(&failing), 10 * DEFAULT, false),
        (batch(&[&failing[..], &["getSlot"]].concat()), 11 * DEFAULT, true),
    ];
    for (body, price, charged) in cases {
        let before = rig.transfers();
        let reply = proxy.pay(&paying(&rig, PAYER, price), &body).await;
        assert_eq!((reply.status, is_charged(&reply)), (200, charged), "{body}");
        assert_eq!(rig.transfers() - before, usize::from(charged), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_sent_after_it_was_paid_for() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let reply = proxy.pay(&paying(&rig, PAYER, SEND), &call("sendTransaction")).await;
    assert_eq!((reply.status, is_charged(&reply)), (200, true));
    let reply = proxy.pay(&paying(&rig, PAYER, SEND + DEFAULT), &batch(&["getSlot", "sendTransaction"])).await;
    assert!(is_charged(&reply));
    let reply = proxy.pay(&paying(&rig, PAYER, DEFAULT), &call("getSlot")).await;
    assert!(is_charged(&reply));
    let before: Vec<usize> = proxy.node().seen().iter().map(|seen| seen.transfers).collect();
    assert_eq!(before, [1, 2, 2], "what was settled when the node was asked");
}

/// What was paid for and not delivered is owed: the same payment asks again, and is not charged again.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_failed_may_be_sent_again() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, SEND);
    for run in 1..=2 {
        let reply = proxy.pay(&payment, &call("sendError")).await;
        assert_eq!((reply.status, is_charged(&reply), proxy.node().seen().len()), (200, true, run));
    }
    assert_eq!(rig.transfers(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_answer_and_another_gets_none() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    let payment = paying(&rig, PAYER, DEFAULT);
    let first = proxy.pay(&payment, &call("getSlot")).await;
    assert_eq!(proxy.pay(&payment, &call("getSlot")).await.content(), first.content());
    let other = proxy.pay(&payment, &call("getBlockHeight")).await;
    assert_eq!((other.status, other.word()), (409, "payment_already_used".to_owned()));
    let spaced = proxy.pay(&payment, &format!("{} ", call("getSlot"))).await;
    assert_eq!(spaced.status, 409, "a payment is for these bytes");
    assert_eq!((proxy.node().seen().len(), rig.transfers()), (1, 1));
    assert_eq!(proxy.metrics.calls("other", Outcome::Repeated), 1);
}

/// What is too long to be kept is fetched again where the operator says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_delivered_again_as_often_as_configured() {
    let rig = Rig::start().await;
    for redeliveries in [0, 1] {
        let proxy = Proxy::with(&rig, 1, |settings| settings.redeliveries = redeliveries).await;
        let payment = paying(&rig, PAYER, SCAN);
        let before = rig.transfers();
        let statuses = [
            proxy.pay(&payment, &call("getProgramAccounts")).await.status,
            proxy.pay(&payment, &call("getProgramAccounts")).await.status,
            proxy.pay(&payment, &call("getProgramAccounts")).await.status,
        ];
        let want = if redeliveries == 0 { [200, 409, 409] } else { [200, 200, 409] };
        assert_eq!((statuses, rig.transfers() - before), (want, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_the_methods_of_the_table_and_no_other() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    proxy.ask(&call("getHealth")).await;
    proxy.ask(&call("getProgramAccounts")).await;
    for method in ["a", "b", "c"] {
        proxy.ask(&call(method)).await;
    }
    proxy.ask(&call("denied")).await;
    proxy.pay(&paying(&rig, PAYER, 2 * DEFAULT), &batch(&["getSlot", "getHealth", "d"])).await;
    proxy.shop.ask(&post("{")).await;
    let text = proxy.metrics.render();
    let has = |line: &str| assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    has(r#"solana_rpc_proxy_calls_total{method="getHealth",outcome="free"} 1"#);
    has(r#"solana_rpc_proxy_calls_total{method="getHealth",outcome="paid"} 1"#);
    has(r#"solana_rpc_proxy_calls_total{method="getProgramAccounts",outcome="asked"} 1"#);
    has(r#"solana_rpc_proxy_calls_total{method="denied",outcome="refused"} 1"#);
    has(r#"solana_rpc_proxy_calls_total{method="other",outcome="asked"} 3"#);
    has(r#"solana_rpc_proxy_calls_total{method="other",outcome="paid"} 2"#);
    has(r#"solana_rpc_proxy_seconds_count{method="getHealth"} 1"#);
    has("solana_rpc_proxy_unread_total 1");
    let methods: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.split("method=\"").nth(1)?.split('"').next()).collect();
    let named = ["denied", "getHealth", "getProgramAccounts", "getVersion", "other", "sendError", "sendTransaction"];
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), named);
    assert!(!text.contains("secret-path"), "a node's URL may hold a key");
}
