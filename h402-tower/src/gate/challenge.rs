//! The body of a 402. The one for requests without payment is written once for each price.

use super::{door::Visit, layer::Shared};
use h402_core::{Address, Offer, Requirements, Scheme, wire::h402};
use std::sync::{Arc, PoisonError, RwLock};

const NO_PAYMENT: &str = "X-PAYMENT header is required";
/// A gate with more prices than this writes some of them anew.
const KEPT: usize = 8;

/// The bodies for requests without payment, all but the URL; the last one written comes first.
#[derive(Debug, Default)]
pub(super) struct Written(RwLock<Vec<(Vec<Requirements>, h402::ChallengeTemplate)>>);

impl Written {
    fn find(&self, requirements: &[Requirements], url: &str) -> Option<Vec<u8>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (_, template) = kept.iter().find(|(of, _)| of.len() == requirements.len() && of.iter().zip(requirements).all(is_same))?;
        Some(template.at(url))
    }

    fn keep(&self, requirements: Vec<Requirements>, template: h402::ChallengeTemplate) {
        // Nobody waits for this: it can be written again.
        if let Ok(mut kept) = self.0.try_write() {
            kept.truncate(KEPT - 1);
            kept.insert(0, (requirements, template));
        }
    }
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
    /// The JSON body of the 402 for a request without payment.
    pub(super) fn first_challenge(&self, visit: &Visit) -> Option<Vec<u8>> {
        let (url, requirements) = self.terms_of(visit)?;
        if let Some(body) = self.written.find(&requirements, &url) {
            return Some(body);
        }
        let challenge = h402::Challenge { error: NO_PAYMENT, requirements: &requirements, payer: None };
        let template = h402::ChallengeTemplate::new(&challenge).ok()?;
        let body = template.at(&url);
        self.written.keep(requirements, template);
        Some(body)
    }

    /// The JSON body of the 402 for a payment that is refused.
    pub(super) fn challenge(&self, visit: &Visit, error: &str, payer: Option<Address>) -> Option<Vec<u8>> {
        let (_, requirements) = self.terms_of(visit)?;
        h402::encode_challenge(&h402::Challenge { error, requirements: &requirements, payer }).ok()
    }

    /// What is asked for, and under which URL.
    fn terms_of(&self, visit: &Visit) -> Option<(String, Vec<Requirements>)> {
        let url = match &self.terms.sent {
            Some(sent) => sent.challenge(&visit.url, &visit.fingerprint, self.now())?,
            None => visit.url.clone(),
        };
        let resource = self.resource(url.clone());
        let lifetime_seconds = Some(self.limits.lifetime());
        let now = self.now();
        let requirements = |offer: &Arc<Offer>| Requirements {
            offer: offer.clone(),
            resource: resource.clone(),
            lifetime_seconds,
            solana: self.facts.hints(offer.network(), now),
            facilitator: if offer.scheme == Scheme::Upto { self.facts.facilitator(offer.network()) } else { None },
        };
        // Nobody can pay `upto` without knowing who settles it.
        let can_be_paid = |one: &Requirements| one.offer.scheme != Scheme::Upto || one.facilitator.is_some();
        Some((url, visit.quote.offers.iter().map(requirements).filter(can_be_paid).collect()))
    }
}
