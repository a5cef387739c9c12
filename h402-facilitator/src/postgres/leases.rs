//! The table `leases`: who drives a network, by the server's clock.

use crate::sql::columns::{Columns, stored_integer};
use h402_core::{Fence, LeaseAnswer, LeaseAsk, Network};
use sqlx::PgConnection;
use std::time::Duration;

/// When the statement began, in milliseconds: never later than when its answer was sent, nor earlier than when it was
/// asked.
macro_rules! now {
    () => {
        "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    };
}

/// Takes or renews a lease, or says how long somebody else has it.
pub(super) async fn ask(conn: &mut PgConnection, ask: &LeaseAsk) -> sqlx::Result<LeaseAnswer> {
    let network = ask.network.to_string();
    let ttl = i64::try_from(ask.ttl.as_millis()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2);
    // By itself, so that a renewal does not wait for those who write under the lease.
    let renewed = sqlx::query(concat!("UPDATE leases SET until = ", now!(), " + $3 WHERE network = $1 AND holder = $2 RETURNING epoch"))
        .bind(&network)
        .bind(ask.holder.as_slice())
        .bind(ttl)
        .fetch_optional(&mut *conn)
        .await?;
    let held = |epoch| LeaseAnswer::Held { epoch, left: Duration::from_millis(u64::try_from(ttl).unwrap_or_default()) };
    if let Some(row) = renewed {
        return Ok(held(Columns(&row).integer("epoch")?));
    }
    // The row is made by itself: of several first asks at once, `ON CONFLICT` forgives one index only if it is named.
    sqlx::query("INSERT INTO leases (network, holder, epoch, until) VALUES ($1, NULL, 0, 0) ON CONFLICT DO NOTHING")
        .bind(&network)
        .execute(&mut *conn)
        .await?;
    let taken = sqlx::query(concat!(
        "UPDATE leases SET epoch = epoch + (holder IS DISTINCT FROM $2)::integer, holder = $2, until = ",
        now!(),
        " + $3 WHERE network = $1 AND (holder IS NULL OR holder = $2 OR until <= ",
        now!(),
        ") RETURNING epoch"
    ))
    .bind(&network)
    .bind(ask.holder.as_slice())
    .bind(ttl)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = taken {
        return Ok(held(Columns(&row).integer("epoch")?));
    }
    let row = sqlx::query(concat!("SELECT greatest(until - ", now!(), ", 0) AS rest FROM leases WHERE network = $1"))
        .bind(&network)
        .fetch_one(conn)
        .await?;
    Ok(LeaseAnswer::Other { left: Duration::from_millis(Columns(&row).integer("rest")?) })
}

/// Gives a lease back, once nobody writes under it any more.
pub(super) async fn release(conn: &mut PgConnection, network: Network, holder: &[u8; 16]) -> sqlx::Result<()> {
    sqlx::query(
        "WITH had AS (SELECT network FROM leases WHERE network = $1 AND holder = $2 FOR UPDATE) \
         UPDATE leases AS l SET holder = NULL, until = 0 FROM had WHERE l.network = had.network",
    )
    .bind(network.to_string())
    .bind(holder.as_slice())
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a lease is the current one. It stays so until the transaction ends: who would take it over waits.
pub(super) async fn is_current(conn: &mut PgConnection, fence: &Fence) -> sqlx::Result<bool> {
    let found = sqlx::query("SELECT epoch FROM leases WHERE network = $1 AND epoch = $2 AND holder IS NOT NULL FOR KEY SHARE")
        .bind(fence.network.to_string())
        .bind(stored_integer(fence.epoch))
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}
