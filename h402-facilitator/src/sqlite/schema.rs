//! The tables, and how a database of an older program becomes one of this program.

use super::OpenError;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use std::path::Path;

/// "h402" in SQLite's header: a file that carries another mark is somebody else's.
const APPLICATION_ID: i64 = 0x6834_3032;

/// One entry per schema version, in order; an entry that was released never changes.
const MIGRATIONS: [&str; 8] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
];

/// Brings the database to this program's schema; all of it or nothing.
pub(super) async fn migrate(conn: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::database(path, &error);
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await.map_err(failed)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *conn).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *conn).await.map_err(failed)?;
    let empty = (application, found, tables) == (0, 0, 0);
    if application != APPLICATION_ID && !empty {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    // Set only now, so that a foreign file is left as it was.
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *conn).await.map_err(failed)?;
    if found == known {
        return Ok(());
    }
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    for migration in MIGRATIONS.into_iter().skip(usize::try_from(found).unwrap_or_default()) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await.map_err(failed)?;
    }
    let mark = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known}");
    sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
