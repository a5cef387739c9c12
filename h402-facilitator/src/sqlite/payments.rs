//! The tables `payments` and `payment_keys`.

use super::statement::{self, Inserts, Value, bind, statement};
use crate::sql::columns::{Columns, stored_millis};
use crate::sql::payments::{COLUMNS, read, values};
use h402_core::{Address, AssetId, Network, PaymentKey, PaymentRow, UnixMillis};
use sqlx::{Row as _, SqliteConnection};
use std::sync::{Arc, LazyLock};

static INSERTS: LazyLock<Inserts> = LazyLock::new(|| Inserts::new("payments", &COLUMNS, 0, ""));

static UPDATE: LazyLock<Arc<str>> = LazyLock::new(|| statement::update("payments", &COLUMNS));

/// Inserts the rows whose keys are free, in one statement, and answers those keys.
pub(super) async fn insert(conn: &mut SqliteConnection, rows: &[&PaymentRow]) -> sqlx::Result<Vec<PaymentKey>> {
    INSERTS.insert(conn, rows, |row| row.key, |row| Ok(values(row)?.into())).await
}

/// Takes another key, owned by a payment or by no payment; `false` if anybody has it.
pub(super) async fn take_key(conn: &mut SqliteConnection, key: &PaymentKey, owner: Option<&PaymentKey>) -> sqlx::Result<bool> {
    let taken = sqlx::query("INSERT INTO payment_keys (key, owner) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(key.as_bytes().as_slice())
        .bind(owner.map(|owner| owner.as_bytes().as_slice()))
        .execute(conn)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// Replaces a row if the stored version is the one before; `false` if it is not.
pub(super) async fn update(conn: &mut SqliteConnection, row: &PaymentRow) -> sqlx::Result<bool> {
    let Some(before) = row.version.checked_sub(1) else { return Ok(false) };
    let values = values(row)?.into_iter().chain([Value::integer(before)]);
    Ok(bind(statement(&UPDATE), values).execute(conn).await?.rows_affected() == 1)
}

/// Finds a payment by its key or one of its other names. A key that a transaction of ours owns leads to none.
pub(super) async fn find(conn: &mut SqliteConnection, key: &PaymentKey) -> sqlx::Result<Option<PaymentRow>> {
    let found = sqlx::query("SELECT * FROM payments WHERE key = coalesce((SELECT owner FROM payment_keys WHERE key = ?1), ?1)")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// Whether a key is taken, by a payment or by a transaction of ours.
pub(super) async fn is_taken(conn: &mut SqliteConnection, key: &PaymentKey) -> sqlx::Result<bool> {
    let taken =
        sqlx::query("SELECT EXISTS (SELECT 1 FROM payments WHERE key = ?1) OR EXISTS (SELECT 1 FROM payment_keys WHERE key = ?1) AS taken")
            .bind(key.as_bytes().as_slice())
            .fetch_one(conn)
            .await?;
    taken.try_get("taken")
}

/// A page of the open payments of a network, by age and then by key.
pub(super) async fn unfinished(
    conn: &mut SqliteConnection,
    network: Network,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let page = match after {
        None => sqlx::query("SELECT * FROM payments WHERE open = 1 AND network = ?1 ORDER BY claimed_at, key LIMIT ?2"),
        Some(_) => sqlx::query(
            "SELECT * FROM payments WHERE open = 1 AND network = ?1 \
             AND (claimed_at, key) > (SELECT claimed_at, key FROM payments WHERE key = ?3) \
             ORDER BY claimed_at, key LIMIT ?2",
        ),
    };
    let page = page.bind(network.to_string()).bind(i64::from(limit)).bind(after.as_ref().map(|key| key.as_bytes().as_slice()));
    page.fetch_all(conn).await?.iter().map(read).collect()
}

/// The open payments of a payer in an asset.
pub(super) async fn promised(conn: &mut SqliteConnection, payer: &Address, asset: AssetId) -> sqlx::Result<Vec<PaymentRow>> {
    let rows = sqlx::query("SELECT * FROM payments WHERE open = 1 AND network = ?1 AND asset = ?2 AND payer = ?3")
        .bind(asset.network.to_string())
        .bind(asset.address.as_bytes())
        .bind(payer.as_bytes());
    rows.fetch_all(conn).await?.iter().map(read).collect()
}

/// The payments of a network that failed lately, the latest first.
pub(super) async fn failed(conn: &mut SqliteConnection, network: Network, since: UnixMillis, limit: u32) -> sqlx::Result<Vec<PaymentRow>> {
    // Word for word the condition of the index.
    let page = sqlx::query(
        "SELECT * FROM payments WHERE state IN ('rejected', 'reverted', 'failed', 'abandoned') AND network = ?1 AND updated_at >= ?2 \
         ORDER BY updated_at DESC, key LIMIT ?3",
    );
    let page = page.bind(network.to_string()).bind(stored_millis(since)).bind(i64::from(limit));
    page.fetch_all(conn).await?.iter().map(read).collect()
}

/// A page of the payments by a payer's signed Solana transaction, by age and then by key.
pub(super) async fn signed_since(
    conn: &mut SqliteConnection,
    network: Network,
    since: UnixMillis,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let page = match after {
        None => sqlx::query(
            "SELECT * FROM payments WHERE kind = 'signTransaction' AND network = ?1 AND claimed_at >= ?3 ORDER BY claimed_at, key LIMIT ?2",
        ),
        Some(_) => sqlx::query(
            "SELECT * FROM payments WHERE kind = 'signTransaction' AND network = ?1 AND claimed_at >= ?3 \
             AND (claimed_at, key) > (SELECT claimed_at, key FROM payments WHERE key = ?4) ORDER BY claimed_at, key LIMIT ?2",
        ),
    };
    let page = page.bind(network.to_string()).bind(i64::from(limit)).bind(stored_millis(since));
    let page = page.bind(after.as_ref().map(|key| key.as_bytes().as_slice()));
    page.fetch_all(conn).await?.iter().map(read).collect()
}

/// A page of the open payments of a network that are as they were claimed, by key.
pub(super) async fn untouched(
    conn: &mut SqliteConnection,
    network: Network,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentKey>> {
    let page = sqlx::query("SELECT key FROM payments WHERE open = 1 AND version = 1 AND network = ?1 AND key > ?2 ORDER BY key LIMIT ?3")
        .bind(network.to_string())
        .bind(after.map(|key| key.as_bytes().to_vec()).unwrap_or_default())
        .bind(i64::from(limit));
    page.fetch_all(conn).await?.iter().map(|row| Columns(row).key("key")).collect()
}

/// A page of the final payments of a network, in the order in which they became it.
pub(super) async fn finals(
    conn: &mut SqliteConnection,
    network: Network,
    after: Option<(UnixMillis, PaymentKey)>,
    until: UnixMillis,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let page = match after {
        None => sqlx::query(
            "SELECT * FROM payments WHERE state = 'final' AND network = ?1 AND updated_at <= ?2 ORDER BY updated_at, key LIMIT ?3",
        ),
        Some(_) => sqlx::query(
            "SELECT * FROM payments WHERE state = 'final' AND network = ?1 AND updated_at <= ?2 AND (updated_at, key) > (?4, ?5) \
             ORDER BY updated_at, key LIMIT ?3",
        ),
    };
    let page = page.bind(network.to_string()).bind(stored_millis(until)).bind(i64::from(limit));
    let page = page.bind(after.map(|(time, _)| stored_millis(time))).bind(after.as_ref().map(|(_, key)| key.as_bytes().as_slice()));
    page.fetch_all(conn).await?.iter().map(read).collect()
}
