//! Rows of the tables `reconciled` and `differences`.

use super::columns::{Cells, Columns, unreadable};
use h402_core::{Difference, DifferenceKind, Reconciled};

/// Reads a difference.
pub(crate) fn read<R: Cells>(row: &R) -> sqlx::Result<Difference> {
    let columns = Columns(row);
    Ok(Difference {
        kind: columns.word("kind", DifferenceKind::from_word)?,
        transaction: columns.transaction("tx")?,
        payment: columns.maybe_bytes32("payment")?.map(h402_core::PaymentKey::from_bytes),
        asset: columns.maybe_bytes("asset")?.map(|_| columns.address("asset")).transpose()?,
        pay_to: columns.maybe_bytes("pay_to")?.map(|_| columns.address("pay_to")).transpose()?,
        amount: columns.maybe_bytes("amount")?.map(|_| columns.amount("amount")).transpose()?,
        found_at: columns.millis("found_at")?,
    })
}

/// Reads how far ledger and chain were compared.
pub(crate) fn read_reached<R: Cells>(row: &R) -> sqlx::Result<Reconciled> {
    let columns = Columns(row);
    let row = match (columns.maybe_integer("row_time")?, columns.maybe_bytes32("row_key")?) {
        (Some(time), Some(key)) => Some((h402_core::UnixMillis(time), h402_core::PaymentKey::from_bytes(key))),
        (None, None) => None,
        _ => return Err(unreadable("row_key")),
    };
    Ok(Reconciled { block: columns.maybe_integer("block")?, row })
}
