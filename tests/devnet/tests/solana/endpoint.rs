//! The endpoint: batches, wrong parameters, faults and counts.

use h402_devnet::{
    RpcError,
    fault::{ANY, Fault, Times},
};
use serde_json::{Value, json};

use crate::client::{SOL, call, chain, client, id, key, pay, post};

#[tokio::test]
async fn a_batch_is_answered_in_order_and_counts_as_one_request() {
    let chain = chain().await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "getGenesisHash" },
        { "jsonrpc": "2.0", "id": 2, "method": "getBlockHeight", "params": [{ "commitment": "processed" }] },
        { "jsonrpc": "2.0", "id": 3, "method": "getHealth", "params": [] },
        { "jsonrpc": "2.0", "id": 4, "method": "getBlock", "params": [1] },
    ]);
    let (status, text) = post(&chain, batch.to_string()).await.unwrap();
    let answers: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert_eq!(answers[0]["result"], json!("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"));
    assert_eq!(answers[1]["result"], json!(chain.block_height()));
    assert_eq!(answers[2]["result"], json!("ok"));
    assert_eq!(answers[3], json!({ "jsonrpc": "2.0", "id": 4, "error": { "code": -32601, "message": "Method not found" } }));
    assert_eq!((chain.faults().requests(), chain.faults().calls(ANY), chain.faults().calls("getHealth")), (1, 4, 1));
}

#[tokio::test]
async fn wrong_parameters_get_the_words_of_a_node() {
    let chain = chain().await;
    let long = "1".repeat(1_645);
    let many: Vec<String> = (0..101).map(|_| key(0).to_string()).collect();
    let signatures: Vec<String> = (0..257).map(|_| id(&pay(&chain, 0, 1, 1)).to_string()).collect();
    let cases = [
        ("getBalance", json!([]), "`params` should have at least 1 argument(s)"),
        ("getBalance", json!(["abc"]), "Invalid param: WrongSize"),
        ("getBalance", json!(["0OIl"]), "Invalid param: Invalid"),
        ("getMultipleAccounts", json!([many]), "Too many inputs provided; max 100"),
        ("getSignatureStatuses", json!([signatures]), "Too many inputs provided; max 256"),
        ("sendTransaction", json!(["!", { "encoding": "base64" }]), "invalid base64 encoding: InvalidByte(0, 33)"),
        (
            "sendTransaction",
            json!([long, { "encoding": "base64" }]),
            "base64 encoded solana_transaction::versioned::VersionedTransaction too large: 1645 bytes (max: encoded/raw 1644/1232)",
        ),
        ("sendTransaction", json!(["AQ==", { "encoding": "json" }]), "unsupported encoding: json. Supported encodings: base58, base64"),
        ("getTransaction", json!([signatures[0], { "commitment": "processed" }]), "Method does not support commitment below `confirmed`"),
        ("getTokenAccountBalance", json!([key(0).to_string()]), "Invalid param: not a Token account"),
    ];
    for (method, params, words) in cases {
        let answer = call(&chain, method, params).await;
        assert_eq!((&answer["error"]["code"], &answer["error"]["message"]), (&json!(-32602), &json!(words)), "{method}");
    }
    let late = call(&chain, "getSlot", json!([{ "minContextSlot": chain.slot() + 1, "commitment": "processed" }])).await;
    assert_eq!((&late["error"]["code"], &late["error"]["data"]), (&json!(-32016), &json!({ "contextSlot": chain.slot() })));
}

#[tokio::test]
async fn the_endpoint_fails_as_it_is_told() {
    let chain = chain().await;
    let client = client(&chain);
    let faults = chain.faults();
    faults.once("getSlot", Fault::Error(RpcError::new(-32005, "Node is behind by 42 slots")));
    assert!(client.get_slot().await.unwrap_err().to_string().contains("behind by 42"));
    client.get_slot().await.unwrap();
    faults.add("getSlot", Fault::Status(429), Times::Next(1));
    assert_eq!(post(&chain, json!({ "id": 1, "method": "getSlot" }).to_string()).await.unwrap().0, 429);
    faults.once("getSlot", Fault::DropRequest);
    assert_eq!(post(&chain, json!({ "id": 1, "method": "getSlot" }).to_string()).await, None);
    // What was processed has landed, whatever became of the answer.
    faults.once("sendTransaction", Fault::DropAnswer);
    let transaction = pay(&chain, 0, 1, SOL);
    client.send_transaction(&transaction).await.unwrap_err();
    assert!(chain.outcome(&id(&transaction)).is_some());
    chain.pause().await;
    client.get_slot().await.unwrap_err();
    chain.resume().await;
    client.get_slot().await.unwrap();
}
