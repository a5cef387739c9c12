//! Inserts of many rows in one statement: SQL texts for each power of two.

use crate::sql::columns::Columns;
pub(super) use crate::sql::value::Value;
use h402_core::PaymentKey;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};
use std::sync::Arc;

/// A statement with its values.
pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// At most this many rows go into one statement, and so at most this many requests into one batch.
pub(super) const MAX_ROWS: usize = 256;

/// `INSERT` texts for 1, 2, 4 … 256 rows, so that few texts serve all sizes and stay prepared.
pub(super) struct Inserts {
    /// For one row, where the count says as much as the key would, without waking anybody before the commit.
    one: Arc<str>,
    many: [Arc<str>; 8],
}

impl Inserts {
    /// Inserts into `table` those rows whose key nobody has.
    ///
    /// `columns` has the key first. `guard` is a further condition; in it `v.columnN` is the row's N-th value, of
    /// which there may be `extra` more than columns.
    pub(super) fn new(table: &str, columns: &[&str], extra: usize, guard: &str) -> Self {
        let names = columns.join(", ");
        let values: Vec<String> = (1..=columns.len()).map(|at| format!("v.column{at}")).collect();
        let row = format!("({})", vec!["?"; columns.len() + extra].join(", "));
        // Values that are not bound are null: a statement with room for more rows than there are skips the rest.
        let insert = |rows: usize| {
            format!(
                "INSERT INTO {table} ({names}) SELECT {} FROM (VALUES {}) AS v WHERE v.column1 IS NOT NULL {guard} ON CONFLICT DO NOTHING",
                values.join(", "),
                vec![row.as_str(); rows].join(", "),
            )
        };
        Self {
            one: insert(1).into(),
            many: [2, 4, 8, 16, 32, 64, 128, MAX_ROWS].map(|rows| format!("{} RETURNING key", insert(rows)).into()),
        }
    }

    /// Inserts the rows whose keys are free, in one statement, and answers those keys.
    pub(super) async fn insert<R>(
        &self,
        conn: &mut SqliteConnection,
        rows: &[&R],
        key: impl Fn(&R) -> PaymentKey,
        values: impl Fn(&R) -> sqlx::Result<Vec<Value>>,
    ) -> sqlx::Result<Vec<PaymentKey>> {
        if let [row] = rows {
            let done = bind(statement(&self.one), values(row)?).execute(conn).await?;
            return Ok(if done.rows_affected() == 1 { vec![key(row)] } else { Vec::new() });
        }
        let mut statement = statement(self.with_room(rows.len()));
        for row in rows {
            statement = bind(statement, values(row)?);
        }
        statement.fetch_all(conn).await?.iter().map(|row| Columns(row).key("key")).collect()
    }

    /// The shortest text with room for `rows` rows.
    fn with_room(&self, rows: usize) -> &Arc<str> {
        let [first, rest @ ..] = &self.many;
        let (mut text, mut room) = (first, 2);
        for longer in rest {
            if room < rows {
                (text, room) = (longer, room * 2);
            }
        }
        text
    }
}

/// The text of an `UPDATE` by key, the first column, and by version, the last one, as it was before: one more value.
pub(super) fn update(table: &str, columns: &[&str]) -> Arc<str> {
    let set: Vec<String> = (1..).zip(columns).skip(1).map(|(at, column)| format!("{column} = ?{at}")).collect();
    format!("UPDATE {table} SET {} WHERE key = ?1 AND version = ?{}", set.join(", "), columns.len() + 1).into()
}

/// Gives a statement its next values.
pub(super) fn bind(statement: Statement, values: impl IntoIterator<Item = Value>) -> Statement {
    values.into_iter().fold(statement, |statement, value| match value {
        Value::Integer(value) => statement.bind(value),
        Value::Text(value) => statement.bind(value),
        Value::Bytes(value) => statement.bind(value),
        Value::Flag(value) => statement.bind(value),
    })
}

pub(super) fn statement(text: &Arc<str>) -> Statement {
    sqlx::query(AssertSqlSafe(text.clone()))
}
