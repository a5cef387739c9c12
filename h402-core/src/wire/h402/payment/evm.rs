//! Payloads of EVM networks.

use super::TypeIn;
use crate::{
    Payload, Reject, SentEvmTransaction, SignedEvmTransaction,
    wire::{
        json::read_payload as read,
        signed::{AuthorizationOut, MAX_SIGNATURE, SignedAuthorizationIn, hex_array, hex_bytes},
    },
};
use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Longest transaction, in bytes.
const MAX_TRANSACTION: usize = 128 * 1024;

pub(super) fn parse(text: &str) -> Result<Payload, Reject> {
    Ok(match &*read::<TypeIn<'_>>(text)?.kind {
        "authorization" => Payload::Authorization(read::<SignedAuthorizationIn<'_>>(text)?.parse()?),
        "signedTransaction" => {
            let wire: SignedTransactionIn<'_> = read(text)?;
            let raw = hex_bytes(&wire.signed_transaction, MAX_TRANSACTION, "signedTransaction is not 0x hex, or too long")?;
            Payload::EvmTransaction(SignedEvmTransaction { raw, signed_message: signed_message(&wire.signed_message)? })
        }
        "signAndSendTransaction" => {
            let wire: EvmSentIn<'_> = read(text)?;
            let hash = hex_array(&wire.transaction_hash).ok_or(Reject::Malformed("transactionHash is not 0x and 64 hex digits"))?;
            Payload::EvmSent(SentEvmTransaction { hash: B256::from(hash), signed_message: signed_message(&wire.signed_message)? })
        }
        _ => return Err(Reject::PayloadType("not a type of this namespace")),
    })
}

fn signed_message(text: &str) -> Result<Bytes, Reject> {
    hex_bytes(text, MAX_SIGNATURE, "signedMessage is not 0x hex, or too long")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedTransactionIn<'a> {
    #[serde(borrow)]
    signed_transaction: Cow<'a, str>,
    #[serde(borrow)]
    signed_message: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EvmSentIn<'a> {
    #[serde(borrow)]
    transaction_hash: Cow<'a, str>,
    #[serde(borrow)]
    signed_message: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub(super) enum PayloadOut<'a> {
    #[serde(rename = "authorization")]
    Authorization { signature: String, authorization: AuthorizationOut<'a> },
    #[serde(rename = "signedTransaction")]
    SignedTransaction { signed_transaction: String, signed_message: String },
    #[serde(rename = "signAndSendTransaction")]
    Sent { transaction_hash: String, signed_message: String },
}

impl<'a> PayloadOut<'a> {
    /// `None` if it is not a payload of EVM networks.
    pub(super) fn new(payload: &'a Payload) -> Option<Self> {
        Some(match payload {
            Payload::Authorization(signed) => Self::Authorization {
                signature: signed.signature.to_string(),
                authorization: AuthorizationOut::new(&signed.authorization, signed.version.as_deref()),
            },
            Payload::EvmTransaction(signed) => {
                Self::SignedTransaction { signed_transaction: signed.raw.to_string(), signed_message: signed.signed_message.to_string() }
            }
            Payload::EvmSent(sent) => {
                Self::Sent { transaction_hash: sent.hash.to_string(), signed_message: sent.signed_message.to_string() }
            }
            Payload::Permit2(_) | Payload::SolanaTransaction(_) | Payload::SolanaSent(_) => return None,
        })
    }
}
