//! The usual prices.

mod handle;
mod usd;

pub use handle::{PriceChangeError, PriceHandle};
pub use usd::{Payee, UsdPrice};

use super::{
    config::GateConfigError,
    quote::{PriceError, PriceVersion, PricedOffers, Pricing, Quote, RetiredVersion},
};
use bytes::Bytes;
use h402_core::{Flow, Offer, Offers, Scheme};
use handle::Versions;
use http::request::Parts;
use std::{fmt, sync::Arc};

/// A price: free, fixed, or computed from the request.
///
/// ```
/// use h402_core::{Assets, Network};
/// use h402_tower::gate::{Payee, Price};
/// let me = Payee::new(Network::Evm(8453), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?);
/// let price = Price::usd("0.01").to(&[me], &Assets::known())?.upfront();
/// # drop(price);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Price {
    kind: Kind,
    upfront: bool,
}

#[derive(Clone)]
enum Kind {
    Free,
    Offers(PricedOffers),
    Computed(Arc<dyn Pricing>),
    Versions(Versions),
}

impl From<Kind> for Price {
    fn from(kind: Kind) -> Self {
        Self { kind, upfront: false }
    }
}

impl Price {
    /// Nothing. A route without a price has to say so.
    pub fn free() -> Self {
        Kind::Free.into()
    }

    /// One of these offers, first choice first.
    ///
    /// # Errors
    /// [`GateConfigError::Offer`] for no offer at all, and for two that a payment could confuse.
    pub fn offers(offers: impl IntoIterator<Item = Offer>) -> Result<Self, GateConfigError> {
        let offers = Offers::new(offers.into_iter().map(Arc::new).collect())?;
        Ok(Kind::Offers(PricedOffers { offers: Arc::new(offers), flow: Flow::Capture }).into())
    }

    /// So many dollars, in every pegged asset of the payees' networks: `Price::usd("0.01").to(&payees, &assets)`.
    pub fn usd(dollars: &str) -> UsdPrice {
        UsdPrice::new(dollars)
    }

    /// Computed from the request. The function must be pure: see [`Pricing`].
    ///
    /// ```
    /// use h402_core::{Assets, Network};
    /// use h402_tower::gate::{Payee, Price, PriceError, Quote};
    /// let me = Payee::new(Network::Evm(8453), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?);
    /// let small = Price::usd("0.01").to(&[me], &Assets::known())?.quote().expect("fixed");
    /// let large = Price::usd("0.05").to(&[me], &Assets::known())?.quote().expect("fixed");
    /// let price = Price::per_request(move |request| match request.uri.query() {
    ///     Some("size=large") => Ok(large.clone()),
    ///     Some("size=small") => Ok(small.clone()),
    ///     _ => Err(PriceError::BadRequest("size is small or large".to_owned())),
    /// });
    /// # drop(price);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn per_request(price: impl Fn(&Parts) -> Result<Quote, PriceError> + Send + Sync + 'static) -> Self {
        Kind::Computed(Arc::new(PerRequest(price))).into()
    }

    /// Computed from the request and its body. The function must be pure: see [`Pricing`].
    pub fn by_body(price: impl Fn(&Parts, &Bytes) -> Result<Quote, PriceError> + Send + Sync + 'static) -> Self {
        Kind::Computed(Arc::new(ByBody(price))).into()
    }

    /// Settles before the handler runs: for expensive work, streams, upgrades and side effects.
    pub fn upfront(mut self) -> Self {
        self.upfront = true;
        self
    }

    /// Makes the price changeable while the gate runs.
    pub fn changeable(self) -> (Self, PriceHandle) {
        let upfront = self.upfront;
        let (versions, handle) = Versions::new(self);
        (Self { kind: Kind::Versions(versions), upfront }, handle)
    }

    /// The quote, if it is the same for every request.
    #[must_use]
    pub fn quote(&self) -> Option<Quote> {
        let quote = match &self.kind {
            Kind::Free => Quote::Free,
            Kind::Offers(priced) => Quote::Offers(priced.clone()),
            Kind::Computed(_) | Kind::Versions(_) => return None,
        };
        Some(if self.upfront { quote.upfront() } else { quote })
    }
}

impl Pricing for Price {
    fn price(&self, version: PriceVersion, request: &Parts, body: Option<&Bytes>) -> Result<Quote, PriceError> {
        let quote = match &self.kind {
            Kind::Free => Quote::Free,
            Kind::Offers(priced) => Quote::Offers(priced.clone()),
            Kind::Computed(price) => price.price(version, request, body)?,
            Kind::Versions(versions) => {
                let price = versions.get(version).ok_or(PriceError::Unavailable)?;
                price.price(price.current(), request, body)?
            }
        };
        Ok(if self.upfront { quote.upfront() } else { quote })
    }

    fn current(&self) -> PriceVersion {
        if let Kind::Versions(versions) = &self.kind { versions.current() } else { PriceVersion(0) }
    }

    fn retired(&self) -> Vec<RetiredVersion> {
        if let Kind::Versions(versions) = &self.kind { versions.retired() } else { Vec::new() }
    }

    fn reads_body(&self) -> bool {
        match &self.kind {
            Kind::Free | Kind::Offers(_) => false,
            Kind::Computed(price) => price.reads_body(),
            Kind::Versions(versions) => versions.allows_body(),
        }
    }

    fn fixed(&self) -> Option<Quote> {
        self.quote()
    }

    fn may_capture(&self) -> bool {
        let capture = match &self.kind {
            Kind::Free => false,
            Kind::Offers(priced) => priced.flow == Flow::Capture,
            Kind::Computed(price) => price.may_capture(),
            Kind::Versions(versions) => versions.allows_capture(),
        };
        let upto = |priced: &PricedOffers| priced.offers.iter().any(|offer| offer.scheme == Scheme::Upto);
        // What is metered is settled after the handler, whatever comes first otherwise.
        (capture && !self.upfront) || matches!(&self.kind, Kind::Offers(priced) if upto(priced))
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Free => f.write_str("Free"),
            Kind::Offers(priced) => priced.fmt(f),
            Kind::Computed(_) => f.write_str("Computed(..)"),
            Kind::Versions(_) => f.write_str("Changeable(..)"),
        }
    }
}

struct PerRequest<P>(P);

impl<P: Fn(&Parts) -> Result<Quote, PriceError> + Send + Sync + 'static> Pricing for PerRequest<P> {
    fn price(&self, _: PriceVersion, request: &Parts, _: Option<&Bytes>) -> Result<Quote, PriceError> {
        (self.0)(request)
    }
}

struct ByBody<P>(P);

impl<P: Fn(&Parts, &Bytes) -> Result<Quote, PriceError> + Send + Sync + 'static> Pricing for ByBody<P> {
    fn price(&self, _: PriceVersion, request: &Parts, body: Option<&Bytes>) -> Result<Quote, PriceError> {
        (self.0)(request, body.ok_or(PriceError::Unavailable)?)
    }

    fn reads_body(&self) -> bool {
        true
    }
}
