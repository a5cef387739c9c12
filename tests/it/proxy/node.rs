//! A Solana RPC node by script: it writes down what reaches it, answers by the method's name, and can be unwell.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures_util::{StreamExt as _, stream};
use h402_tests::rig::Rig;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Longer than what a gate keeps.
pub(crate) const LARGE: usize = 300_000;
/// Above what a float can hold.
pub(crate) const SLOT: &str = "18446744073709551615";

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// 503 to everything.
    Busy,
    /// A page for people, that something went wrong.
    Html,
    /// A page for people, and all is well.
    Welcome,
    /// Never an answer.
    Silent,
    /// The head of an answer, half a body, and the end of the connection.
    BreaksOff,
    /// A good answer that nobody can read.
    Compressed,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Transfers that the payee had got by then.
    pub(crate) transfers: usize,
}

#[derive(Clone)]
struct Script {
    seen: Arc<Mutex<Vec<Seen>>>,
    mood: Arc<Mutex<Mood>>,
    transfers: Arc<dyn Fn() -> usize + Send + Sync>,
}

pub(crate) struct Node {
    pub(crate) url: String,
    script: Script,
    served: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start(rig: &Rig) -> Self {
        let (chain, payee) = (rig.chain.clone(), h402_devnet::evm::account(h402_tests::rig::PAYEE).address);
        let transfers = move || chain.transfers(chain.usdc()).iter().filter(|transfer| transfer.to == payee).count();
        let script = Script { seen: Arc::default(), mood: Arc::new(Mutex::new(Mood::Well)), transfers: Arc::new(transfers) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
        let routes = Router::new().route("/secret-path", post(answer)).with_state(script.clone());
        let served = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, script, served }
    }

    pub(crate) fn feel(&self, mood: Mood) {
        *self.script.mood.lock().unwrap() = mood;
    }

    /// What has arrived, but for questions whether it is well.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    /// The bodies that have arrived.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.body).collect()
    }

    /// Goes away, its connections too.
    pub(crate) fn stop(&self) {
        self.served.abort();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: String) -> Response {
    let mood = *script.mood.lock().unwrap();
    let probe = body == r#"{"jsonrpc":"2.0","id":1,"method":"getHealth"}"#;
    if !probe {
        script.seen.lock().unwrap().push(Seen { headers, body: body.clone(), transfers: (script.transfers)() });
    }
    let text = if body.starts_with('[') {
        let calls: Vec<Call<'_>> = serde_json::from_str(&body).unwrap();
        format!("[{}]", calls.iter().map(result).collect::<Vec<_>>().join(","))
    } else {
        result(&serde_json::from_str(&body).unwrap())
    };
    let json = [("content-type", "application/json"), ("set-cookie", "node=7"), ("x-payment-response", "forged"), ("connection", "x-y")];
    match mood {
        Mood::Well if text.len() > LARGE => {
            let chunks: Vec<_> = text.into_bytes().chunks(7_000).map(|chunk| Ok::<_, io::Error>(Bytes::copy_from_slice(chunk))).collect();
            (json, Body::from_stream(stream::iter(chunks))).into_response()
        }
        Mood::Well => (json, text).into_response(),
        Mood::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response(),
        Mood::Html => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        Mood::Welcome => "<html>result</html>".into_response(),
        Mood::Silent => std::future::pending().await,
        Mood::BreaksOff => {
            let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
            let body = stream::once(async { Ok(half) }).chain(stream::once(async {
                // What is to be sent before is sent while there is nothing new.
                tokio::task::yield_now().await;
                Err(io::Error::other("broken"))
            }));
            (json, [("content-length", text.len().to_string())], Body::from_stream(body)).into_response()
        }
        Mood::Compressed => (json, [("content-encoding", "gzip")], text).into_response(),
    }
}

fn result(call: &Call<'_>) -> String {
    let id = call.id.get();
    let result = match call.method {
        "getHealth" => r#""ok""#.to_owned(),
        "getSlot" => SLOT.to_owned(),
        "sendTransaction" => r#""signature""#.to_owned(),
        "getProgramAccounts" => format!("\"{}\"", "x".repeat(LARGE)),
        "getNothing" => "null".to_owned(),
        "longError" => {
            let data = "x".repeat(6_000);
            return format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32002,"message":"no","data":"{data}"}},"id":{id}}}"#);
        }
        "error" | "sendError" => return format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32602,"message":"no"}},"id":{id}}}"#),
        other => format!("\"{other}\""),
    };
    format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{id}}}"#)
}
