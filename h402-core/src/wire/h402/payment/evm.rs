//! Payloads of EVM networks.

use super::{MAX_SIGNATURE, TypeIn, read};
use crate::{
    Address, Amount, Authorization, EvmAddress, Payload, Reject, SentEvmTransaction, SignedAuthorization, SignedEvmTransaction, wire::json,
};
use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Longest transaction, in bytes.
const MAX_TRANSACTION: usize = 128 * 1024;

pub(super) fn parse(text: &str) -> Result<Payload, Reject> {
    Ok(match &*read::<TypeIn<'_>>(text)?.kind {
        "authorization" => {
            let wire: SignedAuthorizationIn<'_> = read(text)?;
            let signature = hex_bytes(&wire.signature, MAX_SIGNATURE, "signature is not 0x hex, or too long")?;
            let version = wire.authorization.version.as_ref().map(ToString::to_string);
            Payload::Authorization(SignedAuthorization { authorization: wire.authorization.parse()?, signature, version })
        }
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

/// `0x` and an even, nonzero number of hex digits of either case.
fn hex_bytes(text: &str, limit: usize, otherwise: &'static str) -> Result<Bytes, Reject> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.is_empty() && digits.len() / 2 <= limit);
    let bytes = digits.and_then(|digits| hex::decode(digits).ok());
    bytes.map(Bytes::from).ok_or(Reject::Malformed(otherwise))
}

fn hex_array(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

#[derive(Deserialize)]
struct SignedAuthorizationIn<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    authorization: AuthorizationIn<'a>,
}

/// What was signed. A field more than these would be one whose meaning we do not know: refused (T097).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthorizationIn<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(borrow)]
    valid_after: &'a RawValue,
    #[serde(borrow)]
    valid_before: &'a RawValue,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
}

impl AuthorizationIn<'_> {
    fn parse(self) -> Result<Authorization, Reject> {
        Ok(Authorization {
            from: evm_address(&self.from, "from is not an EVM address, or its checksum is wrong")?,
            to: evm_address(&self.to, "to is not an EVM address, or its checksum is wrong")?,
            value: integer(self.value, "value is not a canonical decimal integer")?,
            valid_after: integer(self.valid_after, "validAfter is not a canonical decimal integer")?.to_u256(),
            valid_before: integer(self.valid_before, "validBefore is not a canonical decimal integer")?.to_u256(),
            nonce: hex_array(&self.nonce).map(B256::from).ok_or(Reject::Malformed("nonce is not 0x and 64 hex digits"))?,
        })
    }
}

fn evm_address(text: &str, otherwise: &'static str) -> Result<EvmAddress, Reject> {
    text.parse().ok().and_then(|address: Address| address.evm()).ok_or(Reject::Malformed(otherwise))
}

/// A signed number: one spelling per value (T030). Written as a JSON number it must be one that every parser
/// reads alike, which those above 2^53 − 1 are not (T097).
fn integer(raw: &RawValue, otherwise: &'static str) -> Result<Amount, Reject> {
    const MAX_SAFE_INTEGER: u128 = (1 << 53) - 1;
    let text = json::decimal(raw).ok_or(Reject::Malformed(otherwise))?;
    let amount = Amount::from_atomic_text(&text).map_err(|_| Reject::Malformed(otherwise))?;
    if !raw.get().starts_with('"') && amount > Amount::from_atomic(MAX_SAFE_INTEGER) {
        return Err(Reject::Malformed(otherwise));
    }
    Ok(amount)
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorizationOut<'a> {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

impl<'a> AuthorizationOut<'a> {
    fn new(authorization: &Authorization, version: Option<&'a str>) -> Self {
        Self {
            from: Address::from(authorization.from).to_string(),
            to: Address::from(authorization.to).to_string(),
            value: authorization.value.to_string(),
            valid_after: authorization.valid_after.to_string(),
            valid_before: authorization.valid_before.to_string(),
            nonce: authorization.nonce.to_string(),
            version,
        }
    }
}
