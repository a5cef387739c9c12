//! Settling through one key: latency with a chain that mines at once, throughput with one block a second.

use crate::measure::{line, percentile, ratio};
use alloy_primitives::B256;
use h402_core::Network;
use h402_devnet::evm::{BlockTime, account};
use h402_tests::rig::{Rig, RigOptions};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

const PRICE: u128 = 1;

pub(crate) async fn run() {
    for callers in [1, 16, 64] {
        let (rate, p50, p99) = load(BlockTime::Auto, callers, 40).await;
        line(
            &format!("automine, {callers} callers: settlements/s, p50 ms, p99 ms (poll is 50 ms)"),
            format!("{rate:.0}, {p50:.1}, {p99:.1}"),
        );
    }
    for callers in [16, 64, 256, 512] {
        let (rate, p50, p99) = load(BlockTime::Every(Duration::from_secs(1)), callers, 6).await;
        let goal = if callers == 512 { " (goal >= 300/s)" } else { "" };
        line(&format!("1 s blocks, {callers} callers: settlements/s, p50 ms, p99 ms{goal}"), format!("{rate:.0}, {p50:.0}, {p99:.0}"));
    }
    poisoned().await;
}

/// What a payment uses of gas alone, and what one uses in company.
#[derive(Clone, Copy)]
struct Gas {
    alone: u64,
    together: u64,
    transactions: usize,
    carried: u64,
}

/// From the receipts of the chain: the mean of those that went alone, and the mean of those that went together.
fn gas(rig: &Rig) -> Gas {
    let mut carried: BTreeMap<B256, u64> = BTreeMap::new();
    for transfer in rig.chain.transfers(rig.chain.usdc()) {
        *carried.entry(transfer.tx_hash).or_default() += 1;
    }
    let used = |hash: &B256| rig.chain.outcome(*hash).map_or(0, |outcome| outcome.gas_used);
    let alone: Vec<u64> = carried.iter().filter(|(_, payments)| **payments == 1).map(|(hash, _)| used(hash)).collect();
    let together: Vec<(u64, u64)> =
        carried.iter().filter(|(_, payments)| **payments > 1).map(|(hash, payments)| (used(hash), *payments)).collect();
    let carried: u64 = together.iter().map(|(_, payments)| payments).sum();
    let mean = |gas: u64, count: u64| gas.checked_div(count).unwrap_or_default();
    Gas {
        alone: mean(alone.iter().sum(), alone.len() as u64),
        together: mean(together.iter().map(|(gas, _)| gas).sum(), carried),
        transactions: together.len(),
        carried,
    }
}

/// What a payment that goes bad costs beyond what the others do: of fifty that wait together, one payer is blacklisted before
/// they are signed for, or after. Gas of all our transactions, against as many payments without it.
async fn poisoned() {
    let clean = fifty(None).await;
    for (what, when) in [("before it is signed for", Poison::BeforeSigning), ("once it is sent", Poison::UnderWay)] {
        let spoilt = fifty(Some(when)).await;
        let extra = spoilt.saturating_sub(clean / 50 * 49);
        line(&format!("extra gas of one of 50 payments that goes bad {what}"), extra);
    }
    line("gas per payment, 50 together", clean / 50);
}

#[derive(Clone, Copy, PartialEq)]
enum Poison {
    BeforeSigning,
    UnderWay,
}

/// Gas that our key uses for fifty payments that queue behind a first one, in as many transactions as it takes.
async fn fifty(poison: Option<Poison>) -> u64 {
    const BAD: usize = 4;
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.max_open_per_payer = 1024);
    let rig = Arc::new(Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await);
    let settle = |payer: usize, index: usize| {
        let (rig, payment) = (rig.clone(), rig.payment(payer, PRICE));
        tokio::spawn(async move { rig.post("/settle", &payment, PRICE, Some(&format!("fifty-{index}"))).await })
    };
    let until = async |what: &str, is_so: &dyn Fn() -> bool| {
        for _ in 0..3000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    };
    let gate = rig.chain.faults().hold_answer("eth_sendRawTransaction");
    let first = settle(2, 50);
    gate.reached(1).await;
    rig.chain.mine().await;
    first.await.unwrap();
    let settling: Vec<_> = (0..50).map(|index| settle(if index == 0 { BAD } else { 2 + index % 2 }, index)).collect();
    let network = Network::Evm(rig.chain.chain_id());
    until("all are claimed", &|| rig.engine.waiting(network) == 50).await;
    let spoil = || rig.chain.blacklist(rig.chain.usdc(), account(BAD).address, true).unwrap();
    if poison == Some(Poison::BeforeSigning) {
        spoil();
    }
    gate.open();
    until("they are sent", &|| rig.chain.pending().len() == 1).await;
    let sent = rig.chain.pending();
    if poison == Some(Poison::UnderWay) {
        spoil();
    }
    let ended = async { futures_util::future::join_all(settling).await };
    tokio::pin!(ended);
    let mut blocks = Vec::new();
    let replies = loop {
        blocks.push(rig.chain.mine().await);
        tokio::select! {
            replies = &mut ended => break replies,
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
    };
    let settled = replies.into_iter().filter(|reply| reply.as_ref().unwrap().1.contains("\"success\":true")).count();
    assert_eq!(settled, if poison.is_some() { 49 } else { 50 }, "the others settle");
    let used = |hash: &B256| rig.chain.outcome(*hash).map_or(0, |outcome| outcome.gas_used);
    let carried: BTreeSet<B256> = rig.chain.transfers(rig.chain.usdc()).into_iter().skip(1).map(|transfer| transfer.tx_hash).collect();
    let gas = carried.iter().chain(sent.iter().filter(|hash| !carried.contains(*hash))).map(used).sum();
    Arc::into_inner(rig).unwrap().stop().await;
    gas
}

async fn load(block_time: BlockTime, callers: usize, each: usize) -> (f64, f64, f64) {
    // A few payers stand for many here: the limits of one payer are not what is measured.
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| {
        (config.max_open_per_payer, config.reads_per_payer, config.reads_overall) = (1024, 100_000, 100_000);
    });
    let mut rig = Rig::with(RigOptions { block_time, engine, ..RigOptions::default() }).await;
    let before = rig.received();
    let shared = Arc::new(rig);
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let rig = shared.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(each);
                for call in 0..each {
                    let payment = rig.payment(2 + caller % 7, PRICE);
                    let start = Instant::now();
                    let (_, body) = rig.post("/settle", &payment, PRICE, Some(&format!("{caller}-{call}"))).await;
                    times.push(start.elapsed());
                    assert!(body.contains("\"success\":true"), "{body}");
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    rig = Arc::into_inner(shared).unwrap();
    let gas = gas(&rig);
    if let Gas { alone, together, transactions, carried } = gas
        && carried > 0
    {
        line("  gas per payment alone", alone);
        line(&format!("  gas per payment together ({carried} payments in {transactions} transactions)"), together);
        ratio("  gas together / alone", together as f64 / alone.max(1) as f64, "below 1");
    }
    let moved = rig.received() - before;
    assert_eq!(moved, alloy_primitives::U256::from(times.len()), "every settlement moved the price once");
    rig.stop().await;
    (rate, percentile(&mut times, 50), percentile(&mut times, 99))
}
