use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolCall;
use h402_devnet::evm::{BlockTime, Chain, account};
use serde_json::json;

use crate::client::*;

#[tokio::test]
async fn settles_an_authorization_with_a_split_signature() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let payment = authorization(&chain, 1, 1_500, 0);
    let settle = sign(tx(&chain, 0, chain.usdc(), split_call(&chain, chain.usdc(), 1, &payment)), 0);
    let hash = rpc.send(&settle).await;
    let receipt = rpc.receipt(hash).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 2, "AuthorizationUsed and Transfer");
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(1_500));
    assert_eq!(chain.balance_of(chain.usdc(), account(1).address), U256::from(999_999_998_500_u64));
    assert!(chain.authorization_used(chain.usdc(), account(1).address, payment.nonce));
    let transfers = chain.transfers(chain.usdc());
    assert_eq!(transfers.len(), 1);
    assert_eq!((transfers[0].tx_hash, transfers[0].block), (hash, 1));
    assert_eq!((transfers[0].from, transfers[0].to), (payment.from, payment.to));
    assert_eq!(transfers[0].value, U256::from(1_500));
    assert_eq!(chain.transaction_count_seen(), 1);
    assert!(chain.outcome(hash).unwrap().success);
}

#[tokio::test]
async fn settles_an_authorization_with_a_signature_in_one_piece_once() {
    let chain = Chain::builder().chain_id(8453).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let payment = authorization(&chain, 2, 7, 0);
    let call = bytes_call(&chain, chain.usdc(), 2, &payment);
    let first = rpc.send(&sign(tx(&chain, 0, chain.usdc(), call.clone()), 0)).await;
    assert_eq!(rpc.receipt(first).await["status"], "0x1");

    let request = json!([{ "from": account(0).address, "to": chain.usdc(), "input": hex(&call) }]);
    for method in ["eth_call", "eth_estimateGas"] {
        let error = rpc.error(method, request.clone()).await;
        assert_eq!(error["code"], 3, "{method}");
        assert_eq!(error["message"], "execution reverted: FiatTokenV2: authorization is used or canceled");
        assert_eq!(revert_reason(&error), "FiatTokenV2: authorization is used or canceled");
    }

    let replay = rpc.send(&sign(tx(&chain, 1, chain.usdc(), call), 0)).await;
    let receipt = rpc.receipt(replay).await;
    assert_eq!(receipt["status"], "0x0");
    assert_eq!(receipt["logs"], json!([]));
    assert!(!chain.outcome(replay).unwrap().success);
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(7));
}

fn hex(data: &[u8]) -> String {
    alloy_primitives::hex::encode_prefixed(data)
}

#[tokio::test]
async fn refuses_as_usdc_does() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let usdc = chain.usdc();
    let reason = async |call: Vec<u8>| {
        let error = rpc.error("eth_call", json!([{ "to": usdc, "data": hex(&call) }, "latest"])).await;
        revert_reason(&error)
    };
    let good = authorization(&chain, 1, 10, 0);

    let expired = TransferWithAuthorization { validBefore: U256::from(chain.now()), ..good.clone() };
    assert_eq!(reason(split_call(&chain, usdc, 1, &expired)).await, "FiatTokenV2: authorization is expired");
    let early = TransferWithAuthorization { validAfter: U256::from(chain.now() + 100), ..good.clone() };
    assert_eq!(reason(split_call(&chain, usdc, 1, &early)).await, "FiatTokenV2: authorization is not yet valid");
    assert_eq!(reason(split_call(&chain, usdc, 2, &good)).await, "FiatTokenV2: invalid signature");
    assert_eq!(reason(with_signature(&good, vec![0; 64])).await, "ECRecover: invalid signature length");
    let poor = TransferWithAuthorization { from: account(9).address, ..good.clone() };
    assert_eq!(reason(bytes_call(&chain, usdc, 9, &poor)).await, "ERC20: transfer amount exceeds balance");

    chain.blacklist(usdc, good.from, true).unwrap();
    assert_eq!(reason(bytes_call(&chain, usdc, 1, &good)).await, "Blacklistable: account is blacklisted");
    chain.blacklist(usdc, good.from, false).unwrap();
    chain.set_paused(usdc, true).unwrap();
    assert_eq!(reason(bytes_call(&chain, usdc, 1, &good)).await, "Pausable: paused");
    chain.set_paused(usdc, false).unwrap();

    chain.advance_time(200);
    let ok = TransferWithAuthorization { validBefore: U256::from(chain.now() + 60), ..early };
    let sent = rpc.send(&sign(tx(&chain, 0, usdc, split_call(&chain, usdc, 1, &ok)), 0)).await;
    assert!(chain.outcome(sent).unwrap().success);
}

#[tokio::test]
async fn cancels_receives_and_permits() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let usdc = chain.usdc();
    let error = async |from: usize, call: Vec<u8>| {
        let request = json!([{ "from": account(from).address, "to": usdc, "data": hex(&call) }]);
        revert_reason(&rpc.error("eth_call", request).await)
    };

    let payment = authorization(&chain, 1, 10, 0);
    let cancel = CancelAuthorization { authorizer: payment.from, nonce: payment.nonce };
    let cancelling = |by: usize| {
        let signature = signature(&chain, usdc, by, &cancel);
        Usdc::cancelAuthorizationCall { authorizer: cancel.authorizer, nonce: cancel.nonce, signature }.abi_encode()
    };
    assert_eq!(error(0, cancelling(2)).await, "FiatTokenV2: invalid signature");
    rpc.send(&sign(tx(&chain, 0, usdc, cancelling(1)), 0)).await;
    let used = "FiatTokenV2: authorization is used or canceled";
    assert_eq!(error(0, split_call(&chain, usdc, 1, &payment)).await, used);
    assert_eq!(error(0, cancelling(1)).await, used);

    let a = authorization(&chain, 1, 10, 1);
    let message = ReceiveWithAuthorization {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
    };
    let receive = Usdc::receiveWithAuthorizationCall {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        signature: signature(&chain, usdc, 1, &message),
    }
    .abi_encode();
    assert_eq!(error(0, receive.clone()).await, "FiatTokenV2: caller must be the payee");
    rpc.send(&sign(tx(&chain, 0, usdc, receive), 9)).await;
    assert_eq!(chain.balance_of(usdc, account(9).address), U256::from(10));

    let (owner, spender) = (account(1).address, account(0).address);
    let permit = Permit { owner, spender, value: a.value, nonce: U256::ZERO, deadline: a.validBefore };
    let spend = Usdc::transferFromCall { from: owner, to: a.to, value: a.value }.abi_encode();
    assert_eq!(error(0, spend.clone()).await, "ERC20: transfer amount exceeds allowance");
    let permitting =
        Usdc::permitCall { owner, spender, value: permit.value, deadline: permit.deadline, signature: signature(&chain, usdc, 1, &permit) }
            .abi_encode();
    rpc.send(&sign(tx(&chain, 1, usdc, permitting.clone()), 0)).await;
    rpc.send(&sign(tx(&chain, 2, usdc, spend), 0)).await;
    assert_eq!(chain.balance_of(usdc, account(9).address), U256::from(20));
    assert_eq!(rpc.view(usdc, Usdc::noncesCall { owner }).await, U256::from(1));
    assert_eq!(error(0, permitting).await, "EIP2612: invalid signature");
}

#[tokio::test]
async fn takes_the_signature_of_a_smart_wallet() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let wallet = chain.deploy_smart_wallet(account(3).address).unwrap();
    chain.mint(chain.usdc(), wallet, U256::from(50)).unwrap();
    let payment = TransferWithAuthorization { from: wallet, ..authorization(&chain, 3, 20, 0) };
    let foreign = sign(tx(&chain, 0, chain.usdc(), bytes_call(&chain, chain.usdc(), 4, &payment)), 0);
    let own = sign(tx(&chain, 1, chain.usdc(), bytes_call(&chain, chain.usdc(), 3, &payment)), 0);
    assert!(!chain.outcome(rpc.send(&foreign).await).unwrap().success);
    assert!(chain.outcome(rpc.send(&own).await).unwrap().success);
    assert_eq!(chain.balance_of(chain.usdc(), wallet), U256::from(30));
}

#[tokio::test]
async fn estimates_what_a_settlement_needs() {
    let chain = Chain::builder().start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let call = split_call(&chain, chain.usdc(), 1, &authorization(&chain, 1, 10, 0));
    let request = json!([{ "from": account(0).address, "to": chain.usdc(), "data": hex(&call) }]);
    let estimate = number(&rpc.call("eth_estimateGas", request).await);
    let mut settle = tx(&chain, 0, chain.usdc(), call);
    settle.gas_limit = estimate;
    let outcome = chain.outcome(rpc.send(&sign(settle, 0)).await).unwrap();
    assert!(outcome.success);
    assert!(outcome.gas_used <= estimate && estimate < outcome.gas_used * 11 / 10, "{estimate} {outcome:?}");
    let plain = json!([{ "from": account(0).address, "to": account(9).address, "value": "0x1" }]);
    assert_eq!(rpc.call("eth_estimateGas", plain).await, "0x5208");
    let rejecting = chain.deploy_rejects_ether().unwrap();
    let refused = json!([{ "from": account(0).address, "to": rejecting, "value": "0x1" }]);
    assert_eq!(rpc.error("eth_estimateGas", refused).await["message"], "execution reverted: RejectsEther: no");
}

#[tokio::test]
async fn fits_hundreds_of_settlements_into_a_block() {
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    for index in 0..320_u64 {
        let (payer, sender) = ((index % 9) as usize, (index % 2) as usize);
        let payment = TransferWithAuthorization { nonce: keccak256(index.to_be_bytes()), ..authorization(&chain, payer, 1, index) };
        let mut settle = tx(&chain, index / 2, chain.usdc(), split_call(&chain, chain.usdc(), payer, &payment));
        settle.gas_limit = 120_000;
        rpc.send(&sign(settle, sender)).await;
    }
    let started = std::time::Instant::now();
    assert_eq!(chain.mine().await, 1);
    println!("320 settlements in {:?}", started.elapsed());
    assert_eq!(chain.blocks()[1].transactions.len(), 320);
    assert_eq!(chain.transfers(chain.usdc()).len(), 320);
    assert_eq!(chain.balance_of(chain.usdc(), account(9).address), U256::from(320));
    let receipts = rpc.call("eth_getBlockReceipts", json!(["latest"])).await;
    assert!(receipts.as_array().unwrap().iter().all(|receipt| receipt["status"] == "0x1"));
}

#[tokio::test]
async fn block_time_makes_blocks_without_being_asked() {
    let chain = Chain::builder().block_time(BlockTime::Every(std::time::Duration::from_millis(20))).start().await.unwrap();
    let rpc = Rpc::new(&chain);
    let hash = rpc.send(&ping(&chain, 0, 0)).await;
    let mut receipt = rpc.receipt(hash).await;
    while receipt.is_null() {
        receipt = rpc.receipt(hash).await;
    }
    assert_eq!(receipt["status"], "0x1");
    let blocks = chain.blocks();
    assert!(blocks.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
    assert!(blocks.iter().all(|block| block.timestamp <= wall_clock()));
    assert!(blocks.iter().all(|block| block.hash != B256::ZERO));
}
