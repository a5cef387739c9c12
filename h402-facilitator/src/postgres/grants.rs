//! The tables `grants` and `grant_keys`.

use super::statement::{self, bind, statement};
use crate::sql::columns::{Columns, stored_millis};
use crate::sql::grants::{COLUMNS, read, values};
use crate::sql::{answers, value::Value};
use alloy_primitives::Keccak256;
use h402_core::{Address, AssetId, Exposure, Grant, NewGrant, PaymentKey, StoredAnswer, UnixMillis};
use sqlx::PgConnection;
use std::sync::{Arc, LazyLock};

/// The columns, and how many rows of its payer and asset may be unsettled besides.
const WITH_MOST: [&str; COLUMNS.len() + 1] = {
    let mut columns = ["most"; COLUMNS.len() + 1];
    let (head, _) = columns.split_at_mut(COLUMNS.len());
    head.copy_from_slice(&COLUMNS);
    columns
};

/// The rows whose payers have not too much open. The counts are of the moment before the statement, so it must not
/// hold two rows of one payer and asset; and the payers' locks must have been taken in a statement before it.
fn fitting() -> String {
    format!(
        "fit AS (SELECT * FROM {} WHERE (SELECT count(*) FROM grants AS g WHERE g.payer = v.payer AND g.network = v.network \
         AND g.asset = v.asset AND g.exposure = 'unsettled') < v.most)",
        statement::rows(&WITH_MOST)
    )
}

/// Takes the keys of rows without other names and inserts those whose keys were free.
static CLAIM: LazyLock<Arc<str>> = LazyLock::new(|| {
    format!(
        "WITH {fitting}, taken AS (INSERT INTO grant_keys (key, owner) SELECT key, key FROM fit ON CONFLICT DO NOTHING RETURNING key) \
         INSERT INTO grants ({columns}) SELECT {values} FROM fit AS v JOIN taken ON taken.key = v.key RETURNING key",
        fitting = fitting(),
        columns = COLUMNS.join(", "),
        values = statement::of_rows(&COLUMNS),
    )
    .into()
});

/// Inserts a row whose key was taken for it.
static INSERT: LazyLock<Arc<str>> = LazyLock::new(|| {
    format!("WITH {} INSERT INTO grants ({}) SELECT {} FROM fit AS v", fitting(), COLUMNS.join(", "), statement::of_rows(&COLUMNS)).into()
});

static UPDATE: LazyLock<Arc<str>> = LazyLock::new(|| statement::update("grants", &COLUMNS));

/// The same with an answer, which is stored if the row was replaced.
static UPDATE_WITH_ANSWER: LazyLock<Arc<str>> = LazyLock::new(|| {
    let places: Vec<String> = (COLUMNS.len() + 1..=COLUMNS.len() + 4).map(|at| format!("${at}")).collect();
    format!(
        "WITH t AS ({} RETURNING t.key, t.updated_at) INSERT INTO answers (key, status, headers, body, bytes, stored_at) \
         SELECT t.key, a.*, t.updated_at FROM t, (VALUES ({})) AS a ON CONFLICT (key) DO UPDATE SET \
         status = excluded.status, headers = excluded.headers, body = excluded.body, bytes = excluded.bytes, stored_at = excluded.stored_at",
        *UPDATE,
        places.join(", ")
    )
    .into()
});

fn with_most(new: &NewGrant) -> sqlx::Result<[Value; WITH_MOST.len()]> {
    let mut row = [const { Value::Flag(false) }; WITH_MOST.len()];
    let values = values(&new.grant)?.into_iter().chain([Value::integer(new.max_unsettled.into())]);
    for (place, value) in row.iter_mut().zip(values) {
        *place = value;
    }
    Ok(row)
}

/// Waits until nobody else claims for these payers and assets, until the transaction ends: or two claims would count
/// before either is there. What is locked is a number made from payer and asset, in order.
pub(super) async fn lock_payers(conn: &mut PgConnection, grants: &[&NewGrant]) -> sqlx::Result<()> {
    let mut numbers: Vec<i64> = grants.iter().map(|new| payer_number(&new.grant)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    sqlx::query("SELECT pg_advisory_xact_lock(n) FROM unnest($1) AS n").bind(numbers).execute(conn).await?;
    Ok(())
}

fn payer_number(grant: &Grant) -> i64 {
    let mut hash = Keccak256::new();
    for part in [grant.payer.as_bytes(), grant.asset.network.to_string().as_bytes(), grant.asset.address.as_bytes()] {
        hash.update(part);
    }
    let [a, b, c, d, e, f, g, h, ..] = hash.finalize().0;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Inserts, in one statement, the grants whose keys are free and whose payers have not too much open, and answers
/// those keys. No two of them may be of one payer and asset, nor of one key.
pub(super) async fn claim(conn: &mut PgConnection, grants: &[&NewGrant]) -> sqlx::Result<Vec<PaymentKey>> {
    let mut grants = grants.to_vec();
    // Whoever takes several keys takes them in order, so that nobody waits for somebody who waits.
    grants.sort_by_key(|new| new.grant.key);
    let rows: Vec<_> = grants.into_iter().map(with_most).collect::<sqlx::Result<_>>()?;
    bind(statement(&CLAIM), rows)?.fetch_all(conn).await?.iter().map(|row| Columns(row).key("key")).collect()
}

/// Takes a grant's key and its other names; `false` if anybody has one of them.
pub(super) async fn take_keys(conn: &mut PgConnection, new: &NewGrant) -> sqlx::Result<bool> {
    let mut keys: Vec<_> = [&new.grant.key].into_iter().chain(&new.aliases).collect();
    keys.sort_unstable();
    let wanted = keys.len();
    let keys: Vec<_> = keys.into_iter().map(|key| key.as_bytes().to_vec()).collect();
    let taken = sqlx::query("INSERT INTO grant_keys (key, owner) SELECT key, $2 FROM unnest($1) AS key ON CONFLICT DO NOTHING")
        .bind(keys)
        .bind(new.grant.key.as_bytes().as_slice())
        .execute(conn)
        .await?;
    Ok(u64::try_from(wanted) == Ok(taken.rows_affected()))
}

/// Inserts a grant whose key was taken for it; `false` if its payer has too much open.
pub(super) async fn insert(conn: &mut PgConnection, new: &NewGrant) -> sqlx::Result<bool> {
    Ok(bind(statement(&INSERT), [with_most(new)?])?.execute(conn).await?.rows_affected() == 1)
}

/// Replaces a row if the stored version is the one before, and stores its answer; `false` if it is not.
pub(super) async fn update(conn: &mut PgConnection, grant: &Grant, answer: Option<&StoredAnswer>) -> sqlx::Result<bool> {
    let text = if answer.is_some() { &UPDATE_WITH_ANSWER } else { &UPDATE };
    let mut update = bind(statement(text), [values(grant)?])?;
    if let Some(answer) = answer {
        let headers = answers::pack(&answer.headers).ok_or_else(|| sqlx::Error::Encode("headers are too long".into()))?;
        let bytes = i64::try_from(headers.len().saturating_add(answer.body.len())).unwrap_or(i64::MAX);
        update = update.bind(i64::from(answer.status)).bind(headers).bind(answer.body.to_vec()).bind(bytes);
    }
    Ok(update.execute(conn).await?.rows_affected() == 1)
}

/// Finds a grant by any of these names.
pub(super) async fn find_any(conn: &mut PgConnection, names: impl IntoIterator<Item = &PaymentKey>) -> sqlx::Result<Option<Grant>> {
    let names: Vec<_> = names.into_iter().map(|name| name.as_bytes().to_vec()).collect();
    let found =
        sqlx::query("SELECT g.* FROM grant_keys AS k JOIN grants AS g ON g.key = k.owner WHERE k.key = ANY ($1) ORDER BY g.key LIMIT 1")
            .bind(names)
            .fetch_optional(conn)
            .await?;
    found.as_ref().map(read).transpose()
}

/// Finds a grant and its answer, if that was stored after `fresh`.
pub(super) async fn find_with_answer(
    conn: &mut PgConnection,
    key: &PaymentKey,
    fresh: UnixMillis,
) -> sqlx::Result<Option<(Grant, Option<StoredAnswer>)>> {
    let found = sqlx::query(
        "SELECT g.*, a.status, a.headers, a.body FROM grant_keys AS k JOIN grants AS g ON g.key = k.owner \
         LEFT JOIN answers AS a ON a.key = g.key AND a.stored_at > $2 WHERE k.key = $1",
    )
    .bind(key.as_bytes().as_slice())
    .bind(stored_millis(fresh))
    .fetch_optional(conn)
    .await?;
    found.map(|row| Ok((read(&row)?, answers::read(&row)?))).transpose()
}

/// A page of the grants that owe something, by age and then by key.
pub(super) async fn owing(conn: &mut PgConnection, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> sqlx::Result<Vec<Grant>> {
    let first = "SELECT * FROM grants WHERE state IN ('owed', 'credited') ORDER BY claimed_at, key LIMIT $1";
    let next =
        "SELECT * FROM grants WHERE state IN ('owed', 'credited') AND (claimed_at, key) > ($2, $3) ORDER BY claimed_at, key LIMIT $1";
    let page = match after {
        None => sqlx::query(first).bind(i64::from(limit)),
        Some((claimed_at, key)) => sqlx::query(next).bind(i64::from(limit)).bind(stored_millis(claimed_at)).bind(key.as_bytes().to_vec()),
    };
    page.fetch_all(conn).await?.iter().map(read).collect()
}

/// Counts what a payer has open, and what it has failed to pay since a time.
pub(super) async fn exposure(
    conn: &mut PgConnection,
    payer: &Address,
    asset: &AssetId,
    failed_since: UnixMillis,
) -> sqlx::Result<Exposure> {
    let counts = sqlx::query(
        "SELECT count(*) FILTER (WHERE exposure = 'unsettled') AS unsettled, \
         count(*) FILTER (WHERE exposure = 'failed' AND updated_at >= $4) AS failed \
         FROM grants WHERE payer = $1 AND network = $2 AND asset = $3 AND exposure IS NOT NULL",
    )
    .bind(payer.as_bytes().to_vec())
    .bind(asset.network.to_string())
    .bind(asset.address.as_bytes().to_vec())
    .bind(stored_millis(failed_since))
    .fetch_one(conn)
    .await?;
    let count = |column| Ok::<_, sqlx::Error>(u32::try_from(Columns(&counts).integer(column)?).unwrap_or(u32::MAX));
    Ok(Exposure { unsettled: count("unsettled")?, failed: count("failed")? })
}

/// Forgets payments that can no longer be presented and owe nothing, at most `limit` of them.
pub(super) async fn forget(conn: &mut PgConnection, expired_before: UnixMillis, limit: u32) -> sqlx::Result<u64> {
    let row = sqlx::query(
        "WITH old AS (SELECT key FROM grants WHERE state NOT IN ('owed', 'credited') AND expires_at < $1 ORDER BY expires_at LIMIT $2 \
         FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM grants AS g USING old WHERE g.key = old.key RETURNING g.key), \
         keys AS (DELETE FROM grant_keys AS k USING gone WHERE k.owner = gone.key), \
         answers AS (DELETE FROM answers AS a USING gone WHERE a.key = gone.key) \
         SELECT count(*) AS gone FROM gone",
    )
    .bind(stored_millis(expired_before))
    .bind(i64::from(limit))
    .fetch_one(conn)
    .await?;
    Columns(&row).integer("gone")
}
