//! Statements over many rows: the rows go as one array for each column, so that one text serves every number of them.

use crate::sql::value::Value;
use sqlx::{AssertSqlSafe, Postgres, postgres::PgArguments, query::Query};
use std::sync::Arc;

/// A statement with its values.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// `unnest($1, $2, …) AS v (…)`: the rows as a table.
pub(super) fn rows(columns: &[&str]) -> String {
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    format!("unnest({}) AS v ({})", places.join(", "), columns.join(", "))
}

/// Column names, each behind `v.`.
pub(super) fn of_rows(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("v.{column}")).collect::<Vec<_>>().join(", ")
}

/// Inserts rows into a table under keys that have been taken for them.
pub(super) fn insert(table: &str, columns: &[&str]) -> Arc<str> {
    format!("INSERT INTO {table} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING", columns.join(", "), of_rows(columns), rows(columns)).into()
}

/// Replaces rows whose stored versions are those before.
pub(super) fn update(table: &str, columns: &[&str]) -> Arc<str> {
    let set: Vec<String> = columns.iter().skip(1).map(|column| format!("{column} = v.{column}")).collect();
    format!("UPDATE {table} AS t SET {} FROM {} WHERE t.key = v.key AND t.version = v.version - 1", set.join(", "), rows(columns)).into()
}

pub(super) fn statement(text: &Arc<str>) -> Statement {
    sqlx::query(AssertSqlSafe(text.clone()))
}

/// The values of one column.
enum Column {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Flags(Vec<bool>),
}

/// Gives a statement its rows. There must be one at least.
pub(super) fn bind<const N: usize>(statement: Statement, rows: impl IntoIterator<Item = [Value; N]>) -> sqlx::Result<Statement> {
    let mut columns: Vec<Column> = Vec::with_capacity(N);
    for row in rows {
        if columns.is_empty() {
            columns.extend(row.into_iter().map(|value| match value {
                Value::Integer(value) => Column::Integers(vec![value]),
                Value::Text(value) => Column::Texts(vec![value]),
                Value::Bytes(value) => Column::Bytes(vec![value]),
                Value::Flag(value) => Column::Flags(vec![value]),
            }));
            continue;
        }
        for (column, value) in columns.iter_mut().zip(row) {
            match (column, value) {
                (Column::Integers(values), Value::Integer(value)) => values.push(value),
                (Column::Texts(values), Value::Text(value)) => values.push(value),
                (Column::Bytes(values), Value::Bytes(value)) => values.push(value),
                (Column::Flags(values), Value::Flag(value)) => values.push(value),
                _ => return Err(sqlx::Error::Encode("a column of two kinds".into())),
            }
        }
    }
    Ok(columns.into_iter().fold(statement, |statement, column| match column {
        Column::Integers(values) => statement.bind(values),
        Column::Texts(values) => statement.bind(values),
        Column::Bytes(values) => statement.bind(values),
        Column::Flags(values) => statement.bind(values),
    }))
}

/// Sorts what is done to each key into rounds, none of which does two things to one key, and all of which come in order.
pub(super) fn rounds<'a, T, K: Ord>(items: impl IntoIterator<Item = &'a T>, key: impl Fn(&T) -> K) -> Vec<Vec<&'a T>> {
    let mut seen = std::collections::BTreeMap::new();
    let mut rounds: Vec<Vec<&T>> = Vec::new();
    for item in items {
        let round: &mut usize = seen.entry(key(item)).or_default();
        match rounds.get_mut(*round) {
            Some(items) => items.push(item),
            None => rounds.push(vec![item]),
        }
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_does_one_thing_to_a_key() {
        let items = [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 2)];
        let [a1, b1, a2, c1, a3, b2] = &items;
        assert_eq!(rounds(&items, |item| item.0), vec![vec![a1, b1, c1], vec![a2, b2], vec![a3]]);
        assert_eq!(rounds(&items[..0], |item: &(&str, i32)| item.0), Vec::<Vec<&(&str, i32)>>::new());
    }

    #[test]
    fn texts_are_what_they_should_be() {
        assert_eq!(
            &*insert("t", &["key", "a"]),
            "INSERT INTO t (key, a) SELECT v.key, v.a FROM unnest($1, $2) AS v (key, a) ON CONFLICT DO NOTHING"
        );
        let update = update("t", &["key", "a", "version"]);
        let expected = "UPDATE t AS t SET a = v.a, version = v.version FROM unnest($1, $2, $3) AS v (key, a, version) \
                        WHERE t.key = v.key AND t.version = v.version - 1";
        assert_eq!(&*update, expected);
    }
}
