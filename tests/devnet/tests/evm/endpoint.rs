use std::time::Duration;

use h402_devnet::{
    RpcError,
    evm::{Chain, account},
    fault::{ANY, Fault, Gate, Times},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::*;

fn chain_id_call() -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] }).to_string()
}

#[tokio::test]
async fn a_batch_is_one_request() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" },
        { "jsonrpc": "2.0", "id": "two", "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "id": 3, "method": "nonsense", "params": [] },
        5,
    ]);
    let (_, text) = rpc.post(batch.to_string()).await.unwrap();
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0], json!({ "jsonrpc": "2.0", "id": 1, "result": "0x14a34" }));
    assert_eq!((&answers[1]["id"], &answers[1]["result"]), (&json!("two"), &json!("0x0")));
    assert_eq!(answers[2]["error"]["code"], -32601);
    assert_eq!(answers[3]["error"]["code"], -32600);
    assert_eq!((chain.faults().requests(), chain.faults().calls("eth_chainId")), (1, 1));
    assert_eq!(chain.faults().calls(ANY), 4);
    chain.faults().reset_counts();
    assert_eq!((chain.faults().requests(), chain.faults().calls(ANY)), (0, 0));
    let (_, text) = rpc.post("{".to_owned()).await.unwrap();
    assert!(text.contains("-32700"), "{text}");
}

#[tokio::test]
async fn faults_are_shown_as_often_as_asked() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let faults = chain.faults();
    let post = async || rpc.post(chain_id_call()).await;

    faults.add("eth_chainId", Fault::Error(RpcError::server("busy")), Times::Next(2));
    assert_eq!(rpc.error("eth_chainId", json!([])).await, json!({ "code": -32000, "message": "busy" }));
    assert_eq!(rpc.call("eth_blockNumber", json!([])).await, "0x0");
    rpc.error("eth_chainId", json!([])).await;
    rpc.call("eth_chainId", json!([])).await;

    faults.add("eth_chainId", Fault::Status(429), Times::After(1));
    assert_eq!(post().await.unwrap().0, 200);
    assert_eq!(post().await.unwrap().0, 429);
    assert_eq!(post().await.unwrap().0, 200);

    faults.once(ANY, Fault::Html);
    assert!(post().await.unwrap().1.starts_with("<html>"));
    faults.once(ANY, Fault::Truncated);
    assert!(serde_json::from_str::<Value>(&post().await.unwrap().1).is_err());
    faults.once(ANY, Fault::WrongId);
    assert_ne!(rpc.answer("eth_chainId", json!([])).await["id"], 7);
    faults.once(ANY, Fault::Answer(json!("0x1")));
    assert_eq!(rpc.call("eth_chainId", json!([])).await, "0x1");
    faults.once(ANY, Fault::DropRequest);
    assert_eq!(post().await, None);

    faults.add(ANY, Fault::Delay(Duration::from_millis(30)), Times::Always);
    let started = std::time::Instant::now();
    post().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(30));
    faults.clear();
    assert_eq!(rpc.call("eth_chainId", json!([])).await, "0x14a34");
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_transaction_is_taken() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let post = async |nonce: u64| {
        let params = json!([ping(&chain, nonce, 0)]);
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": params });
        rpc.post(call.to_string()).await
    };
    chain.faults().once("eth_sendRawTransaction", Fault::DropRequest);
    assert_eq!(post(0).await, None);
    assert_eq!((chain.nonce(account(0).address), chain.transaction_count_seen()), (0, 0));
    chain.faults().once("eth_sendRawTransaction", Fault::DropAnswer);
    assert_eq!(post(0).await, None);
    assert_eq!((chain.nonce(account(0).address), chain.transaction_count_seen()), (1, 1));
    chain.faults().once("eth_sendRawTransaction", Fault::StatusAfter(502));
    assert_eq!(post(1).await.unwrap().0, 502);
    assert_eq!(chain.nonce(account(0).address), 2);
}

#[tokio::test]
async fn a_gate_holds_calls_until_it_is_opened() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let send = |nonce: u64| {
        let (rpc, raw) = (rpc.clone(), ping(&chain, nonce, 0));
        tokio::spawn(async move { rpc.send(&raw).await })
    };
    let gate = chain.faults().hold("eth_sendRawTransaction");
    let held = send(0);
    gate.reached(1).await;
    assert_eq!(chain.transaction_count_seen(), 0);
    gate.open();
    assert!(chain.outcome(held.await.unwrap()).is_some());

    let gate = Gate::new();
    chain.faults().once("eth_sendRawTransaction", Fault::HoldAnswer(gate.clone()));
    let held = send(1);
    gate.reached(1).await;
    assert_eq!(chain.nonce(account(0).address), 2, "the transaction is mined, its sender does not know");
    assert!(!held.is_finished());
    gate.open();
    held.await.unwrap();
}

#[tokio::test]
async fn a_paused_endpoint_refuses_connections_and_keeps_its_state() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    rpc.send(&ping(&chain, 0, 0)).await;
    for _ in 0..3 {
        chain.pause().await;
        assert_eq!(rpc.post(chain_id_call()).await, None);
        assert!(TcpStream::connect(chain.socket_address()).await.is_err());
        chain.resume().await;
        assert_eq!(rpc.call("eth_blockNumber", json!([])).await, "0x1");
    }
}

#[tokio::test]
async fn stops_with_its_last_handle() {
    let chain = Chain::builder().start().await.unwrap();
    let address = chain.socket_address();
    let other = chain.clone();
    other.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    chain.pause().await;
    chain.resume().await;
    assert_eq!(chain.mine().await, 1, "the state is still there");

    let again = Chain::builder().port(address.port()).start().await.unwrap();
    assert_eq!(again.socket_address(), address);
    drop(again);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn starts_quickly() {
    let started = std::time::Instant::now();
    let chains: Vec<Chain> = {
        let mut chains = Vec::new();
        for _ in 0..5 {
            chains.push(Chain::builder().start().await.unwrap());
        }
        chains
    };
    println!("five chains in {:?}", started.elapsed());
    assert_eq!(chains.len(), 5);
}
