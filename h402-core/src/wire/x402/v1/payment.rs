//! The payment payload: what `X-PAYMENT` carries.

use crate::{
    Dialect, PaymentPayload, Reject, Scheme,
    wire::{
        WireError, header, json,
        x402::{
            Extensions, Version, name,
            payload::{self, PayloadOut},
        },
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reads a payment header. Only its form is checked.
///
/// # Errors
/// As [`crate::wire::h402::decode_payment`].
pub fn decode_payment(header: &[u8]) -> Result<PaymentPayload, Reject> {
    parse(&header::decode_payment(header)?)
}

pub(in crate::wire::x402) fn parse(text: &str) -> Result<PaymentPayload, Reject> {
    let wire: PaymentIn<'_> = json::read_payload(text)?;
    if wire.h402_version.is_some() {
        return Err(Reject::Malformed("of two protocols at once"));
    }
    if !json::is(wire.x402_version, 1) {
        return Err(Reject::Version);
    }
    let scheme = Scheme::from_word(&wire.scheme).filter(|scheme| *scheme == Scheme::Exact).ok_or(Reject::Scheme)?;
    let network =
        name::read(&wire.network, Version::V1).ok_or(Reject::Malformed("network is no name of this version, or of two chains"))?;
    let payload = payload::parse(wire.payload.get(), network, &Extensions::default())?;
    Ok(PaymentPayload { dialect: Dialect::X402V1, scheme, network, resource: None, payload })
}

/// Writes a payment header: padded standard base64 of JSON.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`super::MAX_HEADER`], which no server needs to read;
/// [`WireError::Field`] if this version cannot say it.
///
/// ```
/// use h402_core::{Dialect, GenesisPrefix, Network, Payload, PaymentPayload, Scheme, SignedSolanaTransaction, wire::x402::v1};
/// let signed = SignedSolanaTransaction { signature: None, transaction: vec![1; 200].into() };
/// let payment = PaymentPayload {
///     dialect: Dialect::X402V1,
///     scheme: Scheme::Exact,
///     network: Network::Solana(GenesisPrefix::MAINNET),
///     resource: None,
///     payload: Payload::SolanaTransaction(signed),
/// };
/// assert_eq!(v1::decode_payment(v1::encode_payment(&payment)?.as_bytes()), Ok(payment));
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn encode_payment(payload: &PaymentPayload) -> Result<String, WireError> {
    header::encode(&json::write(&PaymentOut::new(payload)?)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentIn<'a> {
    #[serde(borrow)]
    h402_version: Option<&'a RawValue>,
    #[serde(borrow)]
    x402_version: &'a RawValue,
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    network: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentOut<'a> {
    x402_version: u8,
    scheme: &'static str,
    network: String,
    payload: PayloadOut<'a>,
}

impl<'a> PaymentOut<'a> {
    pub(super) fn new(payment: &'a PaymentPayload) -> Result<Self, WireError> {
        if payment.dialect != Dialect::X402V1 {
            return Err(WireError::Field("payment is of another dialect"));
        }
        let network = name::write(payment.network, Version::V1).ok_or(WireError::Field("x402 version 1 has no name for the network"))?;
        Ok(Self { x402_version: 1, scheme: payment.scheme.as_str(), network, payload: PayloadOut::new(&payment.payload)? })
    }
}
