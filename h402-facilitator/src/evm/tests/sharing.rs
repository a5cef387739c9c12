//! Reads that are shared, and by whom.

use super::*;
use crate::window::{MAX_WAITING, Share};
use futures_util::future::join_all;
use h402_devnet::fault::Fault;

#[tokio::test]
async fn one_verify_read_is_one_request() {
    let bench = Bench::start().await;
    for payment in [
        bench.payment(1, 1_500, 1),
        bench.signed(bench.coin(), 1, 5, bench.coins(0, 5)).0,
        bench.signed(bench.usdc(), 1, 5, bench.tokens(0, bench.chain.usdc(), 5)).0,
        bench.sent(bench.usdc(), 1, 5, B256::ZERO),
    ] {
        for evm in [bench.evm.clone(), bench.plainly()] {
            let (asked, facts) = requests(&bench.chain, evm.facts(&payment)).await;
            facts.unwrap();
            assert_eq!(asked, 1, "{:?}", payment.matched().proof());
        }
    }
    let counters = bench.evm.rpc().counters();
    assert_eq!(counters.requests, 4);
    assert_eq!(counters.methods.get("eth_estimateGas").unwrap().calls, 3);
}

/// Whoever comes while a read is held at the gate goes out together in the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_callers_share_two_requests() {
    let bench = Arc::new(Bench::start().await);
    let gate = bench.chain.faults().hold("eth_getCode");
    let first = tokio::spawn({
        let bench = bench.clone();
        async move { bench.evm.facts(&bench.payment(1, 100, 0)).await }
    });
    gate.reached(1).await;
    let others: Vec<_> = (1..16_u8)
        .map(|tag| {
            let (payer, payment) = (usize::from(tag % 8) + 1, bench.payment(usize::from(tag % 8) + 1, 100 + u128::from(tag), tag));
            let evm = bench.evm.clone();
            (payer, tokio::spawn(async move { evm.facts(&payment).await }))
        })
        .collect();
    bench.evm.inner.window.waits_for(15).await;
    gate.open();
    first.await.unwrap().unwrap();
    for (payer, facts) in others {
        let facts = facts.await.unwrap().unwrap();
        let held = bench.chain.balance_of(bench.chain.usdc(), account(payer).address);
        assert_eq!((facts.balance, facts.authorization_used), (held.into(), Some(false)));
    }
    assert_eq!(bench.chain.faults().requests(), 2);
    assert_eq!(bench.chain.faults().calls("eth_call"), 2, "one Multicall3 call in each");
    assert_eq!(bench.chain.faults().calls("eth_estimateGas"), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_beyond_a_requests_worth_go_out_side_by_side() {
    let bench = Arc::new(Bench::start().await);
    let gate = bench.chain.faults().hold("eth_getCode");
    let mut callers = Vec::new();
    for tag in 0..71_u8 {
        let (evm, payment) = (bench.evm.clone(), bench.payment(1, 100, tag));
        callers.push(tokio::spawn(async move { evm.facts(&payment).await }));
        if tag == 0 {
            gate.reached(1).await;
        }
    }
    bench.evm.inner.window.waits_for(70).await;
    gate.open();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(bench.chain.faults().requests(), 1 + 3, "70 in requests of at most 32");
}

/// A node that takes few calls in a request gets smaller ones, and says nothing against them.
#[tokio::test]
async fn reads_fit_what_the_node_takes() {
    let bench = Bench::start().await;
    let hashes: Vec<B256> = (1..=5).map(B256::repeat_byte).collect();
    let limited = |max_calls| {
        let mut config = RpcConfig::new(vec![bench.chain.url().parse().unwrap()]);
        config.max_calls = max_calls;
        let rpc = Rpc::new(config);
        EvmChain::new(EvmConfig { chain_id: bench.chain.chain_id(), multicall3: None, simulate_from: account(0).address, rpc })
    };
    for (max_calls, requests_for_receipts, requests_for_facts) in [(100, 1, 1), (10, 1, 3), (6, 1, 5), (4, 2, 5), (0, 5, 5)] {
        let evm = limited(max_calls);
        let (asked, receipts) = requests(&bench.chain, evm.receipts(&hashes)).await;
        assert_eq!((asked, receipts), (requests_for_receipts, Ok(vec![None; 5])), "{max_calls}");
        let payments: Vec<_> = (1..=5).map(|tag| bench.payment(usize::from(tag), 1, tag)).collect();
        let (asked, facts) = requests(&bench.chain, join_all(payments.iter().map(|payment| evm.facts(payment)))).await;
        assert!(facts.iter().all(Result::is_ok));
        assert_eq!(asked, requests_for_facts, "{max_calls}");
    }
}

/// T160: a crowd is told to come again; nobody's read is lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t160_a_crowd_is_told_to_come_again() {
    let bench = Arc::new(Bench::start().await);
    let gate = bench.chain.faults().hold("eth_getCode");
    let payment = bench.payment(1, 100, 0);
    let caller = || {
        let (evm, payment) = (bench.evm.clone(), payment.clone());
        tokio::spawn(async move { evm.facts(&payment).await })
    };
    let mut callers = vec![caller()];
    gate.reached(1).await;
    callers.extend((0..MAX_WAITING).map(|_| caller()));
    bench.evm.inner.window.waits_for(MAX_WAITING).await;
    assert_eq!(bench.evm.facts(&payment).await, Err(Undecided::Busy));
    // What is promised has a place of its own.
    let (evm, promised) = (bench.evm.clone(), bench.payment(2, 100, 1));
    let promised = tokio::spawn(async move { evm.facts_for(&promised, Share::Promised).await });
    bench.evm.inner.window.waits_for(MAX_WAITING + 1).await;
    // Those who go away make room.
    callers.pop().unwrap().abort();
    let patient = loop {
        let late = caller();
        tokio::task::yield_now().await;
        if !late.is_finished() {
            break late;
        }
    };
    gate.open();
    patient.await.unwrap().unwrap();
    promised.await.unwrap().unwrap();
    for done in join_all(callers).await {
        done.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_asks_for_callers_who_went_away() {
    let bench = Arc::new(Bench::start().await);
    let gate = bench.chain.faults().hold("eth_getCode");
    let caller = |tag: u8| {
        let (evm, payment) = (bench.evm.clone(), bench.payment(1, 100, tag));
        tokio::spawn(async move { evm.facts(&payment).await })
    };
    let first = caller(0);
    gate.reached(1).await;
    let (gone, stays) = (caller(1), caller(2));
    bench.evm.inner.window.waits_for(2).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    // Even the one whose read is under way may go: the others are served all the same.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open();
    stays.await.unwrap().unwrap();
    assert_eq!(bench.chain.faults().calls("eth_estimateGas"), 2, "for the first and for the one who stayed");
}

#[tokio::test]
async fn a_reader_that_died_with_its_runtime_is_followed_by_another() {
    let bench = Arc::new(Bench::start().await);
    let gate = bench.chain.faults().hold("eth_getCode");
    let payment = bench.payment(1, 100, 0);
    let (evm, theirs) = (bench.evm.clone(), payment.clone());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move { evm.facts(&theirs).await });
        stopped.recv().unwrap();
        runtime.shutdown_background();
    });
    gate.reached(1).await;
    let waits = tokio::spawn({
        let (evm, payment) = (bench.evm.clone(), payment.clone());
        async move { evm.facts(&payment).await }
    });
    bench.evm.inner.window.waits_for(1).await;
    stop.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!(waits.await.unwrap(), Err(Undecided::ShuttingDown));
    gate.open();
    bench.evm.facts(&payment).await.unwrap();
}

/// A read that fails is over for all who shared it, and not for those after them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_read_fails_those_who_shared_it_and_no_others() {
    let bench = Arc::new(Bench::start().await);
    let gate = bench.chain.faults().hold("eth_getCode");
    bench.chain.faults().once("eth_estimateGas", Fault::Status(500));
    let caller = |tag: u8| {
        let (evm, payment) = (bench.evm.clone(), bench.payment(1, 100, tag));
        tokio::spawn(async move { evm.facts(&payment).await })
    };
    // The status is that of the whole first request, which so never reaches the gate.
    assert_eq!(caller(0).await.unwrap(), Err(Undecided::Chain));
    let second = caller(1);
    gate.open();
    second.await.unwrap().unwrap();
}
