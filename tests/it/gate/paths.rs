//! Other spellings of a path and other methods: none of them is a way around the gate.

use super::Door;
use axum::{
    Router,
    routing::{any, get as axum_get},
};
use h402_core::Dialect;
use h402_tests::{
    raw::Ask,
    rig::{PAYER, Rig, RigOptions},
    shop::{HOST, ORIGIN, PRICE, Runs, Shop, gate, get, price},
};

/// Ways to write a path that some part of a server might take for `prefix/a`.
fn spellings(prefix: &str) -> Vec<String> {
    let tails = [
        "/a",
        "/a/",
        "//a",
        "///a",
        "/./a",
        "/.//a",
        "/x/../a",
        "/free/../a",
        "/free/%2e%2e/a",
        "/free/..%2fa",
        "/free;/../a",
        "/%61",
        "/%2561",
        "/a%2f",
        "/a%2F",
        "/%2fa",
        "/%2Fa",
        "/a;v=1",
        "/a;",
        "/A",
        "/a%00",
        "/a%0d",
        "/a%0a",
        "/a%0d%0aX:1",
        "/a%20",
        "/a%09",
        "/a+",
        "/a?",
        "/a??",
        "/a?x=/free",
        "/a#x",
        "/a#/../free",
        "/a%23x",
        "/a%3f",
        "/a%3b",
        "/%c0%ae/a",
        "/%c0%afa",
        "/%e0%80%afa",
        "/%252e/a",
        "/%2e/a",
        "/%2e%2e/a",
        "/a/.",
        "/a/..",
        "/a/../a",
        "/a//",
        "/a/%2e",
        "/\\a",
        "/a\\",
        "/a%5c",
        "/a.",
        "/a..",
        "/a.json",
        "/a%",
        "/a%6",
        "/a%zz",
        "/a~",
        "/a:80",
        "/a@",
        "/a*",
        "/a/b",
        "/free?/a",
        "/free#/a",
        "/free/%2fa",
        "/\u{ff41}",
        "/\u{e1}",
    ];
    let mut spellings: Vec<String> = tails.iter().map(|tail| format!("{prefix}{tail}")).collect();
    spellings.extend([format!("/{prefix}/a"), format!("/.{prefix}/a"), format!("/free/..{prefix}/a"), format!("/%2e{prefix}/a")]);
    spellings
        .extend(["http://shop.test", "HTTP://SHOP.TEST", "http://shop.test:80", "//shop.test"].map(|host| format!("{host}{prefix}/a")));
    spellings.extend([format!("http://shop.test/{prefix}/a"), format!("{}/a", prefix.trim_start_matches('/'))]);
    spellings.extend(["*", "?a", "/?/a", "/", "//"].map(str::to_owned));
    spellings
}

/// Payments for what nobody knows are not settled, and keep their payer's balance reserved for a while.
async fn trusting() -> Rig {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.max_open_per_payer = 1000);
    Rig::with(RigOptions { engine, ..RigOptions::default() }).await
}

/// T093: whatever the spelling, without payment nothing is served; with one, what the router itself leads to is.
#[tokio::test(flavor = "multi_thread")]
async fn t093_no_spelling_of_a_path_gets_around_the_gate() {
    let rig = trusting().await;
    let runs = Runs::default();
    let sells = || {
        let runs = runs.clone();
        axum_get(async move || format!("goods {}", runs.add()))
    };
    let free = || Router::new().route("/free", axum_get(async || "free"));
    let gated = |mount: &str| gate(&rig, price(&rig, PRICE)).with_mount(mount).build().unwrap();
    let nested = Router::new().route("/a", sells()).route_layer(gated("/api"));
    let arrangements = [
        ("route layer", "", Router::new().route("/a", sells()).route_layer(gated("")).merge(free())),
        ("nested", "/api", Router::new().nest("/api", nested).merge(free())),
        ("nested twice", "/v1/api", {
            let inner = Router::new().route("/a", sells()).route_layer(gated("/v1/api"));
            Router::new().nest("/v1", Router::new().nest("/api", inner)).merge(free())
        }),
        ("fallback", "", Router::new().fallback_service(Router::new().route("/a", sells()).layer(gated(""))).merge(free())),
        ("whole router", "", Router::new().route("/a", sells()).layer(gated("")).merge(free())),
        ("parameter", "", Router::new().route("/{a}", sells()).route_layer(gated("")).merge(free())),
    ];
    let in_x402 = [&arrangements[1], &arrangements[5]].map(|arrangement| (Dialect::X402V2, arrangement.clone()));
    let in_h402 = arrangements.into_iter().map(|arrangement| (Dialect::H402V1, arrangement));
    for (dialect, (name, prefix, routes)) in in_h402.chain(in_x402) {
        let shop = Shop::open(routes).await;
        assert_eq!(shop.ask(&get("/free")).await.text(), "free");
        let sold = get(&format!("{prefix}/a"));
        let unpaid = shop.ask(&sold).await;
        let pay = || rig.pay_in(dialect, PAYER, &unpaid);
        let used = pay();
        assert_eq!(shop.ask(&sold.with_credential(&used)).await.status, 200, "{name}");
        let spellings = spellings(prefix);
        assert!(spellings.len() >= 60);
        for spelling in &spellings {
            let what = format!("{name}: {spelling}");
            let ask = get(spelling);
            let before = Door::look(&rig, &runs);
            let unpaid = shop.ask(&ask).await;
            // The router may lead to what is free; it must not lead to what is sold.
            assert!(unpaid.status != 200 || unpaid.text() == "free", "{what}: {unpaid:?}");
            assert_eq!(before.since(&rig, &runs), Door::SHUT, "{what}");
            // A payment that opened `/a` opens that again and nothing else: a fragment is no part of a request.
            let same = spelling.split('#').next() == Some(&format!("{prefix}/a")) || spelling.to_lowercase().starts_with("http://");
            let again = shop.ask(&ask.clone().with_credential(&used)).await;
            assert!(again.status != 200 || same || again.text() == "free", "{what}: {again:?}");
            assert_eq!(before.since(&rig, &runs), Door::SHUT, "{what}");
            if unpaid.status != 402 {
                // Nothing is sold there, so no payment is taken there.
                let fresh = shop.ask(&ask.with_credential(&pay())).await;
                assert_eq!(fresh.status, unpaid.status, "{what}");
                assert_eq!(before.since(&rig, &runs), Door::SHUT, "{what}");
                continue;
            }
            let url = rig.offered(&unpaid).url;
            assert!(url.starts_with(&format!("{ORIGIN}/")) || (spelling == "*" && url == format!("{ORIGIN}*")), "{what}: {url}");
            assert_eq!(rig.offered_in_x402(&unpaid).resource.url, url, "{what}");
            let bought = shop.ask(&ask.with_credential(&rig.pay_in(dialect, PAYER, &unpaid))).await;
            let outcome = (bought.status, before.since(&rig, &runs));
            // Behind the gate the router may still know no such path: that is no delivery, and is not charged.
            assert!(outcome == (200, Door::OPENED) || outcome == (404, Door::SHUT), "{what}: {bought:?}");
        }
    }
}

/// T093: a prefix that the router strips, and that the gate is told of, is part of what is sold.
#[tokio::test(flavor = "multi_thread")]
async fn t093_two_prefixes_are_two_resources() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shared = h402_tower::gate::MemoryGrants::new().unwrap();
    let routes = ["/v1", "/v2"].into_iter().fold(Router::new(), |routes, prefix| {
        let runs = runs.clone();
        let origin = h402_tower::gate::Origin::parse(ORIGIN).unwrap();
        let gate = h402_tower::gate::Gate::new(h402_tests::shop::remote(&rig), shared.clone(), origin, price(&rig, PRICE));
        let gate = gate.with_mount(prefix).build().unwrap();
        let inner = Router::new().route("/a", axum_get(async move || format!("{prefix} {}", runs.add()))).route_layer(gate);
        routes.nest(prefix, inner)
    });
    let shop = Shop::open(routes).await;
    let before = Door::look(&rig, &runs);
    let payment = rig.pay(PAYER);
    assert_eq!(shop.ask(&get("/v1/a").paying(&payment)).await.text(), "/v1 1");
    let other = shop.ask(&get("/v2/a").paying(&payment)).await;
    assert_eq!((other.status, other.word().as_str()), (409, "payment_already_used"));
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    assert_eq!(shop.ask(&get("/v2/a").paying(&rig.pay(PAYER))).await.text(), "/v2 2");
}

/// T093: outside of what strips a prefix, a gate sees the whole path, also where the prefix is a parameter.
#[tokio::test(flavor = "multi_thread")]
async fn t093_outside_of_a_nest_the_whole_path_is_sold() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let inner = Router::new().route("/a", axum_get(async move || format!("goods {}", counted.add())));
    let shop = Shop::open(Router::new().nest("/{tenant}", inner).layer(gate(&rig, price(&rig, PRICE)).build().unwrap())).await;
    let before = Door::look(&rig, &runs);
    let payment = rig.pay(PAYER);
    assert_eq!(rig.offered(&shop.ask(&get("/acme/a")).await).url, format!("{ORIGIN}/acme/a"));
    assert_eq!(shop.ask(&get("/acme/a").paying(&payment)).await.text(), "goods 1");
    assert_eq!(shop.ask(&get("/globex/a").paying(&payment)).await.status, 409);
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
}

const METHODS: [&str; 12] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "Get", "PROPFIND", "BUY", "G3T"];
const OVERRIDES: [&str; 4] = ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X-Original-Method"];

/// T094: no method and no header that speaks of another method runs the handler without payment.
#[tokio::test(flavor = "multi_thread")]
async fn t094_no_method_gets_around_the_gate() {
    let rig = trusting().await;
    let runs = Runs::default();
    let gated = || gate(&rig, price(&rig, PRICE)).build().unwrap();
    let handler = || {
        let runs = runs.clone();
        async move || format!("goods {}", runs.add())
    };
    let only_get = Shop::open(Router::new().route("/a", axum_get(handler())).route_layer(gated())).await;
    let all = Shop::open(Router::new().route("/a", any(handler())).route_layer(gated())).await;
    for (shop, sells) in [(&only_get, &["GET", "HEAD"] as &[&str]), (&all, &METHODS)] {
        for method in METHODS {
            let asks = std::iter::once(Ask::new(method, "/a", HOST))
                .chain(OVERRIDES.iter().flat_map(|name| ["GET", "OPTIONS"].map(|as_if| Ask::new(method, "/a", HOST).with(name, as_if))));
            for ask in asks {
                let before = Door::look(&rig, &runs);
                let unpaid = shop.ask(&ask).await;
                assert_eq!(unpaid.status, 402, "{method}: {unpaid:?}");
                assert_eq!(before.since(&rig, &runs), Door::SHUT, "{method}");
            }
            for dialect in [Dialect::H402V1, Dialect::X402V2] {
                let before = Door::look(&rig, &runs);
                let payment = rig.pay_in(dialect, PAYER, &shop.ask(&get("/a")).await);
                let bought = shop.ask(&Ask::new(method, "/a", HOST).with_credential(&payment)).await;
                // A method that the route does not know is no delivery, and is not charged.
                let expected = if sells.contains(&method) { (200, Door::OPENED) } else { (405, Door::SHUT) };
                assert_eq!((bought.status, before.since(&rig, &runs)), expected, "{method}");
            }
        }
    }
}

/// T094: HEAD costs what GET costs, and tells what GET would tell, without a body, once and again.
#[tokio::test(flavor = "multi_thread")]
async fn t094_head_is_sold_as_get_is() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = axum_get(async move || {
        counted.add();
        ([("content-type", "text/x-goods")], "goods")
    });
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate(&rig, price(&rig, PRICE)).build().unwrap())).await;
    let head = Ask::new("HEAD", "/a", HOST);
    let (unpaid_get, unpaid) = (shop.ask(&get("/a")).await, shop.ask(&head).await);
    assert_eq!((unpaid.status, unpaid.body.len()), (402, 0));
    assert_eq!(unpaid.header("content-length"), unpaid_get.header("content-length"));
    let before = Door::look(&rig, &runs);
    let sold = shop.ask(&get("/a").paying(&rig.pay(PAYER))).await;
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    let ask = head.paying(&rig.pay(PAYER));
    let first = shop.ask(&ask).await;
    assert_eq!((first.status, first.body.len()), (200, 0));
    for name in ["content-type", "content-length", "cache-control"] {
        assert_eq!(first.header(name), sold.header(name), "{name}");
    }
    assert!(first.has("x-payment-response"));
    assert_eq!(shop.ask(&ask).await.content(), first.content());
    assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 2 });
}

/// T094, T108: OPTIONS is answered for free, and never by a handler that sells: a preflight needs an answer, and
/// nobody may get the goods by asking for one.
#[tokio::test(flavor = "multi_thread")]
async fn t094_t108_options_is_free_and_sells_nothing() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let handler = || {
        let runs = runs.clone();
        async move || format!("goods {}", runs.add())
    };
    let gated = || gate(&rig, price(&rig, PRICE)).build().unwrap();
    let shops = [
        Shop::open(Router::new().route("/a", axum_get(handler())).route_layer(gated())).await,
        Shop::open(Router::new().route("/a", any(handler())).route_layer(gated())).await,
        Shop::open(Router::new().fallback(handler()).layer(gated())).await,
    ];
    let options = Ask::new("OPTIONS", "/a", HOST);
    let preflight = options.clone().with("Origin", "https://app.test").with("Access-Control-Request-Method", "GET");
    for shop in &shops {
        for ask in [options.clone(), preflight.clone(), preflight.clone().with("Access-Control-Request-Headers", "x-payment")] {
            let before = Door::look(&rig, &runs);
            let reply = shop.ask(&ask).await;
            assert_ne!(reply.status, 402, "{reply:?}");
            assert!(!reply.text().contains("goods"), "{reply:?}");
            assert_eq!(before.since(&rig, &runs), Door::SHUT);
            // Not even a payment buys anything this way, and it is not used up.
            let unpaid = shop.ask(&get("/a")).await;
            for dialect in [Dialect::H402V1, Dialect::X402V2] {
                let before = Door::look(&rig, &runs);
                let payment = rig.pay_in(dialect, PAYER, &unpaid);
                assert_eq!(shop.ask(&ask.clone().with_credential(&payment)).await.content(), reply.content());
                assert_eq!(before.since(&rig, &runs), Door::SHUT);
                assert_eq!(shop.ask(&get("/a").with_credential(&payment)).await.status, 200);
                assert_eq!(before.since(&rig, &runs), Door::OPENED);
            }
        }
    }
}
