//! Settling through one key: latency with a chain that mines at once, throughput with one block a second.

use crate::measure::{line, percentile};
use alloy_primitives::B256;
use h402_devnet::evm::BlockTime;
use h402_tests::rig::{Rig, RigOptions};
use std::{
    collections::BTreeMap,
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
}

/// What a payment uses of gas alone, and what it uses on average in the transactions of a run, from the chain's receipts.
fn gas(rig: &Rig) -> (u64, u64, usize) {
    let mut carried: BTreeMap<B256, u64> = BTreeMap::new();
    for transfer in rig.chain.transfers(rig.chain.usdc()) {
        *carried.entry(transfer.tx_hash).or_default() += 1;
    }
    let used = |hash: &B256| rig.chain.outcome(*hash).map_or(0, |outcome| outcome.gas_used);
    let alone: Vec<u64> = carried.iter().filter(|(_, payments)| **payments == 1).map(|(hash, _)| used(hash)).collect();
    let together: Vec<(u64, u64)> =
        carried.iter().filter(|(_, payments)| **payments > 1).map(|(hash, payments)| (used(hash), *payments)).collect();
    let payments: u64 = together.iter().map(|(_, payments)| payments).sum();
    let average = |gas: u64, count: u64| gas.checked_div(count).unwrap_or_default();
    let alone = average(alone.iter().sum(), alone.len() as u64);
    (alone, average(together.iter().map(|(gas, _)| gas).sum(), payments), together.len())
}

async fn load(block_time: BlockTime, callers: usize, each: usize) -> (f64, f64, f64) {
    // A few payers stand for many here: the limits of one payer are not what is measured.
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| {
        config.max_open_per_payer = 1024;
        config.reads_per_payer = 100_000;
        config.reads_overall = 100_000;
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
    let (alone, together, transactions) = gas(&rig);
    let seen = rig.chain.transfers(rig.chain.usdc()).len();
    line(&format!("  gas per payment alone, together in {transactions} transactions, payments"), format!("{alone}, {together}, {seen}"));
    let moved = rig.received() - before;
    assert_eq!(moved, alloy_primitives::U256::from(times.len()), "every settlement moved the price once");
    rig.stop().await;
    (rate, percentile(&mut times, 50), percentile(&mut times, 99))
}
