//! The 402 of an unpaid request against the same route without a gate, over real sockets.
//!
//! The route answers as many bytes as the gate does, so that what is compared is the gate's work and not the socket's.

use crate::measure::{line, median, ratio};
use axum::{Router, routing::get};
use bytes::Bytes;
use h402_core::{Address, Assets, Network};
use h402_tests::rig::Rig;
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Payee, Price},
    remote::RemoteFacilitator,
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 32;
const SPAN: Duration = Duration::from_millis(300);
const ROUNDS: usize = 15;

pub(crate) async fn run() {
    let mut rig = Rig::start().await;
    let gated = serve(paid(&rig.url).await).await;
    let length = challenge_length(&gated).await;
    let body = Bytes::from(vec![b'x'; length]);
    let plain = serve(Router::new().route("/paid", get(async move || body.clone()))).await;
    let alive = compare(&plain, &gated).await;
    rig.stop().await;
    let dead = compare(&plain, &gated).await;
    line("bytes of a 402 and of the answer of the route without a gate", length);
    line("route without a gate, requests/s", format!("{:.0}", alive.plain));
    line("402 without payment, requests/s", format!("{:.0}", alive.gated));
    line("402 without payment, facilitator dead, requests/s", format!("{:.0}", dead.gated));
    ratio("402 / ungated", alive.ratio, ">= 0.85");
    ratio("402 with a dead facilitator / 402", dead.ratio / alive.ratio, "about 1");
}

/// Requests per second at best, and the ratio of neighbouring rounds in the middle.
struct Compared {
    plain: f64,
    gated: f64,
    ratio: f64,
}

async fn compare(plain: &str, gated: &str) -> Compared {
    let mut best = (0.0f64, 0.0f64);
    let mut ratios = [0.0; ROUNDS];
    for ratio in &mut ratios {
        let round = (load(plain, 200).await, load(gated, 402).await);
        best = (best.0.max(round.0), best.1.max(round.1));
        *ratio = round.1 / round.0;
    }
    Compared { plain: best.0, gated: best.1, ratio: median(&mut ratios) }
}

async fn paid(facilitator: &str) -> Router {
    let payee = Payee::new(Network::Evm(8453), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse::<Address>().unwrap());
    let price = Price::usd("0.01").to(&[payee], &Assets::known()).unwrap();
    let grants = MemoryGrants::new().unwrap();
    let facilitator = RemoteFacilitator::new(facilitator).unwrap();
    let origin = Origin::parse("https://api.example").unwrap();
    let gate = Gate::new(facilitator, grants, origin, price).build().unwrap();
    Router::new().route("/paid", get(async || "hello")).route_layer(gate)
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

async fn challenge_length(address: &str) -> usize {
    let request = Request::get(format!("http://{address}/paid")).header("host", "api.example").body(Default::default()).unwrap();
    let (status, body) = h402_tests::http::send(request).await;
    assert_eq!(status, 402);
    body.len()
}

/// Requests per second over kept connections, each waiting for its answer.
async fn load(address: &str, expected: u16) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let address = address.to_owned();
            tokio::spawn(async move {
                let stream = TcpStream::connect(&address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                let mut count = 0u32;
                while start.elapsed() < SPAN {
                    let request = Request::get("/paid").header("host", "api.example").body(Empty::new()).unwrap();
                    let answer = sender.send_request(request).await.unwrap();
                    assert_eq!(answer.status().as_u16(), expected);
                    answer.into_body().collect().await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    f64::from(total) / start.elapsed().as_secs_f64()
}
