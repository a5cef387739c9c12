//! What a facilitator is asked: `POST /verify` and `POST /settle`.

use super::{
    payment::{decode_payment, encode_payment},
    requirements::{Reader, RequirementsIn, RequirementsOut},
};
use crate::{
    Assets, Matched, Offers, PaymentPayload, Reject, Requirements,
    wire::{WireError, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A payment and what it should pay, as a facilitator is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The payment.
    pub payload: PaymentPayload,
    /// What it should pay. The resource's URL is empty if the caller named none.
    pub requirements: Requirements,
}

/// Why a request is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The caller's mistake: 400.
    #[error("{0}")]
    Malformed(&'static str),
    /// A refusal like any other: 200 with `isValid: false` or `success: false`.
    #[error(transparent)]
    Rejected(#[from] Reject),
}

impl Request {
    /// Matches the payment with the one offer it should pay.
    ///
    /// # Errors
    /// As [`Matched::new`].
    pub fn matched(self) -> Result<Matched, Reject> {
        let Requirements { offer, resource, lifetime_seconds, .. } = self.requirements;
        let offers = Offers::new(vec![offer]).map_err(|_| Reject::NoOffer)?;
        Matched::new(self.payload, &offers, &resource, lifetime_seconds)
    }

    /// As [`Request::matched`], where payers may be contracts.
    ///
    /// # Errors
    /// As [`Matched::with_contracts`].
    pub fn matched_with_contracts(self) -> Result<Matched, Reject> {
        let Requirements { offer, resource, lifetime_seconds, .. } = self.requirements;
        let offers = Offers::new(vec![offer]).map_err(|_| Reject::NoOffer)?;
        Matched::with_contracts(self.payload, &offers, &resource, lifetime_seconds)
    }

    /// The network that it is to be paid on.
    #[must_use]
    pub fn network(&self) -> crate::Network {
        self.requirements.offer.network()
    }
}

/// Reads the body of `POST /verify` or `POST /settle`. The asset is looked up in `assets` by network and address.
///
/// # Errors
/// [`RequestError::Malformed`] if the body has no payload or no requirements; [`RequestError::Rejected`] with the
/// first thing that is wrong with either, [`Reject::Asset`] for an asset that is not in `assets`.
///
/// ```
/// use h402_core::{Assets, Reject, wire::h402::{RequestError, decode_request}};
/// let body = br#"{"payload":"e30=","paymentRequirements":{}}"#;
/// assert!(matches!(decode_request(body, &Assets::known()), Err(RequestError::Rejected(Reject::Malformed(_)))));
/// assert!(matches!(decode_request(b"{}", &Assets::known()), Err(RequestError::Malformed(_))));
/// ```
pub fn decode_request(body: &[u8], assets: &Assets) -> Result<Request, RequestError> {
    let wire: RequestIn<'_> = json::read_bytes(body).map_err(|error| match error {
        WireError::Shape => RequestError::Malformed("payload and paymentRequirements are required, once each"),
        _ => RequestError::Malformed("not JSON"),
    })?;
    let payload = decode_payment(wire.payload.as_bytes())?;
    let requirements: RequirementsIn<'_> = json::read(wire.payment_requirements.get())
        .map_err(|_| Reject::Requirements("a field is missing, repeated or of the wrong type"))?;
    let requirements = requirements.parse(assets, Reader::Payee).map_err(|skipped| skipped.reject())?;
    Ok(Request { payload, requirements })
}

/// Writes the body of `POST /verify` or `POST /settle`.
///
/// # Errors
/// As [`encode_payment`] and [`super::encode_challenge`].
pub fn encode_request(payload: &PaymentPayload, requirements: &Requirements) -> Result<Vec<u8>, WireError> {
    json::write(&RequestOut { payload: encode_payment(payload)?, payment_requirements: RequirementsOut::new(requirements)? })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestIn<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(borrow)]
    payment_requirements: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestOut<'a> {
    payload: String,
    payment_requirements: RequirementsOut<'a>,
}
