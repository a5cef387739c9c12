//! The tables `grants` and `grant_keys`.

use super::statement::{self, Inserts, Value, bind, statement};
use crate::sql::columns::{Columns, stored_millis};
use crate::sql::grants::{COLUMNS, read, values};
use h402_core::{Address, AssetId, Exposure, Grant, NewGrant, PaymentKey, StoredAnswer, UnixMillis};
use sqlx::SqliteConnection;
use std::sync::{Arc, LazyLock};

/// The value after the columns is `max_unsettled`. The counts of a statement are of the moment before it, so it must
/// not hold two rows of one payer and asset.
static INSERTS: LazyLock<Inserts> = LazyLock::new(|| {
    let guard = "AND (SELECT count(*) FROM grants WHERE payer = v.column4 AND network = v.column5 AND asset = v.column6 \
                 AND exposure = 'unsettled') < v.column20";
    Inserts::new("grants", &COLUMNS, 1, guard)
});

static UPDATE: LazyLock<Arc<str>> = LazyLock::new(|| statement::update("grants", &COLUMNS));

/// Inserts, in one statement, the grants whose keys are free and whose payers have not too much open, and answers
/// those keys. No two of them may be of one payer and asset.
pub(super) async fn insert(conn: &mut SqliteConnection, grants: &[&NewGrant]) -> sqlx::Result<Vec<PaymentKey>> {
    let values = |new: &NewGrant| Ok(values(&new.grant)?.into_iter().chain([Value::integer(new.max_unsettled.into())]).collect());
    INSERTS.insert(conn, grants, |new| new.grant.key, values).await
}

/// Takes another name for a grant; `false` if anybody has it.
pub(super) async fn take_key(conn: &mut SqliteConnection, key: &PaymentKey, owner: &PaymentKey) -> sqlx::Result<bool> {
    let taken = sqlx::query("INSERT INTO grant_keys (key, owner) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(key.as_bytes().as_slice())
        .bind(owner.as_bytes().as_slice())
        .execute(conn)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// Replaces a row if the stored version is the one before; `false` if it is not.
pub(super) async fn update(conn: &mut SqliteConnection, grant: &Grant) -> sqlx::Result<bool> {
    let Some(before) = grant.version.checked_sub(1) else { return Ok(false) };
    let values = values(grant)?.into_iter().chain([Value::integer(before)]);
    Ok(bind(statement(&UPDATE), values).execute(conn).await?.rows_affected() == 1)
}

/// Finds a grant by its key or one of its other names.
pub(super) async fn find(conn: &mut SqliteConnection, key: &PaymentKey) -> sqlx::Result<Option<Grant>> {
    let found = sqlx::query("SELECT * FROM grants WHERE key = coalesce((SELECT owner FROM grant_keys WHERE key = ?1), ?1)")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// Finds a grant and its answer, if that was stored after `fresh`.
pub(super) async fn find_with_answer(
    conn: &mut SqliteConnection,
    key: &PaymentKey,
    fresh: UnixMillis,
) -> sqlx::Result<Option<(Grant, Option<StoredAnswer>)>> {
    let found = sqlx::query(
        "SELECT g.*, a.status, a.headers, a.body FROM grants AS g LEFT JOIN answers AS a ON a.key = g.key AND a.stored_at > ?2 \
         WHERE g.key = coalesce((SELECT owner FROM grant_keys WHERE key = ?1), ?1)",
    )
    .bind(key.as_bytes().as_slice())
    .bind(stored_millis(fresh))
    .fetch_optional(conn)
    .await?;
    found.map(|row| Ok((read(&row)?, crate::sql::answers::read(&row)?))).transpose()
}

/// A page of the grants that owe something, by age and then by key.
pub(super) async fn owing(conn: &mut SqliteConnection, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> sqlx::Result<Vec<Grant>> {
    let page = match after {
        None => sqlx::query("SELECT * FROM grants WHERE state IN ('owed', 'credited') ORDER BY claimed_at, key LIMIT ?1"),
        Some(_) => sqlx::query(
            "SELECT * FROM grants WHERE state IN ('owed', 'credited') AND (claimed_at, key) > (?2, ?3) ORDER BY claimed_at, key LIMIT ?1",
        ),
    };
    let page = page.bind(i64::from(limit)).bind(after.map(|(claimed_at, _)| stored_millis(claimed_at)));
    let page = page.bind(after.as_ref().map(|(_, key)| key.as_bytes().as_slice()));
    page.fetch_all(conn).await?.iter().map(read).collect()
}

/// Counts what a payer has open, and what it has failed to pay since a time.
pub(super) async fn exposure(
    conn: &mut SqliteConnection,
    payer: &Address,
    asset: &AssetId,
    failed_since: UnixMillis,
) -> sqlx::Result<Exposure> {
    let counts = sqlx::query(
        "SELECT count(*) FILTER (WHERE exposure = 'unsettled') AS unsettled, \
         count(*) FILTER (WHERE exposure = 'failed' AND updated_at >= ?4) AS failed \
         FROM grants WHERE payer = ?1 AND network = ?2 AND asset = ?3 AND exposure IS NOT NULL",
    )
    .bind(payer.as_bytes())
    .bind(asset.network.to_string())
    .bind(asset.address.as_bytes())
    .bind(stored_millis(failed_since))
    .fetch_one(conn)
    .await?;
    let count = |column| Ok::<_, sqlx::Error>(u32::try_from(Columns(&counts).integer(column)?).unwrap_or(u32::MAX));
    Ok(Exposure { unsettled: count("unsettled")?, failed: count("failed")? })
}

/// Frees the rows a dead process was working on: only one process has the file open, so all of them.
pub(super) async fn free_all(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("UPDATE grants SET busy_until = 0 WHERE busy_until > 0").execute(conn).await?;
    Ok(())
}

/// Forgets payments that can no longer be presented and owe nothing, at most `limit` of them.
pub(super) async fn forget(conn: &mut SqliteConnection, expired_before: UnixMillis, limit: u32) -> sqlx::Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM grants WHERE key IN (SELECT key FROM grants WHERE state NOT IN ('owed', 'credited') AND expires_at < ?1 \
         ORDER BY expires_at LIMIT ?2)",
    )
    .bind(stored_millis(expired_before))
    .bind(i64::from(limit))
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
