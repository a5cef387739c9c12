//! SQL texts for inserts of many rows, one text for each power of two.

use sqlx::{AssertSqlSafe, Sqlite, query::Query, sqlite::SqliteArguments};
use std::sync::Arc;

/// A statement with its values.
pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// At most this many rows go into one statement, and so at most this many requests into one batch.
pub(super) const MAX_ROWS: usize = 256;

/// `INSERT` texts for 1, 2, 4 … 256 rows, so that few texts serve all sizes and stay prepared.
pub(super) struct Inserts([Arc<str>; 9]);

impl Inserts {
    /// Inserts into `table` those rows whose key nobody has and answers the keys that were inserted.
    ///
    /// `columns` has the key first. `guard` is a further condition; in it `v.columnN` is the row's N-th value, of
    /// which there may be `extra` more than columns.
    pub(super) fn new(table: &str, columns: &[&str], extra: usize, guard: &str) -> Self {
        let names = columns.join(", ");
        let values: Vec<String> = (1..=columns.len()).map(|at| format!("v.column{at}")).collect();
        let row = format!("({})", vec!["?"; columns.len() + extra].join(", "));
        Self([1, 2, 4, 8, 16, 32, 64, 128, MAX_ROWS].map(|rows| {
            // Values that are not bound are null: a statement with room for more rows than there are skips the rest.
            format!(
                "INSERT INTO {table} ({names}) SELECT {} FROM (VALUES {}) AS v WHERE v.column1 IS NOT NULL {guard} \
                 ON CONFLICT DO NOTHING RETURNING key",
                values.join(", "),
                vec![row.as_str(); rows].join(", "),
            )
            .into()
        }))
    }

    /// The shortest text with room for `rows` rows.
    pub(super) fn of(&self, rows: usize) -> Statement {
        let [first, rest @ ..] = &self.0;
        let (mut text, mut room) = (first, 1);
        for longer in rest {
            if room < rows {
                (text, room) = (longer, room * 2);
            }
        }
        sqlx::query(AssertSqlSafe(text.clone()))
    }
}
