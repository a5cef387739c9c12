//! `extra` of payments on Solana: what a payer would otherwise have to ask a node.

use crate::{Network, SolanaHints, base58, wire::json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// As it is spelled. A hint that cannot be read is no hint.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HintsIn<'a> {
    #[serde(borrow)]
    fee_payer: Option<&'a RawValue>,
    #[serde(borrow)]
    recent_blockhash: Option<&'a RawValue>,
    #[serde(borrow)]
    last_valid_block_height: Option<&'a RawValue>,
}

/// Reads `extra`; `None` if there is no hint in it.
pub(super) fn parse(extra: Option<&RawValue>) -> Option<SolanaHints> {
    let wire: HintsIn<'_> = json::read(extra?.get()).ok()?;
    let hints = SolanaHints {
        fee_payer: wire.fee_payer.and_then(json::string).and_then(|text| text.parse().ok()),
        blockhash: wire.recent_blockhash.and_then(json::string).and_then(|text| base58::read(&text)),
        last_valid_block_height: wire.last_valid_block_height.and_then(json::decimal).and_then(|text| text.parse().ok()),
    };
    (hints != SolanaHints::default()).then_some(hints)
}

/// Reads `extra` of something on `network`.
pub(in crate::wire) fn of(extra: Option<&RawValue>, network: Network) -> Option<SolanaHints> {
    if matches!(network, Network::Solana(_)) { parse(extra) } else { None }
}

/// As we spell it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::wire) struct HintsOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_payer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recent_blockhash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_valid_block_height: Option<String>,
}

impl HintsOut {
    /// `None` if there is nothing to say.
    pub(in crate::wire) fn new(hints: Option<&SolanaHints>) -> Option<Self> {
        let hints = hints.filter(|hints| **hints != SolanaHints::default())?;
        Some(Self {
            fee_payer: hints.fee_payer.map(|address| address.to_string()),
            recent_blockhash: hints.blockhash.map(|hash| bs58::encode(hash).into_string()),
            last_valid_block_height: hints.last_valid_block_height.map(|height| height.to_string()),
        })
    }
}
