//! `GET /payments/{id}`, which is ours.

use crate::{
    BlockRef, PaymentRow, Settlement, SettlementAnswer,
    wire::{WireError, json},
};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Writes how a payment stands. Amount in the asset's smallest unit, network as CAIP-2, times in Unix milliseconds.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_payment_status(row: &PaymentRow) -> Result<Vec<u8>, WireError> {
    json::write(&StatusOut {
        payment_id: row.key.to_string(),
        state: row.state.as_str(),
        network: row.asset.network.to_string(),
        asset: row.asset.address.to_string(),
        payer: row.payer.to_string(),
        pay_to: row.pay_to.to_string(),
        amount: row.amount.to_string(),
        transaction: row.state.transaction().map(|transaction| transaction.to_string()),
        block: row.state.block().map(|block| BlockOut { number: block.number, hash: block.hash.to_string() }),
        error: match &row.answer {
            Some(SettlementAnswer::Refused { word, text }) => Some(format!("{word}: {text}")),
            Some(SettlementAnswer::Settled) | None => None,
        },
        claimed_at: row.claimed_at.0,
        updated_at: row.updated_at.0,
    })
}

/// Reads how a payment stands.
///
/// # Errors
/// [`WireError::Field`] if state, transaction and block do not fit together.
///
/// ```
/// use h402_core::{Settlement, wire::h402::decode_payment_status};
/// assert_eq!(decode_payment_status(br#"{"state":"claimed"}"#), Ok(Settlement::Claimed));
/// assert!(decode_payment_status(br#"{"state":"included"}"#).is_err());
/// ```
pub fn decode_payment_status(body: &[u8]) -> Result<Settlement, WireError> {
    let wire: StatusIn<'_> = json::read_bytes(body)?;
    let transaction = match wire.transaction {
        Some(text) => Some(text.parse().map_err(|_| WireError::Field("transaction cannot be read"))?),
        None => None,
    };
    let block = match wire.block {
        Some(block) => {
            let hash: B256 = block.hash.parse().map_err(|_| WireError::Field("block cannot be read"))?;
            Some(BlockRef { number: block.number, hash })
        }
        None => None,
    };
    Settlement::from_parts(&wire.state, transaction, block).ok_or(WireError::Field("state, transaction and block do not fit together"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusOut<'a> {
    payment_id: String,
    state: &'a str,
    network: String,
    asset: String,
    payer: String,
    pay_to: String,
    amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<BlockOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    claimed_at: u64,
    updated_at: u64,
}

#[derive(Serialize)]
struct BlockOut {
    number: u64,
    hash: String,
}

#[derive(Deserialize)]
struct StatusIn<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    transaction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    block: Option<BlockIn<'a>>,
}

#[derive(Deserialize)]
struct BlockIn<'a> {
    number: u64,
    #[serde(borrow)]
    hash: Cow<'a, str>,
}
