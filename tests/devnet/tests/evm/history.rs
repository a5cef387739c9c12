use alloy_primitives::{U256, hex};
use alloy_sol_types::SolCall;
use h402_devnet::evm::{BlockTime, Chain, Orphans, account};
use serde_json::{Value, json};

use crate::client::*;

async fn pay(chain: &Chain, rpc: &Rpc, nonce: u64) -> alloy_primitives::B256 {
    let call = split_call(chain, chain.usdc(), 1, &authorization(chain, 1, 100, nonce));
    rpc.send(&sign(tx(chain, nonce, chain.usdc(), call), 0)).await
}

async fn balance_at(chain: &Chain, rpc: &Rpc, at: Value) -> U256 {
    let call = Usdc::balanceOfCall { account: account(9).address }.abi_encode();
    let request = json!([{ "to": chain.usdc(), "data": hex::encode_prefixed(call) }, at]);
    parse(&rpc.call("eth_call", request).await)
}

#[tokio::test]
async fn older_blocks_keep_their_state() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    for nonce in 0..70 {
        pay(&chain, &rpc, nonce).await;
    }
    for block in [0_u64, 1, 5, 69, 70] {
        let at = json!(format!("{block:#x}"));
        assert_eq!(balance_at(&chain, &rpc, at.clone()).await, U256::from(100 * block));
        let nonce = rpc.call("eth_getTransactionCount", json!([account(0).address, at])).await;
        assert_eq!(number(&nonce), block);
    }
    let hash = chain.blocks()[3].hash;
    assert_eq!(balance_at(&chain, &rpc, json!({ "blockHash": hash })).await, U256::from(300));
    assert_eq!(balance_at(&chain, &rpc, json!("finalized")).await, U256::from(600));
    assert_eq!(balance_at(&chain, &rpc, json!("pending")).await, U256::from(7_000));
    let future = json!([{ "to": chain.usdc() }, "0x1000"]);
    assert_eq!(rpc.error("eth_call", future).await["message"], "header not found");
    assert!(rpc.call("eth_getBlockByNumber", json!(["0x1000", false])).await.is_null());
}

#[tokio::test]
async fn a_reorg_takes_blocks_back() {
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let mut hashes = Vec::new();
    for nonce in 0..3 {
        hashes.push(pay(&chain, &rpc, nonce).await);
        chain.mine().await;
        // The owner's changes must survive, those before a payment as well as those after it.
        chain.mint(chain.usdc(), account(9).address, U256::from(1)).unwrap();
    }
    let before = chain.blocks();
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(303));

    assert_eq!(chain.reorg(2, Orphans::Return), 2);
    assert_eq!(chain.block_number(), 1);
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(103));
    assert!(rpc.receipt(hashes[1]).await.is_null());
    assert!(!rpc.call("eth_getTransactionByHash", json!([hashes[1]])).await.is_null());
    assert!(rpc.call("eth_getBlockByHash", json!([before[2].hash, false])).await.is_null());
    assert_eq!(chain.transfers(chain.usdc()).len(), 1);
    chain.mine().await;
    assert_eq!(chain.blocks()[2].transactions, hashes[1..]);
    assert_ne!(chain.blocks()[2].hash, before[2].hash);
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(303));

    assert_eq!(chain.reorg(1, Orphans::Drop), 1);
    chain.mine().await;
    assert_eq!(chain.blocks()[2].transactions.len(), 0);
    assert!(rpc.call("eth_getTransactionByHash", json!([hashes[2]])).await.is_null());
    assert_eq!(rpc.call("eth_getTransactionCount", json!([account(0).address, "pending"])).await, "0x1");
    // Forgotten transactions can be sent again.
    pay(&chain, &rpc, 1).await;
    chain.mine().await;
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(203));
    assert_eq!(chain.reorg(99, Orphans::Drop), 3);
    assert_eq!(chain.block_number(), 0);
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(3));
}

#[tokio::test]
async fn time_moves_with_the_wall_clock_and_on_request() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    for nonce in 0..20 {
        rpc.send(&ping(&chain, nonce, 0)).await;
    }
    assert!(chain.blocks().iter().all(|block| block.timestamp <= wall_clock()), "fast blocks do not run ahead");
    chain.advance_time(10_000);
    let latest = rpc.call("eth_getBlockByNumber", json!(["latest", false])).await;
    assert!(number(&latest["timestamp"]).abs_diff(wall_clock() + 10_000) <= 1);

    chain.set_block_time(BlockTime::Manual);
    chain.advance_time(500);
    let same = rpc.call("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(same["hash"], latest["hash"]);
    let pending = rpc.call("eth_getBlockByNumber", json!(["pending", false])).await;
    assert!(number(&pending["timestamp"]) >= number(&latest["timestamp"]) + 500);
    chain.mine().await;
    assert!(chain.blocks().last().unwrap().timestamp >= number(&latest["timestamp"]) + 500);
}

#[tokio::test]
async fn the_base_fee_follows_the_rules() {
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    chain.mine().await;
    chain.mine().await;
    let fees: Vec<_> = chain.blocks().iter().map(|block| block.base_fee).collect();
    assert_eq!(fees, [1_000_000_000, 875_000_000, 765_625_000]);
    let history = rpc.call("eth_feeHistory", json!(["0x2", "latest", [25.0, 75]])).await;
    assert_eq!(history["oldestBlock"], "0x1");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(number(&history["baseFeePerGas"][2]), 669_921_875);
    assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x0", "0x0"]]));
    assert_eq!(number(&rpc.call("eth_gasPrice", json!([])).await), 670_921_875);
}

#[tokio::test]
async fn the_owner_sets_code_and_balances() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let who = account(5).address;
    chain.set_balance(who, U256::from(5)).unwrap();
    assert_eq!(rpc.call("eth_getBalance", json!([who, "latest"])).await, "0x5");
    // Returns the word 42.
    chain.set_code(who, hex!("602a60005260206000f3").into()).unwrap();
    assert_eq!(rpc.call("eth_getCode", json!([who])).await, "0x602a60005260206000f3");
    let output = rpc.call("eth_call", json!([{ "to": who }])).await;
    assert_eq!(parse::<U256>(&output), U256::from(42));
    chain.set_code(who, Vec::new().into()).unwrap();
    assert_eq!(rpc.call("eth_getCode", json!([who])).await, "0x");
    chain.mint(chain.usdc(), alloy_primitives::Address::ZERO, U256::from(1)).unwrap_err();
}
