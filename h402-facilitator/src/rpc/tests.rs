use super::*;
use fake::{Fake, Reply};
use std::sync::atomic::AtomicBool;
use tokio::time::Instant;

pub(crate) mod fake;
mod relay;

fn endpoint(url: &str) -> Endpoint {
    url.parse().unwrap()
}

fn rpc(endpoints: &[&Fake]) -> Rpc {
    // Far beyond what loopback needs, also on a busy machine.
    rpc_within(Duration::from_secs(30), endpoints)
}

fn rpc_within(timeout: Duration, endpoints: &[&Fake]) -> Rpc {
    let mut config = RpcConfig::new(endpoints.iter().map(|fake| endpoint(&fake.url())).collect());
    config.timeout = timeout;
    config.max_body = 64 << 10;
    Rpc::new(config)
}

fn calls(methods: &[&'static str]) -> Vec<Call> {
    methods.iter().map(|method| Call::new(method, &[(); 0])).collect()
}

fn texts(answers: Result<Answers, Undecided>) -> Result<Vec<Result<String, i64>>, Undecided> {
    Ok(answers?.into_iter().map(|answer| answer.map(|answer| answer.get().to_owned()).map_err(|error| error.code)).collect())
}

#[tokio::test]
async fn a_batch_is_one_request_and_its_answers_come_in_any_order() {
    let fake = Fake::start(|body| {
        assert!(body.starts_with(b"["), "several calls are an array");
        let [first, second] = ids(body)[..] else { panic!("two calls") };
        json(format!(
            r#"[{{"jsonrpc":"2.0","id":{second},"error":{{"code":3,"message":"execution reverted"}}}},{{"jsonrpc":"2.0","id":{first},"result":null}}]"#
        ))
    })
    .await;
    let rpc = rpc(&[&fake]);
    let answers = texts(rpc.batch(&calls(&["eth_a", "eth_b"])).await).unwrap();
    assert_eq!(answers, [Ok("null".to_owned()), Err(3)]);
    let counters = rpc.counters();
    assert_eq!((counters.requests, fake.requests()), (1, 1));
    assert_eq!(counters.methods.get("eth_a"), Some(&MethodCount { calls: 1, errors: 0 }));
    assert_eq!(counters.methods.get("eth_b"), Some(&MethodCount { calls: 1, errors: 1 }));
}

#[tokio::test]
async fn a_single_call_is_a_plain_object() {
    let fake = Fake::start(|body| {
        assert!(body.starts_with(b"{"), "a single call is no array");
        json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":"0x1"}}"#, ids(body)[0]))
    })
    .await;
    let answer = rpc(&[&fake]).call(Call::new("eth_chainId", &[(); 0])).await.unwrap().unwrap();
    assert_eq!(answer.get(), "\"0x1\"");
}

#[tokio::test]
async fn nothing_asked_is_nothing_sent() {
    let fake = Fake::start(|_| Reply::Close).await;
    assert!(rpc(&[&fake]).batch(&[]).await.unwrap().is_empty());
    assert_eq!(fake.requests(), 0);
}

#[tokio::test]
async fn without_endpoints_nothing_is_decided() {
    let rpc = Rpc::new(RpcConfig::new(Vec::new()));
    assert_eq!(texts(rpc.batch(&calls(&["eth_a"])).await), Err(Undecided::Chain));
}

/// Every way in which an endpoint can fail to answer two calls; the honest twin is the test above.
#[tokio::test]
async fn what_is_no_answer_decides_nothing() {
    let ok = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x1"}}"#);
    type Reply2 = Box<dyn Fn(u64, u64) -> Reply + Send + Sync>;
    let cases: Vec<(&str, Reply2, Undecided)> = vec![
        ("closed", Box::new(|_, _| Reply::Close), Undecided::Chain),
        ("silent", Box::new(|_, _| Reply::Silence), Undecided::Deadline),
        ("half a head", Box::new(|_, _| Reply::Raw(b"HTTP/1.1 200 O".to_vec())), Undecided::Chain),
        ("half a body", Box::new(|_, _| Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[".to_vec())), Undecided::Chain),
        ("no HTTP", Box::new(|_, _| Reply::Raw(b"\x15\x03\x01\x00\x02\x02\x46".to_vec())), Undecided::Chain),
        ("400", Box::new(move |a, b| Reply::Status(400, format!("[{},{}]", ok(a), ok(b)))), Undecided::Chain),
        ("429", Box::new(move |a, b| Reply::Status(429, format!("[{},{}]", ok(a), ok(b)))), Undecided::Chain),
        ("503", Box::new(move |a, b| Reply::Status(503, format!("[{},{}]", ok(a), ok(b)))), Undecided::Chain),
        ("204", Box::new(|_, _| Reply::Status(204, String::new())), Undecided::Chain),
        ("redirect", Box::new(|_, _| Reply::Status(302, String::new())), Undecided::Chain),
        ("HTML", Box::new(|_, _| json("<html>Just a moment...</html>")), Undecided::Chain),
        ("empty", Box::new(|_, _| json("")), Undecided::Chain),
        ("null", Box::new(|_, _| json("null")), Undecided::Chain),
        ("cut JSON", Box::new(move |a, _| json(format!("[{},{{\"jsonrpc\"", ok(a)))), Undecided::Chain),
        ("one object for a batch", Box::new(move |a, _| json(ok(a))), Undecided::Chain),
        (
            "batch refused as a whole",
            Box::new(|_, _| json(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}"#)),
            Undecided::Chain,
        ),
        ("one missing", Box::new(move |a, _| json(format!("[{}]", ok(a)))), Undecided::Chain),
        ("one too many", Box::new(move |a, b| json(format!("[{},{},{}]", ok(a), ok(b), ok(b + 1)))), Undecided::Chain),
        ("one twice", Box::new(move |a, b| json(format!("[{},{},{}]", ok(a), ok(b), ok(a)))), Undecided::Chain),
        ("same id", Box::new(move |a, _| json(format!("[{},{}]", ok(a), ok(a)))), Undecided::Chain),
        ("foreign id", Box::new(move |a, b| json(format!("[{},{}]", ok(a), ok(b + 7)))), Undecided::Chain),
        ("id below", Box::new(move |a, _| json(format!("[{},{}]", ok(a), ok(0)))), Undecided::Chain),
        ("id as text", Box::new(move |a, b| json(format!(r#"[{},{{"id":"{b}","result":1}}]"#, ok(a)))), Undecided::Chain),
        ("id missing", Box::new(move |a, _| json(format!(r#"[{},{{"result":1}}]"#, ok(a)))), Undecided::Chain),
        ("id null", Box::new(move |a, _| json(format!(r#"[{},{{"id":null,"result":1}}]"#, ok(a)))), Undecided::Chain),
        ("neither result nor error", Box::new(move |a, b| json(format!(r#"[{},{{"id":{b}}}]"#, ok(a)))), Undecided::Chain),
        (
            "result and error",
            Box::new(move |a, b| json(format!(r#"[{},{{"id":{b},"result":1,"error":{{"code":1,"message":""}}}}]"#, ok(a)))),
            Undecided::Chain,
        ),
        ("result twice", Box::new(move |a, b| json(format!(r#"[{},{{"id":{b},"result":1,"result":2}}]"#, ok(a)))), Undecided::Chain),
        ("error without code", Box::new(move |a, b| json(format!(r#"[{},{{"id":{b},"error":"no"}}]"#, ok(a)))), Undecided::Chain),
        (
            "throttled in JSON",
            Box::new(move |a, b| json(format!(r#"[{},{{"id":{b},"error":{{"code":-32005,"message":"limit"}}}}]"#, ok(a)))),
            Undecided::Chain,
        ),
        (
            "too long",
            Box::new(move |a, b| json(format!(r#"[{},{{"id":{b},"result":"{}"}}]"#, ok(a), "x".repeat(64 << 10)))),
            Undecided::Chain,
        ),
        ("too deep", Box::new(move |a, _| json(format!("[{},{}", ok(a), "[".repeat(30_000)))), Undecided::Chain),
    ];
    for (name, reply, want) in cases {
        let fake = Fake::start(move |body| match ids(body)[..] {
            [first, second] => reply(first, second),
            _ => panic!("two calls"),
        })
        .await;
        let rpc = if want == Undecided::Deadline { rpc_within(Duration::from_millis(200), &[&fake]) } else { rpc(&[&fake]) };
        assert_eq!(texts(rpc.batch(&calls(&["eth_a", "eth_b"])).await), Err(want), "{name}");
        assert_eq!(rpc.counters().requests, 1, "{name}: nothing is tried again behind the caller's back");
        assert_eq!((rpc.counters().endpoints[0].failures, rpc.counters().endpoints[0].healthy), (1, false), "{name}");
    }
}

/// Nodes that put `null` beside an error, or an error of another form, still say what they mean.
#[tokio::test]
async fn errors_are_read_in_the_forms_nodes_write() {
    let bytes = |hex: &str| Some(hex.parse::<Bytes>().unwrap());
    let long = "y".repeat(1000);
    let cases = [
        (
            r#"{"code":3,"message":"execution reverted: no","data":"0x08c379a0"}"#.to_owned(),
            3,
            "execution reverted: no",
            bytes("0x08c379a0"),
        ),
        (
            r#"{"code":-32015,"message":"VM execution error.","data":"Reverted 0x08"}"#.to_owned(),
            -32015,
            "VM execution error.",
            bytes("0x08"),
        ),
        (r#"{"code":-32603,"message":"m","data":{"message":"x","data":"0x01"}}"#.to_owned(), -32603, "m", bytes("0x01")),
        (r#"{"code":-32603,"message":"m","data":[1]}"#.to_owned(), -32603, "m", None),
        (r#"{"code":-32603,"message":"m","data":"0xzz"}"#.to_owned(), -32603, "m", None),
        (r#"{"code":-32603}"#.to_owned(), -32603, "", None),
        (format!(r#"{{"code":1,"message":"{long}"}}"#), 1, &long[..256], None),
        (r#"{"code":1,"message":"see https://rpc.example/v2/abc?x=1 now"}"#.to_owned(), 1, "see [url] now", None),
        (r#"{"code":1,"message":"a\u0007b\nc"}"#.to_owned(), 1, "a b c", None),
    ];
    for (error, code, message, data) in cases {
        let wire = error.clone();
        let fake = Fake::start(move |body| json(format!(r#"{{"id":{},"result":null,"error":{wire}}}"#, ids(body)[0]))).await;
        let answer = rpc(&[&fake]).call(Call::new("eth_call", &[(); 0])).await.unwrap().unwrap_err();
        assert_eq!(answer, RpcError { code, message: message.to_owned(), data }, "{error}");
    }
}

/// T114, T134: whatever a node echoes, no part of its URL gets into our errors.
#[tokio::test]
async fn t114_an_error_carries_no_part_of_the_url() {
    let fake = Fake::start(|body| {
        let error = r#"{"code":1,"message":"project canary-path with token canary-query of canary-user:canary-pass is unknown"}"#;
        json(format!(r#"{{"id":{},"error":{error}}}"#, ids(body)[0]))
    })
    .await;
    let url = fake.url().replace("http://", "http://canary-user:canary-pass@") + "/v2/canary-path?key=canary-query";
    let rpc = Rpc::new(RpcConfig::new(vec![endpoint(&url)]));
    let error = rpc.call(Call::new("eth_call", &[(); 0])).await.unwrap().unwrap_err();
    for shown in
        [format!("{error}"), format!("{error:?}"), format!("{rpc:?}"), format!("{:?}", rpc.counters()), format!("{:?}", endpoint(&url))]
    {
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert!(error.message.contains("is unknown"), "the rest of the message is kept: {}", error.message);
    assert!(fake.last_head().contains("authorization: Basic Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3M="));
    assert!(fake.last_head().starts_with("POST /v2/canary-path?key=canary-query HTTP/1.1"), "{}", fake.last_head());
}

#[test]
fn endpoints_are_urls_of_http() {
    let cases = [
        ("https://rpc.example/key", Some("https://rpc.example")),
        ("http://127.0.0.1:8545", Some("http://127.0.0.1:8545")),
        ("https://[::1]:8545/x?y#z", Some("https://[::1]:8545")),
        ("wss://rpc.example", None),
        ("rpc.example", None),
        ("https://", None),
        ("file:///etc/passwd", None),
        ("", None),
    ];
    for (text, want) in cases {
        let shown = text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(shown.as_deref().ok(), want, "{text}");
    }
    let error = "ftp://canary:canary@host".parse::<Endpoint>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[tokio::test]
async fn the_next_endpoint_is_asked_when_one_fails() {
    let down = Fake::start(|_| Reply::Status(503, String::new())).await;
    let up = Fake::start(|body| json(format!(r#"{{"id":{},"result":"0x2"}}"#, ids(body)[0]))).await;
    let rpc = rpc(&[&down, &up]);
    for _ in 0..5 {
        let answer = rpc.call(Call::new("eth_a", &[(); 0])).await.unwrap().unwrap();
        assert_eq!(answer.get(), "\"0x2\"");
    }
    assert_eq!((down.requests(), up.requests()), (1, 5), "an endpoint that failed is left alone for a while");
    let counters = rpc.counters();
    assert_eq!(counters.requests, 6);
    assert_eq!((counters.endpoints[0].failures, counters.endpoints[1].failures), (1, 0));
}

#[tokio::test]
async fn of_endpoints_that_are_all_down_one_is_tried_each_time() {
    let (a, b) = (Fake::start(|_| Reply::Close).await, Fake::start(|_| Reply::Close).await);
    let rpc = rpc(&[&a, &b]);
    assert_eq!(texts(rpc.batch(&calls(&["eth_a"])).await), Err(Undecided::Chain));
    assert_eq!((a.requests(), b.requests()), (1, 1));
    for _ in 0..3 {
        assert_eq!(texts(rpc.batch(&calls(&["eth_a"])).await), Err(Undecided::Chain));
    }
    assert_eq!(a.requests() + b.requests(), 5, "one request per call while both rest");
}

/// The rests of an endpoint that keeps failing, without a socket and on a paused clock.
#[tokio::test(start_paused = true)]
async fn rests_grow_to_half_a_minute_and_end() {
    let both = vec![endpoint("http://a.example"), endpoint("http://b.example")];
    let pool = Pool::new(both, Duration::from_secs(2));
    let mut rests = Vec::new();
    for _ in 0..9 {
        pool.failed(0);
        let start = Instant::now();
        while pool.candidates() == [1] {
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        rests.push(start.elapsed().as_millis());
    }
    assert_eq!(rests, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    // Whoever found it awake is trying it: nobody else does meanwhile.
    assert_eq!(pool.candidates(), [1]);
    pool.succeeded(0);
    assert_eq!(pool.candidates(), [0, 1]);
}

#[tokio::test]
async fn signed_bytes_go_on_to_the_next_endpoint_only_if_asked() {
    let raw = Bytes::from_static(&[2, 0xf8, 1]);
    for (reach, want) in [(Reach::One, (1, 0)), (Reach::UntilAnswered, (1, 1))] {
        let down = Fake::start(|_| Reply::Close).await;
        let up = Fake::start(|body| {
            assert!(String::from_utf8_lossy(body).contains(r#""eth_sendRawTransaction","params":["0x02f801"]"#));
            json(format!(r#"{{"id":{},"result":"0x2"}}"#, ids(body)[0]))
        })
        .await;
        let sent = rpc(&[&down, &up]).send_raw(&raw, reach).await;
        assert_eq!(sent.is_ok(), reach == Reach::UntilAnswered);
        assert_eq!((down.requests(), up.requests()), want, "{reach:?}");
    }
}

#[tokio::test]
async fn a_nodes_own_refusal_ends_the_sending() {
    let refusing =
        Fake::start(|body| json(format!(r#"{{"id":{},"error":{{"code":-32000,"message":"nonce too low"}}}}"#, ids(body)[0]))).await;
    let other = Fake::start(|_| Reply::Close).await;
    let sent = rpc(&[&refusing, &other]).send_raw(&Bytes::new(), Reach::UntilAnswered).await.unwrap();
    assert_eq!(sent.unwrap_err().message, "nonce too low");
    assert_eq!(other.requests(), 0);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_busy_and_are_not_sent() {
    let fake = Fake::start(|_| Reply::Silence).await;
    let mut config = RpcConfig::new(vec![endpoint(&fake.url())]);
    (config.timeout, config.max_in_flight) = (Duration::from_secs(4), 1);
    let rpc = Rpc::new(config);
    let first = tokio::spawn({
        let rpc = rpc.clone();
        async move { texts(rpc.batch(&calls(&["eth_a"])).await) }
    });
    fake.reached(1).await;
    // The first is under way for twice as long as the second waits.
    assert_eq!(texts(rpc.batch(&calls(&["eth_b"])).await), Err(Undecided::Busy));
    assert_eq!((fake.requests(), rpc.counters().requests), (1, 1));
    assert!(!first.is_finished(), "the first is still under way");
    first.abort();
}

#[tokio::test]
async fn a_dropped_call_frees_its_place() {
    static ANSWERS: AtomicBool = AtomicBool::new(false);
    let fake = Fake::start(|body| {
        if ANSWERS.load(Ordering::Relaxed) { json(format!(r#"{{"id":{},"result":1}}"#, ids(body)[0])) } else { Reply::Silence }
    })
    .await;
    let mut config = RpcConfig::new(vec![endpoint(&fake.url())]);
    (config.timeout, config.max_in_flight) = (Duration::from_secs(60), 1);
    let rpc = Rpc::new(config);
    let call = tokio::spawn({
        let rpc = rpc.clone();
        async move { texts(rpc.batch(&calls(&["eth_a"])).await) }
    });
    fake.reached(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    ANSWERS.store(true, Ordering::Relaxed);
    assert_eq!(texts(rpc.batch(&calls(&["eth_b"])).await), Ok(vec![Ok("1".to_owned())]));
}

proptest::proptest! {
    /// Whatever an endpoint writes, reading it ends without a panic, with all answers or none.
    #[test]
    fn any_bytes_are_an_answer_or_none(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), count in 1_usize..4) {
        let calls = vec![Call::new("eth_a", &[(); 0]); count];
        if let Some(answers) = message::decode(&body, &calls, 5, &endpoint("http://a.example")) {
            proptest::prop_assert_eq!(answers.len(), count);
        }
    }

    /// Answers made of the right parts in the wrong ways.
    #[test]
    fn any_answers_are_matched_or_refused(parts in proptest::collection::vec((0_u64..9, 0_u8..6), 0..5)) {
        let object = |(id, form): &(u64, u8)| match form {
            0 => format!(r#"{{"id":{id},"result":{id}}}"#),
            1 => format!(r#"{{"id":{id},"error":{{"code":{id},"message":"m"}}}}"#),
            2 => format!(r#"{{"id":{id}}}"#),
            3 => format!(r#"{{"id":"{id}","result":1}}"#),
            4 => format!(r#"{{"result":{id},"id":{id},"jsonrpc":"2.0","extra":[{{}}]}}"#),
            _ => "null".to_owned(),
        };
        let body = format!("[{}]", parts.iter().map(object).collect::<Vec<_>>().join(","));
        let calls = vec![Call::new("eth_a", &[(); 0]); 2];
        let answers = message::decode(body.as_bytes(), &calls, 5, &endpoint("http://a.example"));
        let mut ids: Vec<u64> = parts.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let complete = ids == [5, 6] && parts.iter().all(|(_, form)| matches!(form, 0 | 1 | 4));
        proptest::prop_assert_eq!(answers.is_some(), complete);
        for (at, answer) in answers.into_iter().flatten().enumerate() {
            match answer {
                Ok(result) => proptest::prop_assert_eq!(result.get(), (at + 5).to_string()),
                Err(error) => proptest::prop_assert_eq!(error.code, i64::try_from(at + 5).unwrap()),
            }
        }
    }
}

/// The ids in a request, in its order.
fn ids(body: &[u8]) -> Vec<u64> {
    let request: serde_json::Value = serde_json::from_slice(body).unwrap();
    let calls = match request {
        serde_json::Value::Array(calls) => calls,
        call => vec![call],
    };
    calls.iter().map(|call| call["id"].as_u64().unwrap()).collect()
}

fn json(body: impl Into<String>) -> Reply {
    Reply::Status(200, body.into())
}
