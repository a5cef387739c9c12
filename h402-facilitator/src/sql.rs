//! What stores of both engines have in common: rows and how they are kept, and what waits to be written.

pub(crate) mod answers;
pub(crate) mod columns;
pub(crate) mod differences;
pub(crate) mod grants;
pub(crate) mod job;
pub(crate) mod payments;
pub(crate) mod transactions;
pub(crate) mod value;

use h402_core::{Change, PaymentKey, StoreUnavailable};

/// Removes from the other names of a payment what is there twice, its own key included.
pub(crate) fn distinct(key: &PaymentKey, aliases: &mut Vec<PaymentKey>) {
    aliases.sort_unstable();
    aliases.dedup();
    aliases.retain(|alias| alias != key);
}

/// Whether all numbers of a change fit into columns.
pub(crate) fn storable(change: &Change) -> Result<(), StoreUnavailable> {
    let rows = change.claim.iter().map(|claim| &claim.row).chain(change.updates.iter().map(|update| &update.row));
    columns::storable(rows.flat_map(payments::numbers))?;
    columns::storable(change.transactions.iter().map(|transaction| transaction.nonce))
}
