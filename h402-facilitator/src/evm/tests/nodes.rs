//! Several endpoints, wrong chains.

use super::*;
use h402_devnet::fault::{ANY, Fault, Times};

fn both(a: &Chain, b: &Chain) -> EvmChain {
    client(a, Some(a.multicall3()), vec![a.url().parse().unwrap(), b.url().parse().unwrap()])
}

/// T146: the configured chain id is compared on every read, with Multicall3 inside the very same state.
#[tokio::test]
async fn t146_a_node_of_another_chain_decides_nothing() {
    let bench = Bench::start().await;
    let other = Chain::builder().chain_id(8453).start().await.unwrap();
    for multicall3 in [Some(bench.chain.multicall3()), None] {
        let evm = client(&bench.chain, multicall3, vec![other.url().parse().unwrap()]);
        let payment = bench.payment(1, 1_500, 1);
        let wrong = Some(Undecided::WrongChain);
        assert_eq!(evm.facts(&payment).await.err(), wrong);
        assert_eq!(evm.head().await.err(), wrong);
        assert_eq!(evm.fees().await.err(), wrong);
        assert_eq!(evm.receipts(&[B256::ZERO]).await.err(), wrong);
        assert_eq!(evm.account_nonce(account(1).address).await.err(), wrong);
        assert_eq!(evm.native_balance(account(1).address).await.err(), wrong);
        assert_eq!(evm.block_hash(0).await.err(), wrong);
        let head = bench.evm.head().await.unwrap().block();
        assert_eq!(evm.authorization(bench.chain.usdc(), account(1).address, B256::ZERO, head, UnixSeconds(0)).await.err(), wrong);
        assert!(matches!(evm.check(&[]).await, Err(StartError::Mismatch { .. })));
        assert_eq!(evm.chain_id().await, Ok(8453));
        bench.evm.facts(&payment).await.unwrap();
    }
}

/// A node that turns into one of another chain is left for one that has not.
#[tokio::test]
async fn t146_another_endpoint_is_asked_after_one_of_the_wrong_chain() {
    let bench = Bench::start().await;
    let wrong = Chain::builder().chain_id(8453).start().await.unwrap();
    let payment = bench.payment(1, 1_500, 1);
    let endpoints = vec![wrong.url().parse().unwrap(), bench.chain.url().parse().unwrap()];
    let evm = client(&bench.chain, Some(bench.chain.multicall3()), endpoints);
    assert_eq!(evm.facts(&payment).await, Err(Undecided::WrongChain));
    evm.facts(&payment).await.unwrap();
    assert_eq!(evm.head().await.unwrap().number, 0);
}

/// T148: one of two endpoints down, in every way: reads go on without a pause.
#[tokio::test]
async fn t148_reads_go_on_with_one_of_two_endpoints() {
    for fault in [Fault::DropRequest, Fault::DropAnswer, Fault::Status(503), Fault::Html, Fault::Truncated, Fault::WrongId] {
        let (bad, good) = (Chain::builder().start().await.unwrap(), Bench::start().await);
        bad.faults().add(ANY, fault.clone(), Times::Always);
        let evm = both(&bad, &good.chain);
        for tag in 0..5 {
            evm.facts(&good.payment(1, 1_500, tag)).await.unwrap();
        }
        assert_eq!((bad.faults().requests(), good.chain.faults().requests()), (1, 5), "{fault:?}");
        // Alone and unwell it is asked all the same, and decides nothing.
        good.chain.pause().await;
        assert_eq!(evm.facts(&good.payment(1, 1_500, 9)).await, Err(Undecided::Chain), "{fault:?}");
    }
}

/// A node that answers, and only with errors or nonsense, costs one read; then the other is asked.
#[tokio::test]
async fn t148_a_node_that_answers_only_errors_is_left_for_another() {
    let error = || Fault::Error(h402_devnet::RpcError::new(-32603, "internal error"));
    for (method, fault) in [
        (ANY, error()),
        ("eth_call", error()),
        ("eth_getBlockByNumber", error()),
        ("eth_getBlockByNumber", Fault::Answer(serde_json::json!(1))),
        ("eth_getTransactionReceipt", error()),
        ("eth_getTransactionCount", error()),
    ] {
        let (bad, good) = (Chain::builder().start().await.unwrap(), Bench::start().await);
        bad.faults().add(method, fault.clone(), Times::Always);
        let evm = both(&bad, &good.chain);
        let payment = good.payment(1, 1_500, 1);
        let read = async || match method {
            "eth_getBlockByNumber" => evm.head().await.map(drop),
            "eth_getTransactionReceipt" => evm.receipts(&[B256::ZERO]).await.map(drop),
            "eth_getTransactionCount" => evm.account_nonce(account(1).address).await.map(drop),
            _ => evm.facts(&payment).await.map(drop),
        };
        assert_eq!(read().await, Err(Undecided::Chain), "{method} {fault:?}");
        assert_eq!(read().await, Ok(()), "{method} {fault:?}");
        assert_eq!((bad.faults().requests(), good.chain.faults().requests()), (1, 1), "{method} {fault:?}");
    }
}

#[tokio::test]
async fn t148_a_node_that_is_gone_is_undecided_and_comes_back() {
    let bench = Bench::start().await;
    let payment = bench.payment(1, 1_500, 1);
    bench.evm.facts(&payment).await.unwrap();
    bench.chain.pause().await;
    for _ in 0..3 {
        assert_eq!(bench.evm.facts(&payment).await, Err(Undecided::Chain));
    }
    bench.chain.resume().await;
    bench.evm.facts(&payment).await.unwrap();
}

#[tokio::test]
async fn t148_a_node_that_hangs_costs_one_deadline() {
    let bench = Bench::start().await;
    let gate = bench.chain.faults().hold("eth_getCode");
    let mut config = RpcConfig::new(vec![bench.chain.url().parse().unwrap()]);
    config.timeout = Duration::from_millis(100);
    let evm = EvmChain::new(EvmConfig {
        chain_id: bench.chain.chain_id(),
        multicall3: None,
        simulate_from: account(0).address,
        rpc: Rpc::new(config),
    });
    assert_eq!(evm.facts(&bench.payment(1, 1_500, 1)).await, Err(Undecided::Deadline));
    assert_eq!(evm.rpc().counters().requests, 1);
    gate.open();
}

/// T147: a node that is behind what another has shown does not decide.
#[tokio::test]
async fn t147_a_node_that_lags_is_left_for_one_that_does_not() {
    let (ahead, behind) = (Bench::start().await, Chain::builder().start().await.unwrap());
    let evm = both(&behind, &ahead.chain);
    let payment = ahead.payment(1, 1_500, 1);
    for _ in 0..3 {
        ahead.chain.mine().await;
    }
    // The first endpoint is down for one read, in which the second shows its height.
    behind.faults().once("eth_getCode", Fault::DropRequest);
    assert_eq!(evm.facts(&payment).await.unwrap().block, 3);
    evm.rpc().forget_failures();
    assert_eq!(evm.facts(&payment).await.unwrap().block, 0, "three blocks behind is near enough");

    ahead.chain.mine().await;
    behind.faults().once("eth_getCode", Fault::DropRequest);
    assert_eq!(evm.facts(&payment).await.unwrap().block, 4);
    evm.rpc().forget_failures();
    assert_eq!(evm.facts(&payment).await, Err(Undecided::Chain), "four are not");
    assert_eq!(evm.facts(&payment).await.unwrap().block, 4, "and the next read goes to the other");
    evm.rpc().forget_failures();
    assert_eq!(evm.head().await.err(), Some(Undecided::Chain));
    assert_eq!(evm.head().await.unwrap().number, 4);
}

/// Of a single node nobody knows better: after a deep reorganisation its own lower block counts.
#[tokio::test]
async fn a_single_node_is_never_behind() {
    let bench = Bench::start().await;
    for _ in 0..9 {
        bench.chain.mine().await;
    }
    assert_eq!(bench.evm.head().await.unwrap().number, 9);
    bench.chain.reorg(8, h402_devnet::evm::Orphans::Drop);
    assert_eq!(bench.evm.head().await.unwrap().number, 1);
    assert_eq!(bench.evm.facts(&bench.payment(1, 1_500, 1)).await.unwrap().block, 1);
}
