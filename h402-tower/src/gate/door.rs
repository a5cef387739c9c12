//! What a request gets to see before any payment is looked at: whose it is, what it costs, whether it brings one.

use super::{answer::Refusal, layer::Shared, quote::PricedOffers, quote::Quote};
use bytes::Bytes;
use h402_core::{Fingerprint, Flow, wire::h402};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONNECTION, HOST, UPGRADE},
    request::Parts,
};

const PAYMENT: HeaderName = HeaderName::from_static(h402::PAYMENT_HEADER);
/// Headers that carry a payment, in any dialect. None ever reaches the handler (T106).
const PAYMENTS: [HeaderName; 2] = [PAYMENT, HeaderName::from_static("payment-signature")];
/// Headers that only a server may send. A client's are removed, so that no handler can be fooled by one.
const RECEIPTS: [HeaderName; 2] = [HeaderName::from_static(h402::RECEIPT_HEADER), HeaderName::from_static("payment-response")];

/// What stands before a request.
pub(super) enum Door {
    /// It may pass.
    Free,
    /// It may not, for this reason.
    Shut(Option<Visit>, Refusal),
    /// It brought a payment.
    Paid(Visit, HeaderValue),
}

/// A request that costs something.
#[derive(Debug)]
pub(super) struct Visit {
    /// What it costs now.
    pub(super) quote: PricedOffers,
    /// Its URL under the configured origin.
    pub(super) url: String,
    /// What a payment for it opens.
    pub(super) fingerprint: Fingerprint,
    /// Whether it wants to turn the connection into something else.
    pub(super) upgrade: bool,
}

impl<F, G> Shared<F, G> {
    /// Looks at a request, and takes its payment headers off.
    pub(super) fn door(&self, parts: &mut Parts, body: Option<&Bytes>) -> Door {
        if let Err(refusal) = self.check_host(parts) {
            return Door::Shut(None, refusal);
        }
        let payment = take_payment(&mut parts.headers);
        let quote = match self.terms.price.price(self.terms.price.current(), parts, body) {
            Ok(Quote::Free) => return Door::Free,
            // A preflight must be answered without payment, or browsers never get to pay (T108); but not by the
            // handler, which may not look at methods and would give away what it sells (T094).
            _ if parts.method == Method::OPTIONS => return Door::Shut(None, Refusal::Options),
            Ok(Quote::Offers(quote)) => quote,
            Err(error) => return Door::Shut(None, Refusal::Price(error)),
        };
        let visit = self.visit(parts, body, quote);
        if visit.upgrade && visit.quote.flow == Flow::Capture {
            return Door::Shut(None, Refusal::UpgradeNeedsUpfront);
        }
        match payment {
            Ok(Some(header)) if header.len() > self.limits.header_cap => Door::Shut(None, Refusal::HeaderTooLong),
            Ok(Some(header)) => Door::Paid(visit, header),
            Ok(None) => Door::Shut(Some(visit), Refusal::NoPayment),
            Err(refusal) => Door::Shut(None, refusal),
        }
    }

    /// The identity of the request, from configuration and from its target exactly as received.
    fn visit(&self, parts: &Parts, body: Option<&Bytes>, quote: PricedOffers) -> Visit {
        let origin = self.terms.origin.as_str();
        let mount = &self.terms.sold.mount;
        let url = match (parts.uri.path_and_query(), parts.uri.authority()) {
            (Some(target), _) => format!("{origin}{mount}{target}"),
            // CONNECT names nothing but the host it wants to reach.
            (None, target) => format!("{origin}{mount}/{}", target.map_or("", |target| target.as_str())),
        };
        let path_and_query = url.get(origin.len()..).unwrap_or_default();
        let fingerprint = Fingerprint::new(parts.method.as_str(), origin, path_and_query, body.map(|body| &**body));
        Visit { quote, fingerprint, upgrade: wants_upgrade(parts), url }
    }

    /// A request for another host is none of ours (T095). Forwarded headers are never looked at.
    fn check_host(&self, parts: &Parts) -> Result<(), Refusal> {
        let known = |authority: &str| self.terms.hosts.iter().any(|host| host.is(authority, self.terms.origin.default_port()));
        // CONNECT names the host it wants to reach, not this one.
        if parts.method == Method::CONNECT && parts.uri.path_and_query().is_none() {
            return Ok(());
        }
        if parts.uri.authority().is_some_and(|authority| !known(authority.as_str())) {
            return Err(Refusal::ForeignHost);
        }
        let mut hosts = parts.headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (None, _) => Ok(()),
            (Some(host), None) if host.to_str().is_ok_and(known) => Ok(()),
            (Some(_), None) => Err(Refusal::ForeignHost),
            (Some(_), Some(_)) => Err(Refusal::BadRequest("more than one Host header")),
        }
    }
}

/// Takes the one payment header, and removes whatever else only the gate may say (T096, T106, T107).
fn take_payment(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let named = |token: &[u8]| PAYMENTS.iter().any(|name| token.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()));
    let in_connection = headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().split(|byte| *byte == b',').any(named));
    let count: usize = PAYMENTS.iter().map(|name| headers.get_all(name).iter().count()).sum();
    let payment = headers.remove(PAYMENT);
    PAYMENTS.iter().chain(&RECEIPTS).for_each(|name| {
        headers.remove(name);
    });
    if in_connection {
        // An intermediary was told to drop it: it might be seen here and not there.
        return Err(Refusal::BadRequest("the payment header is named in Connection"));
    }
    if count > 1 {
        return Err(Refusal::BadRequest("more than one payment header"));
    }
    match payment {
        Some(list) if list.as_bytes().contains(&b',') => Err(Refusal::BadRequest("the payment header is a list")),
        payment => Ok(payment),
    }
}

/// `Upgrade: h2c` alone does not count: some clients send it with every request and servers ignore it.
fn wants_upgrade(parts: &Parts) -> bool {
    let switches = |value: &HeaderValue| match value.to_str() {
        Ok(list) => list.split(',').any(|protocol| !protocol.trim().eq_ignore_ascii_case("h2c") && !protocol.trim().is_empty()),
        Err(_) => true,
    };
    parts.method == Method::CONNECT || parts.headers.get_all(UPGRADE).iter().any(switches)
}
