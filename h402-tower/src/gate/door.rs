//! What a request gets to see before any payment is looked at: whose it is, what it costs, whether it brings one.

use super::{
    answer::Refusal,
    dialect::{Header, take_payment},
    layer::Shared,
    quote::{PricedOffers, Quote},
};
use bytes::Bytes;
use h402_core::{Dialect, Fingerprint, Flow};
use http::{
    HeaderValue, Method,
    header::{HOST, UPGRADE},
    request::Parts,
};

/// What stands before a request.
pub(super) enum Door {
    /// It may pass.
    Free,
    /// It may not, for this reason.
    Shut(Option<Visit>, Refusal),
    /// It brought a payment.
    Paid(Visit, Header),
}

/// A request that costs something.
#[derive(Debug)]
pub(super) struct Visit {
    /// What its payment speaks, and so what is said of it; h402 where there is none.
    pub(super) dialect: Dialect,
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
        let payment = take_payment(&mut parts.headers, self.limits.header_cap);
        let quote = match self.terms.price.price(self.terms.price.current(), parts, body) {
            Ok(Quote::Free) => return Door::Free,
            // A preflight must be answered without payment, or browsers never get to pay (T108); but not by the
            // handler, which may not look at methods and would give away what it sells (T094).
            _ if parts.method == Method::OPTIONS => return Door::Shut(None, Refusal::Options),
            Ok(Quote::Offers(quote)) => quote,
            Err(error) => return Door::Shut(None, Refusal::Price(error)),
        };
        let dialect = payment.as_ref().ok().and_then(Option::as_ref).map_or(Dialect::H402V1, |header| header.dialect);
        let visit = self.visit(parts, body, quote, dialect);
        if visit.upgrade && visit.quote.flow == Flow::Capture {
            return Door::Shut(None, Refusal::UpgradeNeedsUpfront);
        }
        match payment {
            Ok(Some(header)) => Door::Paid(visit, header),
            Ok(None) => Door::Shut(Some(visit), Refusal::NoPayment),
            Err(refusal) => Door::Shut(Some(visit), refusal),
        }
    }

    /// The identity of the request, from configuration and from its target exactly as received.
    fn visit(&self, parts: &Parts, body: Option<&Bytes>, quote: PricedOffers, dialect: Dialect) -> Visit {
        let origin = self.terms.origin.as_str();
        let mount = &self.terms.sold.mount;
        let url = match (parts.uri.path_and_query(), parts.uri.authority()) {
            (Some(target), _) => format!("{origin}{mount}{target}"),
            // CONNECT names nothing but the host it wants to reach.
            (None, target) => format!("{origin}{mount}/{}", target.map_or("", |target| target.as_str())),
        };
        let path_and_query = url.get(origin.len()..).unwrap_or_default();
        let fingerprint = Fingerprint::new(parts.method.as_str(), origin, path_and_query, body.map(|body| &**body));
        Visit { dialect, quote, fingerprint, upgrade: wants_upgrade(parts), url }
    }

    /// The first page, of which nobody has asked yet what it costs.
    pub(super) fn nobody(&self, quote: PricedOffers) -> Visit {
        let origin = self.terms.origin.as_str();
        let path = format!("{}/", self.terms.sold.mount);
        let fingerprint = Fingerprint::new(Method::GET.as_str(), origin, &path, None);
        Visit { dialect: Dialect::H402V1, quote, fingerprint, upgrade: false, url: format!("{origin}{path}") }
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

/// `Upgrade: h2c` alone does not count: some clients send it with every request and servers ignore it.
fn wants_upgrade(parts: &Parts) -> bool {
    let switches = |value: &HeaderValue| match value.to_str() {
        Ok(list) => list.split(',').any(|protocol| !protocol.trim().eq_ignore_ascii_case("h2c") && !protocol.trim().is_empty()),
        Err(_) => true,
    };
    parts.method == Method::CONNECT || parts.headers.get_all(UPGRADE).iter().any(switches)
}
