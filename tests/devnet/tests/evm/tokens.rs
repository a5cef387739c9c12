use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::{SolCall, eip712_domain};
use h402_devnet::evm::{Chain, Outcome, TokenKind, account};
use serde_json::json;

use crate::client::*;

/// Deploys a token, funds account 1 with it and settles one authorization of 1,000.
async fn settle_with(kind: TokenKind, gas_limit: u64) -> (Chain, Address, TransferWithAuthorization, Outcome) {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let token = chain.deploy(kind).unwrap();
    chain.mint(token, account(1).address, U256::from(5_000)).unwrap();
    let payment = authorization(&chain, 1, 1_000, 0);
    let mut settle = tx(&chain, 0, token, split_call(&chain, token, 1, &payment));
    settle.gas_limit = gas_limit;
    let outcome = chain.outcome(rpc.send(&sign(settle, 0)).await).unwrap();
    (chain, token, payment, outcome)
}

#[tokio::test]
async fn noop_token_does_nothing_successfully() {
    let (chain, token, payment, outcome) = settle_with(TokenKind::Noop, 200_000).await;
    assert!(outcome.success);
    assert!(chain.transfers(token).is_empty());
    assert!(!chain.authorization_used(token, payment.from, payment.nonce));
    assert!(chain.balance_of(token, payment.to) > U256::from(u128::MAX));
}

#[tokio::test]
async fn fee_token_pays_the_payee_less() {
    let (chain, token, payment, outcome) = settle_with(TokenKind::Fee, 200_000).await;
    assert!(outcome.success);
    assert_eq!(chain.balance_of(token, payment.to), U256::from(990));
    assert_eq!(chain.balance_of(token, payment.from), U256::from(4_000));
    assert_eq!(chain.transfers(token)[0].value, U256::from(990));
}

#[tokio::test]
async fn false_token_uses_up_the_authorization_for_nothing() {
    let (chain, token, payment, outcome) = settle_with(TokenKind::False, 200_000).await;
    assert!(outcome.success);
    assert!(chain.transfers(token).is_empty());
    assert_eq!(chain.balance_of(token, payment.to), U256::ZERO);
    assert!(chain.authorization_used(token, payment.from, payment.nonce));
    assert!(!Rpc::new(&chain).view(token, Usdc::transferCall { to: payment.to, value: U256::from(1) }).await);
}

#[tokio::test]
async fn gas_burner_burns_six_million() {
    let (chain, token, payment, outcome) = settle_with(TokenKind::GasBurner, 8_000_000).await;
    assert!(outcome.success);
    assert!((6_000_000..6_200_000).contains(&outcome.gas_used), "{outcome:?}");
    assert_eq!(chain.balance_of(token, payment.to), U256::from(1_000));
    let (_, _, _, poor) = settle_with(TokenKind::GasBurner, 200_000).await;
    assert!(!poor.success);
}

#[tokio::test]
async fn tokens_tell_their_domain() {
    let chain = Chain::builder().chain_id(8453).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let euro = TokenKind::Usdc { name: "Euro Coin".to_owned(), symbol: "EURC".to_owned(), version: "1".to_owned() };
    for (token, kind) in [
        (chain.usdc(), TokenKind::usdc("USD Coin")),
        (chain.deploy(euro.clone()).unwrap(), euro),
        (chain.deploy(TokenKind::Noop).unwrap(), TokenKind::Noop),
    ] {
        let (name, version) = (rpc.view(token, Usdc::nameCall {}).await, rpc.view(token, Usdc::versionCall {}).await);
        assert_eq!((name.as_str(), version.as_str()), (kind.name(), kind.version()));
        assert_eq!(rpc.view(token, Usdc::decimalsCall {}).await, 6);
        let domain = eip712_domain! { name: name, version: version, chain_id: 8453, verifying_contract: token, };
        assert_eq!(rpc.view(token, Usdc::DOMAIN_SEPARATORCall {}).await, domain.separator());
    }
}

#[tokio::test]
async fn multicall_answers_several_calls() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let call = |target: Address, data: Vec<u8>| Multicall::Call3 { target, allowFailure: true, callData: data.into() };
    let multicall = chain.multicall3();
    let poor = split_call(&chain, chain.usdc(), 2, &authorization(&chain, 1, 1, 0));
    let calls = vec![
        call(multicall, Multicall::getChainIdCall {}.abi_encode()),
        call(multicall, Multicall::getBlockNumberCall {}.abi_encode()),
        call(multicall, Multicall::getCurrentBlockTimestampCall {}.abi_encode()),
        call(multicall, Multicall::getEthBalanceCall { account: account(0).address }.abi_encode()),
        call(multicall, Multicall::getBasefeeCall {}.abi_encode()),
        call(chain.usdc(), Usdc::balanceOfCall { account: account(1).address }.abi_encode()),
        call(chain.usdc(), poor),
    ];
    let results = rpc.view(multicall, Multicall::aggregate3Call { calls }).await;
    let value = |index: usize| U256::from_be_slice(&results[index].returnData);
    assert_eq!(value(0), U256::from(84532));
    assert_eq!(value(1), U256::ZERO);
    assert!(wall_clock().abs_diff(value(2).to::<u64>()) <= 1);
    assert_eq!(value(3), chain.native_balance(account(0).address));
    assert_eq!(value(4), U256::from(GWEI));
    assert_eq!(value(5), U256::from(1_000_000_000_000_u64));
    assert!(!results[6].success && results[..6].iter().all(|result| result.success));
}

#[tokio::test]
async fn logs_are_found_by_address_topic_and_range() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    for nonce in 0..3 {
        let payment = authorization(&chain, 1 + nonce as usize, 10 + nonce, nonce);
        let call = split_call(&chain, chain.usdc(), 1 + nonce as usize, &payment);
        rpc.send(&sign(tx(&chain, nonce, chain.usdc(), call), 0)).await;
    }
    let transfer = keccak256("Transfer(address,address,uint256)");
    let logs = async |filter: serde_json::Value| rpc.call("eth_getLogs", json!([filter])).await.as_array().unwrap().clone();
    assert_eq!(logs(json!({ "fromBlock": "0x0" })).await.len(), 6);
    assert_eq!(logs(json!({ "fromBlock": "earliest", "topics": [transfer] })).await.len(), 3);
    assert_eq!(logs(json!({ "fromBlock": "0x2", "toBlock": "0x2", "topics": [[transfer]] })).await.len(), 1);
    let payer = account(2).address.into_word();
    let found = logs(json!({ "address": chain.usdc(), "fromBlock": "0x0", "topics": [transfer, payer] })).await;
    assert_eq!(found.len(), 1);
    assert_eq!(number(&found[0]["blockNumber"]), 2);
    assert_eq!(found[0]["logIndex"], "0x1");
    assert_eq!(parse::<U256>(&found[0]["data"]), U256::from(11));
    assert!(logs(json!({ "address": account(0).address, "fromBlock": "0x0" })).await.is_empty());
    let hash = chain.blocks()[3].hash;
    assert_eq!(logs(json!({ "blockHash": hash, "topics": [null, account(3).address.into_word()] })).await.len(), 2);
    assert_eq!(rpc.error("eth_getLogs", json!([{ "fromBlock": "0x3", "toBlock": "0x1" }])).await["code"], -32000);
}
