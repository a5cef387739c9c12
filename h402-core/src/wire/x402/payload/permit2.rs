//! Transfers through Permit2, and the approval that may come with one (`eip2612GasSponsoring`).

use crate::{
    Address, Permit, Permit2Authorization, Permit2Witness, Reject, SignedPermit, SignedPermit2,
    wire::{
        WireError, json,
        signed::{MAX_SIGNATURE, evm_address, hex_bytes, integer},
        x402::Extensions,
    },
};
use alloy_primitives::U256;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The key of the extension with the payer's approval.
const SPONSORING: &str = "eip2612GasSponsoring";

pub(super) fn parse(text: &str, extensions: &Extensions) -> Result<SignedPermit2, Reject> {
    let wire: SignedIn<'_> = json::read_payload(text)?;
    let signature = hex_bytes(&wire.signature, MAX_SIGNATURE, "signature is not 0x hex, or too long")?;
    let permit = extensions.get(SPONSORING).map(permit).transpose()?.flatten();
    Ok(SignedPermit2 { authorization: wire.permit2_authorization.parse()?, signature, permit })
}

/// The approval, if the payer has given one: a server only says that it would take one.
fn permit(text: &str) -> Result<Option<SignedPermit>, Reject> {
    let wire: SponsoringIn<'_> = json::read_payload(text)?;
    let Some(raw) = wire.info else { return Ok(None) };
    let info: PermitIn<'_> = json::read_payload(raw.get())?;
    let Some(signature) = info.signature else { return Ok(None) };
    let missing = || Reject::Malformed("eip2612GasSponsoring has no from, asset, spender, amount, nonce or deadline");
    let permit = Permit {
        owner: evm_address(&info.from.ok_or_else(missing)?, "from of the permit is not an EVM address")?,
        token: evm_address(&info.asset.ok_or_else(missing)?, "asset of the permit is not an EVM address")?,
        spender: evm_address(&info.spender.ok_or_else(missing)?, "spender of the permit is not an EVM address")?,
        value: integer(info.amount.ok_or_else(missing)?, "amount of the permit is not a canonical decimal integer")?,
        nonce: integer(info.nonce.ok_or_else(missing)?, "nonce of the permit is not a canonical decimal integer")?.to_u256(),
        deadline: integer(info.deadline.ok_or_else(missing)?, "deadline of the permit is not a canonical decimal integer")?.to_u256(),
    };
    let signature = hex_bytes(&signature, MAX_SIGNATURE, "signature of the permit is not 0x hex, or too long")?;
    Ok(Some(SignedPermit { permit, signature }))
}

/// Puts the approval where version 2 has it.
pub(super) fn extend(extensions: &mut Extensions, signed: &SignedPermit2) -> Result<(), WireError> {
    let Some(SignedPermit { permit, signature }) = &signed.permit else { return Ok(()) };
    let schema = extensions.schema(SPONSORING);
    let json = json::write(&SponsoringOut {
        info: PermitOut {
            from: Address::from(permit.owner).to_string(),
            asset: Address::from(permit.token).to_string(),
            spender: Address::from(permit.spender).to_string(),
            amount: permit.value.to_string(),
            nonce: permit.nonce.to_string(),
            deadline: permit.deadline.to_string(),
            signature: signature.to_string(),
            version: "1",
        },
        schema: schema.as_deref(),
    })?;
    extensions.insert(SPONSORING, String::from_utf8(json).map_err(|_| WireError::Json)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedIn<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    permit2_authorization: AuthorizationIn<'a>,
}

/// What was signed. A field more than these would be one whose meaning we do not know: refused (T097).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorizationIn<'a> {
    #[serde(borrow)]
    permitted: PermittedIn<'a>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    spender: Cow<'a, str>,
    #[serde(borrow)]
    nonce: &'a RawValue,
    #[serde(borrow)]
    deadline: &'a RawValue,
    #[serde(borrow)]
    witness: WitnessIn<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermittedIn<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(borrow)]
    amount: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WitnessIn<'a> {
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    valid_after: &'a RawValue,
    #[serde(borrow)]
    facilitator: Option<Cow<'a, str>>,
}

impl AuthorizationIn<'_> {
    fn parse(self) -> Result<Permit2Authorization, Reject> {
        let facilitator = self.witness.facilitator.as_deref();
        Ok(Permit2Authorization {
            from: evm_address(&self.from, "from is not an EVM address, or its checksum is wrong")?,
            token: evm_address(&self.permitted.token, "token is not an EVM address, or its checksum is wrong")?,
            amount: integer(self.permitted.amount, "amount is not a canonical decimal integer")?,
            spender: evm_address(&self.spender, "spender is not an EVM address, or its checksum is wrong")?,
            nonce: nonce(self.nonce)?,
            deadline: integer(self.deadline, "deadline is not a canonical decimal integer")?.to_u256(),
            witness: Permit2Witness {
                to: evm_address(&self.witness.to, "to is not an EVM address, or its checksum is wrong")?,
                valid_after: integer(self.witness.valid_after, "validAfter is not a canonical decimal integer")?.to_u256(),
                facilitator: facilitator.map(|text| evm_address(text, "facilitator is not an EVM address")).transpose()?,
            },
        })
    }
}

/// A decimal integer, or hex as one example of the specification has it. The payment is known by its value, so that two
/// spellings are one payment.
fn nonce(raw: &RawValue) -> Result<U256, Reject> {
    let hex = json::string(raw).and_then(|text| {
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        U256::from_str_radix(digits, 16).ok().filter(|_| (1..=64).contains(&digits.len()))
    });
    match hex {
        Some(nonce) => Ok(nonce),
        None => Ok(integer(raw, "nonce is neither a canonical decimal integer nor 0x hex")?.to_u256()),
    }
}

#[derive(Deserialize)]
struct SponsoringIn<'a> {
    #[serde(borrow)]
    info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PermitIn<'a> {
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    spender: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    nonce: Option<&'a RawValue>,
    #[serde(borrow)]
    deadline: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::wire::x402) struct Permit2Out {
    signature: String,
    permit2_authorization: AuthorizationOut,
}

#[derive(Serialize)]
struct AuthorizationOut {
    permitted: PermittedOut,
    from: String,
    spender: String,
    nonce: String,
    deadline: String,
    witness: WitnessOut,
}

#[derive(Serialize)]
struct PermittedOut {
    token: String,
    amount: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WitnessOut {
    to: String,
    valid_after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator: Option<String>,
}

impl Permit2Out {
    pub(super) fn new(signed: &SignedPermit2) -> Self {
        let terms = &signed.authorization;
        let address = |address| Address::from(address).to_string();
        Self {
            signature: signed.signature.to_string(),
            permit2_authorization: AuthorizationOut {
                permitted: PermittedOut { token: address(terms.token), amount: terms.amount.to_string() },
                from: address(terms.from),
                spender: address(terms.spender),
                nonce: terms.nonce.to_string(),
                deadline: terms.deadline.to_string(),
                witness: WitnessOut {
                    to: address(terms.witness.to),
                    valid_after: terms.witness.valid_after.to_string(),
                    facilitator: terms.witness.facilitator.map(address),
                },
            },
        }
    }
}

#[derive(Serialize)]
struct SponsoringOut<'a> {
    info: PermitOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct PermitOut {
    from: String,
    asset: String,
    spender: String,
    amount: String,
    nonce: String,
    deadline: String,
    signature: String,
    version: &'static str,
}
