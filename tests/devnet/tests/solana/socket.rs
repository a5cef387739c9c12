//! The websocket on the endpoint's port: calls, and what clients wait for.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use h402_devnet::solana::{BlockTime, SolanaChain};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::client::{chain, id, pay};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(chain: &SolanaChain) -> Self {
        let url = chain.url().replace("http://", "ws://");
        Self(connect_async(url).await.unwrap().0)
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": params });
        self.0.send(Message::text(call.to_string())).await.unwrap();
        self.next().await
    }

    /// What is said next; the test ends if nothing is.
    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(Duration::from_secs(60), self.0.next()).await.expect("something is said").unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn calls_are_answered_as_over_http() {
    let chain = chain().await;
    let mut socket = Socket::open(&chain).await;
    assert_eq!(socket.call("getHealth", json!([])).await, json!({ "jsonrpc": "2.0", "id": 3, "result": "ok" }));
    for method in ["nothing", "nothingSubscribe"] {
        assert_eq!(socket.call(method, json!([])).await["error"]["code"], json!(-32601), "{method}");
    }
    assert_eq!(socket.call("slotUnsubscribe", json!([1])).await["error"]["code"], json!(-32602));
    assert_eq!(socket.call("signatureSubscribe", json!(["no signature"])).await["error"]["code"], json!(-32602));
}

#[tokio::test]
async fn a_signature_is_told_of_once_it_is_as_settled_as_was_asked_for() {
    let chain = chain().await;
    chain.set_slot_time(BlockTime::Manual);
    let mut socket = Socket::open(&chain).await;
    let transaction = pay(&chain, 0, 1, 5);
    let signature = id(&transaction).to_string();
    let confirmed = socket.call("signatureSubscribe", json!([signature, { "commitment": "confirmed" }])).await["result"].clone();
    let finalized = socket.call("signatureSubscribe", json!([signature])).await["result"].clone();
    chain.send(transaction);
    let open = chain.slot();
    chain.advance_slots(1);
    let result = json!({ "context": { "slot": open, "apiVersion": "4.2.2" }, "value": { "err": null } });
    let params = json!({ "subscription": confirmed, "result": result });
    assert_eq!(socket.next().await, json!({ "jsonrpc": "2.0", "method": "signatureNotification", "params": params }));
    // The other subscription is silent until its block is finalized: what is said next is the answer to a call.
    assert_eq!(socket.call("getHealth", json!([])).await["result"], json!("ok"));
    chain.finalize();
    assert_eq!(socket.next().await["params"]["subscription"], finalized);
    // Both have ended.
    assert_eq!(socket.call("signatureUnsubscribe", json!([finalized])).await["error"]["code"], json!(-32602));
}

#[tokio::test]
async fn slots_are_told_of_until_nobody_wants_to_know() {
    let chain = chain().await;
    chain.set_slot_time(BlockTime::Manual);
    let mut socket = Socket::open(&chain).await;
    let feed = socket.call("slotSubscribe", json!([])).await["result"].clone();
    let parent = chain.slot();
    chain.advance_slots(1);
    let told = socket.next().await;
    assert_eq!((&told["method"], &told["params"]["subscription"]), (&json!("slotNotification"), &feed));
    assert_eq!(told["params"]["result"], json!({ "slot": parent + 1, "parent": parent, "root": parent + 1 - 32 }));
    assert_eq!(socket.call("slotUnsubscribe", json!([feed])).await["result"], json!(true));
    chain.advance_slots(1);
    assert_eq!(socket.call("getHealth", json!([])).await["result"], json!("ok"));
    chain.pause().await;
    assert!(socket.0.next().await.is_none_or(|message| message.is_err()), "a paused chain has cut its connections");
}
