//! What a payment pays: the price quoted now, or one quoted a moment ago.

use super::{
    answer::Refusal,
    door::Visit,
    layer::Shared,
    quote::{PricedOffers, Quote, RETIRED_KEPT},
};
use bytes::Bytes;
use h402_core::{
    Amount, Flow, Grant, Matched, Offer, Offers, Payload, PaymentClass, PaymentPayload, Reject, Resource, SolanaReject, UnixMillis,
    wire::h402,
};
use http::{HeaderValue, request::Parts};
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
    pub(super) fn present(&self, visit: &Visit, header: &HeaderValue, parts: &Parts, body: Option<&Bytes>) -> Result<Presented, Refusal> {
        self.find_offer(visit, header, parts, body).map_err(|reject| Refusal::Rejected { reject, payer: None })
    }

    fn find_offer(&self, visit: &Visit, header: &HeaderValue, parts: &Parts, body: Option<&Bytes>) -> Result<Presented, Reject> {
        let payload = h402::decode_payment(header.as_bytes())?;
        let (resource, expired) = self.signed_resource(visit, &payload)?;
        let sent = payload.payload.class() == PaymentClass::Transaction;
        // What is sent has moved already, and a contract that says yes may say no a moment later.
        let flow = |matched: &Matched| if sent || matched.is_for_contract() { Flow::Upfront } else { visit.quote.flow };
        let lifetime = Some(self.limits.lifetime());
        let matching = |offers: &Offers| matching(self.limits.contract_payers)(payload.clone(), offers, &resource, lifetime);
        let stale = expired.then_some(Reject::Resource);

        let quotes;
        let (known, refused) = match matching(&visit.quote.offers) {
            Ok(matched) if !sent => {
                let least = matched.requirements().offer.least();
                return Ok(Presented { flow: flow(&matched), matched, stale, least });
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
                let price_is_no_reason =
                    !matches!(refused, Reject::Value { .. } | Reject::Solana(SolanaReject::Value { .. })) && doors.iter().count() == 1;
                if price_is_no_reason && quotes.len() == 1 {
                    return Err(refused);
                }
                (matching(&doors).map_err(|_| refused.clone())?, refused)
            }
        };
        let door = &known.requirements().offer;
        let offered = |quote: &PastQuote| quote.offers.offers.iter().filter(|offer| same_door(offer, door)).cloned().collect::<Vec<_>>();
        let least = quotes.iter().flat_map(offered).map(|offer| offer.least()).min().unwrap_or_default();
        let honoured = quotes.iter().filter(|quote| quote.honoured).flat_map(offered);
        let Some(cheapest) = honoured.min_by_key(|offer| offer.amount) else {
            return Ok(Presented { flow: flow(&known), matched: known, stale: Some(refused), least });
        };
        match single(cheapest).and_then(|offers| matching(&offers)) {
            Ok(matched) => Ok(Presented { flow: flow(&matched), matched, stale, least }),
            Err(refused) => Ok(Presented { flow: flow(&known), matched: known, stale: Some(refused), least }),
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

/// Every (scheme, asset, payee) of the quotes once, for any amount: enough to tell which payment this is.
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
    one.scheme == other.scheme && one.asset.id == other.asset.id && one.pay_to == other.pay_to
}
