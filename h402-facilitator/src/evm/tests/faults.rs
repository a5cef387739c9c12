//! Everything a node can do wrong, to every read.

use super::*;
use h402_devnet::fault::{ANY, Fault, Times};
use serde_json::{Value, json};

fn faults() -> Vec<(&'static str, Fault)> {
    let error = |code, message: &str| h402_devnet::RpcError::new(code, message);
    vec![
        ("closed", Fault::DropRequest),
        ("answer lost", Fault::DropAnswer),
        ("HTTP 400", Fault::Status(400)),
        ("HTTP 429", Fault::Status(429)),
        ("HTTP 503", Fault::Status(503)),
        ("HTTP 502 after the work", Fault::StatusAfter(502)),
        ("HTML", Fault::Html),
        ("cut", Fault::Truncated),
        ("wrong id", Fault::WrongId),
        ("throttled", Fault::Error(error(429, "slow down"))),
        ("internal error", Fault::Error(error(-32603, "internal error"))),
        ("no state", Fault::Error(error(-32000, "header not found"))),
        ("unknown method", Fault::Error(error(-32601, "the method does not exist/is not available"))),
        ("a number", Fault::Answer(json!(1))),
        ("a word", Fault::Answer(json!("canary"))),
        ("no digits", Fault::Answer(json!("0x"))),
        ("too many digits", Fault::Answer(json!(format!("0x{}", "f".repeat(65))))),
        ("a negative", Fault::Answer(json!("0x-1"))),
        ("a list", Fault::Answer(json!([]))),
        ("a list of nothing", Fault::Answer(json!([null, {}, [[]]]))),
        ("an object", Fault::Answer(json!({ "number": "0x1" }))),
        ("true", Fault::Answer(Value::Bool(true))),
    ]
}

/// For every kind of payment: each method that is asked fails in each way; never a panic, never a fact.
#[tokio::test]
async fn t148_no_fault_makes_a_fact_or_a_panic() {
    let bench = Bench::start().await;
    bench.chain.mine().await;
    let (_, mined) = bench.signed(bench.usdc(), 5, 5, bench.tokens(0, bench.chain.usdc(), 5));
    bench.evm.send(&mined.raw).await;
    let payments = [
        ("authorization", bench.payment(1, 1_500, 1)),
        ("coins", bench.signed(bench.coin(), 1, 5, bench.coins(0, 5)).0),
        ("sent", bench.sent(bench.usdc(), 5, 5, mined.hash)),
    ];
    for (kind, payment) in &payments {
        for plainly in [false, true] {
            // A client of its own each time, so that nothing is known from before.
            let evm = || if plainly { bench.plainly() } else { Bench::on(bench.chain.clone()).evm };
            let probe = evm();
            probe.facts(payment).await.unwrap();
            let methods: Vec<_> = probe.rpc().counters().methods.into_keys().collect();
            assert!(methods.len() >= 3, "{methods:?}");
            for method in methods {
                for (name, fault) in faults() {
                    if (method, name) == ("eth_getCode", "no digits") {
                        // That is how an account without code looks.
                        continue;
                    }
                    bench.chain.faults().add(method, fault, Times::Always);
                    let facts = evm().facts(payment).await;
                    bench.chain.faults().clear();
                    assert_eq!(facts, Err(Undecided::Chain), "{kind}, without Multicall3: {plainly}, {method}: {name}");
                }
            }
            evm().facts(payment).await.unwrap();
        }
    }
}

/// The other reads, whole.
#[tokio::test]
async fn t148_no_fault_is_an_answer_to_any_read() {
    let bench = Bench::start().await;
    let payment = bench.payment(1, 1_500, 1);
    let hash = bench.settle(&payment).await;
    let (token, payer) = (bench.chain.usdc(), account(1).address);
    let head = bench.evm.head().await.unwrap().block();
    let assets = [Arc::new(bench.usdc())];
    for (name, fault) in faults() {
        let evm = Bench::on(bench.chain.clone()).evm;
        bench.chain.faults().add(ANY, fault.clone(), Times::Always);
        let failed = [
            evm.chain_id().await.err(),
            evm.head().await.err(),
            evm.fees().await.err(),
            evm.account_nonce(payer).await.err(),
            evm.native_balance(payer).await.err(),
            evm.block_hash(1).await.err(),
            evm.receipts(&[hash]).await.err(),
            evm.authorization(token, payer, B256::repeat_byte(1), head, UnixSeconds(0)).await.err(),
        ];
        let checked = evm.check(&assets).await;
        let sent = evm.send(&Bytes::from_static(&[1])).await;
        bench.chain.faults().clear();
        assert!(failed.iter().all(|error| *error == Some(Undecided::Chain)), "{name}: {failed:?}");
        assert_eq!((checked, sent), (Err(StartError::Unreachable), Sent::Unknown), "{name}");
    }
}

/// Faults of everything but the chain id, so that the reads' own answers are what is wrong.
#[tokio::test]
async fn t148_no_senseless_answer_is_an_answer_to_any_read() {
    let bench = Bench::start().await;
    let payment = bench.payment(1, 1_500, 1);
    let hash = bench.settle(&payment).await;
    let (token, payer) = (bench.chain.usdc(), account(1).address);
    let head = bench.evm.head().await.unwrap().block();
    for (name, fault) in faults() {
        for method in
            ["eth_getBlockByNumber", "eth_getTransactionCount", "eth_getBalance", "eth_getTransactionReceipt", "eth_call", "eth_getLogs"]
        {
            let evm = Bench::on(bench.chain.clone()).evm;
            bench.chain.faults().add(method, fault.clone(), Times::Always);
            let failed = match method {
                "eth_getBlockByNumber" => {
                    let receipts = vec![evm.receipts(&[hash]).await.err(), evm.receipts(&[B256::ZERO, hash]).await.err()];
                    [vec![evm.head().await.err(), evm.fees().await.err(), evm.block_hash(1).await.err()], receipts].concat()
                }
                "eth_getTransactionCount" => vec![evm.account_nonce(payer).await.err()],
                "eth_getBalance" => vec![evm.native_balance(payer).await.err()],
                "eth_getTransactionReceipt" => vec![
                    evm.receipts(&[hash]).await.err(),
                    evm.receipts(&[B256::ZERO, hash]).await.err(),
                    evm.authorization(token, payer, B256::repeat_byte(1), head, UnixSeconds(0)).await.err(),
                ],
                _ => vec![evm.authorization(token, payer, B256::repeat_byte(1), head, UnixSeconds(0)).await.err()],
            };
            bench.chain.faults().clear();
            // No logs at all is a true answer to the question for logs.
            let may_answer = method == "eth_getLogs" && name == "a list";
            assert!(may_answer || failed.iter().all(|error| *error == Some(Undecided::Chain)), "{method}: {name}: {failed:?}");
        }
    }
}

/// The node cannot try one transfer: that payment is undecided, its neighbours are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_payments_bad_answer_is_not_its_neighbours() {
    for (method, fault) in [
        ("eth_estimateGas", Fault::Error(h402_devnet::RpcError::server("internal trouble"))),
        ("eth_estimateGas", Fault::Answer(json!("0xffffffffffffffffff"))),
        ("eth_getCode", Fault::Answer(Value::Null)),
        ("eth_getCode", Fault::Answer(json!("nonsense"))),
    ] {
        let bench = Arc::new(Bench::start().await);
        let gate = bench.chain.faults().hold("eth_getCode");
        let caller = |tag: u8| {
            let (evm, payment) = (bench.evm.clone(), bench.payment(1, 100, tag));
            tokio::spawn(async move { evm.facts(&payment).await })
        };
        let first = caller(0);
        gate.reached(1).await;
        // Of the three that share the next read, the second is answered badly.
        bench.chain.faults().add(method, fault.clone(), Times::After(1));
        let mut others = Vec::new();
        for tag in 1..4 {
            others.push(caller(tag));
            bench.evm.inner.window.waits_for(usize::from(tag)).await;
        }
        gate.open();
        first.await.unwrap().unwrap();
        let mut outcomes = Vec::new();
        for other in others {
            outcomes.push(other.await.unwrap().map(drop));
        }
        assert_eq!(outcomes, [Ok(()), Err(Undecided::Chain), Ok(())], "{method} {fault:?}");
        assert_eq!(bench.chain.faults().requests(), 2);
    }
}

/// A revert that only the node's words tell of is one; every other trouble of the node is not.
#[tokio::test]
async fn only_reverts_are_the_payers_fault() {
    let bench = Bench::start().await;
    let authorization = bench.payment(1, 1_500, 1);
    let (coins, _) = bench.signed(bench.coin(), 1, 5, bench.coins(0, 5));
    let revert = |reason: &str| Ok(Some(reason.to_owned()));
    let none: Result<Option<String>, Undecided> = Err(Undecided::Chain);
    let of_payer = || revert("sender cannot pay for value and gas");
    // Message, outcome for an authorization, outcome for the payer's own transaction.
    let cases = [
        (-32000, "execution reverted", revert("no reason given"), revert("no reason given")),
        (3, "execution reverted: Pausable: paused", revert("Pausable: paused"), revert("Pausable: paused")),
        (-32000, "Execution reverted", revert("no reason given"), revert("no reason given")),
        (
            -32603,
            "VM Exception while processing transaction: reverted with reason string 'x'",
            revert("no reason given"),
            revert("no reason given"),
        ),
        (-32000, "gas required exceeds allowance (30000000)", none.clone(), of_payer()),
        (-32000, "insufficient funds for gas * price + value: address 0x00 have 1 want 5", none.clone(), of_payer()),
        (-32000, "insufficient funds for transfer", none.clone(), of_payer()),
        (-32000, "out of gas", none.clone(), none.clone()),
        (-32000, "invalid opcode: INVALID", none.clone(), none.clone()),
        (-32000, "header not found", none.clone(), none.clone()),
        (-32000, "missing trie node", none.clone(), none.clone()),
        (-32603, "internal error", none.clone(), none.clone()),
        (-32601, "the method eth_estimateGas does not exist/is not available", none.clone(), none),
    ];
    for (code, message, for_authorization, for_transaction) in cases {
        for (payment, want) in [(&authorization, for_authorization), (&coins, for_transaction)] {
            bench.chain.faults().once("eth_estimateGas", Fault::Error(h402_devnet::RpcError::new(code, message)));
            let outcome = bench.evm.facts(payment).await.map(|facts| match facts.simulation {
                Some(h402_core::Simulation::Reverts { reason }) => Some(reason),
                _ => None,
            });
            assert_eq!(outcome, want, "{message} for {:?}", payment.matched().class());
        }
    }
}
