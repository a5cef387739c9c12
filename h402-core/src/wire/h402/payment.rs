//! The payment payload: what `X-PAYMENT` carries.

use super::{MAX_HEADER, VERSION, network, network::BadNetwork};
use crate::{
    Address, Amount, Authorization, EvmAddress, Network, Payload, PaymentPayload, Reject, Scheme, SentEvmTransaction,
    SentSolanaTransaction, SignedAuthorization, SignedEvmTransaction, SignedSolanaTransaction,
    payload::Dialect,
    wire::{WireError, base64, json},
};
use alloy_primitives::{B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Longest signature, in bytes: plain ones have 65, those of contracts may be longer.
const MAX_SIGNATURE: usize = 8 * 1024;
/// Longest EVM transaction, in bytes.
const MAX_EVM_TRANSACTION: usize = 128 * 1024;
/// Longest Solana transaction, in bytes: one packet.
const MAX_SOLANA_TRANSACTION: usize = 1232;

/// Reads a payment header. Only its form is checked.
///
/// # Errors
/// [`Reject::Undecodable`] if it is longer than [`MAX_HEADER`] or no JSON in base64; [`Reject::Version`],
/// [`Reject::Scheme`] and [`Reject::PayloadType`] for what is not spoken here; [`Reject::Malformed`] for a field
/// that is missing, repeated or cannot be read.
pub fn decode_payment(header: &[u8]) -> Result<PaymentPayload, Reject> {
    if header.len() > MAX_HEADER {
        return Err(Reject::Undecodable("longer than 16 KiB"));
    }
    let text = base64::decode_text(header).map_err(|_| Reject::Undecodable("not base64"))?;
    let wire: PaymentIn<'_> = read(&text)?;
    if !json::is_one(wire.h402_version) {
        return Err(Reject::Version);
    }
    let scheme = Scheme::from_word(&wire.scheme).ok_or(Reject::Scheme)?;
    let network = network::parse(&wire.namespace, &wire.network_id).map_err(|bad| match bad {
        BadNetwork::Arkade => Reject::PayloadType("arkade"),
        BadNetwork::Namespace => Reject::Malformed("namespace is not known"),
        BadNetwork::Id => Reject::Malformed("networkId is not an identifier of its namespace"),
    })?;
    let payload = match network {
        Network::Evm(_) => evm_payload(wire.payload.get())?,
        Network::Solana(_) => solana_payload(wire.payload.get())?,
    };
    Ok(PaymentPayload { dialect: Dialect::H402V1, scheme, network, resource: wire.resource.map(Cow::into_owned), payload })
}

/// Writes a payment header: padded standard base64 of JSON.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`MAX_HEADER`], which no server needs to read;
/// [`WireError::Field`] if the payload is not one of its network.
///
/// ```
/// use alloy_primitives::B256;
/// use h402_core::{Dialect, Network, Payload, PaymentPayload, Scheme, SentEvmTransaction, wire::h402};
/// let sent = SentEvmTransaction { hash: B256::repeat_byte(7), signed_message: [1; 65].into() };
/// let payment = PaymentPayload {
///     dialect: Dialect::H402V1,
///     scheme: Scheme::Exact,
///     network: Network::Evm(8453),
///     resource: Some("https://api.example/item".to_owned()),
///     payload: Payload::EvmSent(sent),
/// };
/// let header = h402::encode_payment(&payment)?;
/// assert_eq!(h402::decode_payment(header.as_bytes()), Ok(payment));
/// # Ok::<(), h402::WireError>(())
/// ```
pub fn encode_payment(payload: &PaymentPayload) -> Result<String, WireError> {
    let inner = match (payload.network, &payload.payload) {
        (Network::Evm(_), Payload::Authorization(signed)) => PayloadOut::Authorization {
            signature: signed.signature.to_string(),
            authorization: AuthorizationOut::new(&signed.authorization, signed.version.as_deref()),
        },
        (Network::Evm(_), Payload::EvmTransaction(signed)) => {
            PayloadOut::SignedTransaction { signed_transaction: signed.raw.to_string(), signed_message: signed.signed_message.to_string() }
        }
        (Network::Evm(_), Payload::EvmSent(sent)) => {
            PayloadOut::EvmSent { transaction_hash: sent.hash.to_string(), signed_message: sent.signed_message.to_string() }
        }
        (Network::Solana(_), Payload::SolanaTransaction(signed)) => PayloadOut::SignTransaction {
            signature: signed.signature.map(|signature| bs58::encode(signature).into_string()),
            transaction: base64::encode(&signed.transaction),
        },
        (Network::Solana(_), Payload::SolanaSent(sent)) => PayloadOut::SolanaSent { signature: bs58::encode(sent.signature).into_string() },
        _ => return Err(WireError::Field("payload is not one of its network")),
    };
    let Dialect::H402V1 = payload.dialect;
    let json = json::write(&PaymentOut {
        h402_version: VERSION,
        scheme: payload.scheme.as_str(),
        namespace: network::namespace(payload.network),
        network_id: network::network_id(payload.network),
        resource: payload.resource.as_deref(),
        payload: inner,
    })?;
    let header = base64::encode(&json);
    if header.len() > MAX_HEADER {
        return Err(WireError::TooLong { limit: MAX_HEADER, unit: "bytes of header" });
    }
    Ok(header)
}

fn evm_payload(text: &str) -> Result<Payload, Reject> {
    Ok(match &*read::<TypeIn<'_>>(text)?.kind {
        "authorization" => {
            let wire: SignedAuthorizationIn<'_> = read(text)?;
            let signature = hex_bytes(&wire.signature, MAX_SIGNATURE, "signature is not 0x hex, or too long")?;
            let version = wire.authorization.version.as_ref().map(ToString::to_string);
            Payload::Authorization(SignedAuthorization { authorization: wire.authorization.parse()?, signature, version })
        }
        "signedTransaction" => {
            let wire: SignedTransactionIn<'_> = read(text)?;
            let raw = hex_bytes(&wire.signed_transaction, MAX_EVM_TRANSACTION, "signedTransaction is not 0x hex, or too long")?;
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

fn solana_payload(text: &str) -> Result<Payload, Reject> {
    Ok(match &*read::<TypeIn<'_>>(text)?.kind {
        "signTransaction" => {
            let wire: SignTransactionIn<'_> = read(text)?;
            let transaction = base64::decode(wire.transaction.as_bytes()).map_err(|_| Reject::Malformed("transaction is not base64"))?;
            if transaction.is_empty() || transaction.len() > MAX_SOLANA_TRANSACTION {
                return Err(Reject::Malformed("transaction is empty or longer than 1232 bytes"));
            }
            let signature = wire.signature.as_deref().map(solana_signature).transpose()?;
            Payload::SolanaTransaction(SignedSolanaTransaction { signature, transaction: transaction.into() })
        }
        "signAndSendTransaction" => {
            let wire: SolanaSentIn<'_> = read(text)?;
            Payload::SolanaSent(SentSolanaTransaction { signature: solana_signature(&wire.signature)? })
        }
        "signMessage" => return Err(Reject::PayloadType("signMessage")),
        _ => return Err(Reject::PayloadType("not a type of this namespace")),
    })
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Reject> {
    json::read(text).map_err(|error| match error {
        WireError::Shape => Reject::Malformed("a field is missing, repeated or of the wrong type"),
        _ => Reject::Undecodable("not JSON"),
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

fn solana_signature(text: &str) -> Result<[u8; 64], Reject> {
    let mut signature = [0; 64];
    match bs58::decode(text).onto(&mut signature) {
        Ok(64) => Ok(signature),
        _ => Err(Reject::Malformed("signature is not 64 bytes in base58")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentIn<'a> {
    #[serde(borrow)]
    h402_version: &'a RawValue,
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    network_id: Cow<'a, str>,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct TypeIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
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

#[derive(Deserialize)]
struct SignTransactionIn<'a> {
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transaction: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SolanaSentIn<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentOut<'a> {
    h402_version: u8,
    scheme: &'a str,
    namespace: &'a str,
    network_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    payload: PayloadOut<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
enum PayloadOut<'a> {
    #[serde(rename = "authorization")]
    Authorization { signature: String, authorization: AuthorizationOut<'a> },
    #[serde(rename = "signedTransaction")]
    SignedTransaction { signed_transaction: String, signed_message: String },
    #[serde(rename = "signAndSendTransaction")]
    EvmSent { transaction_hash: String, signed_message: String },
    #[serde(rename = "signTransaction")]
    SignTransaction {
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        transaction: String,
    },
    #[serde(rename = "signAndSendTransaction")]
    SolanaSent { signature: String },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationOut<'a> {
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
        let decimal = |integer: &U256| integer.to_string();
        Self {
            from: Address::from(authorization.from).to_string(),
            to: Address::from(authorization.to).to_string(),
            value: authorization.value.to_string(),
            valid_after: decimal(&authorization.valid_after),
            valid_before: decimal(&authorization.valid_before),
            nonce: authorization.nonce.to_string(),
            version,
        }
    }
}
