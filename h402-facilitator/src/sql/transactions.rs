//! A row of the table `transactions`.

use super::columns::{Cells, Columns, transaction_bytes, unreadable};
use super::value::Value;
use h402_core::{PaymentKey, TransactionRow};

/// In the order in which [`values`] gives their values.
pub(crate) const COLUMNS: [&str; 9] = ["network", "id", "sender", "nonce", "raw", "payments", "done", "cost", "signed_at"];

/// The values of a row.
pub(crate) fn values(row: &TransactionRow) -> sqlx::Result<[Value; COLUMNS.len()]> {
    Ok([
        Value::text(row.network.to_string()),
        Value::Bytes(Some(transaction_bytes(&row.id)?)),
        Value::bytes(row.sender),
        Value::integer(row.nonce),
        Value::bytes(&row.raw),
        Value::Bytes(Some(row.payments.iter().flat_map(PaymentKey::as_bytes).copied().collect())),
        Value::Flag(row.done),
        Value::maybe_bytes(row.cost.map(|cost| cost.to_be_bytes::<32>())),
        Value::millis(row.signed_at),
    ])
}

/// Reads a row.
pub(crate) fn read<R: Cells>(row: &R) -> sqlx::Result<TransactionRow> {
    let columns = Columns(row);
    let (keys, rest) = columns.bytes("payments")?.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(unreadable("payments"));
    }
    Ok(TransactionRow {
        network: columns.network("network")?,
        id: columns.transaction("id")?,
        sender: columns.evm_address("sender")?,
        nonce: columns.integer("nonce")?,
        raw: columns.bytes("raw")?.to_vec().into(),
        payments: keys.iter().copied().map(PaymentKey::from_bytes).collect(),
        done: columns.flag("done")?,
        cost: columns.maybe_u256("cost")?,
        signed_at: columns.millis("signed_at")?,
    })
}
