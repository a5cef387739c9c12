//! What a 402 says: a body in h402 or x402 version 1, and a header in x402 version 2. The body in h402 for requests without
//! payment is written once for each price.

use super::{
    dialect::{BodyDialect, refused},
    door::Visit,
    layer::Shared,
    quote::Quote,
};
use h402_core::{
    Address, Dialect, Flow, Offer, Reject, Requirements, Resource, Scheme,
    wire::{
        h402,
        x402::{LeftOut, Terms, v1, v2},
    },
};
use http::HeaderValue;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A gate with more prices than this writes some of them anew.
const KEPT: usize = 8;

/// What a 402 says.
#[derive(Debug)]
pub(super) struct Challenge {
    pub(super) body: Vec<u8>,
    /// `PAYMENT-REQUIRED`, if x402 can say any of the offers.
    pub(super) header: Option<HeaderValue>,
}

/// Why payment is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why<'a> {
    NoPayment,
    Refused { reject: &'a Reject, payer: Option<Address> },
}

impl Why<'_> {
    fn text(&self, dialect: Dialect) -> String {
        match (self, dialect) {
            (Self::NoPayment, Dialect::X402V2) => "Payment required".to_owned(),
            (Self::NoPayment, _) => "X-PAYMENT header is required".to_owned(),
            (Self::Refused { reject, payer }, _) => refused(reject, dialect, *payer),
        }
    }

    fn payer(&self) -> Option<Address> {
        if let Self::Refused { payer, .. } = self { *payer } else { None }
    }
}

/// An offer that a 402 does not make in one of its dialects.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOutOffer {
    /// The dialect.
    pub dialect: Dialect,
    /// The offer.
    pub offer: Arc<Offer>,
    /// Why it has no words for it, or no room.
    pub why: LeftOut,
}

/// What was written for requests without payment.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Bodies in h402, all but the URL; the last one comes first.
    bodies: RwLock<Vec<(Vec<Requirements>, h402::ChallengeTemplate)>>,
    /// The last header.
    header: Mutex<Option<WrittenHeader>>,
}

#[derive(Debug)]
struct WrittenHeader {
    requirements: Vec<Requirements>,
    flow: Flow,
    url: String,
    header: Option<HeaderValue>,
}

impl Written {
    fn body(&self, requirements: &[Requirements], url: &str) -> Option<Vec<u8>> {
        let kept = self.bodies.read().unwrap_or_else(PoisonError::into_inner);
        let (_, template) = kept.iter().find(|(of, _)| are_same(of, requirements))?;
        Some(template.at(url))
    }

    fn keep_body(&self, requirements: Vec<Requirements>, template: h402::ChallengeTemplate) {
        // Nobody waits for this: it can be written again.
        if let Ok(mut kept) = self.bodies.try_write() {
            kept.truncate(KEPT - 1);
            kept.insert(0, (requirements, template));
        }
    }

    fn header(&self, visit: &Visit, requirements: &[Requirements], write: impl FnOnce() -> Option<HeaderValue>) -> Option<HeaderValue> {
        let mut kept = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(of) if of.url == visit.url && of.flow == visit.quote.flow && are_same(&of.requirements, requirements) => of.header.clone(),
            _ => {
                let header = write();
                let (flow, url) = (visit.quote.flow, visit.url.clone());
                *kept = Some(WrittenHeader { requirements: requirements.to_vec(), flow, url, header: header.clone() });
                header
            }
        }
    }
}

/// Which of the offers a dialect leaves out, by their place, and why.
type Unsaid = Vec<(usize, LeftOut)>;

fn are_same(one: &[Requirements], other: &[Requirements]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// Whether two offers of a gate are written alike, but for the URL.
fn is_same((one, other): (&Requirements, &Requirements)) -> bool {
    // Of one gate, description and media type are always the same.
    let Requirements { offer, resource: _, lifetime_seconds, solana, facilitator } = one;
    Arc::ptr_eq(offer, &other.offer)
        && *lifetime_seconds == other.lifetime_seconds
        && *solana == other.solana
        && *facilitator == other.facilitator
}

impl<F, G> Shared<F, G> {
    /// The 402 for a request without payment.
    pub(super) fn first_challenge(&self, visit: &Visit) -> Option<Challenge> {
        let why = Why::NoPayment;
        let Asked { url, requirements } = self.asked(visit)?;
        let header = self.written.header(visit, &requirements, || self.header(visit, &requirements, &why).0);
        if self.terms.body == BodyDialect::X402V1 {
            return Some(Challenge { body: self.body(visit, &requirements, &why)?.0, header });
        }
        if let Some(body) = self.written.body(&requirements, &url) {
            return Some(Challenge { body, header });
        }
        let error = why.text(Dialect::H402V1);
        let template = h402::ChallengeTemplate::new(&h402::Challenge { error: &error, requirements: &requirements, payer: None }).ok()?;
        let body = template.at(&url);
        self.written.keep_body(requirements, template);
        Some(Challenge { body, header })
    }

    /// The 402 for a payment that is refused.
    pub(super) fn challenge(&self, visit: &Visit, why: &Why<'_>) -> Option<Challenge> {
        let Asked { requirements, .. } = self.asked(visit)?;
        let header = self.header(visit, &requirements, why).0;
        Some(Challenge { body: self.body(visit, &requirements, why)?.0, header })
    }

    /// The body, and what it leaves out.
    fn body(&self, visit: &Visit, requirements: &[Requirements], why: &Why<'_>) -> Option<(Vec<u8>, Unsaid)> {
        match self.terms.body {
            BodyDialect::H402V1 => {
                let error = why.text(Dialect::H402V1);
                let challenge = h402::Challenge { error: &error, requirements, payer: why.payer() };
                Some((h402::encode_challenge(&challenge).ok()?, Vec::new()))
            }
            BodyDialect::X402V1 => {
                let (error, terms) = (why.text(Dialect::X402V1), in_x402(visit.quote.flow, requirements));
                let encoded = v1::encode_challenge(&v1::Challenge { error: &error, terms: &terms, payer: why.payer() }).ok()?;
                Some((encoded.body, encoded.left_out))
            }
        }
    }

    /// The header, if it can say any of the offers, and what it leaves out.
    fn header(&self, visit: &Visit, requirements: &[Requirements], why: &Why<'_>) -> (Option<HeaderValue>, Unsaid) {
        let (error, resource) = (why.text(Dialect::X402V2), self.resource(visit.url.clone()));
        let terms = in_x402(visit.quote.flow, requirements);
        let extensions = &self.terms.extensions;
        match v2::encode_challenge(&v2::Challenge { error: &error, resource: &resource, terms: &terms, extensions }) {
            Ok(encoded) if encoded.left_out.len() < terms.len() => (HeaderValue::try_from(encoded.header).ok(), encoded.left_out),
            Ok(encoded) => (None, encoded.left_out),
            Err(_) => (None, (0..terms.len()).map(|at| (at, LeftOut::Room)).collect()),
        }
    }

    /// What a 402 leaves out, in either of its places; what a facilitator has yet to say is not looked at.
    pub(super) fn left_out(&self, quote: &Quote) -> Vec<LeftOutOffer> {
        let Quote::Offers(quote) = quote else { return Vec::new() };
        let visit = &self.nobody(quote.clone());
        let Some(Asked { requirements, .. }) = self.asked(visit) else { return Vec::new() };
        let why = Why::NoPayment;
        let of_body = self.body(visit, &requirements, &why).map(|(_, left_out)| (Dialect::X402V1, left_out));
        let of_header = (Dialect::X402V2, self.header(visit, &requirements, &why).1);
        let all =
            of_body.into_iter().chain([of_header]).flat_map(|(dialect, list)| list.into_iter().map(move |(at, why)| (dialect, at, why)));
        let known = all.filter(|(_, _, why)| *why != LeftOut::FeePayer);
        let named = |(dialect, at, why)| Some(LeftOutOffer { dialect, offer: requirements.get::<usize>(at)?.offer.clone(), why });
        known.filter_map(named).collect()
    }

    /// What is asked for, and under which URL in h402.
    fn asked(&self, visit: &Visit) -> Option<Asked> {
        let url = match &self.terms.sent {
            // x402 has no payments that were sent already.
            Some(sent) if self.terms.body == BodyDialect::H402V1 => sent.challenge(&visit.url, &visit.fingerprint, self.now())?,
            _ => visit.url.clone(),
        };
        let requirements = visit.quote.offers.iter().map(|offer| self.requirements(offer, &self.resource(url.clone())));
        // Nobody can pay `upto` without knowing who settles it.
        let can_be_paid = |one: &Requirements| one.offer.scheme != Scheme::Upto || one.facilitator.is_some();
        Some(Asked { requirements: requirements.filter(can_be_paid).collect(), url })
    }

    /// One offer, with what the facilitator knows for its payers.
    pub(super) fn requirements(&self, offer: &Arc<Offer>, resource: &Arc<Resource>) -> Requirements {
        Requirements {
            offer: offer.clone(),
            resource: resource.clone(),
            lifetime_seconds: Some(self.limits.lifetime()),
            solana: self.facts.hints(offer.network(), self.now()),
            facilitator: if offer.scheme == Scheme::Upto { self.facts.facilitator(offer.network()) } else { None },
        }
    }
}

/// What is asked for.
struct Asked {
    /// What a payer in h402 signs for.
    url: String,
    requirements: Vec<Requirements>,
}

pub(super) fn in_x402(flow: Flow, requirements: &[Requirements]) -> Vec<Terms> {
    // Of scheme `upto` the cost is known afterwards only, whenever the money moves otherwise.
    let flow = |one: &Requirements| if one.offer.scheme == Scheme::Upto { Flow::Capture } else { flow };
    requirements.iter().map(|one| Terms { flow: flow(one), ..one.clone().into() }).collect()
}
