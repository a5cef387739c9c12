//! `accepted`: the element of `accepts` that a payment of version 2 is for.

use super::{LeftOut, Terms, Version, extra::ExtraIn, requirements::RequirementsOut};
use crate::{Address, Amount, Network, Reject, TransferMethod, wire::json};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The element of `accepts` that a payment is for, as it stood there: payers repeat it to the letter, since reference
/// servers compare it whole. Ours compare what [`Accepted::selects`] says; what was signed decides.
#[derive(Clone)]
pub struct Accepted(Box<RawValue>);

impl Accepted {
    /// Keeps one element of `accepts`, or of a payment. `None` if it is no JSON object, or one of which others may read
    /// another offer: a field is there twice.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let reads_alike = raw.get().starts_with('{') && json::read::<AcceptedIn<'_>>(raw.get()).is_ok();
        reads_alike.then(|| Self(raw.to_owned()))
    }

    /// What a payer who read `terms` from us would repeat: for asking facilitators, which are told our terms and not
    /// the payer's.
    ///
    /// # Errors
    /// [`LeftOut`] if x402 cannot say them.
    pub fn of(terms: &Terms) -> Result<Self, LeftOut> {
        let json = json::write(&RequirementsOut::new(terms, Version::V2)?).ok().and_then(|json| String::from_utf8(json).ok());
        json.and_then(|json| RawValue::from_string(json).ok()).map(Self).ok_or(LeftOut::Room)
    }

    /// Whether it is the way to pay that `terms` describe: scheme, network, asset, payee and amount, and of `extra`
    /// token name and version, transfer method, payment flow, fee payer and facilitator. Of these six, what one side
    /// leaves out is not compared but for method and flow, whose absence means something.
    ///
    /// ```
    /// use h402_core::{Assets, wire::x402::v2};
    /// // {"x402Version":2,"accepts":[{… one cent of USDC on Base …}]}
    /// # use base64::{Engine, engine::general_purpose::STANDARD};
    /// # let header = STANDARD.encode(r#"{"x402Version":2,"accepts":[{"scheme":"exact","network":"eip155:8453","amount":"10000","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","payTo":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","maxTimeoutSeconds":60}]}"#);
    /// let read = v2::decode_challenge(header.as_bytes(), &Assets::known())?;
    /// let offer = &read.offers[0];
    /// let terms = offer.terms.clone()?;
    /// assert!(offer.accepted.as_ref().is_some_and(|accepted| accepted.selects(&terms)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn selects(&self, terms: &Terms) -> bool {
        let Ok(wire) = json::read::<AcceptedIn<'_>>(self.0.get()) else { return false };
        let offer = &terms.requirements.offer;
        let address = |text: &Option<Cow<'_, str>>| text.as_deref().and_then(|text| text.parse::<Address>().ok());
        let amount = wire.amount.and_then(json::decimal).and_then(|text| Amount::from_atomic_text(&text).ok());
        let same = wire.scheme.as_deref() == Some(offer.scheme.as_str())
            && wire.network() == Some(offer.network())
            && address(&wire.asset) == Some(offer.asset.id.address)
            && address(&wire.pay_to) == Some(offer.pay_to)
            && amount == Some(offer.amount);
        let Some(extra) = ExtraIn::read(wire.extra).filter(|_| same) else { return false };
        let method = if matches!(offer.network(), Network::Evm(_)) { offer.method } else { TransferMethod::Eip3009 };
        // Who pays the fee and who settles is not compared: facilitators with several accounts name another one each time, and
        // judge the one that was signed for.
        extra.domain_agrees(&offer.asset) && extra.method() == Some(method) && extra.flow() == Some(terms.flow)
    }

    /// The network of it, if it can be read.
    pub(super) fn network(&self) -> Option<Network> {
        json::read::<AcceptedIn<'_>>(self.0.get()).ok()?.network()
    }

    /// Its scheme as it is spelled.
    pub(super) fn scheme(&self) -> Option<String> {
        json::read::<AcceptedIn<'_>>(self.0.get()).ok()?.scheme.map(Cow::into_owned)
    }

    pub(super) fn raw(&self) -> &RawValue {
        &self.0
    }

    /// The first of `terms` that it selects.
    ///
    /// # Errors
    /// [`Reject::Network`] if none is of its network, else [`Reject::NoOffer`].
    pub fn select<'t>(&self, terms: &'t [Terms]) -> Result<&'t Terms, Reject> {
        if let Some(found) = terms.iter().find(|terms| self.selects(terms)) {
            return Ok(found);
        }
        let network = self.network().filter(|network| terms.iter().all(|terms| terms.requirements.offer.network() != *network));
        Err(network.map_or(Reject::NoOffer, Reject::Network))
    }
}

/// Equal to the letter.
impl PartialEq for Accepted {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Accepted {}

/// A peer's text, of any length: not shown.
impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accepted(..)")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedIn<'a> {
    #[serde(borrow)]
    scheme: Option<Cow<'a, str>>,
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pay_to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

impl AcceptedIn<'_> {
    fn network(&self) -> Option<Network> {
        self.network.as_deref()?.parse().ok()
    }
}
