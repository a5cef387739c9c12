//! The reads that are not about a payment's facts.

use super::*;
use h402_core::TransferLog;
use h402_devnet::{
    evm::{Orphans, TokenKind},
    fault::Fault,
};
use serde_json::{Value, json};

fn mismatch(result: Result<(), StartError>) -> String {
    match result {
        Err(StartError::Mismatch { what }) => what,
        other => panic!("{other:?}"),
    }
}

/// T013, T034: nothing starts on a chain that contradicts the configuration.
#[tokio::test]
async fn the_configuration_is_compared_with_the_chain() {
    let bench = Bench::start().await;
    let usdc = bench.usdc();
    let check = async |evm: &EvmChain, asset: &Asset| evm.check(&[Arc::new(asset.clone())]).await;
    let (asked, checked) = requests(&bench.chain, check(&bench.evm, &usdc)).await;
    assert_eq!((asked, checked), (1, Ok(())));
    check(&bench.evm, &bench.coin()).await.unwrap();
    check(&bench.plainly(), &usdc).await.unwrap();
    // Assets of other networks are checked on theirs.
    bench
        .evm
        .check(&h402_core::Assets::known().iter().filter(|asset| asset.id.network == Network::Evm(8453)).cloned().collect::<Vec<_>>())
        .await
        .unwrap();

    let bent = Asset { decimals: 18, ..usdc.clone() };
    assert!(mismatch(check(&bench.evm, &bent).await).contains("6 decimals, not 18"));
    let bent = bench.token(bench.chain.usdc(), "USD Coin", bench.chain.usdc_version());
    assert!(mismatch(check(&bench.evm, &bent).await).contains("EIP-712"));
    let bent = bench.token(bench.chain.usdc(), bench.chain.usdc_name(), "1");
    assert!(mismatch(check(&bench.evm, &bent).await).contains("EIP-712"));
    let bent = bench.token(account(5).address, "USDC", "2");
    assert!(mismatch(check(&bench.evm, &bent).await).contains("no contract"));
    let bent = bench.token(bench.chain.multicall3(), "USDC", "2");
    assert!(mismatch(check(&bench.evm, &bent).await).contains("does not tell its decimals"));
    let evm = client(&bench.chain, Some(account(5).address), vec![bench.chain.url().parse().unwrap()]);
    assert!(mismatch(check(&evm, &usdc).await).contains("Multicall3"));

    bench.chain.pause().await;
    assert_eq!(check(&bench.evm, &usdc).await, Err(StartError::Unreachable));
}

#[tokio::test]
async fn heads_and_hashes() {
    let bench = Bench::start().await;
    bench.chain.mine().await;
    let block = bench.chain.blocks().pop().unwrap();
    let head = bench.evm.head().await.unwrap();
    assert_eq!((head.number, head.hash, head.time), (1, block.hash, UnixSeconds(block.timestamp)));
    assert_eq!(head.base_fee, Some(u128::from(block.base_fee)));
    assert_eq!(bench.evm.block_hash(1).await, Ok(Some(block.hash)));
    assert_eq!(bench.evm.block_hash(0).await, Ok(Some(bench.chain.blocks()[0].hash)));
    assert_eq!(bench.evm.block_hash(2).await, Ok(None));
    assert_eq!(bench.evm.chain_id().await, Ok(84532));
    // A node that answers for another block.
    bench.chain.reorg(1, Orphans::Drop);
    bench.chain.faults().once("eth_getBlockByNumber", Fault::Answer(json!({ "number": "0x0", "hash": B256::ZERO, "timestamp": "0x1" })));
    assert_eq!(bench.evm.block_hash(1).await, Err(Undecided::Chain));
    assert_eq!(bench.evm.block_hash(1).await, Ok(None));
}

#[tokio::test]
async fn nonces_and_balances_are_those_of_the_latest_block() {
    let bench = Bench::start().await;
    bench.chain.set_block_time(BlockTime::Manual);
    let payer = account(1).address;
    let (_, signed) = bench.signed(bench.coin(), 1, 5, bench.coins(0, 5));
    assert_eq!(bench.evm.send(&signed.raw).await, Sent::Accepted);
    assert_eq!(bench.evm.account_nonce(payer).await, Ok(0), "what waits does not count");
    bench.chain.mine().await;
    assert_eq!(bench.evm.account_nonce(payer).await, Ok(1));
    assert_eq!(bench.evm.native_balance(payer).await, Ok(bench.chain.native_balance(payer)));
    assert!(bench.chain.native_balance(payer) < U256::from(10).pow(U256::from(22)));
}

#[tokio::test]
async fn fees_follow_the_base_fee_and_are_kept_for_a_while() {
    let bench = Bench::start().await;
    bench.chain.set_next_base_fee(7_000_000_000);
    bench.chain.mine().await;
    let want = Fees { max_fee_per_gas: 14_001_000_000, max_priority_fee_per_gas: 1_000_000, legacy: false, block_gas: Some(30_000_000) };
    let (asked, fees) = requests(&bench.chain, bench.evm.fees()).await;
    assert_eq!((asked, fees), (1, Ok(want)));
    let (asked, fees) = requests(&bench.chain, bench.evm.fees()).await;
    assert_eq!((asked, fees), (0, Ok(want)));

    // Without the node's advice: what others paid, here account 1 as the only one.
    let (_, signed) = bench.signed(
        bench.coin(),
        1,
        5,
        TxEip1559 { max_fee_per_gas: 20_000_000_000, max_priority_fee_per_gas: 4_000_000, ..bench.coins(0, 5) },
    );
    assert_eq!(bench.evm.send(&signed.raw).await, Sent::Accepted);
    let unknown = || Fault::Error(h402_devnet::RpcError::new(-32601, "the method does not exist/is not available"));
    bench.chain.faults().once("eth_maxPriorityFeePerGas", unknown());
    assert_eq!(bench.plainly().fees().await.unwrap().max_priority_fee_per_gas, 4_000_000);
    // Without either: what the gas price is above the base fee.
    bench.chain.faults().once("eth_maxPriorityFeePerGas", unknown());
    bench.chain.faults().once("eth_feeHistory", unknown());
    assert_eq!(bench.plainly().fees().await.unwrap().max_priority_fee_per_gas, 1_000_000);
    for method in ["eth_maxPriorityFeePerGas", "eth_feeHistory", "eth_gasPrice"] {
        bench.chain.faults().once(method, unknown());
    }
    assert_eq!(bench.plainly().fees().await, Err(Undecided::Chain));

    // A chain older than EIP-1559.
    let header = json!({ "number": "0x1", "hash": B256::ZERO, "timestamp": "0x1" });
    bench.chain.faults().once("eth_getBlockByNumber", Fault::Answer(header));
    bench.chain.faults().once("eth_gasPrice", Fault::Answer(json!("0x3b9aca00")));
    let legacy = Fees { max_fee_per_gas: 1_000_000_000, max_priority_fee_per_gas: 1_000_000_000, legacy: true, block_gas: None };
    assert_eq!(bench.plainly().fees().await, Ok(legacy));
}

#[tokio::test]
async fn sending_says_what_the_node_says() {
    let bench = Bench::start().await;
    bench.chain.set_block_time(BlockTime::Manual);
    let signed = |transaction: TxEip1559| key(1).sign_eip1559(transaction).unwrap().raw;
    let send = async |transaction: TxEip1559| bench.evm.send(&signed(transaction)).await;
    let refused = Sent::Refused;
    let plain = bench.coins(0, 5);
    assert_eq!(send(plain.clone()).await, Sent::Accepted);
    assert_eq!(send(plain.clone()).await, Sent::AlreadyKnown);
    assert_eq!(send(TxEip1559 { value: U256::from(6), ..plain.clone() }).await, refused(SendRefusal::ReplacementUnderpriced));
    assert_eq!(send(TxEip1559 { nonce: 1, gas_limit: 20_999, ..plain.clone() }).await, refused(SendRefusal::GasTooLow));
    assert_eq!(send(TxEip1559 { nonce: 1, gas_limit: 30_000_001, ..plain.clone() }).await, refused(SendRefusal::GasTooHigh));
    let rich = U256::from(10).pow(U256::from(30));
    assert_eq!(send(TxEip1559 { nonce: 1, value: rich, ..plain.clone() }).await, refused(SendRefusal::InsufficientFunds));
    assert_eq!(send(TxEip1559 { chain_id: 1, ..plain.clone() }).await, Sent::Unknown);
    assert_eq!(bench.evm.send(&Bytes::from_static(&[1, 2, 3])).await, Sent::Unknown);
    bench.chain.mine().await;
    assert_eq!(send(TxEip1559 { value: U256::from(6), ..plain.clone() }).await, refused(SendRefusal::NonceTooLow));

    // Sent twice with the answer lost in between: what is known is that it may be there.
    let next = TxEip1559 { nonce: 1, ..plain };
    bench.chain.faults().once("eth_sendRawTransaction", Fault::DropAnswer);
    assert_eq!(send(next.clone()).await, Sent::Unknown);
    assert_eq!(bench.chain.pending(), [keccak256(signed(next.clone()))]);
    assert_eq!(send(next.clone()).await, Sent::AlreadyKnown);
    // An acceptance of something else is none.
    bench.chain.faults().once("eth_sendRawTransaction", Fault::Answer(json!(B256::ZERO)));
    assert_eq!(send(TxEip1559 { nonce: 2, ..next }).await, Sent::Unknown);
}

#[tokio::test]
async fn the_same_bytes_go_to_the_endpoint_that_answers() {
    let (dead, bench) = (Chain::builder().start().await.unwrap(), Bench::start().await);
    dead.pause().await;
    let evm = client(&bench.chain, None, vec![dead.url().parse().unwrap(), bench.chain.url().parse().unwrap()]);
    let (_, signed) = bench.signed(bench.coin(), 1, 5, bench.coins(0, 5));
    assert_eq!(evm.send(&signed.raw).await, Sent::Accepted);
    assert!(bench.chain.outcome(signed.hash).unwrap().success);
    assert_eq!(bench.chain.transaction_count_seen(), 1);
}

#[tokio::test]
async fn receipts_of_many_in_one_request() {
    let bench = Bench::start().await;
    let (paid, failed) = (bench.payment(1, 1_500, 1), bench.payment(2, 2_000_000_000_000, 2));
    let funds = bench.chain.native_balance(account(0).address);
    let (first, second) = (bench.settle(&paid).await, bench.settle(&failed).await);
    let spent = funds - bench.chain.native_balance(account(0).address);
    let blocks = bench.chain.blocks();
    let (asked, receipts) = requests(&bench.chain, bench.evm.receipts(&[second, B256::ZERO, first])).await;
    let receipts = receipts.unwrap();
    assert_eq!(asked, 2, "receipts, then the two new blocks");
    let [Some(reverted), None, Some(settled)] = &receipts[..] else { panic!("{receipts:?}") };
    assert_eq!((reverted.success, reverted.block, reverted.block_hash), (false, 2, blocks[2].hash));
    assert!(reverted.transfers.is_empty() && reverted.authorizations.is_empty());
    assert_eq!((settled.success, settled.block, settled.time), (true, 1, UnixSeconds(blocks[1].timestamp)));
    let transfer =
        TransferLog { token: bench.chain.usdc(), from: account(1).address, to: account(PAYEE).address, amount: Amount::from_atomic(1_500) };
    assert_eq!(settled.transfers, [transfer]);
    assert_eq!(settled.cost.unwrap() + reverted.cost.unwrap(), spent, "what the sender's account lost");
    assert_eq!(settled.authorizations, [(bench.chain.usdc(), account(1).address, B256::repeat_byte(1))]);
    let (asked, again) = requests(&bench.chain, bench.evm.receipts(&[second, B256::ZERO, first])).await;
    assert_eq!((asked, again), (1, Ok(receipts)));
    assert_eq!(requests(&bench.chain, bench.evm.receipts(&[])).await.1, Ok(Vec::new()));
}

/// T147: a receipt that contradicts itself or the question is none; one whose block is gone is not mined.
#[tokio::test]
async fn t147_invented_receipts_are_noticed() {
    let bench = Bench::start().await;
    let hash = bench.settle(&bench.payment(1, 1_500, 1)).await;
    let block = bench.chain.blocks()[1].hash;
    let receipt = |id: B256, block: B256, status: &str| json!({ "transactionHash": id, "blockHash": block, "blockNumber": "0x1", "status": status, "logs": [] });
    let without = |field: &str| {
        let mut receipt = receipt(hash, block, "0x1");
        receipt.as_object_mut().unwrap().remove(field);
        receipt
    };
    let undecided = Err(Undecided::Chain);
    let cases = [
        ("of another transaction", receipt(B256::repeat_byte(7), block, "0x1"), undecided.clone()),
        ("neither yes nor no", receipt(hash, block, "0x2"), undecided.clone()),
        ("no status", without("status"), undecided.clone()),
        ("no logs", without("logs"), undecided.clone()),
        ("no block", without("blockHash"), undecided),
        ("of a block that is not there", receipt(hash, B256::repeat_byte(9), "0x1"), Ok(vec![false])),
        ("of a block that the chain has at another height", receipt(hash, bench.chain.blocks()[0].hash, "0x1"), Ok(vec![false])),
        ("honest", receipt(hash, block, "0x1"), Ok(vec![true])),
    ];
    for (name, answer, want) in cases {
        bench.chain.faults().once("eth_getTransactionReceipt", Fault::Answer(answer));
        let receipts = bench.evm.receipts(&[hash]).await;
        assert_eq!(receipts.map(|receipts| receipts.iter().map(Option::is_some).collect::<Vec<_>>()), want, "{name}");
    }
}

/// On OP-stack chains the chain below takes its part; a node that tells nothing tells no cost.
#[tokio::test]
async fn the_cost_is_gas_and_the_fee_of_the_chain_below() {
    let bench = Bench::start().await;
    let hash = bench.settle(&bench.payment(1, 1_500, 1)).await;
    let block = bench.chain.blocks()[1].hash;
    let receipt = |costs: serde_json::Value| {
        let mut receipt = json!({ "transactionHash": hash, "blockHash": block, "blockNumber": "0x1", "status": "0x1", "logs": [] });
        receipt.as_object_mut().unwrap().extend(costs.as_object().unwrap().clone());
        receipt
    };
    let cases = [
        (json!({ "gasUsed": "0x64", "effectiveGasPrice": "0x3", "l1Fee": "0x7" }), Some(307)),
        (json!({ "gasUsed": "0x64", "effectiveGasPrice": "0x3" }), Some(300)),
        (json!({ "gasUsed": "0x64" }), None),
    ];
    for (costs, want) in cases {
        bench.chain.faults().once("eth_getTransactionReceipt", Fault::Answer(receipt(costs)));
        let facts = bench.evm.receipts(&[hash]).await.unwrap().pop().flatten().unwrap();
        assert_eq!(facts.cost, want.map(U256::from));
    }
}

/// T056: what only looks like a transfer of tokens is not one.
#[tokio::test]
async fn t056_logs_are_read_strictly() {
    let bench = Bench::start().await;
    let hash = bench.settle(&bench.payment(1, 1_500, 1)).await;
    let block = bench.chain.blocks()[1].hash;
    let transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let used = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";
    let (from, to) = (account(1).address.into_word().to_string(), account(PAYEE).address.into_word().to_string());
    let (dirty, amount) = (format!("0x01{}", &from[4..]), format!("0x{:064x}", 1_500));
    let log = |topics: &[&str], data: &str| json!({ "address": bench.chain.usdc(), "topics": topics, "data": data });
    let removed = {
        let mut log = log(&[transfer, &from, &to], &amount);
        log["removed"] = Value::Bool(true);
        log
    };
    let cases = [
        ("honest transfer", log(&[transfer, &from, &to], &amount), (1, 0)),
        ("honest authorization", log(&[used, &from, &amount], "0x"), (0, 1)),
        ("non-fungible", log(&[transfer, &from, &to, &amount], "0x"), (0, 0)),
        ("four topics and data", log(&[transfer, &from, &to, &amount], &amount), (0, 0)),
        ("two topics", log(&[transfer, &from], &amount), (0, 0)),
        ("no topics", log(&[], &amount), (0, 0)),
        ("short data", log(&[transfer, &from, &to], &amount[..64]), (0, 0)),
        ("long data", log(&[transfer, &from, &to], &format!("{amount}00")), (0, 0)),
        ("address with more bytes", log(&[transfer, &dirty, &to], &amount), (0, 0)),
        ("payee with more bytes", log(&[transfer, &from, &dirty], &amount), (0, 0)),
        ("another event", log(&[&amount, &from, &to], &amount), (0, 0)),
        ("authorization with data", log(&[used, &from, &amount], &amount), (0, 0)),
        ("authorization of a dirty address", log(&[used, &dirty, &amount], "0x"), (0, 0)),
        ("taken back", removed, (0, 0)),
    ];
    for (name, log, want) in cases {
        let receipt = json!({ "transactionHash": hash, "blockHash": block, "blockNumber": "0x1", "status": "0x1", "logs": [log] });
        bench.chain.faults().once("eth_getTransactionReceipt", Fault::Answer(receipt));
        let facts = bench.evm.receipts(&[hash]).await.unwrap().pop().flatten().unwrap();
        assert_eq!((facts.transfers.len(), facts.authorizations.len()), want, "{name}");
    }
}

/// T010: the transaction that carried an authorization is found, whoever sent it.
#[tokio::test]
async fn t010_an_authorization_is_found_whoever_carried_it() {
    let bench = Bench::start().await;
    let (token, payer) = (bench.chain.usdc(), account(1).address);
    let trace = async |tag: u8, since: u64| {
        let head = bench.evm.head().await.unwrap().block();
        bench.evm.authorization(token, payer, B256::repeat_byte(tag), head, UnixSeconds(since)).await
    };
    let payment = bench.payment(1, 1_500, 1);
    assert_eq!(trace(1, 0).await, Ok(AuthorizationTrace { used: false, log: None }));

    bench.settle(&bench.payment(2, 5, 1)).await;
    assert_eq!(trace(1, 0).await, Ok(AuthorizationTrace { used: false, log: None }), "another payer's same nonce");
    let hash = bench.settle(&payment).await;
    let found = trace(1, 0).await.unwrap();
    let log = found.log.unwrap();
    assert_eq!((found.used, log.transaction, log.receipt.block), (true, hash, 2));
    assert!(log.receipt.shows_transfer(token, payer, account(PAYEE).address, Amount::from_atomic(1_500)));
    // More blocks than are asked for at once, and then one that is not too old.
    for _ in 0..1_100 {
        bench.chain.mine().await;
    }
    let since = bench.chain.now() + 300;
    bench.chain.advance_time(600);
    bench.chain.mine().await;
    assert_eq!(trace(1, since).await, Ok(AuthorizationTrace { used: true, log: None }), "used before the asked time");
    assert!(trace(1, 0).await.unwrap().log.is_some());
    for range in [1, 10, 2_000] {
        bench.chain.set_log_range(Some(range));
        let head = bench.evm.head().await.unwrap().block();
        let trace = bench.plainly().authorization(token, payer, B256::repeat_byte(1), head, UnixSeconds(0)).await.unwrap();
        assert_eq!(trace.log.map(|log| log.transaction), Some(hash), "{range}");
    }
    bench.chain.set_log_range(None);
    // A node that does not have the block decides nothing.
    let head = bench.evm.head().await.unwrap().block();
    for method in ["eth_call", "eth_getLogs"] {
        bench.chain.faults().once(method, Fault::Behind(1));
        let traced = bench.evm.authorization(token, payer, B256::repeat_byte(1), head, UnixSeconds(0)).await;
        assert_eq!(traced, Err(Undecided::Chain), "{method}");
    }

    // Cancelled: used up, and no log of a use.
    let domain = bench.usdc().eip712_domain().unwrap();
    let cancel = Cancel::cancelAuthorizationCall::signed(&key(1), payer, B256::repeat_byte(2), &domain);
    bench.chain.execute(token, cancel.into()).unwrap();
    assert_eq!(trace(2, 0).await, Ok(AuthorizationTrace { used: true, log: None }));

    // A log whose receipt does not show it: the node contradicts itself.
    let receipt = json!({
        "transactionHash": hash, "blockHash": bench.chain.blocks()[2].hash, "blockNumber": "0x2", "status": "0x1", "logs": [],
    });
    bench.chain.faults().once("eth_getTransactionReceipt", Fault::Answer(receipt));
    assert_eq!(trace(1, 0).await, Err(Undecided::Chain));
    bench.chain.faults().once("eth_getTransactionReceipt", Fault::Answer(Value::Null));
    assert_eq!(trace(1, 0).await, Err(Undecided::Chain));

    // The false token uses it up and moves nothing: that is seen, too.
    let lying = bench.chain.deploy(TokenKind::False).unwrap();
    bench.chain.mint(lying, payer, U256::from(5_000)).unwrap();
    bench.settle(&bench.authorization(bench.token(lying, "USDC", "2"), 1, 1_500, 3)).await;
    let head = bench.evm.head().await.unwrap().block();
    let found = bench.evm.authorization(lying, payer, B256::repeat_byte(3), head, UnixSeconds(0)).await.unwrap();
    let log = found.log.unwrap();
    assert!(!log.receipt.shows_transfer(lying, payer, account(PAYEE).address, Amount::from_atomic(1_500)));
}

#[allow(clippy::too_many_arguments)]
mod cancelling {
    use super::*;
    use alloy_sol_types::{Eip712Domain, SolStruct, sol};

    sol! {
        interface Cancel {
            function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        }

        struct CancelAuthorization {
            address authorizer;
            bytes32 nonce;
        }
    }

    impl Cancel::cancelAuthorizationCall {
        pub(super) fn signed(key: &EvmKey, authorizer: EvmAddress, nonce: B256, domain: &Eip712Domain) -> Vec<u8> {
            let signature = key.sign_hash(&CancelAuthorization { authorizer, nonce }.eip712_signing_hash(domain)).unwrap();
            let (r, s) = (signature.r().into(), signature.s().into());
            Self { authorizer, nonce, v: 27 + u8::from(signature.v()), r, s }.abi_encode()
        }
    }
}
use cancelling::Cancel;
