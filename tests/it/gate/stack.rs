//! The gate in other people's stacks: plain hyper, limits, services that are not always ready, errors of their own.

use super::Door;
use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use h402_tests::{
    raw::{Line, Reply},
    rig::{PAYER, Rig},
    shop::{HOST, PRICE, Runs, gate, get, price},
};
use h402_tower::gate::{GateBody, Payment};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tower::{Service, ServiceBuilder, ServiceExt as _, limit::ConcurrencyLimitLayer, service_fn};

/// Serves any tower service with hyper alone; connections that fail are the clients' matter.
async fn serve_with_hyper<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::error::Error + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let connection = auto::Builder::new(TokioExecutor::new());
                drop(connection.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    address
}

async fn ask(address: SocketAddr, payment: Option<&str>) -> Option<Reply> {
    let ask = payment.iter().fold(get("/a"), |ask, payment| ask.paying(payment));
    Line::open(address).await.ask(&ask).await
}

/// One service for everything, over HTTP/1.1 and HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn plain_hyper_sells() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = service_fn(move |request: Request<hyper::body::Incoming>| {
        let text = format!("goods {} {}", counted.add(), request.extensions().get::<Payment>().is_some());
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
    });
    let service = ServiceBuilder::new().layer(gate(&rig, price(&rig, PRICE)).build().unwrap()).service(handler);
    let address = serve_with_hyper(service).await;
    let before = Door::look(&rig, &runs);
    assert_eq!(ask(address, None).await.unwrap().status, 402);
    let payment = rig.pay(PAYER);
    let first = ask(address, Some(&payment)).await.unwrap();
    assert_eq!((first.status, first.text().as_str()), (200, "goods 1 true"));
    assert_eq!(ask(address, Some(&payment)).await.unwrap().content(), first.content());
    assert_eq!(before.since(&rig, &runs), Door::OPENED);

    let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut over_h2 = async |payment: Option<&str>| {
        let request =
            payment.iter().fold(Request::get(format!("http://{HOST}/a")), |request, payment| request.header("x-payment", *payment));
        let reply = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let status = reply.status().as_u16();
        (status, String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    assert_eq!(over_h2(None).await.0, 402);
    assert_eq!(over_h2(Some(&payment)).await, (200, "goods 1 true".to_owned()), "the same request over another protocol");
    assert_eq!(over_h2(Some(&rig.pay(PAYER))).await, (200, "goods 2 true".to_owned()));
}

/// Behind a limit of one, and before one: every payer is served, and the limit is kept.
#[tokio::test(flavor = "multi_thread")]
async fn limits_before_and_behind_the_gate_hold() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, running, peak) = (runs.clone(), now.clone(), most.clone());
    let handler = service_fn(move |_: Request<hyper::body::Incoming>| {
        let (counted, running, peak) = (counted.clone(), running.clone(), peak.clone());
        async move {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("goods {}", counted.add())))))
        }
    });
    let gate = gate(&rig, price(&rig, PRICE)).build().unwrap();
    let service =
        ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(4)).layer(gate).layer(ConcurrencyLimitLayer::new(1)).service(handler);
    let address = serve_with_hyper(service).await;
    let before = Door::look(&rig, &runs);
    let payments: Vec<String> = (0..12).map(|index| rig.pay(PAYER + index % 6)).collect();
    let replies = futures_util::future::join_all(payments.iter().map(|payment| ask(address, Some(payment)))).await;
    assert!(replies.iter().all(|reply| reply.as_ref().is_some_and(|reply| reply.status == 200)), "{replies:?}");
    assert_eq!(before.since(&rig, &runs), Door { runs: 12, transfers: 12 });
    assert_eq!(most.load(Ordering::SeqCst), 1);
    // Refusals and free answers give their place back, too.
    for _ in 0..20 {
        assert_eq!(ask(address, None).await.unwrap().status, 402);
    }
}

/// A service that is ready only after it was asked twice, and that may be called only by whoever asked.
#[derive(Default)]
struct Coy {
    asked: AtomicU64,
    ready: AtomicBool,
    runs: Runs,
}

impl Clone for Coy {
    /// A clone has not been asked.
    fn clone(&self) -> Self {
        Self { runs: self.runs.clone(), ..Self::default() }
    }
}

impl<B: Send + 'static> Service<Request<B>> for Coy {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready.store(true, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(self.ready.swap(false, Ordering::SeqCst), "called without being ready");
        let run = self.runs.add();
        Box::pin(async move { Ok(Response::new(Full::new(Bytes::from(format!("goods {run}"))))) })
    }
}

/// The service that was ready is the one that is called, however long the payment takes in between.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_that_was_ready_is_called() {
    let rig = Rig::start().await;
    let coy = Coy::default();
    let runs = coy.runs.clone();
    let before = Door::look(&rig, &runs);
    let mut service = ServiceBuilder::new().layer(gate(&rig, price(&rig, PRICE)).build().unwrap()).service(coy);
    assert!(Service::<Request<()>>::poll_ready(&mut service, &mut Context::from_waker(Waker::noop())).is_pending());
    let address = serve_with_hyper(service).await;
    for run in 1..=3 {
        assert_eq!(ask(address, None).await.unwrap().status, 402);
        assert_eq!(ask(address, Some(&rig.pay(PAYER))).await.unwrap().text(), format!("goods {run}"));
    }
    assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 3 });
}

/// A service's own error, as tonic and others have them.
#[derive(Debug, PartialEq, Eq)]
struct Status(u32);

/// Errors pass as they are, charge nothing, and leave the payment good; what they did not settle is settled by the
/// next run.
#[tokio::test(flavor = "multi_thread")]
async fn t101_errors_of_the_service_pass_and_cost_nothing() {
    let rig = Rig::start().await;
    for upfront in [false, true] {
        let runs = Runs::default();
        let counted = runs.clone();
        let handler = service_fn(move |_: Request<Full<Bytes>>| {
            let run = counted.add();
            async move { if run < 3 { Err(Status(14)) } else { Ok(Response::new(Full::new(Bytes::from_static(b"goods")))) } }
        });
        let price = if upfront { price(&rig, PRICE).upfront() } else { price(&rig, PRICE) };
        let service = ServiceBuilder::new().layer(gate(&rig, price).build().unwrap()).service(handler);
        let before = Door::look(&rig, &runs);
        let payment = rig.pay(PAYER);
        let call = async || -> Result<Response<GateBody<Full<Bytes>>>, Status> {
            let request = Request::get("/a").header("host", HOST).header("x-payment", payment.as_str()).body(Full::default()).unwrap();
            service.clone().oneshot(request).await
        };
        for run in 1..=2 {
            assert_eq!(call().await.map(|response| response.status()).unwrap_err(), Status(14));
            assert_eq!(before.since(&rig, &runs), Door { runs: run, transfers: usize::from(upfront) });
        }
        let served = call().await.unwrap();
        assert_eq!(served.status(), 200);
        assert_eq!(served.into_body().collect().await.unwrap().to_bytes(), "goods");
        assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 1 });
    }
}

/// Many routes with one gate, many gates on one router: each payment opens its own route.
#[tokio::test(flavor = "multi_thread")]
async fn one_gate_may_stand_before_many_routes() {
    let rig = Rig::start().await;
    let cheap = gate(&rig, price(&rig, PRICE)).build().unwrap();
    let dear = gate(&rig, price(&rig, 3 * PRICE)).build().unwrap();
    let says = |text: &'static str| axum::routing::get(async move || text);
    let routes = Router::new()
        .route("/a", says("a").layer(cheap.clone()))
        .route("/b", says("b").layer(cheap))
        .route("/dear", says("dear").layer(dear))
        .route("/free", says("free"));
    let shop = h402_tests::shop::Shop::open(routes).await;
    for (target, text) in [("/a", "a"), ("/b", "b")] {
        let payment = rig.pay(PAYER);
        assert_eq!(shop.ask(&get("/dear").paying(&payment)).await.status, 402);
        assert_eq!(shop.ask(&get(target).paying(&payment)).await.text(), text);
        assert_eq!(shop.ask(&get("/a?").paying(&payment)).await.status, 409);
    }
    assert_eq!(shop.ask(&get("/free").paying("junk")).await.text(), "free");
}
