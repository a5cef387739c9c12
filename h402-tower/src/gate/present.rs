//! What a payment pays: the price quoted now, or one quoted a moment ago.

use super::{
    answer::Refusal,
    challenge::in_x402,
    dialect::{Decoded, Header, decode},
    door::Visit,
    layer::{Identifiers, Shared},
    quote::{PricedOffers, Quote, RETIRED_KEPT},
};
use bytes::Bytes;
use h402_core::{
    Address, Amount, Flow, Grant, Matched, Offer, Offers, Payload, PaymentClass, PaymentKey, PaymentPayload, Reject, Resource, Scheme,
    SolanaReject, UnixMillis,
    wire::x402::{Accepted, Extensions},
};
use http::request::Parts;
use std::sync::Arc;

/// A payment that was presented, with its signer recovered.
pub(super) struct Presented {
    /// What it pays.
    pub(super) matched: Matched,
    /// When the money moves.
    pub(super) flow: Flow,
    /// Why it may not be taken any more. If it was taken before, it is known again all the same.
    pub(super) stale: Option<Reject>,
    /// The least that this request has cost, as far as is remembered.
    pub(super) least: Amount,
    /// Under which other name its payer wants to find it again.
    pub(super) identifier: Option<PaymentKey>,
}

impl Presented {
    /// The payment as it was taken: a price that changed since does not change what was paid.
    pub(super) fn matched_for(&self, grant: &Grant, contracts: bool) -> Matched {
        let requirements = self.matched.requirements();
        let mut offer = Offer::clone(&requirements.offer);
        offer.amount = grant.amount;
        match single(Arc::new(offer)) {
            Ok(offers) if self.stale.is_some() => {
                let payload = self.matched.payload().clone();
                let matched = matching(contracts)(payload, &offers, &requirements.resource, requirements.lifetime_seconds);
                matched.unwrap_or_else(|_| self.matched.clone())
            }
            _ => self.matched.clone(),
        }
    }
}

impl<F, G> Shared<F, G> {
    /// Reads the payment header and finds what it pays.
    pub(super) fn present(&self, visit: &Visit, header: &Header, parts: &Parts, body: Option<&Bytes>) -> Result<Presented, Refusal> {
        let Decoded { payload, accepted, extensions } = decode(header)?;
        let found = self.find_offer(visit, payload, accepted.as_ref(), parts, body);
        let presented = found.map_err(|reject| Refusal::Rejected { reject, payer: None })?;
        let identifier = if accepted.is_some() { self.identifier(&extensions, presented.matched.payer())? } else { None };
        Ok(Presented { identifier, ..presented })
    }

    /// The name that the payer has given its payment. Names are each payer's own: nobody else can use one up.
    fn identifier(&self, extensions: &Extensions, payer: Address) -> Result<Option<PaymentKey>, Refusal> {
        if self.terms.identifiers == Identifiers::Ignored {
            return Ok(None);
        }
        let said = extensions.payment_identifier().map_err(|_| Refusal::BadRequest("the payment identifier cannot be read"))?;
        let key = said.as_ref().and_then(|said| said.id()).map(|id| PaymentKey::of_identifier(payer, id));
        if key.is_none() && self.terms.identifiers == Identifiers::Required {
            return Err(Refusal::BadRequest("a payment identifier is required"));
        }
        Ok(key)
    }

    fn find_offer(
        &self,
        visit: &Visit,
        payload: PaymentPayload,
        accepted: Option<&Accepted>,
        parts: &Parts,
        body: Option<&Bytes>,
    ) -> Result<Presented, Reject> {
        let (resource, expired) = self.signed_resource(visit, &payload)?;
        let sent = payload.payload.class() == PaymentClass::Transaction;
        // What is sent has moved already, and a contract that says yes may say no a moment later. What `upto` costs is known
        // afterwards only.
        let flow = |matched: &Matched| match payload.scheme {
            _ if sent || matched.is_for_contract() => Flow::Upfront,
            Scheme::Upto => Flow::Capture,
            _ => visit.quote.flow,
        };
        let lifetime = Some(self.limits.lifetime());
        let matching = |offers: &Offers| matching(self.limits.contract_payers)(payload.clone(), offers, &resource, lifetime);
        // What the payer says that it pays is all that it can pay; whether it does, says the signature (T110).
        let chosen = |quote: &PricedOffers| match accepted {
            None => Ok(quote.offers.clone()),
            Some(accepted) => {
                let requirements: Vec<_> = quote.offers.iter().map(|offer| self.requirements(offer, &resource)).collect();
                let selected = accepted.select(&in_x402(quote.flow, &requirements))?.requirements.offer.clone();
                single(selected).map(Arc::new)
            }
        };
        let stale = expired.then_some(Reject::Resource);
        let presented = |matched, stale, least| Presented { flow: flow(&matched), matched, stale, least, identifier: None };

        let quotes;
        let (known, refused) = match chosen(&visit.quote).and_then(|offers| matching(&offers)) {
            Ok(matched) if !sent => {
                let least = matched.requirements().offer.least();
                return Ok(presented(matched, stale, least));
            }
            Ok(matched) => {
                quotes = self.quotes(visit, parts, body);
                (matched, Reject::NoOffer)
            }
            // The price may have changed since the payer was told, or since the payment was taken. In the first case
            // the old price is honoured for a while; in the second the payment must be known again, or its payer
            // would pay twice.
            Err(refused) => {
                quotes = self.quotes(visit, parts, body);
                let doors = doors(&quotes, &refused)?;
                // Of x402 another price reads as no offer at all.
                let price_is_no_reason = accepted.is_none()
                    && !matches!(refused, Reject::Value { .. } | Reject::Solana(SolanaReject::Value { .. }))
                    && doors.iter().count() == 1;
                if price_is_no_reason && quotes.len() == 1 {
                    return Err(refused);
                }
                let known = Matched::at_least(payload.clone(), &doors, &resource, lifetime, self.limits.contract_payers);
                (known.map_err(|_| refused.clone())?, refused)
            }
        };
        let door = &known.requirements().offer;
        let offered = |quote: &PastQuote| quote.offers.offers.iter().filter(|offer| same_door(offer, door)).cloned().collect::<Vec<_>>();
        let least = quotes.iter().flat_map(offered).map(|offer| offer.least()).min().unwrap_or_default();
        let payable = quotes.iter().filter(|quote| quote.honoured).filter_map(|quote| chosen(&quote.offers).ok());
        let honoured = payable.flat_map(|offers| offers.iter().filter(|offer| same_door(offer, door)).cloned().collect::<Vec<_>>());
        let Some(cheapest) = honoured.min_by_key(|offer| offer.amount) else {
            return Ok(presented(known, Some(refused), least));
        };
        match single(cheapest).and_then(|offers| matching(&offers)) {
            Ok(matched) => Ok(presented(matched, stale, least)),
            Err(refused) => Ok(presented(known, Some(refused), least)),
        }
    }

    /// The resource the payer signed for: this request's URL, or that with a challenge of ours.
    fn signed_resource(&self, visit: &Visit, payload: &PaymentPayload) -> Result<(Arc<Resource>, bool), Reject> {
        let challenged = match (&self.terms.sent, &payload.resource) {
            (Some(sent), Some(claimed)) => sent.read(claimed, &visit.url, &visit.fingerprint).map(|expiry| (claimed, expiry)),
            _ => None,
        };
        let is_sent = payload.payload.class() == PaymentClass::Transaction;
        match challenged {
            Some((url, expiry)) => Ok((self.resource(url.clone()), is_sent && self.now().seconds() > expiry)),
            None if !is_sent => Ok((self.resource(visit.url.clone()), false)),
            None if self.terms.sent.is_some() => Err(Reject::Resource),
            None => Err(Reject::PayloadType(match payload.payload {
                Payload::SolanaSent(_) => "signAndSendTransaction on Solana",
                _ => "signAndSendTransaction",
            })),
        }
    }

    /// The price now and every price before that is still remembered.
    fn quotes(&self, visit: &Visit, parts: &Parts, body: Option<&Bytes>) -> Vec<PastQuote> {
        let now = self.now();
        let mut quotes = vec![PastQuote { offers: visit.quote.clone(), honoured: true }];
        for retired in self.terms.price.retired() {
            if let Ok(Quote::Offers(offers)) = self.terms.price.price(retired.version, parts, body) {
                quotes.push(PastQuote { offers, honoured: self.honours(retired.retired_at, now) });
            }
        }
        quotes
    }

    /// Since when every price is remembered.
    pub(super) fn remembers_since(&self) -> UnixMillis {
        match self.terms.price.retired() {
            retired if retired.len() < RETIRED_KEPT => self.built_at,
            retired => retired.last().map_or(self.built_at, |oldest| oldest.retired_at),
        }
    }

    fn honours(&self, retired_at: UnixMillis, now: UnixMillis) -> bool {
        now < retired_at.plus(self.limits.quote_ttl)
    }
}

type Match = fn(PaymentPayload, &Offers, &Arc<Resource>, Option<u64>) -> Result<Matched, Reject>;

/// How payloads are matched with offers, where payers may be contracts and where they may not.
fn matching(contracts: bool) -> Match {
    if contracts { Matched::with_contracts } else { Matched::new }
}

/// What a request cost under one version of the prices.
struct PastQuote {
    offers: PricedOffers,
    /// Whether it can still be paid.
    honoured: bool,
}

/// Every (scheme, method, asset, payee) of the quotes once, for any amount: enough to tell which payment this is.
fn doors(quotes: &[PastQuote], otherwise: &Reject) -> Result<Offers, Reject> {
    let mut doors: Vec<Arc<Offer>> = Vec::new();
    for offer in quotes.iter().flat_map(|quote| quote.offers.offers.iter()) {
        if !doors.iter().any(|door| same_door(door, offer)) {
            let mut door = Offer::clone(offer);
            door.amount = Amount::from_atomic(1);
            doors.push(Arc::new(door));
        }
    }
    Offers::new(doors).map_err(|_| otherwise.clone())
}

fn single(offer: Arc<Offer>) -> Result<Offers, Reject> {
    Offers::new(vec![offer]).map_err(|_| Reject::NoOffer)
}

fn same_door(one: &Offer, other: &Offer) -> bool {
    let door = |offer: &Offer| (offer.scheme, offer.method, offer.asset.id, offer.pay_to);
    door(one) == door(other)
}
