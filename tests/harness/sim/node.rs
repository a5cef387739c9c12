//! The simulated chain's node: JSON-RPC in the same process, with everything that makes nodes hard to live with.

use super::{
    chain::{Block, Chain, Receipt},
    oracle,
    scenario::Fault,
    world::{Life, World, lock},
};
use alloy_primitives::{Address, B256, Bytes as Data, U256, hex};
use bytes::Bytes;
use h402_facilitator::rpc::{Answering, Endpoint, Node, Unanswered};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// The way from one life of a facilitator to the node.
pub struct SimNode(pub Life);

/// What a node answers instead of a result.
struct Error {
    code: i64,
    message: String,
    data: Option<Data>,
}

impl Node for SimNode {
    fn answer<'a>(&'a self, _: &'a Endpoint, request: Bytes) -> Answering<'a> {
        Box::pin(async move {
            self.0.step("before a request").await;
            let world = self.0.world();
            let slow = if world.has(Fault::RpcSlow) { [5, 50, 900, 2_500][super::scenario::size_of(world, 4)] } else { 2 };
            world.pause(slow).await;
            if world.chance(Fault::RpcDropRequest, 30) || world.has(Fault::RpcOutage) && self.is_out() {
                // Some connections break, others hang.
                if world.roll(2) == 0 {
                    sleep(Duration::from_secs(60)).await;
                }
                return Err(Unanswered);
            }
            if self.0.is_dead() && world.roll(2) == 0 {
                // It died before the bytes had left.
                std::future::pending::<()>().await;
            }
            let answer = respond(world, &request);
            self.0.step("after a request").await;
            world.pause(slow).await;
            if world.chance(Fault::RpcDropAnswer, 30) {
                return Err(Unanswered);
            }
            self.0.step("after an answer").await;
            Ok(answer.to_string().into())
        })
    }
}

impl SimNode {
    /// Eight seconds of every forty.
    fn is_out(&self) -> bool {
        self.0.world().elapsed().as_secs() % 40 >= 32
    }
}

fn respond(world: &World, request: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(request).expect("requests are JSON");
    let behind = if world.chance(Fault::RpcStale, 60) { 1 + super::scenario::size_of(world, 2) } else { 0 };
    match request {
        Value::Array(calls) => calls.iter().map(|call| one(world, call, behind)).collect(),
        call => one(world, &call, behind),
    }
}

fn one(world: &World, call: &Value, behind: usize) -> Value {
    let method = call["method"].as_str().expect("a method");
    let mut id = call["id"].clone();
    if world.chance(Fault::RpcWrongId, 5) {
        id = json!(id.as_u64().unwrap_or_default() + 1_000_000);
    }
    let outcome = if world.chance(Fault::RpcError, 30) {
        Err(Error { code: -32_000, message: "internal error".to_owned(), data: None })
    } else {
        ask(world, method, &call["params"], behind)
    };
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(Error { code, message, data: None }) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }),
        Err(Error { code, message, data: Some(data) }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message, "data": data } })
        }
    }
}

fn ask(world: &World, method: &str, params: &Value, behind: usize) -> Result<Value, Error> {
    let mut chain = lock(&world.chain);
    let height = chain.seen_from(behind);
    let block = &chain.blocks[height - 1];
    Ok(match method {
        "eth_chainId" => json!(quantity(super::token::CHAIN_ID)),
        "eth_blockNumber" => json!(quantity(block.number)),
        "eth_getCode" => json!(if Chain::has_code(address(&params[0])) { "0x60" } else { "0x" }),
        "eth_getBalance" => json!(U256::from(block.state.wei.get(&address(&params[0])).copied().unwrap_or_default())),
        "eth_getTransactionCount" => {
            let who = address(&params[0]);
            let mut next = block.state.nonces.get(&who).copied().unwrap_or_default();
            while params[1] == "pending" && chain.pool.contains_key(&(who, next)) {
                next += 1;
            }
            json!(quantity(next))
        }
        "eth_getBlockByNumber" => match number_of(&params[0], block.number) {
            Some(number) => header(chain.blocks[..height].iter().find(|block| block.number == number)),
            None => header(Some(block)),
        },
        "eth_getBlockByHash" => {
            let hash: B256 = text(&params[0]).parse().expect("a hash");
            header(chain.blocks[..height].iter().find(|block| block.hash == hash))
        }
        "eth_getTransactionReceipt" => {
            let found = chain.receipt(hash(&params[0]), height);
            found.map_or(Value::Null, |(block, at, receipt)| receipt_json(block, at, receipt))
        }
        "eth_getTransactionByHash" => {
            let hash = hash(&params[0]);
            let mined = chain.receipt(hash, height).map(|(block, _, receipt)| (Some(block), &receipt.tx));
            let pooled = || chain.pool.values().find(|tx| tx.hash == hash).map(|tx| (None, tx));
            mined.or_else(pooled).map_or(Value::Null, |(block, tx)| {
                json!({
                    "hash": tx.hash, "from": tx.sender, "to": tx.to, "nonce": quantity(tx.nonce), "value": "0x0", "input": tx.input,
                    "blockHash": block.map(|block| block.hash), "blockNumber": block.map(|block| quantity(block.number)),
                    "maxFeePerGas": format!("{:#x}", tx.max_fee), "maxPriorityFeePerGas": format!("{:#x}", tx.tip),
                    "gas": quantity(tx.gas_limit),
                })
            })
        }
        "eth_getLogs" => logs(&chain, height, &params[0]),
        "eth_call" => {
            let call = &params[0];
            let pending = params[1] == "pending";
            let (outcome, _) = chain.call(height, pending, address_or_zero(&call["from"]), address(&call["to"]), &input(call));
            json!(Data::from(outcome.map_err(reverted)?))
        }
        "eth_estimateGas" => {
            let call = &params[0];
            let (outcome, gas) =
                chain.call(height, params[1] != "latest", address_or_zero(&call["from"]), address(&call["to"]), &input(call));
            outcome.map_err(reverted)?;
            json!(quantity(gas))
        }
        "eth_maxPriorityFeePerGas" => json!("0x3b9aca00"),
        "eth_gasPrice" => json!(format!("{:#x}", chain.base_fee + 1_000_000_000)),
        "eth_feeHistory" => json!({ "oldestBlock": quantity(block.number), "reward": [["0x3b9aca00"]], "baseFeePerGas": ["0x3b9aca00"] }),
        "eth_sendRawTransaction" => {
            let raw: Data = text(&params[0]).parse().expect("hex");
            let outcome = chain.send(&raw);
            drop(chain);
            oracle::sent(world, &raw, outcome.as_ref().err().map(String::as_str));
            let message = match outcome {
                Ok(tx) => return Ok(json!(tx.hash)),
                Err(message) => message,
            };
            return Err(Error { code: -32_000, message, data: None });
        }
        unknown => {
            drop(chain);
            world.violate("model", format_args!("the simulated node does not know {unknown} {params}"));
            return Err(Error { code: -32_601, message: "method not found".to_owned(), data: None });
        }
    })
}

fn header(block: Option<&Block>) -> Value {
    block.map_or(Value::Null, |block| {
        json!({
            "number": quantity(block.number), "hash": block.hash, "parentHash": block.parent, "timestamp": quantity(block.time),
            "baseFeePerGas": format!("{:#x}", block.base_fee), "gasLimit": quantity(super::chain::GAS_LIMIT),
            "gasUsed": quantity(block.receipts.iter().map(|receipt| receipt.gas_used).sum()),
            "transactions": block.receipts.iter().map(|receipt| receipt.tx.hash).collect::<Vec<_>>(),
        })
    })
}

fn receipt_json(block: &Block, at: usize, receipt: &Receipt) -> Value {
    let logs: Vec<Value> = receipt.logs.iter().enumerate().map(|(index, log)| log_json(block, receipt, index, log)).collect();
    json!({
        "transactionHash": receipt.tx.hash, "transactionIndex": quantity(at as u64), "blockHash": block.hash,
        "blockNumber": quantity(block.number), "from": receipt.tx.sender, "to": receipt.tx.to,
        "status": if receipt.success { "0x1" } else { "0x0" }, "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(receipt.gas_used), "effectiveGasPrice": format!("{:#x}", receipt.price), "logs": logs,
        "type": "0x2", "contractAddress": null,
    })
}

fn log_json(block: &Block, receipt: &Receipt, index: usize, log: &alloy_primitives::Log) -> Value {
    json!({
        "address": log.address, "topics": log.data.topics(), "data": log.data.data, "transactionHash": receipt.tx.hash,
        "blockHash": block.hash, "blockNumber": quantity(block.number), "logIndex": quantity(index as u64), "removed": false,
    })
}

fn logs(chain: &Chain, height: usize, filter: &Value) -> Value {
    let from = number_of(&filter["fromBlock"], chain.head().number).unwrap_or_default();
    let to = number_of(&filter["toBlock"], chain.head().number).unwrap_or(u64::MAX);
    let wanted: Vec<Option<B256>> = filter["topics"]
        .as_array()
        .map_or(Vec::new(), |topics| topics.iter().map(|topic| topic.as_str().map(|text| text.parse().expect("a topic"))).collect());
    let mut found = Vec::new();
    for block in chain.blocks[..height].iter().filter(|block| (from..=to).contains(&block.number)) {
        for receipt in &block.receipts {
            for (index, log) in receipt.logs.iter().enumerate() {
                let of_topics =
                    wanted.iter().enumerate().all(|(at, topic)| topic.is_none_or(|topic| log.data.topics().get(at) == Some(&topic)));
                if of_topics && filter["address"].as_str().is_none_or(|address| address.parse() == Ok(log.address)) {
                    found.push(log_json(block, receipt, index, log));
                }
            }
        }
    }
    Value::Array(found)
}

fn reverted(reverted: super::token::Reverted) -> Error {
    Error { code: 3, message: format!("execution reverted: {}", reverted.reason), data: Some(reverted.data) }
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn address(value: &Value) -> Address {
    text(value).parse().expect("an address")
}

fn address_or_zero(value: &Value) -> Address {
    value.as_str().map_or(Address::ZERO, |text| text.parse().expect("an address"))
}

fn hash(value: &Value) -> B256 {
    text(value).parse().expect("a hash")
}

fn input(call: &Value) -> Vec<u8> {
    let data = call["data"].as_str().or_else(|| call["input"].as_str()).unwrap_or("0x");
    hex::decode(data).expect("hex")
}

/// A block parameter as a number; none for a name of the head.
fn number_of(value: &Value, head: u64) -> Option<u64> {
    match value.as_str() {
        Some("latest" | "pending" | "safe" | "finalized") | None => None,
        Some("earliest") => Some(1),
        Some(text) => Some(u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(head)),
    }
}
