//! The table `transactions`: what keys of ours signed.

use super::payments;
use super::statement::bind;
use crate::sql::columns::{Columns, stored_integer, stored_millis, transaction_bytes};
use crate::sql::transactions::{read, values};
use alloy_primitives::U256;
use futures_util::TryStreamExt as _;
use h402_core::{EvmAddress, LanePosition, Network, PaymentKey, SentState, TransactionId, TransactionRow, UnixMillis};
use sqlx::SqliteConnection;

const INSERT: &str = "INSERT INTO transactions (network, id, sender, nonce, raw, payments, done, cost, signed_at) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";

/// Stores a transaction and takes its own key, which no payment owns; `false` if either is taken.
pub(super) async fn insert(conn: &mut SqliteConnection, row: &TransactionRow) -> sqlx::Result<bool> {
    if !payments::take_key(conn, &PaymentKey::of_transaction(row.network, &row.id), None).await? {
        return Ok(false);
    }
    let inserted = bind(sqlx::query(INSERT), values(row)?).execute(conn).await?;
    Ok(inserted.rows_affected() == 1)
}

/// Records what became known of a transaction; one that keys of ours did not sign is nothing to this table.
pub(super) async fn mark(conn: &mut SqliteConnection, sent: &SentState) -> sqlx::Result<()> {
    sqlx::query("UPDATE transactions SET done = ?3, cost = coalesce(?4, cost) WHERE network = ?1 AND id = ?2")
        .bind(sent.network.to_string())
        .bind(transaction_bytes(&sent.id)?)
        .bind(sent.done)
        .bind(sent.cost.map(|cost| cost.to_be_bytes::<32>().to_vec()))
        .execute(conn)
        .await?;
    Ok(())
}

/// Finds a transaction.
pub(super) async fn find(conn: &mut SqliteConnection, network: Network, id: &TransactionId) -> sqlx::Result<Option<TransactionRow>> {
    let found = sqlx::query("SELECT * FROM transactions WHERE network = ?1 AND id = ?2")
        .bind(network.to_string())
        .bind(transaction_bytes(id)?)
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// The open transactions of a sender from a nonce on and the greatest nonce, both as of one moment.
pub(super) async fn lane(
    conn: &mut SqliteConnection,
    network: Network,
    sender: &EvmAddress,
    from: u64,
    limit: u32,
) -> sqlx::Result<LanePosition> {
    // What is read is bounded before it is joined: else all that is open would be sorted for each page.
    let rows = sqlx::query(
        "SELECT g.greatest, t.* FROM (SELECT max(nonce) AS greatest FROM transactions WHERE network = ?1 AND sender = ?2) AS g \
         LEFT JOIN (SELECT * FROM transactions WHERE network = ?1 AND sender = ?2 AND done = 0 AND nonce >= ?3 \
         ORDER BY nonce, signed_at, id LIMIT ?4) AS t ON true ORDER BY t.nonce, t.signed_at, t.id",
    )
    .bind(network.to_string())
    .bind(sender.as_slice())
    .bind(stored_integer(from))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let mut position = LanePosition::default();
    for row in &rows {
        position.greatest = Columns(row).maybe_integer("greatest")?;
        if Columns(row).maybe_bytes("id")?.is_some() {
            position.open.push(read(row)?);
        }
    }
    Ok(position)
}

/// What the transactions of a sender cost that were signed at a time or later.
pub(super) async fn spent(conn: &mut SqliteConnection, network: Network, sender: &EvmAddress, since: UnixMillis) -> sqlx::Result<U256> {
    let mut costs =
        sqlx::query("SELECT cost FROM transactions WHERE network = ?1 AND sender = ?2 AND signed_at >= ?3 AND cost IS NOT NULL")
            .bind(network.to_string())
            .bind(sender.as_slice())
            .bind(stored_millis(since))
            .fetch(conn);
    let mut spent = U256::ZERO;
    while let Some(row) = costs.try_next().await? {
        spent = spent.saturating_add(Columns(&row).maybe_u256("cost")?.unwrap_or_default());
    }
    Ok(spent)
}
