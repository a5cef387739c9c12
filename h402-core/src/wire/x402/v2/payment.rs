//! The payment payload: what `PAYMENT-SIGNATURE` carries.

use crate::{
    Dialect, Network, PaymentPayload, Reject, Resource, Scheme,
    wire::{
        WireError, header, json,
        x402::{
            Accepted, Extensions,
            payload::{self, PayloadOut},
            v2::challenge::{ResourceIn, ResourceOut},
        },
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A payment of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The proof, of the network and scheme of `accepted`. Its own `resource` is empty: what a payer says there is
    /// neither signed nor compared.
    pub payload: PaymentPayload,
    /// The element of `accepts` that it is for.
    pub accepted: Accepted,
    /// What the payer says it pays for.
    pub resource: Option<Resource>,
    /// What the server sent, and what the payer adds.
    pub extensions: Extensions,
}

/// Reads a payment header. Only its form is checked.
///
/// # Errors
/// As [`crate::wire::h402::decode_payment`].
pub fn decode_payment(header: &[u8]) -> Result<Payment, Reject> {
    parse(&header::decode_payment(header)?)
}

pub(in crate::wire::x402) fn parse(text: &str) -> Result<Payment, Reject> {
    let wire: PaymentIn<'_> = json::read_payload(text)?;
    if wire.h402_version.is_some() {
        return Err(Reject::Malformed("of two protocols at once"));
    }
    if !json::is(wire.x402_version, 2) {
        return Err(Reject::Version);
    }
    let chosen: ChosenIn<'_> = json::read_payload(wire.accepted.get())?;
    let accepted = Accepted::read(wire.accepted).ok_or(Reject::Malformed("a field of accepted is repeated or of the wrong type"))?;
    let scheme = Scheme::from_word(&chosen.scheme).ok_or(Reject::Scheme)?;
    let network: Network = chosen.network.parse().map_err(|_| Reject::Malformed("network is not one of CAIP-2 that is known here"))?;
    let extensions = wire.extensions.unwrap_or_default();
    let payload = payload::parse(wire.payload.get(), network, &extensions)?;
    // The rest decides nothing, so a resource that cannot be read is as good as none.
    let resource = wire.resource.and_then(|raw| json::read::<ResourceIn<'_>>(raw.get()).ok()).map(ResourceIn::into_resource);
    let payload = PaymentPayload { dialect: Dialect::X402V2, scheme, network, resource: None, payload };
    Ok(Payment { payload, accepted, resource, extensions })
}

/// Writes a payment header: padded standard base64 of JSON.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`super::MAX_HEADER`], which no server needs to read;
/// [`WireError::Field`] if this version cannot say it.
pub fn encode_payment(payment: &Payment) -> Result<String, WireError> {
    header::encode(&json::write(&PaymentOut::new(payment)?)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentIn<'a> {
    #[serde(borrow)]
    h402_version: Option<&'a RawValue>,
    #[serde(borrow)]
    x402_version: &'a RawValue,
    #[serde(borrow)]
    accepted: &'a RawValue,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
struct ChosenIn<'a> {
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    network: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentOut<'a> {
    x402_version: u8,
    payload: PayloadOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceOut<'a>>,
    accepted: &'a RawValue,
}

impl<'a> PaymentOut<'a> {
    pub(super) fn new(payment: &'a Payment) -> Result<Self, WireError> {
        if payment.payload.dialect != Dialect::X402V2 {
            return Err(WireError::Field("payment is of another dialect"));
        }
        if payment.accepted.network() != Some(payment.payload.network) {
            return Err(WireError::Field("payment is for another network than its offer"));
        }
        Ok(Self {
            x402_version: 2,
            payload: PayloadOut::new(&payment.payload.payload)?,
            extensions: Some(payload::extend(&payment.extensions, &payment.payload.payload)?).filter(|extensions| !extensions.is_empty()),
            resource: payment.resource.as_ref().map(ResourceOut::new),
            accepted: payment.accepted.raw(),
        })
    }
}
