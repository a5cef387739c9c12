//! What a facilitator is asked: `POST /verify` and `POST /settle`.

use super::{
    LeftOut, Terms, Version,
    requirements::{RequirementsIn, RequirementsOut},
    v1, v2,
};
use crate::{
    Assets, Matched, Network, Offers, PaymentPayload, Proof, Reject, Requirements, Resource, SolanaReject,
    wire::{WireError, h402::RequestError, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// A payment and what it should pay, as a facilitator is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The payment.
    pub payload: PaymentPayload,
    /// What it should pay, in the server's words. The resource's URL is empty if the caller named none.
    pub terms: Terms,
    /// The memo that a transaction on Solana must have, and no other (`extra.memo`).
    pub memo: Option<String>,
    /// Whether nothing shall be moved, which can be asked in scheme `upto` only: what was sold turned out to cost nothing. The
    /// terms then ask for one smallest unit, since no offer asks for less.
    pub nothing: bool,
}

impl Request {
    /// Matches the payment with the one offer it should pay; where `contracts` is set, payers may be contracts.
    ///
    /// # Errors
    /// As [`Matched::new`] and [`Matched::with_contracts`]; [`SolanaReject::FeePayerDiffers`] if another pays the fee
    /// than the one whom the terms name, [`SolanaReject::Memo`] if its memo is not the one that was asked for.
    pub fn matched(self, contracts: bool) -> Result<Matched, Reject> {
        let Requirements { offer, resource, lifetime_seconds, solana, .. } = self.terms.requirements;
        let offers = Offers::new(vec![offer]).map_err(|_| Reject::NoOffer)?;
        let matched = if contracts {
            Matched::with_contracts(self.payload, &offers, &resource, lifetime_seconds)
        } else {
            Matched::new(self.payload, &offers, &resource, lifetime_seconds)
        }?;
        let Proof::SolanaTransaction { transaction, payment, .. } = matched.proof() else { return Ok(matched) };
        if solana.and_then(|hints| hints.fee_payer).is_some_and(|named| payment.fee_payer != named) {
            return Err(SolanaReject::FeePayerDiffers.into());
        }
        if self.memo.is_some_and(|memo| !transaction.message.memos().eq([memo.as_bytes()])) {
            return Err(SolanaReject::Memo.into());
        }
        Ok(matched)
    }

    /// The network that it is to be paid on.
    #[must_use]
    pub fn network(&self) -> Network {
        self.terms.requirements.offer.network()
    }
}

pub(super) fn decode(body: &[u8], version: Version, assets: &Assets) -> Result<Request, RequestError> {
    let wire: RequestIn<'_> = json::read_bytes(body).map_err(|error| match error {
        WireError::Shape => RequestError::Malformed("paymentPayload and paymentRequirements are required, once each"),
        _ => RequestError::Malformed("not JSON"),
    })?;
    let (payload, accepted, resource) = match version {
        Version::V1 => (v1::parse_payment(wire.payment_payload.get())?, None, None),
        Version::V2 => {
            let v2::Payment { payload, accepted, resource, .. } = v2::parse_payment(wire.payment_payload.get())?;
            (payload, Some(accepted), resource)
        }
    };
    let requirements: RequirementsIn<'_> = json::read(wire.payment_requirements.get())
        .map_err(|_| Reject::Requirements("a field is missing, repeated or of the wrong type"))?;
    let resource: Option<Arc<Resource>> = resource.map(Arc::new);
    let memo = requirements.memo();
    let nothing = version == Version::V2 && requirements.asks_nothing();
    let requirements = if nothing { requirements.asking_one() } else { Ok(requirements) };
    let requirements = requirements.map_err(|_| Reject::Requirements("amount cannot be read"))?;
    let terms = requirements.parse(version, resource.as_ref(), assets).map_err(|skipped| skipped.reject())?;
    // What the payer has chosen decides nothing here, but it must not have been another network or scheme.
    if let Some(accepted) = accepted {
        let offer = &terms.requirements.offer;
        if accepted.scheme().as_deref() != Some(offer.scheme.as_str()) {
            return Err(Reject::Scheme.into());
        }
        if accepted.network() != Some(offer.network()) {
            return Err(Reject::Network(payload.network).into());
        }
    }
    Ok(Request { payload, terms, memo, nothing })
}

pub(super) fn encode<'a>(payment: impl Serialize + 'a, terms: &'a Terms, version: Version) -> Result<Vec<u8>, WireError> {
    let payment_requirements = RequirementsOut::new(terms, version).map_err(left_out)?;
    json::write(&RequestOut { x402_version: version.number(), payment_payload: payment, payment_requirements })
}

pub(super) fn left_out(why: LeftOut) -> WireError {
    WireError::Field(match why {
        LeftOut::Network => "x402 version 1 has no name for the network",
        LeftOut::Asset => "x402 cannot move the asset",
        LeftOut::FeePayer => "no fee payer is known",
        LeftOut::Room => "does not fit",
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestIn<'a> {
    #[serde(borrow)]
    payment_payload: &'a RawValue,
    #[serde(borrow)]
    payment_requirements: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestOut<'a, P> {
    x402_version: u8,
    payment_payload: P,
    payment_requirements: RequirementsOut<'a>,
}
