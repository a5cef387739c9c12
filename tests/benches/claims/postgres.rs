//! Durable claims in PostgreSQL against as many callers' bare inserts of one row, each over a connection of its own.

use super::{ROUNDS, SPAN, claims};
use crate::measure::{line, median, ratio};
use h402_facilitator::postgres::{OpenOptions, PostgresStore};
use h402_tests::{
    postgres::{Database, database},
    rig::nonce,
};
use sqlx::PgConnection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

const CALLERS: usize = 32;

pub(crate) async fn run() {
    let Some(database) = database().await else { return };
    let bare = "CREATE TABLE bare (key bytea PRIMARY KEY, value bytea NOT NULL)";
    let (schema, ours) = ("CREATE SCHEMA ours", format!("{}&options[search_path]=ours", database.url()));
    let mut conn = database.connect().await;
    for sql in [bare, schema] {
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    }
    let store = PostgresStore::open(&ours, OpenOptions::default()).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..CALLERS {
        connections.push(database.connect().await);
    }
    let mut rounds = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
    for round in 0..ROUNDS {
        let floor;
        (floor, connections) = inserts(connections).await;
        let claimed = claims(&store, CALLERS).await;
        (rounds.0[round], rounds.1[round], rounds.2[round]) = (floor, claimed, claimed / floor);
    }
    store.close().await;
    line(&format!("PostgreSQL, bare inserts at {CALLERS} callers, per s"), format!("{:.0}", median(&mut rounds.0)));
    line(&format!("PostgreSQL, durable claims at {CALLERS} callers, per s"), format!("{:.0}", median(&mut rounds.1)));
    ratio(&format!("PostgreSQL, claims at {CALLERS} callers / bare inserts"), median(&mut rounds.2), ">= 0.5");
    drop::<Database>(database);
}

async fn inserts(connections: Vec<PgConnection>) -> (f64, Vec<PgConnection>) {
    let count = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut conn| {
            let count = count.clone();
            tokio::spawn(async move {
                while start.elapsed() < SPAN {
                    let insert = sqlx::query("INSERT INTO bare (key, value) VALUES ($1, $2)").bind(nonce().to_vec()).bind(vec![7u8; 120]);
                    insert.execute(&mut conn).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
                conn
            })
        })
        .collect();
    let mut connections = Vec::new();
    for task in tasks {
        connections.push(task.await.unwrap());
    }
    (count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64(), connections)
}
