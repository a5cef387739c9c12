//! The table `transactions`: what keys of ours signed.

use super::columns::{Columns, stored_integer, stored_millis, transaction_bytes, unreadable};
use super::payments;
use h402_core::{EvmAddress, LanePosition, Network, PaymentKey, SentState, TransactionId, TransactionRow};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

fn read(row: &SqliteRow) -> sqlx::Result<TransactionRow> {
    let columns = Columns(row);
    let (keys, rest) = columns.bytes("payments")?.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(unreadable("payments"));
    }
    Ok(TransactionRow {
        network: columns.network("network")?,
        id: columns.transaction("id")?,
        sender: columns.evm_address("sender")?,
        nonce: columns.integer("nonce")?,
        raw: columns.bytes("raw")?.to_vec().into(),
        payments: keys.iter().copied().map(PaymentKey::from_bytes).collect(),
        done: columns.integer("done")? != 0,
        signed_at: columns.millis("signed_at")?,
    })
}

/// Stores a transaction and takes its own key, which no payment owns; `false` if either is taken.
pub(super) async fn insert(conn: &mut SqliteConnection, row: &TransactionRow) -> sqlx::Result<bool> {
    if !payments::take_key(conn, &PaymentKey::of_transaction(row.network, &row.id), None).await? {
        return Ok(false);
    }
    let inserted = sqlx::query(
        "INSERT INTO transactions (network, id, sender, nonce, raw, payments, done, signed_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )
    .bind(row.network.to_string())
    .bind(transaction_bytes(&row.id)?)
    .bind(row.sender.as_slice())
    .bind(stored_integer(row.nonce))
    .bind(row.raw.as_ref())
    .bind(row.payments.iter().flat_map(PaymentKey::as_bytes).copied().collect::<Vec<u8>>())
    .bind(row.done)
    .bind(stored_millis(row.signed_at))
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Records what became known of a transaction; one that keys of ours did not sign is nothing to this table.
pub(super) async fn mark(conn: &mut SqliteConnection, sent: &SentState) -> sqlx::Result<()> {
    sqlx::query("UPDATE transactions SET done = ?3 WHERE network = ?1 AND id = ?2")
        .bind(sent.network.to_string())
        .bind(transaction_bytes(&sent.id)?)
        .bind(sent.done)
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

/// The open transactions of a sender and the greatest nonce, both as of one moment.
pub(super) async fn lane(conn: &mut SqliteConnection, network: Network, sender: &EvmAddress) -> sqlx::Result<LanePosition> {
    let rows = sqlx::query(
        "SELECT greatest, t.* FROM (SELECT max(nonce) AS greatest FROM transactions WHERE network = ?1 AND sender = ?2) \
         LEFT JOIN transactions AS t ON t.network = ?1 AND t.sender = ?2 AND t.done = 0 ORDER BY t.nonce, t.signed_at, t.id",
    )
    .bind(network.to_string())
    .bind(sender.as_slice())
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
