//! Nodes that are lost, slow, busy or broken, and a proxy that is stopped.

use super::{
    DEFAULT, Proxy, call, is_charged,
    node::{Mood, Node},
    paying, settings,
};
use h402_examples::solana_rpc_proxy::{routes, serve};
use h402_tests::{
    raw::Line,
    rig::{PAYER, Rig},
    shop::{self, grants},
};
use h402_tower::gate::MemoryGrants;
use std::time::Duration;
use tokio::{net::TcpListener, sync::oneshot};

#[tokio::test(flavor = "multi_thread")]
async fn another_node_answers_for_one_that_is_lost() {
    let rig = Rig::start().await;
    for mood in
        [Some(Mood::Busy), Some(Mood::Html), Some(Mood::Welcome), Some(Mood::Silent), Some(Mood::BreaksOff), Some(Mood::Compressed), None]
    {
        let proxy = Proxy::with(&rig, 2, |settings| settings.timeout = Duration::from_secs(2)).await;
        match mood {
            Some(mood) => proxy.nodes[0].feel(mood),
            None => proxy.nodes[0].stop(),
        }
        let before = rig.transfers();
        // Half of the answer to so short a call says nothing yet.
        let paid = proxy.pay(&paying(&rig, PAYER, DEFAULT), &call("a")).await;
        assert_eq!((paid.status, is_charged(&paid), rig.transfers() - before), (200, true, 1), "{mood:?}");
        assert_eq!(proxy.nodes[1].asked(), [call("a")], "{mood:?}");
        // It rests now, and the other one is asked at once.
        assert_eq!(proxy.ask(&call("getVersion")).await.status, 200);
        assert_eq!(proxy.nodes[1].asked().len(), 2, "{mood:?}");
        assert!(proxy.nodes[0].asked().len() <= 1, "{mood:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_node_answers_nothing_is_charged() {
    let rig = Rig::start().await;
    let proxy = Proxy::with(&rig, 2, |settings| settings.timeout = Duration::from_secs(1)).await;
    let cases = [(Mood::Html, 502), (Mood::Welcome, 502), (Mood::Busy, 503), (Mood::Silent, 504)];
    for (mood, status) in cases {
        proxy.nodes.iter().for_each(|node| node.feel(mood));
        let payment = paying(&rig, PAYER, DEFAULT);
        let lost = proxy.pay(&payment, &call("getSlot")).await;
        assert_eq!((lost.status, is_charged(&lost), lost.has("retry-after")), (status, false, true), "{mood:?}");
        assert_eq!((lost.json()["jsonrpc"].as_str(), lost.json()["id"].as_str()), (Some("2.0"), Some("7")));
        assert_eq!(proxy.ask(&call("getHealth")).await.status, status, "free methods are told the same");
        proxy.nodes.iter().for_each(|node| node.feel(Mood::Well));
        let before = rig.transfers();
        let found = proxy.pay(&payment, &call("getSlot")).await;
        assert_eq!((found.status, is_charged(&found), rig.transfers() - before), (200, true, 1), "the same payment, {mood:?}");
    }
}

/// An answer that breaks off after it was judged, and before it was settled.
#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_not_charged() {
    let rig = Rig::start().await;
    let proxy = Proxy::start(&rig).await;
    proxy.node().feel(Mood::BreaksOff);
    let payment = paying(&rig, PAYER, DEFAULT);
    let reply = proxy.pay(&payment, &call("a_long_name_so_that_half_of_the_answer_has_a_result")).await;
    assert_eq!((reply.status, is_charged(&reply), rig.transfers()), (500, false, 0), "{reply:?}");
    proxy.node().feel(Mood::Well);
    let again = proxy.pay(&payment, &call("a_long_name_so_that_half_of_the_answer_has_a_result")).await;
    assert_eq!((again.status, is_charged(&again), rig.transfers()), (200, true, 1));
}

/// A faucet that seems silent may have given, so no second one is asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_airdrop_is_asked_for_once() {
    let rig = Rig::start().await;
    let proxy = Proxy::with(&rig, 2, |_| ()).await;
    proxy.nodes[0].feel(Mood::Html);
    let reply = proxy.pay(&paying(&rig, PAYER, DEFAULT), &call("requestAirdrop")).await;
    assert_eq!((reply.status, proxy.nodes[1].asked().len()), (502, 0));
}

/// A node that is well again is found by its probes, and `/health` tells.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_found_out_without_asking_for_anything_paid() {
    let rig = Rig::start().await;
    let mut upstreams = None;
    let proxy = Proxy::with(&rig, 1, |settings| upstreams = Some(settings.upstreams.clone())).await;
    let upstreams = upstreams.unwrap();
    let probing = tokio::spawn({
        let upstreams = upstreams.clone();
        async move { upstreams.probe(Duration::from_millis(20)).await }
    });
    let until = async |healthy: bool| {
        for _ in 0..1000 {
            if upstreams.any_healthy() == healthy {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {healthy}");
    };
    let health = async || proxy.shop.ask(&shop::get("/health")).await.status;
    assert_eq!(health().await, 200);
    proxy.node().feel(Mood::Html);
    until(false).await;
    assert_eq!(health().await, 503);
    proxy.node().feel(Mood::Well);
    until(true).await;
    assert_eq!(health().await, 200);
    assert_eq!(proxy.node().asked(), Vec::<String>::new());
    probing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_stopped_finishes_and_a_new_one_remembers() {
    let rig = Rig::start().await;
    let file = rig.folder.path().join("proxy.sqlite");
    let node = Node::start(&rig).await;
    let kept = grants(&file, &rig.clock).await;
    let (routes, _) = routes(settings(&rig, std::slice::from_ref(&node)), shop::local(&rig), kept.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, routes, async move { drop(stopped.await) }));
    let payment = paying(&rig, PAYER, DEFAULT);
    let ask = super::post(&call("getSlot")).paying(&payment);
    let first = Line::open(address).await.ask(&ask).await.unwrap();
    assert!(is_charged(&first));

    // One request is under way when the signal comes.
    node.feel(Mood::Silent);
    let mut line = Line::open(address).await;
    line.send(&super::post(&call("getVersion")).bytes()).await;
    while node.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stop);
    let last = line.reply(false).await.unwrap();
    assert_eq!(last.status, 504, "it gets its answer");
    served.await.unwrap().unwrap();
    assert!(Line::try_open(address).await.is_none(), "nobody listens any more");
    kept.close().await.unwrap();

    node.feel(Mood::Well);
    let kept = grants(&file, &rig.clock).await;
    let proxy = Proxy::before(&rig, vec![node], shop::local(&rig), kept, |_| ()).await;
    assert_eq!(proxy.shop.ask(&ask).await.content(), first.content());
    let other = proxy.pay(&payment, &call("getBlockHeight")).await;
    assert_eq!((other.status, rig.transfers()), (409, 1));
}

/// So many requests may be at the nodes, until their answers have been sent; one more is told to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_told_to_come_back() {
    let rig = Rig::start().await;
    let proxy = Proxy::with(&rig, 1, |settings| settings.max_in_flight = 1).await;
    proxy.node().feel(Mood::Silent);
    let mut line = Line::open(proxy.shop.address).await;
    line.send(&super::post(&call("getVersion")).bytes()).await;
    while proxy.node().seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.node().feel(Mood::Well);
    let payment = paying(&rig, PAYER, DEFAULT);
    let refused = proxy.pay(&payment, &call("getSlot")).await;
    assert_eq!((refused.status, refused.has("retry-after"), proxy.node().seen().len(), rig.transfers()), (503, true, 1, 0));
    drop(line);
    let mut served = refused;
    for _ in 0..400 {
        served = proxy.ask(&call("getVersion")).await;
        if served.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(served.status, 200, "a client that went away has left its place");
    assert!(is_charged(&proxy.pay(&payment, &call("getSlot")).await));
}

/// Without any node configured to be there, the price is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_price_is_told_while_every_node_is_away() {
    let rig = Rig::start().await;
    let node = Node::start(&rig).await;
    node.stop();
    let proxy = Proxy::before(&rig, vec![node], shop::local(&rig), MemoryGrants::new().unwrap(), |_| ()).await;
    assert_eq!(super::asked(&proxy.ask(&call("getSlot")).await), [DEFAULT]);
}
