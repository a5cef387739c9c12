//! A row of the table `grants`.

use super::columns::{Cells, Columns, transaction_bytes, unreadable};
use super::value::Value;
use h402_core::{Flow, Grant, GrantState, Receipt};

/// In the order in which [`values`] gives their values.
pub(crate) const COLUMNS: [&str; 19] = [
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
    "receipt_signed",
    "claimed_at",
    "updated_at",
    "expires_at",
    "version",
];

/// How a grant counts against its payer; see [`Exposure`].
fn exposure_word(grant: &Grant) -> Option<&'static str> {
    match (grant.state, grant.flow) {
        (GrantState::Running | GrantState::Settling, _) => Some("unsettled"),
        (GrantState::Refused, Flow::Capture) => Some("failed"),
        (GrantState::Refused, Flow::Upfront) => None,
        (GrantState::Released | GrantState::Served | GrantState::Owed | GrantState::Credited | GrantState::Refunded, _) => None,
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

/// The values of a row.
pub(crate) fn values(grant: &Grant) -> sqlx::Result<[Value; COLUMNS.len()]> {
    let receipt = grant.receipt.as_ref();
    Ok([
        Value::bytes(grant.key.as_bytes()),
        Value::bytes(grant.fingerprint.as_bytes()),
        Value::text(flow_word(grant.flow)),
        Value::bytes(grant.payer.as_bytes()),
        Value::text(grant.asset.network.to_string()),
        Value::bytes(grant.asset.address.as_bytes()),
        Value::bytes(grant.amount.to_be_bytes()),
        Value::text(grant.state.as_str()),
        Value::maybe_text(exposure_word(grant)),
        Value::integer(grant.runs.into()),
        Value::millis(grant.busy_until),
        Value::maybe_text(receipt.map(|receipt| receipt.network.to_string())),
        Value::Bytes(receipt.map(|receipt| transaction_bytes(&receipt.transaction)).transpose()?),
        Value::maybe_bytes(receipt.map(|receipt| receipt.payer.as_bytes())),
        Value::maybe_text(receipt.and_then(|receipt| receipt.signed.as_ref()).map(ToString::to_string)),
        Value::millis(grant.claimed_at),
        Value::millis(grant.updated_at),
        Value::millis(grant.expires_at),
        Value::integer(grant.version),
    ])
}

/// Reads a row.
pub(crate) fn read<R: Cells>(row: &R) -> sqlx::Result<Grant> {
    let columns = Columns(row);
    let receipt = match columns.maybe_transaction("receipt_tx")? {
        None => None,
        Some(transaction) => Some(Receipt {
            network: columns.network("receipt_network")?,
            transaction,
            payer: columns.address("receipt_payer")?,
            signed: columns.maybe_text("receipt_signed")?.map(|_| columns.word("receipt_signed", |text| text.parse().ok())).transpose()?,
        }),
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
