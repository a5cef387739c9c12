//! T114: keys, URLs with keys in them and what payers signed stay inside.

use super::{PRICE, Reply};
use alloy_primitives::hex;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use h402_core::{Payload, PaymentPayload, wire::h402};
use h402_devnet::evm::{Chain, account};
use h402_tests::{
    process::{Process, ProcessOptions},
    rig::{Folder, GAS, PAYEE, PAYER, Wallets},
    transactions::sign,
};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const USER: &str = "canaryuser";
const PASSWORD: &str = "canarypassword";
const PATH: &str = "canarypath";
const QUERY: &str = "canaryquery";

/// How the node behind the secret URL behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    Good,
    /// Says where it was asked, in an error of its own.
    TellingError,
    /// Says it in a page.
    TellingPage,
    /// Says it in what a reverted call gives as its reason.
    TellingRevert,
}

#[derive(Clone)]
struct Node {
    behind: String,
    manners: Arc<Mutex<Manners>>,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

/// A node at a URL that is a secret, and that likes to repeat it.
async fn answer(State(node): State<Node>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let asked_at = format!("http://{USER}:{PASSWORD}@{}{uri}", headers["host"].to_str().unwrap());
    node.seen.lock().unwrap().push((uri.to_string(), authorization.clone()));
    let told = format!("cannot do {asked_at} ({authorization}, {PATH} {QUERY} {PASSWORD})");
    let manners = *node.manners.lock().unwrap();
    match manners {
        Manners::TellingPage => return (StatusCode::BAD_GATEWAY, format!("<html>{told}</html>")).into_response(),
        Manners::TellingError | Manners::TellingRevert => {
            let (code, words) = if manners == Manners::TellingRevert { (3, "execution reverted: ") } else { (-32000, "") };
            let calls: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let one = |call: &serde_json::Value| serde_json::json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": code, "message": format!("{words}{told}") } });
            // What the facts need is answered; the simulation tells.
            let answers = match (&calls, manners) {
                (serde_json::Value::Array(calls), Manners::TellingRevert) => {
                    let (_, truth) = forward(&node.behind, &body).await;
                    let truth: Vec<serde_json::Value> = serde_json::from_str(&truth).unwrap();
                    let lie = |call: &serde_json::Value| {
                        let real = truth.iter().find(|answer| answer["id"] == call["id"]).unwrap().clone();
                        if call["method"] == "eth_estimateGas" { one(call) } else { real }
                    };
                    calls.iter().map(lie).collect()
                }
                (serde_json::Value::Array(calls), _) => calls.iter().map(one).collect(),
                (call, _) => one(call),
            };
            return answers.to_string().into_response();
        }
        Manners::Good => {}
    }
    let (status, text) = forward(&node.behind, &body).await;
    (StatusCode::from_u16(status).unwrap(), text).into_response()
}

async fn forward(behind: &str, body: &Bytes) -> (u16, String) {
    h402_tests::http::send(http::Request::post(behind).body(body.clone().into()).unwrap()).await
}

/// Everything that must not be seen, by name.
fn secrets(payments: &[PaymentPayload]) -> Vec<(String, String)> {
    let basic = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let key = hex::encode(account(GAS).secret_key);
    let mut secrets: Vec<(String, String)> =
        [("user", USER), ("password", PASSWORD), ("path", PATH), ("query", QUERY), ("basic", &basic), ("key", &key)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into();
    for payment in payments {
        let header = h402::encode_payment(payment).unwrap();
        secrets.push(("payment header".to_owned(), header[header.len() / 2..header.len() - 8].to_owned()));
        let signed = match &payment.payload {
            Payload::Authorization(signed) => vec![&signed.signature],
            Payload::EvmTransaction(signed) => vec![&signed.raw, &signed.signed_message],
            _ => vec![],
        };
        for bytes in signed {
            // The last 32 bytes before the recovery id: `s`, without which nothing can be replayed.
            secrets.push(("signature".to_owned(), hex::encode(&bytes[bytes.len() - 33..bytes.len() - 1])));
        }
    }
    secrets
}

/// Nothing secret in any answer or in the log at its most talkative, whatever the node says.
#[tokio::test(flavor = "multi_thread")]
async fn t114_secrets_are_neither_answered_nor_logged() {
    let chain = Chain::builder().start().await.unwrap();
    let node = Node { behind: chain.url(), manners: Arc::new(Mutex::new(Manners::Good)), seen: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rpc = format!("http://{USER}:{PASSWORD}@{}/v2/{PATH}?token={QUERY}", listener.local_addr().unwrap());
    let served = axum::serve(listener, Router::new().fallback(answer).with_state(node.clone()));
    let serving = tokio::spawn(async move { served.await.unwrap() });

    let folder = Folder::new();
    let options = ProcessOptions { log: Some("trace".into()), ..ProcessOptions::default() };
    let mut process = Process::start(env!("CARGO_BIN_EXE_facilitator-under-test"), &folder, &rpc, &options).await;
    process.until_ready().await;
    let wallets = Wallets::new(&chain);
    let mut payments = Vec::new();
    let mut answers = String::new();
    for manners in [Manners::Good, Manners::TellingError, Manners::TellingPage, Manners::TellingRevert, Manners::Good] {
        *node.manners.lock().unwrap() = manners;
        let own = sign(PAYER, wallets.token_transfer(PAYER, account(PAYEE).address, PRICE));
        for payment in [wallets.payment(PAYER, PRICE), wallets.by_transaction(PAYER, &own)] {
            let body = h402::encode_request(&payment, &wallets.requirements(PRICE)).unwrap();
            for path in ["/verify", "/settle", "/settle"] {
                let (status, text) = process.post(path, &body, Some("shop-1")).await.expect("an answer");
                let reply = Reply { status, text: text.clone() };
                match manners {
                    Manners::TellingRevert => assert_eq!(reply.word(), "transfer_reverts", "{reply:?}"),
                    Manners::TellingError | Manners::TellingPage => assert_eq!(reply.status, 503, "{reply:?}"),
                    Manners::Good => {}
                }
                answers += &text;
            }
            payments.push(payment);
        }
        for path in ["/ready", "/supported", "/health", "/payments/00", "/nowhere"] {
            answers += &process.get(path).await.expect("an answer").1;
        }
    }
    let last = Reply::from(
        process.post("/settle", &h402::encode_request(&payments[8], &wallets.requirements(PRICE)).unwrap(), Some("shop-1")).await.unwrap(),
    );
    assert!(last.is_settled(), "{last:?}");
    assert!(process.terminate().await.success());
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("TRACE") && log.contains("settlement"), "the log is there: {} bytes", log.len());
    assert!(!log.contains('\u{1b}'), "a file is no terminal: {:?}", log.lines().next());
    let (path, authorization) = node.seen.lock().unwrap()[0].clone();
    assert!(path.contains(PATH) && path.contains(QUERY) && authorization.starts_with("Basic "), "the node was asked with all of it");
    for (name, secret) in secrets(&payments) {
        for (place, text) in [("an answer", &answers), ("the log", &log)] {
            let found = text.lines().find(|line| line.to_lowercase().contains(&secret.to_lowercase()));
            assert!(found.is_none(), "{name} in {place}: {}", found.unwrap_or_default());
        }
    }
    serving.abort();
}

/// A configuration that cannot be used is explained without repeating what is secret in it.
#[tokio::test(flavor = "multi_thread")]
async fn t114_a_bad_configuration_is_explained_without_its_secrets() {
    let key = hex::encode(account(GAS).secret_key);
    let cases = [
        ("H402_KEY_84532", format!("{key}{key}"), "H402_RPC_84532", "http://127.0.0.1:1".to_owned()),
        ("H402_KEY_84532", format!("{}zz", &key[..62]), "H402_RPC_84532", "http://127.0.0.1:1".to_owned()),
        ("H402_KEY_84532", key.clone(), "H402_RPC_84532", format!("ftp://{USER}:{PASSWORD}@127.0.0.1/{PATH}?{QUERY}")),
        ("H402_KEY_84532", key.clone(), "H402_RPC_84532", format!("{PATH} {PASSWORD} {QUERY} {USER}")),
    ];
    for (key_name, key_text, rpc_name, rpc_text) in cases {
        let folder = Folder::new();
        let config = folder.path().join("h402.toml");
        let database = folder.path().join("ledger.sqlite");
        std::fs::write(&config, format!("database = {database:?}\n[[network]]\nid = \"eip155:84532\"\nassets = [\"USDC\"]\n")).unwrap();
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_facilitator-under-test"))
            .args(["serve", "--config"])
            .arg(&config)
            .env(key_name, &key_text)
            .env(rpc_name, &rpc_text)
            .env("H402_LOG", "trace")
            .output()
            .await
            .unwrap();
        assert!(!output.status.success());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("84532") || said.contains("rpc"), "it says where: {said}");
        for secret in [USER, PASSWORD, PATH, QUERY, &key[..32]] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}
