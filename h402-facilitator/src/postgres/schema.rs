//! The tables, and how a database of an older program becomes one of this program.

use super::OpenError;
use sqlx::PgConnection;

/// One entry per schema version, in order; an entry that was released never changes.
const MIGRATIONS: [&str; 3] = [include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];

/// What processes that start at once wait for each other by: "h402" and a few bytes more.
const LOCK: i64 = 0x6834_3032_6d69_6772;

/// Brings the database to this program's schema, all of it or nothing, and answers the store's identity.
pub(super) async fn migrate(conn: &mut PgConnection, server: &str) -> Result<[u8; 32], OpenError> {
    let failed = |error| OpenError::database(server, &error);
    refuse_what_is_not_durable(conn, server).await?;
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *conn).await.map_err(failed)?;
    let identity = migrate_alone(conn, server).await?;
    sqlx::raw_sql("COMMIT").execute(&mut *conn).await.map_err(failed)?;
    Ok(identity)
}

async fn migrate_alone(conn: &mut PgConnection, server: &str) -> Result<[u8; 32], OpenError> {
    let failed = |error| OpenError::database(server, &error);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found = match found(conn).await.map_err(failed)? {
        Found::Nothing => 0,
        Found::Ours(version) => version,
        Found::Others => return Err(OpenError::Foreign { server: server.to_owned() }),
    };
    if found > known {
        return Err(OpenError::Newer { server: server.to_owned(), found, known });
    }
    for migration in MIGRATIONS.into_iter().skip(usize::try_from(found).unwrap_or_default()) {
        sqlx::raw_sql(migration).execute(&mut *conn).await.map_err(failed)?;
    }
    let mark = "INSERT INTO h402_schema (id, version) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET version = excluded.version \
                WHERE h402_schema.version <> excluded.version";
    sqlx::query(mark).bind(known).execute(&mut *conn).await.map_err(failed)?;
    identity(conn).await.map_err(failed)
}

enum Found {
    Nothing,
    Ours(i64),
    Others,
}

/// What the schema holds in which tables would be made.
async fn found(conn: &mut PgConnection) -> sqlx::Result<Found> {
    let (tables, ours): (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(bool_or(tablename = 'h402_schema'), false) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()",
    )
    .fetch_one(&mut *conn)
    .await?;
    match (tables, ours) {
        (0, _) => Ok(Found::Nothing),
        (_, false) => Ok(Found::Others),
        (_, true) => {
            let version: Option<i64> = sqlx::query_scalar("SELECT version FROM h402_schema WHERE id = 1").fetch_optional(conn).await?;
            Ok(version.filter(|version| *version > 0).map_or(Found::Others, Found::Ours))
        }
    }
}

/// A server without fsync answers before anything is on disk, and a crash may leave it without what it answered.
async fn refuse_what_is_not_durable(conn: &mut PgConnection, server: &str) -> Result<(), OpenError> {
    for setting in ["fsync", "full_page_writes"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| OpenError::database(server, &error))?;
        if value != "on" {
            return Err(OpenError::NotDurable { server: server.to_owned(), setting });
        }
    }
    Ok(())
}

/// The identity of the store; made at random by whoever opens it first.
async fn identity(conn: &mut PgConnection) -> sqlx::Result<[u8; 32]> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(|error| sqlx::Error::Io(std::io::Error::other(error.to_string())))?;
    sqlx::query("INSERT INTO identity (id, bytes) VALUES (1, $1) ON CONFLICT DO NOTHING")
        .bind(fresh.as_slice())
        .execute(&mut *conn)
        .await?;
    let row = sqlx::query("SELECT bytes FROM identity").fetch_one(conn).await?;
    crate::sql::columns::Columns(&row).bytes32("bytes")
}
