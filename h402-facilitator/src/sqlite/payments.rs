//! The tables `payments` and `payment_keys`.

use super::columns::{Columns, stored_integer, stored_millis, transaction_bytes, unreadable};
use super::statement::{Inserts, Statement};
use alloy_primitives::B256;
use h402_core::{BlockRef, Network, PaymentKey, PaymentKind, PaymentRow, Settlement, SettlementAnswer, UnixMillis};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteRow};
use std::sync::{Arc, LazyLock};

/// In the order in which [`bind`] gives their values.
const COLUMNS: [&str; 23] = [
    "key",
    "network",
    "asset",
    "payer",
    "pay_to",
    "amount",
    "kind",
    "nonce",
    "caller",
    "state",
    "open",
    "tx",
    "block",
    "block_hash",
    "answer",
    "answer_word",
    "answer_text",
    "expires_at",
    "last_height",
    "raw",
    "claimed_at",
    "updated_at",
    "version",
];

static INSERTS: LazyLock<Inserts> = LazyLock::new(|| Inserts::new("payments", &COLUMNS, 0, ""));

static UPDATE: LazyLock<Arc<str>> = LazyLock::new(|| {
    let [key, rest @ ..] = COLUMNS;
    let set: Vec<String> = rest.iter().enumerate().map(|(at, column)| format!("{column} = ?{}", at + 2)).collect();
    format!("UPDATE payments SET {} WHERE {key} = ?1 AND version = ?{}", set.join(", "), COLUMNS.len() + 1).into()
});

fn bind(statement: Statement, row: &PaymentRow) -> sqlx::Result<Statement> {
    let transaction = row.state.transaction().as_ref().map(transaction_bytes).transpose()?;
    let block = row.state.block();
    let (answer, word, text) = match &row.answer {
        None => (None, None, None),
        Some(SettlementAnswer::Settled) => (Some("settled"), None, None),
        Some(SettlementAnswer::Refused { word, text }) => (Some("refused"), Some(word.as_str()), Some(text.as_str())),
    };
    Ok(statement
        .bind(row.key.as_bytes().as_slice())
        .bind(row.asset.network.to_string())
        .bind(row.asset.address.as_bytes())
        .bind(row.payer.as_bytes())
        .bind(row.pay_to.as_bytes())
        .bind(row.amount.to_be_bytes().as_slice())
        .bind(row.kind.as_str())
        .bind(row.nonce.as_ref().map(<[u8; 32]>::as_slice))
        .bind(row.caller.as_ref().map(|caller| caller.as_bytes().as_slice()))
        .bind(row.state.as_str())
        .bind(row.state.is_open())
        .bind(transaction)
        .bind(block.map(|block| stored_integer(block.number)))
        .bind(block.as_ref().map(|block| block.hash.as_slice()))
        .bind(answer)
        .bind(word)
        .bind(text)
        .bind(row.expires.map(|time| stored_millis(time.millis())))
        .bind(row.last_block_height.map(stored_integer))
        .bind(row.raw.as_ref().map(|raw| raw.to_vec()))
        .bind(stored_millis(row.claimed_at))
        .bind(stored_millis(row.updated_at))
        .bind(stored_integer(row.version)))
}

fn read(row: &SqliteRow) -> sqlx::Result<PaymentRow> {
    let columns = Columns(row);
    let block = match (columns.maybe_integer("block")?, columns.maybe_bytes32("block_hash")?) {
        (Some(number), Some(hash)) => Some(BlockRef { number, hash: B256::from(hash) }),
        (None, None) => None,
        _ => return Err(unreadable("block")),
    };
    let transaction = columns.maybe_transaction("tx")?;
    let answer = match (columns.maybe_text("answer")?, columns.maybe_text("answer_word")?, columns.maybe_text("answer_text")?) {
        (None, None, None) => None,
        (Some("settled"), None, None) => Some(SettlementAnswer::Settled),
        (Some("refused"), Some(word), Some(text)) => Some(SettlementAnswer::Refused { word: word.to_owned(), text: text.to_owned() }),
        _ => return Err(unreadable("answer")),
    };
    Ok(PaymentRow {
        key: columns.key("key")?,
        asset: columns.asset()?,
        payer: columns.address("payer")?,
        pay_to: columns.address("pay_to")?,
        amount: columns.amount("amount")?,
        kind: columns.word("kind", PaymentKind::from_word)?,
        nonce: columns.maybe_bytes32("nonce")?,
        caller: columns.caller("caller")?,
        state: columns.word("state", |word| Settlement::from_parts(word, transaction, block))?,
        answer,
        expires: columns.maybe_integer("expires_at")?.map(|millis| UnixMillis(millis).seconds()),
        last_block_height: columns.maybe_integer("last_height")?,
        raw: columns.maybe_bytes("raw")?.map(|bytes| bytes.to_vec().into()),
        claimed_at: columns.millis("claimed_at")?,
        updated_at: columns.millis("updated_at")?,
        version: columns.integer("version")?,
    })
}

/// The numbers of a row that must fit SQLite's integers.
pub(super) fn numbers(row: &PaymentRow) -> impl Iterator<Item = u64> {
    [Some(row.version), row.state.block().map(|block| block.number), row.last_block_height].into_iter().flatten()
}

/// Inserts the rows whose keys are free, in one statement, and answers those keys.
pub(super) async fn insert(conn: &mut SqliteConnection, rows: &[&PaymentRow]) -> sqlx::Result<Vec<PaymentKey>> {
    INSERTS.insert(conn, rows, |row| row.key, bind).await
}

/// Takes another key, owned by a payment or by no payment; `false` if anybody has it.
pub(super) async fn take_key(conn: &mut SqliteConnection, key: &PaymentKey, owner: Option<&PaymentKey>) -> sqlx::Result<bool> {
    let taken = sqlx::query("INSERT INTO payment_keys (key, owner) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(key.as_bytes().as_slice())
        .bind(owner.map(|owner| owner.as_bytes().as_slice()))
        .execute(conn)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// Replaces a row if the stored version is the one before; `false` if it is not.
pub(super) async fn update(conn: &mut SqliteConnection, row: &PaymentRow) -> sqlx::Result<bool> {
    let Some(before) = row.version.checked_sub(1) else { return Ok(false) };
    let statement = bind(sqlx::query(AssertSqlSafe(UPDATE.clone())), row)?.bind(stored_integer(before));
    Ok(statement.execute(conn).await?.rows_affected() == 1)
}

/// Finds a payment by its key or one of its other names. A key that a transaction of ours owns leads to none.
pub(super) async fn find(conn: &mut SqliteConnection, key: &PaymentKey) -> sqlx::Result<Option<PaymentRow>> {
    let found = sqlx::query("SELECT * FROM payments WHERE key = coalesce((SELECT owner FROM payment_keys WHERE key = ?1), ?1)")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(read).transpose()
}

/// Whether a key is taken, by a payment or by a transaction of ours.
pub(super) async fn is_taken(conn: &mut SqliteConnection, key: &PaymentKey) -> sqlx::Result<bool> {
    let taken =
        sqlx::query("SELECT EXISTS (SELECT 1 FROM payments WHERE key = ?1) OR EXISTS (SELECT 1 FROM payment_keys WHERE key = ?1) AS taken")
            .bind(key.as_bytes().as_slice())
            .fetch_one(conn)
            .await?;
    taken.try_get("taken")
}

/// A page of the open payments of a network, by age and then by key.
pub(super) async fn unfinished(
    conn: &mut SqliteConnection,
    network: Network,
    after: Option<PaymentKey>,
    limit: u32,
) -> sqlx::Result<Vec<PaymentRow>> {
    let page = match after {
        None => sqlx::query("SELECT * FROM payments WHERE open = 1 AND network = ?1 ORDER BY claimed_at, key LIMIT ?2"),
        Some(_) => sqlx::query(
            "SELECT * FROM payments WHERE open = 1 AND network = ?1 \
             AND (claimed_at, key) > (SELECT claimed_at, key FROM payments WHERE key = ?3) \
             ORDER BY claimed_at, key LIMIT ?2",
        ),
    };
    let page = page.bind(network.to_string()).bind(i64::from(limit)).bind(after.as_ref().map(|key| key.as_bytes().as_slice()));
    page.fetch_all(conn).await?.iter().map(read).collect()
}
