//! The facilitator's HTTP surface: paths, queries, headers and bodies as anybody sends them.
//!
//! An input is a method and a target in one line, a header in each further one, and after an empty line the body.

use axum::{Router, body::Body};
use bytes::Bytes;
use h402_core::Assets;
use h402_facilitator::{
    Engine, EngineConfig, SystemClock,
    rpc::{Answering, Endpoint, Node, RpcConfig},
    server::{Discovery, Services, SolanaRpc, SolanaRpcConfig, router},
    sqlite::{OpenOptions, SqliteStore},
};
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

const STATUSES: [u16; 11] = [200, 400, 403, 404, 405, 408, 413, 415, 422, 429, 503];
const READS: [&str; 6] =
    ["getAccountInfo", "getMultipleAccounts", "getLatestBlockhash", "simulateTransaction", "getSignatureStatuses", "getTransaction"];

/// What the node behind the proxy has heard.
#[derive(Default)]
struct Heard(Mutex<Vec<Bytes>>);

impl Node for Heard {
    fn answer<'a>(&'a self, _: &'a Endpoint, request: Bytes) -> Answering<'a> {
        self.0.lock().expect("nobody panicked").push(request);
        Box::pin(std::future::ready(Ok(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":null}"#))))
    }
}

/// A facilitator that serves no network, with what it runs on, and the node of its proxy. Its ledger answers from other threads,
/// so time passes.
fn facilitator() -> &'static (Router, Arc<Heard>, Runtime) {
    static SERVER: OnceLock<(Router, Arc<Heard>, Runtime)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let heard = Arc::new(Heard::default());
        let upstream = RpcConfig::new(vec!["http://node.invalid/key".parse().expect("an endpoint")]);
        let config = SolanaRpcConfig { per_client: u32::MAX, overall: u32::MAX, max_batch: 8, ..SolanaRpcConfig::new(upstream) };
        let proxy = SolanaRpc::over(config, heard.clone());
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let engine = runtime.block_on(async {
            let ledger = SqliteStore::open(ledger(), OpenOptions::default()).await.expect("a ledger");
            Engine::start(EngineConfig::new(Assets::known(), Vec::new()), ledger, SystemClock).await.expect("an engine")
        });
        (router(engine, Services { solana_rpc: Some(proxy), discovery: Some(Discovery::new(Vec::new())) }), heard, runtime)
    })
}

fn ledger() -> PathBuf {
    let file = std::env::temp_dir().join(format!("h402-fuzz-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

pub(crate) fn all(bytes: &[u8]) {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 2..]));
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    let (server, heard, runtime) = facilitator();
    heard.0.lock().expect("nobody panicked").clear();
    runtime.block_on(async {
        let answer = server.clone().oneshot(request).await.expect("it never fails");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let told = answer.into_body().collect().await.expect("its body never fails").to_bytes();
        assert!(STATUSES.contains(&status), "{status}");
        if status != 200 && method != "HEAD" {
            assert!(serde_json::from_slice::<Value>(&told).is_ok_and(|value| value.is_object()), "{status} without a reason");
        }
        assert!(!headers.contains_key("x-payment-response"));
    });
    let heard = heard.0.lock().expect("nobody panicked");
    assert!(heard.len() <= 1, "one request became several");
    for passed in heard.iter() {
        assert_eq!(passed, body, "other bytes than were checked");
        let value: Value = serde_json::from_slice(passed).expect("the node hears JSON");
        let members = if let Value::Array(members) = value { members } else { vec![value] };
        let allowed = members.iter().all(|member| member["method"].as_str().is_some_and(|method| READS.contains(&method)));
        assert!(allowed && (1..=8).contains(&members.len()), "the node hears what it should not");
    }
}
