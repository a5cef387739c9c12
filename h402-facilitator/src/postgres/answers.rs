//! The table `answers`: handlers' answers, kept for a while.

use crate::sql::columns::{Columns, stored_millis};
use h402_core::UnixMillis;
use sqlx::PgConnection;

/// Deletes answers that are too old, at most `limit` of them.
pub(super) async fn forget_old(conn: &mut PgConnection, stored_before: UnixMillis, limit: u32) -> sqlx::Result<u64> {
    let gone = sqlx::query("DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE stored_at <= $1 ORDER BY stored_at LIMIT $2)")
        .bind(stored_millis(stored_before))
        .bind(i64::from(limit))
        .execute(conn)
        .await?;
    Ok(gone.rows_affected())
}

/// Deletes the oldest answers until the rest fit into `budget` bytes.
pub(super) async fn forget_beyond(conn: &mut PgConnection, budget: u64) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key, sum(bytes) OVER (ORDER BY stored_at DESC, key) AS so_far \
         FROM answers) AS a WHERE so_far > $1)",
    )
    .bind(i64::try_from(budget).unwrap_or(i64::MAX))
    .execute(conn)
    .await?;
    Ok(())
}

/// How many bytes are kept.
pub(super) async fn total(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM answers").fetch_one(conn).await?;
    Columns(&row).integer("bytes")
}
