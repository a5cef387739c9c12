//! What a 402 asks for, in whichever dialects it does.

use super::{CallKey, ChallengeError, Origin};
use bytes::Bytes;
use h402_core::{
    Assets, Dialect, Flow, PaymentPayload, Requirements, Resource,
    wire::{
        SkippedOffer, WireError, h402,
        x402::{self, Accepted, Extensions, PaymentIdentifier, v1, v2},
    },
};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static(v2::CHALLENGE_HEADER);

/// The offers of a 402: those that count, and those to fall back on if none of them can be paid.
#[derive(Debug)]
pub(super) struct Challenge {
    pub(super) offers: Vec<Asked>,
    pub(super) otherwise: Vec<Asked>,
}

/// One offer of a 402.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// With the asset from the client's own table.
    pub(super) requirements: Result<Requirements, SkippedOffer>,
    /// Whether a server of its dialect checks a payment against this one.
    pub(super) can_be_meant: bool,
    /// When the money moves.
    pub(super) flow: Flow,
    /// How it is paid.
    pub(super) form: Form,
}

/// In which dialect a payment is written, with what that repeats of the 402.
#[derive(Debug, Clone)]
pub(super) enum Form {
    H402V1,
    X402V1,
    X402V2 { accepted: Accepted, resource: Arc<Resource>, extensions: Arc<Extensions> },
}

impl Form {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::H402V1 => Dialect::H402V1,
            Self::X402V1 => Dialect::X402V1,
            Self::X402V2 { .. } => Dialect::X402V2,
        }
    }

    /// The value of the header with this payment. A server that lets payers name their payments is told a name, which a call
    /// with a [`CallKey`] always has the same of.
    pub(super) fn write(&self, payload: PaymentPayload, origin: &Origin, call: Option<&CallKey>) -> Result<String, WireError> {
        let payload = PaymentPayload { dialect: self.dialect(), ..payload };
        match self {
            Self::H402V1 => h402::encode_payment(&payload),
            Self::X402V1 => v1::encode_payment(&PaymentPayload { resource: None, ..payload }),
            Self::X402V2 { accepted, resource, extensions } => {
                let mut extensions = (**extensions).clone();
                if let Ok(Some(asked)) = extensions.payment_identifier() {
                    let named = name(asked, origin, call).ok_or(WireError::Field("no name for the payment"))?;
                    extensions.set_payment_identifier(&named)?;
                }
                let resource = (!resource.url.is_empty()).then(|| Resource::clone(resource));
                let payload = PaymentPayload { resource: None, ..payload };
                v2::encode_payment(&v2::Payment { payload, accepted: accepted.clone(), resource, extensions })
            }
        }
    }
}

fn name(asked: PaymentIdentifier, origin: &Origin, call: Option<&CallKey>) -> Option<PaymentIdentifier> {
    let mut bytes = [0; 32];
    match call {
        // The key itself is the caller's own; a server need not know it.
        Some(call) => bytes = Sha256::digest(format!("h402-call-1\n{origin}\n{}", call.as_str())).into(),
        None => getrandom::fill(&mut bytes).ok()?,
    }
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    asked.with(&text).ok()
}

/// Reads a 402. `PAYMENT-REQUIRED` is what counts if it is there and can be read; a body that asks for something else instead is
/// no addition to it but a contradiction (T124).
pub(super) fn read(headers: &HeaderMap, body: Result<Bytes, ChallengeError>, assets: &Assets) -> Result<Challenge, ChallengeError> {
    let mut values = headers.get_all(PAYMENT_REQUIRED).iter();
    let header = match (values.next(), values.next()) {
        (Some(value), None) => Some(v2::decode_challenge(value.as_bytes(), assets).map(of_header)),
        (Some(_), Some(_)) => return Err(ChallengeError::Contradiction),
        (None, _) => None,
    };
    let body = body.and_then(|body| of_body(&body, assets).map_err(ChallengeError::Wire));
    match (header, body) {
        (Some(Ok(offers)), Ok(otherwise)) => {
            if contradict(&offers, &otherwise) {
                return Err(ChallengeError::Contradiction);
            }
            Ok(Challenge { offers, otherwise })
        }
        // The body of such a 402 may be anything.
        (Some(Ok(offers)), Err(_)) => Ok(Challenge { offers, otherwise: Vec::new() }),
        (_, Ok(offers)) => Ok(Challenge { offers, otherwise: Vec::new() }),
        (Some(Err(error)), Err(_)) => Err(ChallengeError::Wire(error)),
        (None, Err(error)) => Err(error),
    }
}

fn of_header(read: v2::ReadChallenge) -> Vec<Asked> {
    let extensions = Arc::new(read.extensions);
    let asked = |offer: v2::ReadOffer| {
        let (requirements, flow) = terms(offer.terms);
        let accepted = offer.accepted?;
        let form = Form::X402V2 { accepted, resource: read.resource.clone(), extensions: extensions.clone() };
        Some(Asked { requirements, can_be_meant: true, flow, form })
    };
    read.offers.into_iter().filter_map(asked).collect()
}

/// Each dialect has its own version field, so no body is of two.
fn of_body(body: &[u8], assets: &Assets) -> Result<Vec<Asked>, WireError> {
    let in_h402 = match h402::decode_challenge(body, assets) {
        Ok(read) => {
            let asked = |offer: h402::ReadOffer| Asked {
                requirements: offer.requirements,
                can_be_meant: offer.first_of_network,
                flow: Flow::Capture,
                form: Form::H402V1,
            };
            return Ok(read.offers.into_iter().map(asked).collect());
        }
        Err(error) => error,
    };
    let Ok(read) = v1::decode_challenge(body, assets) else { return Err(in_h402) };
    let asked = |offer: v1::ReadOffer| {
        let (requirements, flow) = terms(offer.terms);
        Asked { requirements, can_be_meant: offer.first_of_network, flow, form: Form::X402V1 }
    };
    Ok(read.offers.into_iter().map(asked).collect())
}

fn terms(read: Result<x402::Terms, SkippedOffer>) -> (Result<Requirements, SkippedOffer>, Flow) {
    match read {
        Ok(x402::Terms { requirements, flow }) => (Ok(requirements), flow),
        Err(skipped) => (Err(skipped), Flow::Capture),
    }
}

/// Whether header and body ask for different amounts or payees in one asset. Either may have offers that the other has no words
/// for; a price that servers compute in floats may be one unit off.
fn contradict(header: &[Asked], body: &[Asked]) -> bool {
    let offers = |list: &[Asked]| list.iter().filter_map(|asked| Some(asked.requirements.as_ref().ok()?.offer.clone())).collect::<Vec<_>>();
    let (header, body) = (offers(header), offers(body));
    header.iter().any(|one| {
        let mut rivals = body.iter().filter(|other| other.asset.id == one.asset.id).peekable();
        let agrees = |other: &Arc<h402_core::Offer>| {
            let off = other.amount.saturating_sub(one.amount).max(one.amount.saturating_sub(other.amount));
            other.pay_to == one.pay_to && off <= h402_core::Amount::from_atomic(1)
        };
        rivals.peek().is_some() && !rivals.any(agrees)
    })
}
