//! The payment payload: what `X-PAYMENT` carries.

mod evm;
mod solana;

use super::{VERSION, network, network::BadNetwork};
use crate::{
    Dialect, Network, PaymentPayload, Reject, Scheme,
    wire::{WireError, header, json, json::read_payload as read},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reads a payment header. Only its form is checked.
///
/// # Errors
/// [`Reject::Undecodable`] if it is longer than [`super::MAX_HEADER`] or no JSON in base64; [`Reject::Version`],
/// [`Reject::Scheme`] and [`Reject::PayloadType`] for what is not spoken here; [`Reject::Malformed`] for a field
/// that is missing, repeated or cannot be read.
pub fn decode_payment(header: &[u8]) -> Result<PaymentPayload, Reject> {
    let text = header::decode_payment(header)?;
    let wire: PaymentIn<'_> = read(&text)?;
    if !json::is_one(wire.h402_version) {
        return Err(Reject::Version);
    }
    let scheme = Scheme::from_word(&wire.scheme).filter(|scheme| *scheme == Scheme::Exact).ok_or(Reject::Scheme)?;
    let network = network::parse(&wire.namespace, &wire.network_id).map_err(|bad| match bad {
        BadNetwork::Arkade => Reject::PayloadType("arkade"),
        BadNetwork::Namespace => Reject::Malformed("namespace is not known"),
        BadNetwork::Id => Reject::Malformed("networkId is not an identifier of its namespace"),
    })?;
    let payload = match network {
        Network::Evm(_) => evm::parse(wire.payload.get())?,
        Network::Solana(_) => solana::parse(wire.payload.get())?,
    };
    Ok(PaymentPayload { dialect: Dialect::H402V1, scheme, network, resource: wire.resource.map(Cow::into_owned), payload })
}

/// Writes a payment header: padded standard base64 of JSON.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`super::MAX_HEADER`], which no server needs to read;
/// [`WireError::Field`] if the payload is not one of its network, or of another dialect.
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
    let inner = match payload.network {
        Network::Evm(_) => evm::PayloadOut::new(&payload.payload).map(PayloadOut::Evm),
        Network::Solana(_) => solana::PayloadOut::new(&payload.payload).map(PayloadOut::Solana),
    };
    if payload.dialect != Dialect::H402V1 {
        return Err(WireError::Field("payment is of another dialect"));
    }
    header::encode(&json::write(&PaymentOut {
        h402_version: VERSION,
        scheme: payload.scheme.as_str(),
        namespace: network::namespace(payload.network),
        network_id: network::network_id(payload.network),
        resource: payload.resource.as_deref(),
        payload: inner.ok_or(WireError::Field("payload is not one of its network"))?,
    })?)
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
#[serde(untagged)]
enum PayloadOut<'a> {
    Evm(evm::PayloadOut<'a>),
    Solana(solana::PayloadOut),
}
