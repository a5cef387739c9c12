//! The recorded requests, sent to our gate over a socket, with a facilitator that answers as recorded.

use super::{
    difference::{Found, price},
    recording::{Answered, Body, Exchange, GateSetup, Handler, Recording},
};
use axum::{
    Router,
    body::{Body as HttpBody, Bytes},
    extract::Request,
    http::{HeaderMap, Response, StatusCode},
};
use futures_util::stream;
use h402_core::{Asset, Assets, Clock, Network, Offer, UnixMillis, asset_id, wire::h402};
use h402_tests::{
    raw::{Ask, Reply},
    shop::Shop,
};
use h402_tower::{
    gate::{Gate, GateLayer, MemoryGrants, Origin, Price},
    remote::RemoteFacilitator,
};
use serde_json::{Map, Value};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::net::TcpSocket;

type Layer = GateLayer<RemoteFacilitator, MemoryGrants>;

/// A clock that stands where the recording was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Then(pub(super) UnixMillis);

impl Clock for Then {
    fn now(&self) -> UnixMillis {
        self.0
    }
}

/// What happened behind the gate, in order; and what the facilitator was asked.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<(Vec<String>, Vec<Value>)>>);

impl Log {
    fn order(&self) -> Vec<String> {
        self.0.lock().unwrap().0.clone()
    }

    fn note(&self, what: &str) {
        self.0.lock().unwrap().0.push(what.to_owned());
    }

    fn asked(&self, body: Value) {
        self.0.lock().unwrap().1.push(body);
    }

    fn questions(&self) -> Vec<Value> {
        self.0.lock().unwrap().1.clone()
    }
}

/// Sends the recorded requests of a client, and compares the answers, the order of work and what the facilitator was
/// asked.
pub(super) async fn compare(recording: &Recording, found: &mut Found) {
    let log = Log::default();
    let facilitator = open_facilitator(recording, &log).await;
    let layer = match build(recording, &facilitator.url()) {
        Ok(layer) => layer,
        Err(why) => return found.differs(format!("gate: cannot be built: {why}")),
    };
    let shop = Shop::open(serve(handler(recording), &log).layer(layer)).await;
    for (index, visit) in recording.visits().enumerate() {
        let reply = ask(&shop, visit, &recording.gate).await;
        found.answers(&format!("gate: answer {}", index + 1), visit.response.as_ref(), reply.as_ref());
    }
    let (order, ours) = (recording.gate.order.as_ref().expect("the order of work, by hand"), log.order());
    if *order != ours {
        found.differs(format!("gate: order [{}], ours [{}]", order.join(" "), ours.join(" ")));
    }
    for (question, asked) in recording.questions().zip(log.questions()) {
        questions(question.request.json().unwrap(), &asked, found);
    }
}

fn questions(recorded: &Value, ours: &Value, found: &mut Found) {
    let payment = |question: &Value| h402::decode_payment(question["payload"].as_str().unwrap().as_bytes()).unwrap();
    if payment(recorded) != payment(ours) {
        found.differs("gate: the facilitator is asked about another payment");
    }
    let key = "paymentRequirements";
    found.json("gate: question", key, &recorded[key], &ours[key]);
}

async fn ask(shop: &Shop, visit: &Exchange, setup: &GateSetup) -> Option<Reply> {
    let target = setup.target.as_ref().unwrap_or(&visit.request.path);
    let mut ask = Ask::new(&visit.request.method, target, "").without("host");
    for (name, value) in &visit.request.headers {
        ask = ask.with(name, value);
    }
    shop.try_ask(&ask).await
}

/// The options the recorded server was configured with.
fn options(recording: &Recording) -> Vec<Map<String, Value>> {
    let accepts = || recording.visits().find_map(|visit| visit.response.as_ref()?.json()?.get("accepts").cloned());
    let list: Vec<Value> = match recording.gate.offers.clone().map(Value::Array).or_else(accepts).expect("a 402, or offers by hand") {
        Value::Array(list) => list,
        Value::Object(indexed) => indexed.values().cloned().collect(),
        other => panic!("{other}"),
    };
    list.into_iter().map(|option| option.as_object().unwrap().clone()).collect()
}

fn build(recording: &Recording, facilitator: &str) -> Result<Layer, &'static str> {
    let options = options(recording);
    let offers = options.iter().map(offer).collect::<Result<Vec<_>, _>>()?;
    let price = Price::offers(offers).map_err(|_| "offers")?;
    let price = if recording.gate.upfront { price.upfront() } else { price };
    let visit = recording.visits().next().unwrap();
    let host = visit.request.header("host").unwrap();
    let origin = match options[0].get("resource").and_then(Value::as_str) {
        Some(resource) => resource.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"),
        None => format!("http://{host}"),
    };
    let facilitator = RemoteFacilitator::new(facilitator).unwrap();
    let mut gate = Gate::new(facilitator, MemoryGrants::new().unwrap(), Origin::parse(&origin).unwrap(), price)
        .with_allowed_hosts([host])
        .with_clock(Then(visit.at()));
    if let Some(text) = options[0].get("description").and_then(Value::as_str) {
        gate = gate.with_description(text);
    }
    if let Some(text) = options[0].get("mimeType").and_then(Value::as_str) {
        gate = gate.with_mime_type(text);
    }
    gate.build().map_err(|_| "gate")
}

fn offer(option: &Map<String, Value>) -> Result<Offer, &'static str> {
    let text = |key: &str| option[key].as_str().unwrap();
    let network = match text("namespace") {
        "evm" => Network::Evm(text("networkId").parse().unwrap()),
        "solana" => Network::Solana(h402_core::GenesisPrefix::MAINNET),
        other => panic!("{other}"),
    };
    let id = asset_id(network, text("tokenAddress")).map_err(|_| "asset")?;
    let described = || Asset::new(id, u8::try_from(option["tokenDecimals"].as_u64().unwrap()).unwrap(), text("tokenSymbol")).into();
    let asset = Assets::known().get(&id).cloned().unwrap_or_else(described);
    Offer::new(asset, price(option), text("payToAddress").parse().map_err(|_| "payee")?).map_err(|_| "offer")
}

/// What the recorded handler answered, where it shows.
fn handler(recording: &Recording) -> Handler {
    if let Some(handler) = &recording.gate.handler {
        return handler.clone();
    }
    let shown = recording.visits().filter_map(|visit| visit.response.as_ref()).find(|answer| answer.status != 402);
    match shown {
        Some(answer) => Handler {
            status: answer.status,
            headers: answer.header("content-type").map(|kind| ("content-type".to_owned(), kind.to_owned())).into_iter().collect(),
            chunks: vec![String::from_utf8(answer.body.as_ref().unwrap().bytes()).unwrap()],
        },
        None => Handler { status: 200, headers: Vec::new(), chunks: vec!["goods".to_owned()] },
    }
}

fn serve(handler: Handler, log: &Log) -> Router {
    let log = log.clone();
    Router::new().fallback(async move |headers: HeaderMap| {
        log.note("handler");
        let forwarded = headers.contains_key(h402::PAYMENT_HEADER).to_string();
        let mut response = Response::builder().status(handler.status);
        for (name, value) in &handler.headers {
            response = response.header(name, value);
        }
        let chunks: Vec<String> = handler.chunks.iter().map(|chunk| chunk.replace("{forwarded}", &forwarded)).collect();
        let body = match &chunks[..] {
            [whole] => HttpBody::from(whole.clone()),
            _ => HttpBody::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>))),
        };
        response.body(body).unwrap()
    })
}

/// Somebody who answers as the recorded facilitator, or nobody.
enum Stub {
    Open(Shop),
    Down(TcpSocket),
}

impl Stub {
    fn url(&self) -> String {
        match self {
            Self::Open(shop) => format!("http://{}", shop.address),
            Self::Down(socket) => format!("http://{}", socket.local_addr().unwrap()),
        }
    }
}

async fn open_facilitator(recording: &Recording, log: &Log) -> Stub {
    if recording.gate.facilitator_down {
        // Bound and never listened on: connections are refused, and nobody else gets the port.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        return Stub::Down(socket);
    }
    let mut answers: VecDeque<(String, Answered)> = VecDeque::new();
    for question in recording.questions() {
        let path = &question.request.path;
        if !recording.gate.answers.contains_key(path) {
            answers.push_back((path.clone(), question.response.clone().unwrap()));
        }
    }
    answers.extend(recording.gate.answers.clone());
    let answers = Arc::new(Mutex::new(answers));
    let log = log.clone();
    Stub::Open(
        Shop::open(Router::new().fallback(async move |request: Request| {
            let path = request.uri().path().to_owned();
            if path == "/supported" {
                // The reference facilitator has no such path (fac-get-supported).
                return answer(404, &Body::Text("Cannot GET /supported".to_owned()));
            }
            log.note(path.trim_start_matches('/'));
            let body: Bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            log.asked(serde_json::from_slice(&body).unwrap());
            let mut answers = answers.lock().unwrap();
            let Some(at) = answers.iter().position(|(known, _)| *known == path) else {
                return answer(500, &Body::Text("not recorded".to_owned()));
            };
            let (_, recorded) = answers.remove(at).unwrap();
            answer(recorded.status, &recorded.body.unwrap())
        }))
        .await,
    )
}

fn answer(status: u16, body: &Body) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::from(body.bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
