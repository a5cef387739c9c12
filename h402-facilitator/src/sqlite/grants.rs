//! The tables `grants` and `grant_keys`.

use super::answers;
use super::columns::{Columns, stored_integer, stored_millis, transaction_bytes, unreadable};
use super::statement::{Inserts, Statement};
use h402_core::{Address, AssetId, Exposure, Flow, Grant, GrantState, NewGrant, PaymentKey, Receipt, StoredAnswer, UnixMillis};
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};
use std::sync::{Arc, LazyLock};

/// In the order in which [`bind`] gives their values.
const COLUMNS: [&str; 18] = [
    "key",
    "fingerprint",
    "flow",
    "payer",
    "network",
    "asset",
    "amount",
    "state",
    "exposure",
    "runs",
    "busy_until",
    "receipt_network",
    "receipt_tx",
    "receipt_payer",
    "claimed_at",
    "updated_at",
    "expires_at",
    "version",
];

/// The value after the columns is `max_unsettled`. The counts of a statement are of the moment before it, so it must
/// not hold two rows of one payer and asset.
static INSERTS: LazyLock<Inserts> = LazyLock::new(|| {
    let guard = "AND (SELECT count(*) FROM grants WHERE payer = v.column4 AND network = v.column5 AND asset = v.column6 \
                 AND exposure = 'unsettled') < v.column19";
    Inserts::new("grants", &COLUMNS, 1, guard)
});

static UPDATE: LazyLock<Arc<str>> = LazyLock::new(|| {
    let [key, rest @ ..] = COLUMNS;
    let set: Vec<String> = rest.iter().enumerate().map(|(at, column)| format!("{column} = ?{}", at + 2)).collect();
    format!("UPDATE grants SET {} WHERE {key} = ?1 AND version = ?{}", set.join(", "), COLUMNS.len() + 1).into()
});

/// How a grant counts against its payer; see [`Exposure`].
fn exposure_word(grant: &Grant) -> Option<&'static str> {
    match (grant.state, grant.flow) {
        (GrantState::Running | GrantState::Settling, _) => Some("unsettled"),
        (GrantState::Refused, Flow::Capture) => Some("failed"),
        (GrantState::Refused, Flow::Upfront) | (GrantState::Released | GrantState::Served | GrantState::Owed | GrantState::Credited, _) => {
            None
        }
    }
}

const fn flow_word(flow: Flow) -> &'static str {
    match flow {
        Flow::Capture => "capture",
        Flow::Upfront => "upfront",
    }
}

fn flow_from_word(word: &str) -> Option<Flow> {
    [Flow::Capture, Flow::Upfront].into_iter().find(|flow| flow_word(*flow) == word)
}

fn bind(statement: Statement, grant: &Grant) -> sqlx::Result<Statement> {
    let receipt = grant.receipt.as_ref();
    Ok(statement
        .bind(grant.key.as_bytes().as_slice())
        .bind(grant.fingerprint.as_bytes().as_slice())
        .bind(flow_word(grant.flow))
        .bind(grant.payer.as_bytes())
        .bind(grant.asset.network.to_string())
        .bind(grant.asset.address.as_bytes())
        .bind(grant.amount.to_be_bytes().as_slice())
        .bind(grant.state.as_str())
        .bind(exposure_word(grant))
        .bind(i64::from(grant.runs))
        .bind(stored_millis(grant.busy_until))
        .bind(receipt.map(|receipt| receipt.network.to_string()))
        .bind(receipt.map(|receipt| transaction_bytes(&receipt.transaction)).transpose()?)
        .bind(receipt.map(|receipt| receipt.payer.as_bytes()))
        .bind(stored_millis(grant.claimed_at))
        .bind(stored_millis(grant.updated_at))
        .bind(stored_millis(grant.expires_at))
        .bind(stored_integer(grant.version)))
}

fn read(row: &SqliteRow) -> sqlx::Result<Grant> {
    let columns = Columns(row);
    let receipt = match columns.maybe_transaction("receipt_tx")? {
        None => None,
        Some(transaction) => {
            Some(Receipt { network: columns.network("receipt_network")?, transaction, payer: columns.address("receipt_payer")? })
        }
    };
    Ok(Grant {
        key: columns.key("key")?,
        fingerprint: columns.fingerprint("fingerprint")?,
        flow: columns.word("flow", flow_from_word)?,
        payer: columns.address("payer")?,
        asset: columns.asset()?,
        amount: columns.amount("amount")?,
        state: columns.word("state", GrantState::from_word)?,
        runs: u8::try_from(columns.integer("runs")?).map_err(|_| unreadable("runs"))?,
        busy_until: columns.millis("busy_until")?,
        receipt,
        claimed_at: columns.millis("claimed_at")?,
        updated_at: columns.millis("updated_at")?,
        expires_at: columns.millis("expires_at")?,
        version: columns.integer("version")?,
    })
}

/// Inserts, in one statement, the grants whose keys are free and whose payers have not too much open, and answers
/// those keys. No two of them may be of one payer and asset.
pub(super) async fn insert(conn: &mut SqliteConnection, grants: &[&NewGrant]) -> sqlx::Result<Vec<PaymentKey>> {
    let bind = |statement, new: &NewGrant| Ok(bind(statement, &new.grant)?.bind(i64::from(new.max_unsettled)));
    INSERTS.insert(conn, grants, |new| new.grant.key, bind).await
}

/// Takes another name for a grant; `false` if anybody has it.
pub(super) async fn take_key(conn: &mut SqliteConnection, key: &PaymentKey, owner: &PaymentKey) -> sqlx::Result<bool> {
    let taken = sqlx::query("INSERT INTO grant_keys (key, owner) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(key.as_bytes().as_slice())
        .bind(owner.as_bytes().as_slice())
        .execute(conn)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// Replaces a row if the stored version is the one before; `false` if it is not.
pub(super) async fn update(conn: &mut SqliteConnection, grant: &Grant) -> sqlx::Result<bool> {
    let Some(before) = grant.version.checked_sub(1) else { return Ok(false) };
    let statement = bind(sqlx::query(AssertSqlSafe(UPDATE.clone())), grant)?.bind(stored_integer(before));
    Ok(statement.execute(conn).await?.rows_affected() == 1)
}

/// Finds a grant by its key or one of its other names.
pub(super) async fn find(conn: &mut SqliteConnection, key: &PaymentKey) -> sqlx::Result<Option<Grant>> {
    let found = sqlx::query("SELECT * FROM grants WHERE key = coalesce((SELECT owner FROM grant_keys WHERE key = ?1), ?1)")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// Finds a grant and its answer, if that was stored after `fresh`.
pub(super) async fn find_with_answer(
    conn: &mut SqliteConnection,
    key: &PaymentKey,
    fresh: UnixMillis,
) -> sqlx::Result<Option<(Grant, Option<StoredAnswer>)>> {
    let found = sqlx::query(
        "SELECT g.*, a.status, a.headers, a.body FROM grants AS g LEFT JOIN answers AS a ON a.key = g.key AND a.stored_at > ?2 \
         WHERE g.key = coalesce((SELECT owner FROM grant_keys WHERE key = ?1), ?1)",
    )
    .bind(key.as_bytes().as_slice())
    .bind(stored_millis(fresh))
    .fetch_optional(conn)
    .await?;
    found.map(|row| Ok((read(&row)?, answers::read(&row)?))).transpose()
}

/// Counts what a payer has open, and what it has failed to pay since a time.
pub(super) async fn exposure(
    conn: &mut SqliteConnection,
    payer: &Address,
    asset: &AssetId,
    failed_since: UnixMillis,
) -> sqlx::Result<Exposure> {
    let counts = sqlx::query(
        "SELECT count(*) FILTER (WHERE exposure = 'unsettled') AS unsettled, \
         count(*) FILTER (WHERE exposure = 'failed' AND updated_at >= ?4) AS failed \
         FROM grants WHERE payer = ?1 AND network = ?2 AND asset = ?3 AND exposure IS NOT NULL",
    )
    .bind(payer.as_bytes())
    .bind(asset.network.to_string())
    .bind(asset.address.as_bytes())
    .bind(stored_millis(failed_since))
    .fetch_one(conn)
    .await?;
    let count = |column| Ok::<_, sqlx::Error>(u32::try_from(Columns(&counts).integer(column)?).unwrap_or(u32::MAX));
    Ok(Exposure { unsettled: count("unsettled")?, failed: count("failed")? })
}

/// Frees the rows a dead process was working on: only one process has the file open, so all of them.
pub(super) async fn free_all(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("UPDATE grants SET busy_until = 0 WHERE busy_until > 0").execute(conn).await?;
    Ok(())
}

/// Forgets payments that can no longer be presented and owe nothing, at most `limit` of them.
pub(super) async fn forget(conn: &mut SqliteConnection, expired_before: UnixMillis, limit: u32) -> sqlx::Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM grants WHERE key IN (SELECT key FROM grants WHERE state NOT IN ('owed', 'credited') AND expires_at < ?1 \
         ORDER BY expires_at LIMIT ?2)",
    )
    .bind(stored_millis(expired_before))
    .bind(i64::from(limit))
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
