//! Facilitators that are away, that are broken, or that are somebody else's web page (T112).

use super::{Door, sells_all};
use axum::Router;
use h402_devnet::evm::account;
use h402_tests::{
    http::try_send,
    raw::Ask,
    rig::{PAYER, Rig},
    shop::{ORIGIN, PRICE, Runs, Shop, get, is_wait, price},
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Price, Quote},
    remote::RemoteFacilitator,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How long a verdict is waited for, where it never comes, and where it does.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// What a facilitator does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// What it should.
    Right,
    /// Something else.
    Wrong(Wrong),
    /// What it should, and then it answers something else.
    RightThen(Wrong),
}

/// A wrong answer.
#[derive(Debug, Clone)]
pub(crate) enum Wrong {
    /// A status, a content type and a body.
    Says(u16, &'static str, String),
    /// Half of a body.
    Half(String),
    /// A redirect.
    Redirects(String),
    /// The connection is closed without an answer.
    Closes,
    /// Nothing at all comes.
    Hangs,
    /// Something that is no HTTP.
    Babbles,
}

pub(crate) fn says(status: u16, body: impl Into<String>) -> Wrong {
    Wrong::Says(status, "application/json", body.into())
}

/// A server between the gate and a good facilitator.
pub(crate) struct Between {
    pub(crate) url: String,
    behind: String,
    does: Mutex<HashMap<&'static str, Does>>,
    asked: Mutex<HashMap<String, u32>>,
}

impl Between {
    pub(crate) async fn open(behind: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let between = Arc::new(Self { url, behind: behind.to_owned(), does: Mutex::default(), asked: Mutex::default() });
        let serving = between.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        between
    }

    pub(crate) fn does(&self, path: &'static str, does: Does) {
        self.does.lock().unwrap().insert(path, does);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> u32 {
        self.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let Some((head, body)) = read_request(&mut stream).await else { return };
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        *self.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
        let does = self.does.lock().unwrap().get(path.as_str()).cloned().unwrap_or(Does::Right);
        let wrong = match does {
            Does::Wrong(wrong) => Some(wrong),
            Does::Right | Does::RightThen(_) => {
                let mut request = http::Request::builder().method(method.as_str()).uri(format!("{}{path}", self.behind));
                for line in head.lines().skip(1) {
                    let (name, value) = line.split_once(": ").unwrap();
                    if ["content-type", "idempotency-key"].contains(&name.to_ascii_lowercase().as_str()) {
                        request = request.header(name, value);
                    }
                }
                let answer = try_send(request.body(body.into()).unwrap()).await;
                match (does, answer) {
                    (Does::RightThen(wrong), _) => Some(wrong),
                    (_, Some((status, body))) => Some(says(status, body)),
                    (_, None) => None,
                }
            }
        };
        let Some(wrong) = wrong else { return };
        let reply = |status: u16, header: &str, length: usize, body: &str| {
            format!("HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
        };
        let bytes = match wrong {
            Wrong::Says(status, kind, body) => reply(status, &format!("content-type: {kind}"), body.len(), &body),
            Wrong::Half(body) => reply(200, "content-type: application/json", 2 * body.len(), &body),
            Wrong::Redirects(to) => reply(302, &format!("location: {to}"), 0, ""),
            Wrong::Babbles => b"220 mail.test ESMTP\r\n".to_vec(),
            Wrong::Closes => return,
            Wrong::Hangs => {
                // Until the other side has had enough.
                drop(stream.read(&mut [0]).await);
                return;
            }
        };
        drop(stream.write_all(&bytes).await);
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..at]).into_owned();
            let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if read.len() - at - 4 >= length {
                return Some((head, read.split_off(at + 4)));
            }
        }
        match stream.read(&mut chunk).await {
            Ok(length @ 1..) => read.extend_from_slice(&chunk[..length]),
            _ => return None,
        }
    }
}

/// Answers that are worth nothing, to whatever was asked about a payer. `elsewhere` is a server that says yes to
/// everything.
fn worthless(elsewhere: &str, payer: usize) -> Vec<Wrong> {
    let hash = "11".repeat(32);
    let yes = format!(r#"{{"isValid":true,"success":true,"payer":"{}","transaction":"0x{hash}"}}"#, account(payer).address);
    vec![
        says(500, r#"{"error":"internal"}"#),
        says(500, yes.clone()),
        says(502, "<html>Bad Gateway</html>"),
        says(503, "{}"),
        says(504, ""),
        says(404, "not found"),
        says(401, r#"{"error":"unauthorized","errorMessage":"no"}"#),
        says(429, r#"{"error":"slow_down","errorMessage":"no"}"#),
        says(204, ""),
        Wrong::Says(200, "text/html", "<html>Welcome</html>".into()),
        says(200, ""),
        says(200, "null"),
        says(200, "[]"),
        says(200, "{}"),
        says(200, r#"{"isValid":"true","success":"true"}"#),
        says(200, r#"{"isValid":1,"success":1}"#),
        says(200, r#"{"isValid":null,"success":null}"#),
        says(200, r#"{"isvalid":true,"Success":true}"#),
        says(200, r#"{"isValid":true,"isValid":true,"success":true,"success":true}"#),
        says(200, r#"{"isValid":true,"success":true,"payer":"0x000000000000000000000000000000000000dEaD"}"#),
        says(200, format!("{yes}{yes}")),
        says(200, format!("{}{yes}", " ".repeat(1024 * 1024))),
        Wrong::Half(yes),
        Wrong::Redirects(format!("{elsewhere}/verify")),
        Wrong::Closes,
        Wrong::Hangs,
        Wrong::Babbles,
    ]
}

/// A shop whose facilitator may misbehave, and that has little patience with it.
async fn shop(rig: &Rig, url: &str, upfront: bool, runs: &Runs, patience: Duration) -> Shop {
    let remote = RemoteFacilitator::new(url).unwrap();
    sells(rig, remote.with_verify_timeout(patience).with_settle_timeout(Duration::from_millis(900)), upfront, runs).await
}

/// A shop with a free route.
async fn sells(rig: &Rig, remote: RemoteFacilitator, upfront: bool, runs: &Runs) -> Shop {
    let offers = price(rig, PRICE).quote().unwrap();
    let offers = if upfront { offers.upfront() } else { offers };
    let price = Price::per_request(move |parts| Ok(if parts.uri.path() == "/free" { Quote::Free } else { offers.clone() }));
    let gate = Gate::new(remote, MemoryGrants::new().unwrap(), Origin::parse(ORIGIN).unwrap(), price).build().unwrap();
    let free = Router::new().route("/free", axum::routing::get(async || "free"));
    Shop::open(Router::new().merge(free).fallback_service(sells_all(gate, runs))).await
}

/// A server that says yes to everything, and counts how often it was asked.
async fn yes_sayer() -> (Arc<Between>, String) {
    let between = Between::open("http://127.0.0.1:1").await;
    let yes = format!(r#"{{"isValid":true,"success":true,"payer":"{}","transaction":"0x{}"}}"#, account(PAYER).address, "11".repeat(32));
    for path in ["/verify", "/settle", "/supported"] {
        between.does(path, Does::Wrong(says(200, yes.clone())));
    }
    let url = between.url.clone();
    (between, url)
}

/// T112: whatever a facilitator does instead of verifying, no handler runs and no payer is to blame; what is free is
/// served, and the offers are told. The same payment is good once it does what it should.
#[tokio::test(flavor = "multi_thread")]
async fn t112_without_a_verdict_nothing_is_sold() {
    let rig = Rig::start().await;
    let (elsewhere, elsewhere_url) = yes_sayer().await;
    for upfront in [false, true] {
        let between = Between::open(&rig.url).await;
        let runs = Runs::default();
        let shop = shop(&rig, &between.url, upfront, &runs, SHORT).await;
        let before = Door::look(&rig, &runs);
        let payment = rig.pay(PAYER);
        for wrong in worthless(&elsewhere_url, PAYER) {
            between.does("/verify", Does::Wrong(wrong.clone()));
            between.does("/supported", Does::Wrong(wrong.clone()));
            let undecided = shop.ask(&get("/a").paying(&payment)).await;
            assert_eq!(undecided.status, 503, "{wrong:?}: {undecided:?}");
            assert!(is_wait(&undecided) && !undecided.has("x-payment-response"), "{wrong:?}: {undecided:?}");
            assert_eq!(undecided.word(), "dependency_unavailable", "{wrong:?}");
            assert_eq!(shop.ask(&get("/a")).await.status, 402, "{wrong:?}");
            assert_eq!(shop.ask(&get("/free")).await.text(), "free", "{wrong:?}");
        }
        assert_eq!((between.asked("/settle"), elsewhere.asked("/verify")), (0, 0), "nobody follows a redirect");
        assert_eq!(before.since(&rig, &runs), Door::SHUT);
        between.does("/verify", Does::Right);
        between.does("/supported", Does::Right);
        // The machine may be slow, and the patience is short.
        assert_eq!(shop.ask_until_decided(&get("/a").paying(&payment)).await.status, 200);
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
    }
    // Nobody is there at all.
    let runs = Runs::default();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let shop = shop(&rig, &url, false, &runs, SHORT).await;
    let refused = shop.ask(&get("/a").paying(&rig.pay(PAYER))).await;
    assert_eq!((refused.status, is_wait(&refused)), (503, true));
    assert_eq!(shop.ask(&get("/a")).await.status, 402);
    assert_eq!(shop.ask(&get("/free")).await.status, 200);
    assert_eq!(runs.count(), 0);
}

/// T112, T008: whatever a facilitator answers instead of an outcome, whether it has settled or not: the answer stays
/// back, nobody is asked to sign again, and the same payment ends the same way, charged once.
#[tokio::test(flavor = "multi_thread")]
async fn t112_t008_without_an_outcome_nobody_signs_again() {
    let rig = Rig::start().await;
    let (elsewhere, elsewhere_url) = yes_sayer().await;
    for (upfront, settles) in [(false, false), (false, true), (true, false), (true, true)] {
        let count = worthless(&elsewhere_url, PAYER).len();
        let cases = (0..count).map(async |index| {
            let payer = PAYER + index % 7;
            let wrong = worthless(&elsewhere_url, payer).swap_remove(index);
            let what = format!("{wrong:?}, upfront: {upfront}, settles: {settles}");
            let between = Between::open(&rig.url).await;
            let runs = Runs::default();
            let shop = shop(&rig, &between.url, upfront, &runs, LONG).await;
            let ask = get("/a").paying(&rig.pay(payer));
            let does = if settles { Does::RightThen(wrong) } else { Does::Wrong(wrong) };
            between.does("/settle", does);
            let unknown = shop.ask(&ask).await;
            assert_eq!(unknown.status, 503, "{what}: {unknown:?}");
            assert!(is_wait(&unknown) && !unknown.text().contains("goods"), "{what}: {unknown:?}");
            assert_eq!(runs.count(), u64::from(!upfront), "{what}");
            between.does("/settle", Does::Right);
            let served = shop.ask_until_decided(&ask).await;
            assert_eq!(served.status, 200, "{what}: {served:?}");
            assert_eq!(runs.count(), 1, "{what}");
            assert_eq!(shop.ask(&ask).await.content(), served.content(), "{what}");
        });
        let before = rig.transfers();
        futures_util::future::join_all(cases).await;
        assert_eq!(rig.transfers() - before, count);
        assert_eq!(elsewhere.asked("/settle") + elsewhere.asked("/verify"), 0);
    }
}

/// T003, T160: of many copies of one payment at one gate, one is verified and one settled.
#[tokio::test(flavor = "multi_thread")]
async fn t003_t160_copies_cost_the_facilitator_nothing() {
    let rig = Rig::start().await;
    let between = Between::open(&rig.url).await;
    let runs = Runs::default();
    for (upfront, round) in [(false, 1), (true, 2)] {
        let shop = sells(&rig, RemoteFacilitator::new(&between.url).unwrap(), upfront, &runs).await;
        let ask = get("/a").paying(&rig.pay(PAYER));
        let replies = futures_util::future::join_all((0..64).map(|_| shop.ask_until_decided(&ask))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
        assert_eq!((between.asked("/verify"), between.asked("/settle")), (round, round));
    }
}

/// T112: a success that names no transaction, one on another network, or another payer's proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t112_a_success_that_proves_nothing_is_none() {
    let rig = Rig::start().await;
    let (me, hash) = (account(PAYER).address, "11".repeat(32));
    let claims = [
        format!(r#"{{"success":true,"payer":"{me}"}}"#),
        format!(r#"{{"success":true,"payer":"{me}","transaction":""}}"#),
        format!(r#"{{"success":true,"payer":"{me}","transaction":"0x{hash}","namespace":"evm","networkId":"1"}}"#),
        format!(r#"{{"success":true,"payer":"{}","transaction":"0x{hash}"}}"#, account(3).address),
    ];
    for claim in claims {
        let between = Between::open(&rig.url).await;
        let runs = Runs::default();
        let shop = shop(&rig, &between.url, false, &runs, LONG).await;
        between.does("/settle", Does::Wrong(says(200, claim.clone())));
        let ask: Ask = get("/a").paying(&rig.pay(PAYER));
        let unknown = shop.ask(&ask).await;
        assert_eq!((unknown.status, is_wait(&unknown)), (503, true), "{claim}: {unknown:?}");
        assert!(!unknown.text().contains("goods"));
        between.does("/settle", Does::Right);
        assert_eq!(shop.ask_until_decided(&ask).await.status, 200, "{claim}");
    }
}
