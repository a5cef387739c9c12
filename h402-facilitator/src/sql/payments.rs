//! A row of the table `payments`.

use super::columns::{Cells, Columns, transaction_bytes, unreadable};
use super::value::Value;
use alloy_primitives::B256;
use h402_core::{BlockRef, PaymentKind, PaymentRow, Settlement, SettlementAnswer, UnixMillis};

/// In the order in which [`values`] gives their values.
pub(crate) const COLUMNS: [&str; 23] = [
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

/// The values of a row.
pub(crate) fn values(row: &PaymentRow) -> sqlx::Result<[Value; COLUMNS.len()]> {
    let transaction = row.state.transaction().as_ref().map(transaction_bytes).transpose()?;
    let block = row.state.block();
    let (answer, word, text) = match &row.answer {
        None => (None, None, None),
        Some(SettlementAnswer::Settled) => (Some("settled"), None, None),
        Some(SettlementAnswer::Refused { word, text }) => (Some("refused"), Some(word.as_str()), Some(text.as_str())),
    };
    Ok([
        Value::bytes(row.key.as_bytes()),
        Value::text(row.asset.network.to_string()),
        Value::bytes(row.asset.address.as_bytes()),
        Value::bytes(row.payer.as_bytes()),
        Value::bytes(row.pay_to.as_bytes()),
        Value::bytes(row.amount.to_be_bytes()),
        Value::text(row.kind.as_str()),
        Value::maybe_bytes(row.nonce),
        Value::maybe_bytes(row.caller.as_ref().map(|caller| caller.as_bytes())),
        Value::text(row.state.as_str()),
        Value::Flag(row.state.is_open()),
        Value::Bytes(transaction),
        Value::maybe_integer(block.map(|block| block.number)),
        Value::maybe_bytes(block.map(|block| block.hash)),
        Value::maybe_text(answer),
        Value::maybe_text(word),
        Value::maybe_text(text),
        Value::maybe_millis(row.expires.map(|time| time.millis())),
        Value::maybe_integer(row.last_block_height),
        Value::maybe_bytes(row.raw.as_ref()),
        Value::millis(row.claimed_at),
        Value::millis(row.updated_at),
        Value::integer(row.version),
    ])
}

/// Reads a row.
pub(crate) fn read<R: Cells>(row: &R) -> sqlx::Result<PaymentRow> {
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

/// The numbers of a row that must fit the integers of SQL.
pub(crate) fn numbers(row: &PaymentRow) -> impl Iterator<Item = u64> {
    [Some(row.version), row.state.block().map(|block| block.number), row.last_block_height].into_iter().flatten()
}
