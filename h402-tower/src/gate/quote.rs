//! What a request costs: the port between the gate and whoever sets prices.

use bytes::Bytes;
use h402_core::{Flow, Offers, UnixMillis};
use http::request::Parts;
use std::sync::Arc;

/// Says what a request costs.
///
/// The gate asks again when the payment comes, so the answer may depend on nothing but its arguments: the same
/// request must cost the same under the same version. [`super::Price`] covers the usual cases.
///
/// ```
/// use bytes::Bytes;
/// use h402_tower::gate::{PriceError, PriceVersion, Pricing, Quote};
/// /// Everything below `/docs` is free.
/// struct FreeDocs(Quote);
/// impl Pricing for FreeDocs {
///     fn price(&self, _: PriceVersion, request: &http::request::Parts, _: Option<&Bytes>) -> Result<Quote, PriceError> {
///         Ok(if request.uri.path().starts_with("/docs/") { Quote::Free } else { self.0.clone() })
///     }
/// }
/// ```
pub trait Pricing: Send + Sync + 'static {
    /// The price of a request under a version. The payment headers are gone from `request` already.
    ///
    /// # Errors
    /// [`PriceError`] if the request cannot be priced; it is then answered without being served.
    fn price(&self, version: PriceVersion, request: &Parts, body: Option<&Bytes>) -> Result<Quote, PriceError>;

    /// The version that is quoted now.
    fn current(&self) -> PriceVersion {
        PriceVersion(0)
    }

    /// Versions quoted before, the last one first: all of them, or at least the last 63. Those retired within the
    /// gate's `quote_ttl` are still honoured, so that whoever is told a price can pay it.
    fn retired(&self) -> Vec<RetiredVersion> {
        Vec::new()
    }

    /// Whether it reads the body. Then the gate must be built with [`super::Gate::with_collected_body`].
    fn reads_body(&self) -> bool {
        false
    }

    /// The quote, if it is the same for every request: the gate then says when it is built what of it cannot be offered.
    fn fixed(&self) -> Option<Quote> {
        None
    }

    /// Whether a quote may be settled after the handler ran. If so, the handler's time is limited.
    fn may_capture(&self) -> bool {
        true
    }
}

/// A price that was retired before so many others may be forgotten.
pub(super) const RETIRED_KEPT: usize = 63;

/// Names one state of the prices. Greater is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriceVersion(pub u64);

/// A version that is not quoted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetiredVersion {
    /// Which.
    pub version: PriceVersion,
    /// Since when.
    pub retired_at: UnixMillis,
}

/// What one request costs.
///
/// ```
/// use h402_core::{Amount, Assets, Flow, Network, Offer, Offers};
/// use h402_tower::gate::Quote;
/// let usdc = Assets::known().by_symbol(Network::Evm(8453), "USDC").expect("in the table").clone();
/// let offer = Offer::new(usdc, Amount::from_atomic(10_000), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?)?;
/// let Quote::Offers(priced) = Quote::offers(Offers::new(vec![offer.into()])?).upfront() else { unreachable!() };
/// assert_eq!(priced.flow, Flow::Upfront);
/// assert_eq!(Quote::Free.upfront(), Quote::Free);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quote {
    /// Nothing.
    Free,
    /// One of these offers.
    Offers(PricedOffers),
}

/// Offers, and when the money moves. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedOffers {
    /// What is accepted, first choice first.
    pub offers: Arc<Offers>,
    /// When the money moves.
    pub flow: Flow,
}

impl Quote {
    /// Asks for one of `offers`, settled after the handler has delivered.
    #[must_use]
    pub fn offers(offers: Offers) -> Self {
        Self::Offers(PricedOffers { offers: Arc::new(offers), flow: Flow::Capture })
    }

    /// Settles before the handler runs.
    #[must_use]
    pub fn upfront(self) -> Self {
        match self {
            Self::Free => Self::Free,
            Self::Offers(priced) => Self::Offers(PricedOffers { flow: Flow::Upfront, ..priced }),
        }
    }
}

/// Why a request cannot be priced. The texts are shown to the client.
///
/// ```
/// use h402_tower::gate::PriceError;
/// assert_eq!(PriceError::BadRequest("size is small or large".to_owned()).to_string(), "size is small or large");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The request makes no sense: 400.
    #[error("{0}")]
    BadRequest(String),
    /// There is nothing to sell under this name: 404.
    #[error("nothing is sold here")]
    NotFound,
    /// The price is not known now: 503.
    #[error("the price is not known at the moment")]
    Unavailable,
}
