//! The table `answers`: handlers' answers, kept for a while.

use crate::sql::answers::pack;
use crate::sql::columns::{Columns, stored_millis};
use h402_core::{Grant, StoredAnswer, UnixMillis};
use sqlx::SqliteConnection;

/// Stores the answer of a grant, in place of an older one.
pub(super) async fn store(conn: &mut SqliteConnection, grant: &Grant, answer: &StoredAnswer) -> sqlx::Result<()> {
    let headers = pack(&answer.headers).ok_or_else(|| sqlx::Error::Encode("headers are too long".into()))?;
    sqlx::query("INSERT OR REPLACE INTO answers (key, status, headers, body, stored_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(grant.key.as_bytes().as_slice())
        .bind(i64::from(answer.status))
        .bind(headers)
        .bind(answer.body.as_ref())
        .bind(stored_millis(grant.updated_at))
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes answers that are too old, at most `limit` of them.
pub(super) async fn forget_old(conn: &mut SqliteConnection, stored_before: UnixMillis, limit: u32) -> sqlx::Result<u64> {
    let gone = sqlx::query("DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE stored_at <= ?1 ORDER BY stored_at LIMIT ?2)")
        .bind(stored_millis(stored_before))
        .bind(i64::from(limit))
        .execute(conn)
        .await?;
    Ok(gone.rows_affected())
}

/// Deletes the oldest answers until the rest fit into `budget` bytes, and says how many bytes those are.
pub(super) async fn forget_beyond(conn: &mut SqliteConnection, budget: i64) -> sqlx::Result<u64> {
    sqlx::query(
        "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key, sum(length(headers) + length(body)) \
         OVER (ORDER BY stored_at DESC, key) AS so_far FROM answers) WHERE so_far > ?1)",
    )
    .bind(budget)
    .execute(&mut *conn)
    .await?;
    total(conn).await
}

/// How many bytes are kept.
pub(super) async fn total(conn: &mut SqliteConnection) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT coalesce(sum(length(headers) + length(body)), 0) AS bytes FROM answers").fetch_one(conn).await?;
    Columns(&row).integer("bytes")
}
