//! Facts from an RPC endpoint, over a real socket.

use super::*;
use crate::{
    loopback::{Behaviour, Server, nobody},
    pay::HttpHints,
};
use h402_core::evm::Erc20Transfer;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn needed(input: Vec<u8>) -> HintsNeeded {
    let value = alloy_primitives::U256::from(if input.is_empty() { 5 } else { 0 });
    HintsNeeded { network: Network::Evm(8453), from: key().address(), to: USDC.parse().unwrap(), value, input: input.into() }
}

fn honest() -> Value {
    json!([
        {"jsonrpc": "2.0", "id": 0, "result": "0x2105"},
        {"jsonrpc": "2.0", "id": 1, "result": "0x7"},
        {"jsonrpc": "2.0", "id": 2, "result": "0x3b9aca00"},
        {"jsonrpc": "2.0", "id": 3, "result": "0xc350"},
    ])
}

async fn read(behaviour: Behaviour, needed: HintsNeeded) -> (Result<TransactionHints, Undecided>, Value) {
    let server = Server::start(vec![behaviour]).await;
    let hints = HttpHints::new(client()).with_rpc(Network::Evm(8453), server.url("/key").parse().unwrap());
    let read = hints.transaction(needed).await;
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].line.as_str(), received[0].value("content-type")), ("POST /key HTTP/1.1", Some("application/json")));
    (read, serde_json::from_slice(&received[0].body).unwrap())
}

#[tokio::test]
async fn one_batch_asks_for_everything() {
    let call_data = Erc20Transfer { to: PAYEE.parse().unwrap(), amount: Amount::from_atomic(10_000) }.encode();
    let (read, asked) = read_ok(needed(call_data)).await;
    // Half as much again, and a quarter more gas for a call.
    assert_eq!(read, TransactionHints { nonce: 7, gas_price: 1_500_000_000, gas: 62_500 });
    let data = "0xa9059cbb00000000000000000000000070997970c51812dc3a010c7d01b50e0d17dc79c80000000000000000000000000000000000000000000000000000000000002710";
    assert_eq!(
        asked,
        json!([
            {"jsonrpc": "2.0", "id": 0, "method": "eth_chainId", "params": []},
            {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionCount", "params": [PAYER, "pending"]},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_gasPrice", "params": []},
            {"jsonrpc": "2.0", "id": 3, "method": "eth_estimateGas", "params": [{"from": PAYER, "to": USDC, "value": "0x0", "data": data}]},
        ])
    );
    let (read, asked) = read_ok(needed(Vec::new())).await;
    assert_eq!(read.gas, 50_000, "a plain transfer costs what it costs");
    assert_eq!((&asked[3]["params"][0]["value"], &asked[3]["params"][0]["data"]), (&json!("0x5"), &json!("0x")));
}

async fn read_ok(needed: HintsNeeded) -> (TransactionHints, Value) {
    // Answers may come in any order.
    let mut answers = honest();
    answers.as_array_mut().unwrap().reverse();
    let (hints, asked) = read(Behaviour::json(200, &answers.to_string()), needed).await;
    (hints.unwrap(), asked)
}

#[tokio::test]
async fn bad_answers_are_no_facts() {
    let bent = |at: usize, answer: Value| {
        let mut answers = honest();
        answers[at] = answer;
        Behaviour::json(200, &answers.to_string())
    };
    let twice = Behaviour::json(200, &honest().to_string().replace("\"id\":3", "\"id\":2"));
    let mut contradicts = honest();
    contradicts.as_array_mut().unwrap().push(json!({"id": 1, "result": "0x8"}));
    let cases = [
        ("two nonces", Behaviour::json(200, &contradicts.to_string())),
        ("error", bent(1, json!({"id": 1, "error": {"code": -32000, "message": "boom"}}))),
        ("null", bent(1, json!({"id": 1, "result": null}))),
        ("number", bent(2, json!({"id": 2, "result": 7}))),
        ("no prefix", bent(2, json!({"id": 2, "result": "7"}))),
        ("no digits", bent(2, json!({"id": 2, "result": "0x"}))),
        ("not hex", bent(3, json!({"id": 3, "result": "0xzz"}))),
        ("gas beyond 64 bit", bent(3, json!({"id": 3, "result": "0x10000000000000000"}))),
        ("one id twice", twice),
        ("one answer missing", Behaviour::json(200, &json!([honest()[0], honest()[1], honest()[2]]).to_string())),
        ("no batch", Behaviour::json(200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}"#)),
        ("HTML", Behaviour::json(200, "<html>")),
        ("500", Behaviour::json(500, &honest().to_string())),
        ("redirect", Behaviour::json(302, "").header("location", "http://127.0.0.1:1/")),
        ("too long", Behaviour::json(200, &format!("{}{}", " ".repeat(70_000), honest()))),
        ("closes", Behaviour::Close),
    ];
    for (case, behaviour) in cases {
        assert_eq!(read(behaviour, needed(Vec::new())).await.0, Err(Undecided::Chain), "{case}");
    }
    let wrong_chain = bent(0, json!({"id": 0, "result": "0x1"}));
    assert_eq!(read(wrong_chain, needed(Vec::new())).await.0, Err(Undecided::WrongChain));
    let hints = HttpHints::new(client());
    assert_eq!(hints.transaction(needed(Vec::new())).await, Err(Undecided::Chain), "no endpoint");
    let hints = hints.with_rpc(Network::Evm(8453), format!("http://{}", nobody().await).parse().unwrap());
    assert_eq!(hints.transaction(needed(Vec::new())).await, Err(Undecided::Chain), "nobody there");
}
