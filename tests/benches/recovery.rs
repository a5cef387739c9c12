//! A start on a ledger with very many payments under way: how long until payments are taken.

use crate::{backlog, measure::line};
use h402_core::Assets;
use h402_devnet::evm::{BlockTime, Chain};
use h402_facilitator::{
    Engine, EngineConfig, SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::rig::{Folder, network, usdc};
use std::time::{Duration, Instant};

const ROWS: u32 = 100_000;

pub(crate) async fn run() {
    // Fewer for a trial of a debug build.
    let rows = std::env::var("H402_BENCH_ROWS").ok().map_or(ROWS, |rows| rows.parse().unwrap());
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    let folder = Folder::new();
    let path = folder.path().join("ledger.sqlite");
    backlog::fill(&path, &chain, rows).await;
    let store = SqliteStore::open(&path, OpenOptions::default()).await.unwrap();
    let config = EngineConfig::new(Assets::none().with(usdc(&chain)), vec![network(&chain).into()]);
    let start = Instant::now();
    let engine = Engine::start(config, store.clone(), SystemClock).await.unwrap();
    while !engine.ready().await.is_ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ready = start.elapsed();
    let asked = chain.faults().calls("eth_getTransactionReceipt");
    line(&format!("{rows} open rows: s from start to ready (goal <= 2 at 100000)"), format!("{:.2}", ready.as_secs_f64()));
    line("  receipts asked for until then", asked);
    engine.shutdown(Duration::from_secs(1)).await;
    store.close().await.unwrap();
}
