//! What is signed, as JSON: h402 and x402 spell it alike.

use super::{base64, json};
use crate::{Address, Amount, Authorization, EvmAddress, Reject, SignedAuthorization, solana::SolanaTransaction};
use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Longest signature, in bytes: plain ones have 65, those of contracts may be longer.
pub(super) const MAX_SIGNATURE: usize = 8 * 1024;

/// A transaction of Solana in base64.
pub(super) fn transaction(text: &str) -> Result<Bytes, Reject> {
    let transaction = base64::decode(text.as_bytes()).map_err(|_| Reject::Malformed("transaction is not base64"))?;
    if transaction.is_empty() || transaction.len() > SolanaTransaction::MAX_LENGTH {
        return Err(Reject::Malformed("transaction is empty or longer than 1232 bytes"));
    }
    Ok(transaction.into())
}

/// `0x` and an even, nonzero number of hex digits of either case.
pub(super) fn hex_bytes(text: &str, limit: usize, otherwise: &'static str) -> Result<Bytes, Reject> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.is_empty() && digits.len() / 2 <= limit);
    let bytes = digits.and_then(|digits| hex::decode(digits).ok());
    bytes.map(Bytes::from).ok_or(Reject::Malformed(otherwise))
}

pub(super) fn hex_array(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

#[derive(Deserialize)]
pub(super) struct SignedAuthorizationIn<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    authorization: AuthorizationIn<'a>,
}

impl SignedAuthorizationIn<'_> {
    pub(super) fn parse(self) -> Result<SignedAuthorization, Reject> {
        let signature = hex_bytes(&self.signature, MAX_SIGNATURE, "signature is not 0x hex, or too long")?;
        let version = self.authorization.version.as_ref().map(ToString::to_string);
        Ok(SignedAuthorization { authorization: self.authorization.parse()?, signature, version })
    }
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

pub(super) fn evm_address(text: &str, otherwise: &'static str) -> Result<EvmAddress, Reject> {
    text.parse().ok().and_then(|address: Address| address.evm()).ok_or(Reject::Malformed(otherwise))
}

/// A signed number: one spelling per value (T030). Written as a JSON number it must be one that every parser
/// reads alike, which those above 2^53 − 1 are not (T097).
pub(super) fn integer(raw: &RawValue, otherwise: &'static str) -> Result<Amount, Reject> {
    const MAX_SAFE_INTEGER: u128 = (1 << 53) - 1;
    let text = json::decimal(raw).ok_or(Reject::Malformed(otherwise))?;
    let amount = Amount::from_atomic_text(&text).map_err(|_| Reject::Malformed(otherwise))?;
    if !raw.get().starts_with('"') && amount > Amount::from_atomic(MAX_SAFE_INTEGER) {
        return Err(Reject::Malformed(otherwise));
    }
    Ok(amount)
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
    pub(super) fn new(authorization: &Authorization, version: Option<&'a str>) -> Self {
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
