//! The table `transactions`: what keys of ours signed.

use super::statement::{self, bind, statement};
use crate::sql::columns::{Columns, stored_integer, stored_millis, transaction_bytes};
use crate::sql::transactions::{COLUMNS, read, values};
use crate::sql::value::Value;
use alloy_primitives::U256;
use futures_util::TryStreamExt as _;
use h402_core::{EvmAddress, LanePosition, Network, SentState, TransactionId, TransactionRow, UnixMillis};
use sqlx::PgConnection;
use std::sync::{Arc, LazyLock};

static INSERT: LazyLock<Arc<str>> = LazyLock::new(|| statement::insert("transactions", &COLUMNS));

static MARK: LazyLock<Arc<str>> = LazyLock::new(|| {
    format!(
        "UPDATE transactions AS t SET done = v.done, cost = coalesce(v.cost, t.cost) FROM {} WHERE t.network = v.network AND t.id = v.id",
        statement::rows(&["network", "id", "done", "cost"])
    )
    .into()
});

/// Stores transactions whose own keys were taken for them; `false` if one is stored.
pub(super) async fn insert(conn: &mut PgConnection, rows: &[TransactionRow]) -> sqlx::Result<bool> {
    let values: Vec<_> = rows.iter().map(values).collect::<sqlx::Result<_>>()?;
    let inserted = bind(statement(&INSERT), values)?.execute(conn).await?.rows_affected();
    Ok(u64::try_from(rows.len()) == Ok(inserted))
}

/// Records what became known of transactions, each named once; one that keys of ours did not sign is nothing to this table.
pub(super) async fn mark(conn: &mut PgConnection, sent: &[&SentState]) -> sqlx::Result<()> {
    let values = |sent: &&SentState| {
        let id = Value::Bytes(Some(transaction_bytes(&sent.id)?));
        let cost = Value::maybe_bytes(sent.cost.map(|cost| cost.to_be_bytes::<32>()));
        Ok([Value::text(sent.network.to_string()), id, Value::Flag(sent.done), cost])
    };
    let values: Vec<_> = sent.iter().map(values).collect::<sqlx::Result<_>>()?;
    bind(statement(&MARK), values)?.execute(conn).await?;
    Ok(())
}

/// Finds a transaction.
pub(super) async fn find(conn: &mut PgConnection, network: Network, id: &TransactionId) -> sqlx::Result<Option<TransactionRow>> {
    let found = sqlx::query("SELECT * FROM transactions WHERE network = $1 AND id = $2")
        .bind(network.to_string())
        .bind(transaction_bytes(id)?)
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// The open transactions of a sender from a nonce on and the greatest nonce, both as of one moment.
pub(super) async fn lane(
    conn: &mut PgConnection,
    network: Network,
    sender: &EvmAddress,
    from: u64,
    limit: u32,
) -> sqlx::Result<LanePosition> {
    // What is read is bounded before it is joined: else all that is open would be sorted for each page.
    let rows = sqlx::query(
        "SELECT g.greatest, t.* FROM (SELECT max(nonce) AS greatest FROM transactions WHERE network = $1 AND sender = $2) AS g \
         LEFT JOIN (SELECT * FROM transactions WHERE network = $1 AND sender = $2 AND NOT done AND nonce >= $3 \
         ORDER BY nonce, signed_at, id LIMIT $4) AS t ON true ORDER BY t.nonce, t.signed_at, t.id",
    )
    .bind(network.to_string())
    .bind(sender.to_vec())
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
pub(super) async fn spent(conn: &mut PgConnection, network: Network, sender: &EvmAddress, since: UnixMillis) -> sqlx::Result<U256> {
    let mut costs =
        sqlx::query("SELECT cost FROM transactions WHERE network = $1 AND sender = $2 AND signed_at >= $3 AND cost IS NOT NULL")
            .bind(network.to_string())
            .bind(sender.to_vec())
            .bind(stored_millis(since))
            .fetch(conn);
    let mut spent = U256::ZERO;
    while let Some(row) = costs.try_next().await? {
        spent = spent.saturating_add(Columns(&row).maybe_u256("cost")?.unwrap_or_default());
    }
    Ok(spent)
}
