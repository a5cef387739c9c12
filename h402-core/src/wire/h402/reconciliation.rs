//! `GET /reconciliation`, which is ours.

use crate::{
    Network, Reconciliation,
    wire::{WireError, json},
};
use serde::Serialize;

/// Writes how ledger and chains stand to each other. Amounts in the asset's smallest unit, networks as CAIP-2, times in Unix
/// milliseconds.
///
/// # Errors
/// None in practice; see [`WireError`].
///
/// ```
/// use h402_core::{Network, Reconciliation, wire::h402};
/// let body = h402::encode_reconciliations(&[(Network::Evm(1), Reconciliation::default())])?;
/// assert_eq!(body, br#"{"networks":[{"network":"eip155:1","open":0,"differences":[]}]}"#);
/// # Ok::<(), h402::WireError>(())
/// ```
pub fn encode_reconciliations(all: &[(Network, Reconciliation)]) -> Result<Vec<u8>, WireError> {
    let networks = all.iter().map(|(network, found)| NetworkOut {
        network: network.to_string(),
        block: found.reached.block,
        at: found.at.map(|at| at.0),
        open: found.open,
        differences: found.differences.iter().map(DifferenceOut::of).collect(),
    });
    json::write(&Body { networks: networks.collect() })
}

#[derive(Serialize)]
struct Body {
    networks: Vec<NetworkOut>,
}

#[derive(Serialize)]
struct NetworkOut {
    network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    open: u64,
    differences: Vec<DifferenceOut>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DifferenceOut {
    kind: &'static str,
    transaction: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    found_at: u64,
}

impl DifferenceOut {
    fn of(difference: &crate::Difference) -> Self {
        Self {
            kind: difference.kind.as_str(),
            transaction: difference.transaction.to_string(),
            payment_id: difference.payment.map(|payment| payment.to_string()),
            asset: difference.asset.map(|asset| asset.to_string()),
            pay_to: difference.pay_to.map(|pay_to| pay_to.to_string()),
            amount: difference.amount.map(|amount| amount.to_string()),
            found_at: difference.found_at.0,
        }
    }
}
