//! A ledger with very many open payments, written by SQL alone: what a process left that died under load.

use alloy_consensus::TxEip1559;
use alloy_primitives::TxKind;
use h402_core::{Amount, Clock, Network};
use h402_devnet::evm::{Chain, account};
use h402_facilitator::{
    SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::{
    rig::{GAS, PAYEE},
    transactions::{GWEI, sign},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::Path;

/// Length of the call that settles an authorization.
const CALL: usize = 292;

/// Fills a new ledger with authorizations of as many payers, each `broadcast` in a stored transaction of its own.
///
/// The bytes of all transactions are the same, signed for another nonce than the stored ones: no node mines more than one.
pub(crate) async fn fill(path: &Path, chain: &Chain, rows: u32) {
    let store = SqliteStore::open(path, OpenOptions::default()).await.unwrap();
    store.close().await.unwrap();
    let sender = account(GAS).address;
    let (max_fee_per_gas, to) = (10 * GWEI, TxKind::Call(chain.usdc()));
    let transaction = TxEip1559 {
        chain_id: chain.chain_id(),
        gas_limit: 120_000,
        max_fee_per_gas,
        to,
        input: vec![5; CALL].into(),
        ..TxEip1559::default()
    };
    let raw = sign(GAS, transaction).raw;
    let mut conn = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
    let now = i64::try_from(SystemClock.now().0).unwrap();
    let mut filling = conn.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO payments (key, network, asset, payer, pay_to, amount, kind, nonce, caller, state, open, tx, expires_at, raw, \
         claimed_at, updated_at, version) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         SELECT randomblob(32), ?2, ?3, randomblob(20), ?4, ?7, 'authorization', randomblob(32), randomblob(32), \
         'broadcast', 1, randomblob(32), ?5 + 3600000, randomblob(?6), ?5 - i % 60000, ?5, 3 FROM n",
    )
    .bind(rows)
    .bind(Network::Evm(chain.chain_id()).to_string())
    .bind(chain.usdc().to_vec())
    .bind(account(PAYEE).address.to_vec())
    .bind(now)
    .bind(i64::try_from(CALL).unwrap())
    .bind(Amount::from_atomic(1).to_be_bytes().to_vec())
    .execute(&mut *filling)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO transactions (network, id, sender, nonce, raw, payments, done, signed_at) \
         SELECT network, tx, ?1, rowid - 1, ?2, key, 0, claimed_at FROM payments",
    )
    .bind(sender.to_vec())
    .bind(raw.to_vec())
    .execute(&mut *filling)
    .await
    .unwrap();
    filling.commit().await.unwrap();
    conn.close().await.unwrap();
}
