//! The tables `payments` and `payment_keys`.

use super::statement::{self, Statement, bind, statement};
use crate::sql::columns::{Columns, stored_millis};
use crate::sql::payments::{COLUMNS, read, values};
use h402_core::{Address, AssetId, Network, PaymentKey, PaymentRow, UnixMillis};
use sqlx::{PgConnection, Row as _};
use std::sync::{Arc, LazyLock};

/// Takes the keys of rows without other names and inserts those rows whose keys were free, all in one statement.
static CLAIM: LazyLock<Arc<str>> = LazyLock::new(|| {
    format!(
        "WITH v AS (SELECT * FROM {rows}), \
         taken AS (INSERT INTO payment_keys (key, owner) SELECT key, key FROM v ON CONFLICT DO NOTHING RETURNING key) \
         INSERT INTO payments ({columns}) SELECT {values} FROM v JOIN taken ON taken.key = v.key RETURNING key",
        rows = statement::rows(&COLUMNS),
        columns = COLUMNS.join(", "),
        values = statement::of_rows(&COLUMNS),
    )
    .into()
});

static INSERT: LazyLock<Arc<str>> = LazyLock::new(|| statement::insert("payments", &COLUMNS));

static UPDATE: LazyLock<Arc<str>> = LazyLock::new(|| statement::update("payments", &COLUMNS));

/// Inserts the rows whose keys are free, in one statement, and answers those keys. No key may be there twice.
pub(super) async fn claim(conn: &mut PgConnection, rows: &[&PaymentRow]) -> sqlx::Result<Vec<PaymentKey>> {
    let mut rows = rows.to_vec();
    // Whoever takes several keys takes them in order, so that nobody waits for somebody who waits.
    rows.sort_by_key(|row| row.key);
    let rows: Vec<_> = rows.into_iter().map(values).collect::<sqlx::Result<_>>()?;
    bind(statement(&CLAIM), rows)?.fetch_all(conn).await?.iter().map(|row| Columns(row).key("key")).collect()
}

/// Takes keys, each owned by a payment or by no payment; `false` if anybody has one of them, or one is there twice.
pub(super) async fn take_keys(conn: &mut PgConnection, mut keys: Vec<(PaymentKey, Option<PaymentKey>)>) -> sqlx::Result<bool> {
    keys.sort_unstable();
    let wanted = keys.len();
    let (keys, owners): (Vec<_>, Vec<_>) =
        keys.into_iter().map(|(key, owner)| (key.as_bytes().to_vec(), owner.map(|owner| owner.as_bytes().to_vec()))).unzip();
    let taken = sqlx::query("INSERT INTO payment_keys (key, owner) SELECT * FROM unnest($1, $2) ON CONFLICT DO NOTHING")
        .bind(keys)
        .bind(owners)
        .execute(conn)
        .await?;
    Ok(u64::try_from(wanted) == Ok(taken.rows_affected()))
}

/// Inserts a row whose key was taken for it.
pub(super) async fn insert(conn: &mut PgConnection, row: &PaymentRow) -> sqlx::Result<bool> {
    Ok(bind(statement(&INSERT), [values(row)?])?.execute(conn).await?.rows_affected() == 1)
}

/// Replaces rows whose stored versions are those before; `false` if one is not. No key may be there twice.
pub(super) async fn update(conn: &mut PgConnection, rows: &[&PaymentRow]) -> sqlx::Result<bool> {
    let values: Vec<_> = rows.iter().map(|row| values(row)).collect::<sqlx::Result<_>>()?;
    let updated = bind(statement(&UPDATE), values)?.execute(conn).await?.rows_affected();
    Ok(u64::try_from(rows.len()) == Ok(updated))
}

/// Finds a payment by its key or one of its other names. A key that a transaction of ours owns leads to none.
pub(super) async fn find(conn: &mut PgConnection, key: &PaymentKey) -> sqlx::Result<Option<PaymentRow>> {
    let found = sqlx::query("SELECT p.* FROM payment_keys AS k JOIN payments AS p ON p.key = k.owner WHERE k.key = $1")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// Whether a key is taken, by a payment or by a transaction of ours.
pub(super) async fn is_taken(conn: &mut PgConnection, key: &PaymentKey) -> sqlx::Result<bool> {
    let taken = sqlx::query("SELECT EXISTS (SELECT 1 FROM payment_keys WHERE key = $1) AS taken");
    taken.bind(key.as_bytes().as_slice()).fetch_one(conn).await?.try_get("taken")
}

async fn page(conn: &mut PgConnection, page: Statement) -> sqlx::Result<Vec<PaymentRow>> {
    page.fetch_all(conn).await?.iter().map(read).collect()
}

/// A page of the open payments of a network, by age and then by key.
pub(super) async fn unfinished(
    conn: &mut PgConnection,
    network: Network,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let first = "SELECT * FROM payments WHERE open AND network = $1 ORDER BY claimed_at, key LIMIT $2";
    let next = "SELECT * FROM payments WHERE open AND network = $1 \
                AND (claimed_at, key) > (SELECT claimed_at, key FROM payments WHERE key = $3) ORDER BY claimed_at, key LIMIT $2";
    let start = |text: &'static str| sqlx::query(text).bind(network.to_string()).bind(i64::from(limit));
    match after {
        None => page(conn, start(first)).await,
        Some(after) => page(conn, start(next).bind(after.as_bytes().to_vec())).await,
    }
}

/// The open payments of a payer in an asset.
pub(super) async fn promised(conn: &mut PgConnection, payer: &Address, asset: AssetId) -> sqlx::Result<Vec<PaymentRow>> {
    let rows = sqlx::query("SELECT * FROM payments WHERE open AND network = $1 AND asset = $2 AND payer = $3");
    page(conn, rows.bind(asset.network.to_string()).bind(asset.address.as_bytes().to_vec()).bind(payer.as_bytes().to_vec())).await
}

/// The payments of a network that failed lately, the latest first.
pub(super) async fn failed(conn: &mut PgConnection, network: Network, since: UnixMillis, limit: u32) -> sqlx::Result<Vec<PaymentRow>> {
    let latest = sqlx::query(
        "SELECT * FROM payments WHERE state IN ('rejected', 'reverted', 'failed', 'abandoned') AND network = $1 AND updated_at >= $2 \
         ORDER BY updated_at DESC, key LIMIT $3",
    );
    page(conn, latest.bind(network.to_string()).bind(stored_millis(since)).bind(i64::from(limit))).await
}

/// A page of the final payments of a network, in the order in which they became it.
pub(super) async fn finals(
    conn: &mut PgConnection,
    network: Network,
    after: Option<(UnixMillis, PaymentKey)>,
    until: UnixMillis,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let first = "SELECT * FROM payments WHERE state = 'final' AND network = $1 AND updated_at <= $3 ORDER BY updated_at, key LIMIT $2";
    let next = "SELECT * FROM payments WHERE state = 'final' AND network = $1 AND updated_at <= $3 AND (updated_at, key) > ($4, $5) \
                ORDER BY updated_at, key LIMIT $2";
    let start = |text: &'static str| sqlx::query(text).bind(network.to_string()).bind(i64::from(limit)).bind(stored_millis(until));
    match after {
        None => page(conn, start(first)).await,
        Some((time, key)) => page(conn, start(next).bind(stored_millis(time)).bind(key.as_bytes().to_vec())).await,
    }
}

/// A page of the payments by a payer's signed Solana transaction, by age and then by key.
pub(super) async fn signed_since(
    conn: &mut PgConnection,
    network: Network,
    since: UnixMillis,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let first = "SELECT * FROM payments WHERE kind = 'signTransaction' AND network = $1 AND claimed_at >= $3 \
                 ORDER BY claimed_at, key LIMIT $2";
    let next = "SELECT * FROM payments WHERE kind = 'signTransaction' AND network = $1 AND claimed_at >= $3 \
                AND (claimed_at, key) > (SELECT claimed_at, key FROM payments WHERE key = $4) ORDER BY claimed_at, key LIMIT $2";
    let start = |text: &'static str| sqlx::query(text).bind(network.to_string()).bind(i64::from(limit)).bind(stored_millis(since));
    match after {
        None => page(conn, start(first)).await,
        Some(after) => page(conn, start(next).bind(after.as_bytes().to_vec())).await,
    }
}

/// A page of the open payments of a network that are as they were claimed, by key.
pub(super) async fn untouched(
    conn: &mut PgConnection,
    network: Network,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentKey>> {
    let page = sqlx::query("SELECT key FROM payments WHERE open AND version = 1 AND network = $1 AND key > $2 ORDER BY key LIMIT $3")
        .bind(network.to_string())
        .bind(after.map(|key| key.as_bytes().to_vec()).unwrap_or_default())
        .bind(i64::from(limit));
    page.fetch_all(conn).await?.iter().map(|row| Columns(row).key("key")).collect()
}
