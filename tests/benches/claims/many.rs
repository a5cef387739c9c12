//! What a claim takes in a ledger of ten million payments, against one of ten thousand.

use super::row;
use crate::measure::{line, median, ratio};
use h402_core::{Applied, Change, NewPayment, Store};
use h402_facilitator::sqlite::{OpenOptions, SqliteStore};
use h402_tests::rig::Folder;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const FEW: u64 = 10_000;
const MANY: u64 = 10_000_000;
const ROUNDS: usize = 15;
const CLAIMS: usize = 200;

pub(crate) async fn run() {
    let folder = Folder::new();
    let start = Instant::now();
    let (few, many) = (filled(&folder, FEW).await, filled(&folder, MANY).await);
    line("ledger of ten million payments, made in s", format!("{:.0}", start.elapsed().as_secs_f64()));
    let mut rounds = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
    for round in 0..ROUNDS {
        let (at_few, at_many) = (p50(&few).await, p50(&many).await);
        (rounds.0[round], rounds.1[round], rounds.2[round]) = (at_few, at_many, at_many / at_few);
    }
    for store in [few, many] {
        store.close().await.unwrap();
    }
    line("claim among 10^4 payments, p50 us", format!("{:.0}", median(&mut rounds.0)));
    line("claim among 10^7 payments, p50 us", format!("{:.0}", median(&mut rounds.1)));
    ratio("claim among 10^7 / among 10^4 payments, p50", median(&mut rounds.2), "<= 1.2");
}

/// A ledger with so many finished payments, whose keys lie evenly over all there are. They are written in the order of
/// their keys and without a thought for power cuts; the bytes that were sent are left out, which no claim looks at.
async fn filled(folder: &Folder, rows: u64) -> SqliteStore {
    let path: PathBuf = folder.path().join(format!("{rows}.db"));
    SqliteStore::open(&path, OpenOptions::default()).await.unwrap().close().await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let mut conn = options.pragma("synchronous", "OFF").pragma("cache_size", "-65536").connect().await.unwrap();
    // They would only slow the filling down.
    let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'payments'";
    let triggers: Vec<(String, String)> = sqlx::query_as(triggers).fetch_all(&mut conn).await.unwrap();
    for (name, _) in &triggers {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TRIGGER {name}"))).execute(&mut conn).await.unwrap();
    }
    let step = u64::from(u32::MAX) / rows;
    let fill = format!(
        "PRAGMA wal_autocheckpoint = 20000; \
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
         INSERT INTO payments (key, network, asset, payer, pay_to, amount, kind, nonce, state, open, tx, block, block_hash, \
         claimed_at, updated_at, version) \
         SELECT unhex(printf('%08x%056x', n * {step}, n)), 'eip155:8453', zeroblob(20), zeroblob(20), zeroblob(20), \
         zeroblob(32), 'authorization', zeroblob(32), 'final', 0, zeroblob(32), n, zeroblob(32), 1800000000000 + n, 1800000000000 + n, 4 \
         FROM n; PRAGMA wal_checkpoint(TRUNCATE)"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut conn).await.unwrap();
    for (_, sql) in triggers {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    SqliteStore::open(&path, OpenOptions::default()).await.unwrap()
}

/// One claim after the other: the one in the middle, in microseconds.
async fn p50(store: &SqliteStore) -> f64 {
    let mut times = Vec::with_capacity(CLAIMS);
    for _ in 0..CLAIMS {
        let change = Change { claim: Some(NewPayment { row: row(), aliases: Vec::new() }), ..Change::default() };
        let start = Instant::now();
        assert_eq!(store.apply(change).await.unwrap(), Applied::Applied);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Duration::as_secs_f64(&times[CLAIMS / 2]) * 1e6
}
