//! Settling through one key: latency with a chain that mines at once, throughput with one block a second.

use crate::measure::{line, percentile};
use h402_devnet::evm::BlockTime;
use h402_tests::rig::{Rig, RigOptions};
use std::{
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
    for callers in [16, 64, 256] {
        let (rate, p50, p99) = load(BlockTime::Every(Duration::from_secs(1)), callers, 6).await;
        let goal = if callers == 256 { " (goal >= 100/s)" } else { "" };
        line(&format!("1 s blocks, {callers} callers: settlements/s, p50 ms, p99 ms{goal}"), format!("{rate:.0}, {p50:.0}, {p99:.0}"));
    }
}

async fn load(block_time: BlockTime, callers: usize, each: usize) -> (f64, f64, f64) {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.max_open_per_payer = 1024);
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
    let moved = rig.received() - before;
    assert_eq!(moved, alloy_primitives::U256::from(times.len()), "every settlement moved the price once");
    rig.stop().await;
    (rate, percentile(&mut times, 50), percentile(&mut times, 99))
}
