//! Caches, conditions, ranges and connections that turn into something else.

use super::{Door, sells_all};
use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, Response, StatusCode, header},
    routing::{any, get as axum_get},
};
use h402_core::Dialect;
use h402_tests::{
    nginx::Nginx,
    raw::{Ask, Line, Reply},
    rig::{PAYER, Rig},
    shop::{HOST, PRICE, Runs, Shop, gate, get, is_wait, price},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Whether a shared cache that follows RFC 9111 or RFC 9213 may keep an answer and give it to somebody else.
fn may_be_shared(headers: &[(String, String)]) -> bool {
    let directives = headers.iter().filter(|(name, _)| name == "cache-control").flat_map(|(_, value)| value.split(','));
    let forbidden = directives.map(|word| word.trim().to_lowercase()).any(|word| word == "private" || word == "no-store");
    let targeted = ["cdn-cache-control", "surrogate-control", "cloudflare-cdn-cache-control", "x-accel-expires"];
    !forbidden || headers.iter().any(|(name, _)| targeted.contains(&name.as_str()))
}

/// T099: no shared cache may keep anything that the gate lets out: not the goods, whatever their handler says, not
/// the 402, no refusal and no trouble.
#[tokio::test(flavor = "multi_thread")]
async fn t099_no_shared_cache_may_keep_an_answer() {
    let rig = Rig::start().await;
    let handler = async |request: Request| {
        let mut response = Response::new("goods".to_owned());
        let said = request.uri().query().unwrap_or_default().replace("%20", " ");
        for (at, (name, value)) in said.split('&').filter_map(|pair| pair.split_once('=')).enumerate() {
            let name: header::HeaderName = name.parse().unwrap();
            assert!(at < 4);
            response.headers_mut().append(name, value.replace("%3D", "=").replace("%22", "\"").parse().unwrap());
        }
        response
    };
    let gated = gate(&rig, price(&rig, PRICE)).build().unwrap();
    let shop = Shop::open(Router::new().route("/{*path}", any(handler)).route_layer(gated)).await;
    let said = [
        "",
        "cache-control=public",
        "cache-control=public,max-age%3D60",
        "cache-control=max-age%3D60",
        "cache-control=s-maxage%3D60",
        "cache-control=private,s-maxage%3D60",
        "cache-control=private%3D%22set-cookie%22",
        "cache-control=PUBLIC",
        "cache-control=no-store&cache-control=public",
        "cache-control=private&cache-control=s-maxage%3D1",
        "cache-control=must-revalidate",
        "cdn-cache-control=max-age%3D60",
        "surrogate-control=max-age%3D60",
        "cache-control=private&x-accel-expires=60",
        "expires=Thu,%2001%20Jan%202099%2000:00:00%20GMT",
        "vary=x-payment",
    ];
    for said in said {
        let ask = get(&format!("/a?{said}")).paying(&rig.pay(PAYER));
        for _ in 0..2 {
            let sold = shop.ask(&ask).await;
            assert_eq!((sold.status, sold.text().as_str()), (200, "goods"), "{said}");
            assert!(!may_be_shared(&sold.headers), "{said}: {:?}", sold.headers);
        }
    }
    // What the payer's own browser may keep is the handler's matter.
    let own = shop.ask(&get("/a?cache-control=private,max-age%3D60").paying(&rig.pay(PAYER))).await;
    assert_eq!(own.header("cache-control"), Some("private,max-age=60"));

    let used = rig.pay(PAYER);
    assert_eq!(shop.ask(&get("/a").paying(&used)).await.status, 200);
    let mut refusals = vec![
        (402, get("/a")),
        (402, get("/a").paying("junk")),
        (409, get("/b").paying(&used)),
        (400, get("/a").paying(&used).paying(&used)),
        (431, get("/a").paying(&"A".repeat(20_000))),
        (421, Ask::new("GET", "/a", "evil.test")),
        (400, get("/a").with("Upgrade", "websocket").with("Connection", "upgrade")),
    ];
    rig.chain.pause().await;
    refusals.push((503, get("/b").paying(&rig.pay(PAYER))));
    for (status, ask) in refusals {
        let refused = shop.ask(&ask).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert_eq!(refused.header("cache-control"), Some("no-store"), "{refused:?}");
    }
}

/// T099: behind nginx, told to keep all that it may: whoever pays gets what was paid for, whoever does not gets a 402 and nothing
/// else, in both dialects, whatever the handler says of its answer; and what is free is kept, so nginx does keep things.
#[tokio::test(flavor = "multi_thread")]
async fn t099_behind_a_shared_cache_everybody_gets_what_they_paid_for() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = async move |request: Request| {
        let mut response = Response::new(format!("goods {}", counted.add()));
        let said = request.uri().query().unwrap_or_default().replace("%20", " ");
        for (name, value) in said.split('&').filter_map(|pair| pair.split_once('=')) {
            response.headers_mut().append(name.parse::<header::HeaderName>().unwrap(), value.replace("%3D", "=").parse().unwrap());
        }
        response
    };
    let free_runs = Runs::default();
    let counted = free_runs.clone();
    let free = axum_get(async move || format!("free {}", counted.add()));
    let gated = gate(&rig, price(&rig, PRICE)).build().unwrap();
    let sold = Router::new().route("/{*path}", any(handler)).route_layer(gated);
    let shop = Shop::open(Router::new().route("/free", free).merge(sold)).await;
    let Some(nginx) = Nginx::before(shop.address).await else { return };
    let ask = async |ask: Ask| Line::open(nginx.address).await.ask(&ask).await.unwrap();

    let (first, kept) = (ask(get("/free")).await, ask(get("/free")).await);
    assert_eq!((first.header("x-cache"), kept.header("x-cache")), (Some("MISS"), Some("HIT")));
    assert_eq!((first.text().as_str(), kept.text().as_str(), free_runs.count()), ("free 1", "free 1", 1));

    let said = [
        "",
        "cache-control=public,max-age%3D600",
        "cache-control=s-maxage%3D600",
        "expires=Thu,%2001%20Jan%202099%2000:00:00%20GMT",
        "x-accel-expires=600",
        "cache-control=private&x-accel-expires=600",
        "cache-control=no-store&x-accel-expires=@4070908800",
        "cache-control=private&expires=Thu,%2001%20Jan%202099%2000:00:00%20GMT",
        "surrogate-control=max-age%3D600",
        "etag=abc&last-modified=Thu,%2001%20Jan%202015%2000:00:00%20GMT",
    ];
    for (at, said) in said.iter().enumerate() {
        for dialect in [Dialect::H402V1, Dialect::X402V2] {
            let target = format!("/{dialect:?}/{at}?{said}");
            let unpaid = ask(get(&target)).await;
            assert_eq!(unpaid.status, 402, "{target}: {unpaid:?}");
            let mut bought = Vec::new();
            for _ in 0..2 {
                let before = Door::look(&rig, &runs);
                let paid = get(&target).with_credential(&rig.pay_in(dialect, PAYER, &unpaid));
                let goods = ask(paid.clone()).await;
                assert_eq!((goods.status, before.since(&rig, &runs)), (200, Door::OPENED), "{target}: {goods:?}");
                assert_eq!(ask(paid).await.body, goods.body, "{target}");
                for ask_again in [get(&target), get(&target).paying("junk"), Ask::new("HEAD", &target, HOST)] {
                    let stranger = ask(ask_again).await;
                    assert_eq!(stranger.status, 402, "{target}: {stranger:?}");
                    assert!(!stranger.text().contains("goods"), "{target}: {stranger:?}");
                }
                bought.push(goods.body);
            }
            assert_ne!(bought[0], bought[1], "{target}: the second payer got the first one's");
        }
    }
    // A refusal and an outage are not kept for the next payer.
    let used = rig.pay(PAYER);
    assert_eq!(ask(get("/used").paying(&used)).await.status, 200);
    assert_eq!(ask(get("/x").paying(&used)).await.status, 409);
    assert_eq!(ask(get("/x").paying(&used).paying(&used)).await.status, 400);
    rig.chain.pause().await;
    let waiting = rig.pay(PAYER);
    assert_eq!(ask(get("/x").paying(&waiting)).await.status, 503);
    rig.chain.resume().await;
    let late = shop_waits(&ask, get("/x").paying(&waiting)).await;
    assert_eq!(late.status, 200, "{late:?}");
}

/// Asks until it is no longer told to wait.
async fn shop_waits(ask: &impl AsyncFn(Ask) -> Reply, what: Ask) -> Reply {
    for _ in 0..600 {
        let reply = ask(what.clone()).await;
        if !is_wait(&reply) {
            return reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never decided")
}

/// T100: 304 and 416 deliver nothing and cost nothing; the payment is then good for the thing itself. A part that
/// was bought is that part, whatever is asked for with the same payment.
#[tokio::test(flavor = "multi_thread")]
async fn t100_conditions_and_ranges_cost_what_they_deliver() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = axum_get(async move |headers: HeaderMap| {
        counted.add();
        let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
        match (headers.contains_key(header::IF_NONE_MATCH), range.as_deref()) {
            (true, _) => (StatusCode::NOT_MODIFIED, ""),
            (_, Some("bytes=0-1")) => (StatusCode::PARTIAL_CONTENT, "go"),
            (_, Some("bytes=2-4")) => (StatusCode::PARTIAL_CONTENT, "ods"),
            (_, Some(_)) => (StatusCode::RANGE_NOT_SATISFIABLE, ""),
            _ => (StatusCode::OK, "goods"),
        }
    });
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate(&rig, price(&rig, PRICE)).build().unwrap())).await;
    for (name, condition, status) in [("If-None-Match", "\"v1\"", 304), ("Range", "bytes=9-", 416)] {
        let before = Door::look(&rig, &runs);
        let payment = rig.pay(PAYER);
        let unmet = shop.ask(&get("/a").with(name, condition).paying(&payment)).await;
        assert_eq!((unmet.status, unmet.has("x-payment-response")), (status, false));
        assert_eq!(before.since(&rig, &runs), Door { runs: 1, transfers: 0 });
        let bought = shop.ask(&get("/a").paying(&payment)).await;
        assert_eq!((bought.status, bought.text().as_str()), (200, "goods"));
        assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 1 });
    }
    let before = Door::look(&rig, &runs);
    let payment = rig.pay(PAYER);
    let part = |range| get("/a").with("Range", range).paying(&payment);
    let first = shop.ask(&part("bytes=0-1")).await;
    assert_eq!((first.status, first.text().as_str()), (206, "go"));
    for range in ["bytes=2-4", "bytes=0-1", "bytes=0-4"] {
        assert_eq!(shop.ask(&part(range)).await.content(), first.content());
    }
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
}

/// T103: nothing is upgraded before it is paid for. Where the money moves first, one payment is one connection.
#[tokio::test(flavor = "multi_thread")]
async fn t103_an_upgrade_is_paid_for_before_it_happens() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = async move |request: Request| {
        counted.add();
        tokio::spawn(async move {
            let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(&word).await.unwrap();
        });
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
        response.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
        response
    };
    let sells = |price| Router::new().route("/a", any(handler.clone())).route_layer(gate(&rig, price).build().unwrap());
    let capture = Shop::open(sells(price(&rig, PRICE))).await;
    let upfront = Shop::open(sells(price(&rig, PRICE).upfront())).await;
    let before = Door::look(&rig, &runs);
    let upgrade = |protocol: &str| get("/a").with("Connection", "upgrade").with("Upgrade", protocol);
    for protocol in ["echo", "websocket", "h2c, websocket", "WebSocket", "TLS/1.0, HTTP/1.1"] {
        assert_eq!(upfront.ask(&upgrade(protocol)).await.status, 402, "{protocol}");
        // Settled after the handler, the goods would be gone before they are paid for.
        for ask in [upgrade(protocol), upgrade(protocol).paying(&rig.pay(PAYER))] {
            assert_eq!(capture.ask(&ask).await.status, 400, "{protocol}");
        }
    }
    let connect = Ask::new("CONNECT", "shop.test:80", HOST);
    for (price, status) in [(price(&rig, PRICE).upfront(), 402), (price(&rig, PRICE), 400)] {
        let whole = Router::new().fallback(handler.clone()).layer(gate(&rig, price).build().unwrap());
        assert_eq!(Shop::open(whole).await.ask(&connect).await.status, status);
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);

    let ask = upgrade("echo").paying(&rig.pay(PAYER));
    let mut line = Line::open(upfront.address).await;
    let switched = line.ask(&ask).await.unwrap();
    assert_eq!((switched.status, switched.has("x-payment-response")), (101, true), "{switched:?}");
    line.send(b"hello").await;
    assert!(line.until(b"hello").await);
    let again = upfront.ask(&ask).await;
    assert_eq!((again.status, again.word().as_str()), (409, "payment_already_used"));
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    // Old clients offer HTTP/2 with every request, and do not mean it.
    let sells = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    assert_eq!(sells.ask(&upgrade("h2c").paying(&rig.pay(PAYER))).await.status, 200);
}
