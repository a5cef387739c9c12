use alloy_consensus::{TxEip2930, TxLegacy};
use alloy_primitives::{Bytes, TxKind, U256};
use h402_devnet::evm::{BlockTime, Chain, account};
use serde_json::json;

use crate::client::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonces_out_of_order_are_all_mined() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    // 37 and 64 have no common factor, so this visits each nonce once.
    let sends: Vec<_> = (0..64_u64)
        .map(|step| {
            let (rpc, raw) = (rpc.clone(), ping(&chain, step * 37 % 64, 0));
            tokio::spawn(async move { rpc.send(&raw).await })
        })
        .collect();
    for send in sends {
        let hash = send.await.unwrap();
        assert!(hash != alloy_primitives::B256::ZERO);
    }
    assert_eq!(chain.nonce(account(0).address), 64);
    assert!(chain.pending().is_empty());
    assert_eq!(chain.native_balance(account(9).address), ten_thousand_ether() + U256::from(64));
}

fn ten_thousand_ether() -> U256 {
    U256::from(10).pow(U256::from(22))
}

#[tokio::test]
async fn a_gap_waits_and_counts() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let who = account(0).address;
    let late = rpc.send(&ping(&chain, 1, 0)).await;
    assert!(rpc.receipt(late).await.is_null());
    let waiting = rpc.call("eth_getTransactionByHash", json!([late])).await;
    assert!(waiting["blockHash"].is_null());
    assert_eq!(rpc.call("eth_getTransactionCount", json!([who, "pending"])).await, "0x0");
    rpc.send(&ping(&chain, 0, 0)).await;
    assert!(!rpc.receipt(late).await.is_null());
    assert_eq!(rpc.call("eth_getTransactionCount", json!([who, "latest"])).await, "0x2");

    chain.set_block_time(BlockTime::Manual);
    let dropped = rpc.send(&ping(&chain, 2, 0)).await;
    assert_eq!(rpc.call("eth_getTransactionCount", json!([who, "latest"])).await, "0x2");
    assert_eq!(rpc.call("eth_getTransactionCount", json!([who, "pending"])).await, "0x3");
    assert!(chain.drop_pending(dropped) && !chain.drop_pending(dropped));
    chain.mine().await;
    assert_eq!(chain.outcome(dropped), None);
    assert!(rpc.call("eth_getTransactionByHash", json!([dropped])).await.is_null());
    assert_eq!(rpc.call("eth_getTransactionCount", json!([who, "pending"])).await, "0x2");
}

#[tokio::test]
async fn a_replacement_must_pay_a_tenth_more() {
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let with_fees = |cap: u128, tip: u128| {
        let mut ping = tx(&chain, 0, account(9).address, Vec::new());
        (ping.max_fee_per_gas, ping.max_priority_fee_per_gas) = (cap, tip);
        sign(ping, 0)
    };
    let first = rpc.send(&with_fees(10 * GWEI, GWEI)).await;
    assert_eq!(rpc.send_error(&with_fees(10 * GWEI, GWEI)).await, "already known");
    let underpriced = "replacement transaction underpriced";
    assert_eq!(rpc.send_error(&with_fees(20 * GWEI, GWEI)).await, underpriced);
    assert_eq!(rpc.send_error(&with_fees(10 * GWEI, 2 * GWEI)).await, underpriced);
    let second = rpc.send(&with_fees(11 * GWEI, GWEI * 11 / 10)).await;
    assert_eq!(chain.pending(), [second]);
    chain.mine().await;
    assert!(chain.outcome(first).is_none() && chain.outcome(second).is_some());
    assert_eq!(rpc.send_error(&with_fees(10 * GWEI, GWEI)).await, "nonce too low: next nonce 1, tx nonce 0");
    assert_eq!(rpc.send_error(&with_fees(11 * GWEI, GWEI * 11 / 10)).await, "already known");
    assert_eq!(chain.transaction_count_seen(), 7);
}

#[tokio::test]
async fn refuses_in_the_words_of_geth() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let plain = || tx(&chain, 0, account(9).address, Vec::new());

    let mut foreign = plain();
    foreign.chain_id = 1;
    let error = rpc.send_error(&sign(foreign, 0)).await;
    assert_eq!(error, "invalid sender: invalid chain id for signer: have 1 want 84532");
    let mut short = plain();
    short.gas_limit = 20_999;
    let error = rpc.send_error(&sign(short, 0)).await;
    assert_eq!(error, "intrinsic gas too low: gas 20999, minimum needed 21000");
    let mut wide = plain();
    wide.gas_limit = 30_000_001;
    assert_eq!(rpc.send_error(&sign(wide, 0)).await, "exceeds block gas limit");
    let mut inverted = plain();
    inverted.max_priority_fee_per_gas = 11 * GWEI;
    let error = rpc.send_error(&sign(inverted, 0)).await;
    assert!(error.starts_with("max priority fee per gas higher than max fee per gas"), "{error}");
    let mut rich = plain();
    rich.value = U256::from(10).pow(U256::from(30));
    let error = rpc.send_error(&sign(rich, 0)).await;
    assert!(error.starts_with("insufficient funds for gas * price + value: balance "), "{error}");
    let unprotected = TxLegacy { gas_price: 10 * GWEI, gas_limit: 21_000, to: TxKind::Call(account(9).address), ..TxLegacy::default() };
    let error = rpc.send_error(&sign(unprotected, 0)).await;
    assert_eq!(error, "only replay-protected (EIP-155) transactions allowed over RPC");
    assert!(!rpc.send_error(&Bytes::from_static(&[1, 2, 3])).await.is_empty());
    assert_eq!(rpc.error("eth_sendRawTransaction", json!([])).await["code"], -32602);
    assert_eq!(rpc.error("eth_flyToTheMoon", json!([])).await["code"], -32601);
    assert_eq!(chain.block_number(), 0);
}

#[tokio::test]
async fn takes_older_types_of_transactions() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let (chain_id, to) = (84532, TxKind::Call(account(9).address));
    let legacy = TxLegacy { chain_id: Some(chain_id), nonce: 0, gas_price: 2 * GWEI, gas_limit: 21_000, to, ..TxLegacy::default() };
    let listed = TxEip2930 { chain_id, nonce: 1, gas_price: 2 * GWEI, gas_limit: 21_000, to, ..TxEip2930::default() };
    for (raw, kind) in [(sign(legacy, 0), "0x0"), (sign(listed, 0), "0x1")] {
        let hash = rpc.send(&raw).await;
        assert!(chain.outcome(hash).unwrap().success);
        assert_eq!(rpc.receipt(hash).await["type"], kind);
        let tx = rpc.call("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!((&tx["type"], &tx["gasPrice"]), (&json!(kind), &json!("0x77359400")));
    }
}

#[tokio::test]
async fn a_fee_below_the_base_fee_waits() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let mut cheap = tx(&chain, 0, account(9).address, Vec::new());
    (cheap.max_fee_per_gas, cheap.max_priority_fee_per_gas) = (GWEI / 2, 0);
    let hash = rpc.send(&sign(cheap, 0)).await;
    chain.mine().await;
    assert_eq!(chain.pending(), [hash]);
    chain.set_next_base_fee(400_000_000);
    chain.mine().await;
    assert!(chain.outcome(hash).unwrap().success);
}

#[tokio::test]
async fn the_better_tip_goes_first() {
    let chain = Chain::builder().block_time(BlockTime::Manual).gas_limit(100_000).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let mut hashes = Vec::new();
    for (from, tip) in [(0, 1), (1, 3), (2, 2)] {
        let mut ping = tx(&chain, 0, account(9).address, Vec::new());
        ping.max_priority_fee_per_gas = tip * GWEI;
        ping.gas_limit = 50_000;
        hashes.push(rpc.send(&sign(ping, from)).await);
    }
    chain.mine().await;
    // The third has room too: what counts is the gas that the first two used.
    assert_eq!(chain.blocks()[1].transactions, [hashes[1], hashes[2], hashes[0]]);
}
