//! The table `leases`: who drives a network.

use crate::sql::columns::{Columns, stored_integer, stored_millis};
use h402_core::{Fence, LeaseAnswer, LeaseAsk, Network, UnixMillis};
use sqlx::SqliteConnection;
use std::time::Duration;

/// Takes or renews a lease, or says how long somebody else has it.
pub(super) async fn ask(conn: &mut SqliteConnection, ask: &LeaseAsk, now: UnixMillis) -> sqlx::Result<LeaseAnswer> {
    let until = now.plus(ask.ttl);
    let taken = sqlx::query(
        "INSERT INTO leases (network, holder, epoch, until) VALUES (?1, ?2, 1, ?3) ON CONFLICT (network) DO UPDATE \
         SET epoch = epoch + (holder IS NOT excluded.holder), holder = excluded.holder, until = excluded.until \
         WHERE holder IS NULL OR holder = excluded.holder OR until <= ?4 RETURNING epoch",
    )
    .bind(ask.network.to_string())
    .bind(ask.holder.as_slice())
    .bind(stored_millis(until))
    .bind(stored_millis(now))
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = taken {
        let left = Duration::from_millis(until.0.saturating_sub(now.0));
        return Ok(LeaseAnswer::Held { epoch: Columns(&row).integer("epoch")?, left });
    }
    let row = sqlx::query("SELECT until FROM leases WHERE network = ?1").bind(ask.network.to_string()).fetch_one(conn).await?;
    Ok(LeaseAnswer::Other { left: Duration::from_millis(Columns(&row).integer("until")?.saturating_sub(now.0)) })
}

/// Gives a lease back.
pub(super) async fn release(conn: &mut SqliteConnection, network: Network, holder: &[u8; 16]) -> sqlx::Result<()> {
    sqlx::query("UPDATE leases SET holder = NULL, until = 0 WHERE network = ?1 AND holder = ?2")
        .bind(network.to_string())
        .bind(holder.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether a lease is the current one: nobody has taken it since, and it was not given back.
pub(super) async fn is_current(conn: &mut SqliteConnection, fence: &Fence) -> sqlx::Result<bool> {
    let found = sqlx::query("SELECT 1 FROM leases WHERE network = ?1 AND epoch = ?2 AND holder IS NOT NULL")
        .bind(fence.network.to_string())
        .bind(stored_integer(fence.epoch))
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

/// Ends the leases of a dead process: only one process has the file open, so all of them.
pub(super) async fn end_all(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("UPDATE leases SET until = 0 WHERE until > 0").execute(conn).await?;
    Ok(())
}
