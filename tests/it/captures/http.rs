//! The recorded requests to the reference facilitator, sent to ours over a socket.

use super::{difference::Found, recording::Recording};
use h402_facilitator::{
    rpc::RpcConfig,
    server::{ConnectionLimits, SolanaRpc, SolanaRpcConfig, serve_with},
};
use h402_tests::{
    raw::{Ask, Line},
    rig::Rig,
};
use tokio::net::TcpListener;

/// Compares the answers; ours are of a facilitator that serves all that the reference's does.
pub(super) async fn compare(recording: &Recording, rig: &Rig, found: &mut Found) {
    // What was recorded asks no node anything, so the facilitator's own address does for one.
    let proxy = SolanaRpc::new(SolanaRpcConfig::new(RpcConfig::new(vec![rig.url.parse().unwrap()])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve_with(listener, rig.engine.clone(), Some(proxy), ConnectionLimits::default(), std::future::pending()));
    for (index, question) in recording.questions().enumerate() {
        let mut ask = Ask::new(&question.request.method, &question.request.path, "").without("host");
        let framing = |name: &str| name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding");
        for (name, value) in question.request.headers.iter().filter(|(name, _)| !framing(name)) {
            ask = ask.with(name, value);
        }
        if let Some(body) = &question.request.body {
            ask = ask.body(body.bytes());
        }
        let reply = Line::open(address).await.ask(&ask).await;
        found.answers(&format!("http: answer {}", index + 1), question.response.as_ref(), reply.as_ref());
    }
    serving.abort();
}
