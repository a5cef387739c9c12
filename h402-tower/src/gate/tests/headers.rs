//! Games with methods, hosts, headers and caches.

use super::kit::*;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::Full;

/// T093: every spelling of a path is priced; which handler it reaches is the router's matter alone.
#[tokio::test]
async fn t093_no_spelling_of_a_path_is_free() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    for path in
        ["/item/", "//item", "/./item", "/x/../item", "/%69tem", "/item%2f", "/item;v=1", "/Item", "/item%00", "/item?", "/%2569tem", "*"]
    {
        assert_eq!(send(&service, get(path)).await.status, 402, "{path}");
    }
    assert_eq!(send(&service, get("http://api.example/item")).await.status, 402);
    assert_eq!(shop.runs(), 0);
}

/// T094: every method costs, but OPTIONS; overrides are not looked at.
#[tokio::test]
async fn t094_every_method_but_options_costs() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let brew = Method::from_bytes(b"BREW").unwrap();
    let lower = Method::from_bytes(b"get").unwrap();
    for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE, brew, lower] {
        for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
            let mut request = get("/item");
            *request.method_mut() = method.clone();
            request.headers_mut().insert(name, HeaderValue::from_static("OPTIONS"));
            assert_eq!(send(&service, request).await.status, 402, "{method} {name}");
        }
    }
    assert_eq!(shop.runs(), 0);
}

/// T094: HEAD costs what GET costs and is a request of its own.
#[tokio::test]
async fn t094_head_is_priced_as_get() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let head = |request: Request<Full<bytes::Bytes>>| {
        let mut request = request;
        *request.method_mut() = Method::HEAD;
        request
    };
    assert_eq!(send(&service, head(get("/item"))).await.json(), send(&service, get("/item")).await.json());
    let header = Cheque::default().header();
    let answer = send(&service, head(paid(&header))).await;
    assert_eq!((answer.status, answer.receipt().unwrap().success), (200, true));
    assert_eq!(send(&service, paid(&header)).await.status, 409, "GET is another request");
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
}

/// T094, T108: preflights are free, with and without payment, and never reach a handler that sells.
#[tokio::test]
async fn t094_t108_a_preflight_is_free_and_gets_nothing() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    for header in [None, Some(Cheque::default().header())] {
        let mut request = header.map_or(get("/item"), |header| paid(&header));
        *request.method_mut() = Method::OPTIONS;
        let answer = send(&service, request).await;
        assert_eq!((answer.status, answer.receipt(), answer.body.len()), (204, None, 0));
    }
    assert_eq!((shop.runs(), shop.bank.verified(), shop.bank.settled()), (0, 0, 0));
}

/// T095: who the server is comes from its configuration. A foreign host is 421, forwarded headers say nothing.
#[tokio::test]
async fn t095_the_resource_never_comes_from_the_request() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let with_host = |host: &'static str, path: &'static str| Request::get(path).header("host", host).body(full("")).unwrap();
    for (host, path) in [
        ("evil.example", "/item"),
        ("api.example.evil.example", "/item"),
        ("api.example:8080", "/item"),
        ("api.example@evil.example", "/item"),
        ("", "/item"),
        ("api.example", "http://evil.example/item"),
    ] {
        let answer = send(&service, with_host(host, path)).await;
        assert_eq!((answer.status, answer.error().as_str()), (421, "foreign_host"), "{host} {path}");
        let paid = with_payment(with_host(host, path), &Cheque::default().header());
        assert_eq!(send(&service, paid).await.status, 421, "{host} {path}");
    }
    let mut twice = get("/item");
    twice.headers_mut().append("host", HeaderValue::from_static("api.example"));
    assert_eq!(send(&service, twice).await.status, 400);
    for name in ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "forwarded", "x-original-url", "x-rewrite-url", "x-host"] {
        let mut request = get("/item");
        request.headers_mut().insert(name, HeaderValue::from_static("host=evil.example;proto=http"));
        let answer = send(&service, request).await;
        assert_eq!((answer.status, &answer.json()["accepts"][0]["resource"]), (402, &"https://api.example/item".into()), "{name}");
    }
    // The honest twins: the host itself, in any case, with its port, absolute; and HTTP/1.0 without any.
    for (host, path) in [("API.example", "/item"), ("api.example:443", "/item"), ("api.example", "http://api.example/item")] {
        assert_eq!(send(&service, with_host(host, path)).await.json()["accepts"][0]["resource"], "https://api.example/item");
    }
    let mut old = get("/item");
    *old.version_mut() = Version::HTTP_10;
    old.headers_mut().remove("host");
    assert_eq!(send(&service, old).await.status, 402);
    let service = shop.open(shop.gate().with_allowed_hosts(["127.0.0.1:3000", "inside"]), hello);
    for (host, status) in [("127.0.0.1:3000", 402), ("inside", 402), ("127.0.0.1", 421), ("api.example", 421)] {
        assert_eq!(send(&service, with_host(host, "/item")).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_nested_route_is_sold_under_its_whole_path() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_mount("/v1"), hello);
    assert_eq!(send(&service, get("/item?id=1")).await.json()["accepts"][0]["resource"], "https://api.example/v1/item?id=1");
    let bare = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    assert_eq!(send(&service, paid(&header)).await.status, 200);
    assert_eq!(send(&bare, paid(&header)).await.status, 409);
}

/// T096, T107: more than one credential, in whatever form, is refused before anything is asked.
#[tokio::test]
async fn t096_one_payment_header_and_no_more() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let (one, two) = (Cheque::nonce(1).header(), Cheque::nonce(2).header());
    let with = |extra: &[(&'static str, &str)]| {
        let mut request = paid(&one);
        for (name, value) in extra {
            request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
        }
        request
    };
    let games = [
        ("two headers", with(&[("x-payment", &two)])),
        ("the same twice", with(&[("x-payment", &one)])),
        ("two dialects", with(&[("payment-signature", &two)])),
        ("named in Connection", with(&[("connection", "keep-alive, X-Payment")])),
        ("named in a second Connection", with(&[("connection", "close"), ("connection", "x-payment")])),
        ("joined", paid(&format!("{one}, {two}"))),
        ("joined without a space", paid(&format!("{one},{two}"))),
        ("an empty part", paid(&format!("{one},"))),
    ];
    for (game, request) in games {
        let answer = send(&service, request).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_payload"), "{game}");
    }
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    assert_eq!(send(&service, with(&[("connection", "close")])).await.status, 200);
}

/// T098: too long is 431, whatever it is; the limit itself is not too long.
#[tokio::test]
async fn t098_a_long_payment_header_is_431() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    for (length, status) in [(16 * 1024, 402), (16 * 1024 + 1, 431), (1 << 20, 431)] {
        assert_eq!(send(&service, paid(&"A".repeat(length))).await.status, status, "{length}");
    }
    let service = shop.open(shop.gate().with_header_cap(1024), hello);
    assert_eq!(send(&service, paid(&"A".repeat(1025))).await.status, 431);
    assert_eq!(send(&service, paid(&Cheque::default().header())).await.status, 200, "an authorization is shorter");
}

/// T099: no answer of a gate may be kept by a shared cache.
#[tokio::test]
async fn t099_nothing_is_for_shared_caches() {
    let shop = Shop::new();
    let public = |_| async { Response::builder().header("cache-control", "public, max-age=60").body(full("hello")).unwrap() };
    let service = shop.open(shop.gate(), public);
    for request in [get("/item"), paid("junk"), paid("a,b"), paid(&"A".repeat(20_000))] {
        assert_eq!(send(&service, request).await.header("cache-control"), Some("no-store"));
    }
    let header = Cheque::default().header();
    for _ in 0..2 {
        assert_eq!(send(&service, paid(&header)).await.header("cache-control"), Some("private, no-store"));
    }
    assert_eq!(send(&service, with_payment(get("/other"), &header)).await.header("cache-control"), Some("no-store"));
    let service = shop.open(shop.gate().with_insecure_public_caching(), public);
    assert_eq!(send(&service, paid(&Cheque::nonce(2).header())).await.header("cache-control"), Some("public, max-age=60"));
}

/// T103: what turns the connection into something else must be paid before.
#[tokio::test]
async fn t103_an_upgrade_is_paid_upfront_or_not_at_all() {
    let switching = |_| async { Response::builder().status(101).header("upgrade", "websocket").body(full("")).unwrap() };
    let upgrade = |to: &'static str, header: Option<&str>| {
        let mut request = header.map_or(get("/item"), paid);
        request.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        request.headers_mut().insert("upgrade", HeaderValue::from_static(to));
        request
    };
    let shop = Shop::new();
    let header = Cheque::default().header();
    let capture = shop.open(shop.gate(), switching);
    let upfront = shop.open(shop.gate_at(price().upfront()), switching);
    for to in ["websocket", "h2c, websocket", "TLS/1.0"] {
        for header in [None, Some(header.as_str())] {
            assert_eq!(send(&capture, upgrade(to, header)).await.error(), "upgrade_not_offered", "{to}");
        }
    }
    assert_eq!(send(&upfront, upgrade("websocket", None)).await.status, 402);
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    let answer = send(&upfront, upgrade("websocket", Some(&header))).await;
    assert_eq!((answer.status, answer.receipt().unwrap().success, shop.bank.settled()), (101, true, 1));
    // One payment, one connection.
    assert_eq!(send(&upfront, upgrade("websocket", Some(&header))).await.status, 409);
    assert_eq!(shop.runs(), 1);
    // Some clients offer h2c with every request; servers ignore it.
    let plain = shop.open(shop.gate(), hello);
    assert_eq!(send(&plain, upgrade("h2c", Some(&Cheque::nonce(2).header()))).await.status, 200);
}

/// T103: CONNECT names its target; the target is part of what is paid for.
#[tokio::test]
async fn t103_connect_is_paid_per_target() {
    let shop = Shop::new();
    let connect = |target: &'static str, header: &str| {
        with_payment(Request::builder().method("CONNECT").uri(target).header("host", target).body(full("")).unwrap(), header)
    };
    let header = Cheque::default().header();
    let capture = shop.open(shop.gate(), hello);
    assert_eq!(send(&capture, connect("a.example:443", &header)).await.status, 400);
    let upfront = shop.open(shop.gate_at(price().upfront()), hello);
    assert_eq!(send(&upfront, connect("a.example:443", &header)).await.status, 200);
    assert_eq!(send(&upfront, connect("b.example:443", &header)).await.error(), "payment_already_used");
    assert_eq!(shop.runs(), 1);
}

/// T105: a 402 comes without a byte of the body having been read.
#[tokio::test]
async fn t105_the_body_is_not_read_before_payment() {
    struct Untouchable;
    impl http_body::Body for Untouchable {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            panic!("read")
        }
    }
    let shop = Shop::new();
    use tower::Layer as _;
    let service = shop
        .gate()
        .build()
        .unwrap()
        .layer(tower::service_fn(|_: Request<Untouchable>| async { Ok::<_, std::convert::Infallible>(Response::new(full("hello"))) }));
    let request = || Request::post("/item").header("expect", "100-continue").body(Untouchable).unwrap();
    assert_eq!(send(&service, request()).await.status, 402);
    assert_eq!(send(&service, with_payment(request(), "junk")).await.status, 402);
    assert_eq!(send(&service, with_payment(request(), &Cheque::default().header())).await.status, 200);
}

/// T106: what only the gate may say is taken off on the way in and on the way out.
#[tokio::test]
async fn t106_payments_and_receipts_do_not_leak() {
    let names = ["x-payment", "x-payment-response", "payment-signature", "payment-response"];
    let shop = Shop::new();
    let service = shop.open(shop.gate(), move |request: Request<Full<bytes::Bytes>>| async move {
        assert!(names.iter().all(|name| !request.headers().contains_key(*name)), "{:?}", request.headers());
        assert_eq!(request.headers()["x-other"], "kept");
        Response::builder().status(502).header("x-payment-response", "from an upstream that was paid").body(full("")).unwrap()
    });
    let mut request = paid(&Cheque::default().header());
    request.headers_mut().insert("x-payment-response", HeaderValue::from_static("forged"));
    request.headers_mut().insert("payment-response", HeaderValue::from_static("forged"));
    request.headers_mut().insert("x-other", HeaderValue::from_static("kept"));
    let answer = send(&service, request).await;
    assert_eq!((answer.status, answer.header("x-payment-response")), (502, None));
}
