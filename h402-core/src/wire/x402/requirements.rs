//! One element of `accepts`, and half of what a facilitator is asked.

use super::{
    LeftOut, Terms, Version,
    extra::{ExtraIn, ExtraOut},
    name,
};
use crate::{
    Address, Amount, AmountError, Asset, Assets, Network, Offer, OfferError, Requirements, Resource, Scheme, asset_id,
    wire::{SkippedOffer, WireError, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// Seconds a payment must stay valid where nobody says it: what the reference's servers of version 1 say.
const DEFAULT_LIFETIME: u64 = 60;

/// As they are spelled in either version; what nobody reads is not here, so it may be anything.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RequirementsIn<'a> {
    #[serde(borrow)]
    scheme: Option<Cow<'a, str>>,
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    max_amount_required: Option<&'a RawValue>,
    #[serde(borrow)]
    asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pay_to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    max_timeout_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mime_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

impl RequirementsIn<'_> {
    /// Version 2 says elsewhere what is paid for, in `resource`; version 1 here.
    pub(super) fn parse(self, version: Version, resource: Option<&Arc<Resource>>, assets: &Assets) -> Result<Terms, SkippedOffer> {
        let scheme = self.scheme.as_deref().and_then(Scheme::from_word).ok_or(SkippedOffer::Scheme)?;
        let network = self.network.as_deref().and_then(|text| name::read(text, version)).ok_or(SkippedOffer::Network)?;
        let asset = self.asset(network, assets)?;
        let extra = ExtraIn::read(self.extra).ok_or(SkippedOffer::Malformed("extra cannot be read"))?;
        let flow = extra.flow().ok_or(SkippedOffer::Flow)?;
        let method = extra.method().ok_or(SkippedOffer::Method)?;
        if !extra.domain_agrees(&asset) {
            return Err(SkippedOffer::Domain);
        }
        let amount = match version {
            Version::V1 => self.max_amount_required,
            Version::V2 => self.amount,
        };
        let amount = amount.and_then(json::decimal).ok_or(SkippedOffer::Malformed("amount is missing or no number"))?;
        let amount = Amount::from_atomic_text(&amount).map_err(SkippedOffer::Amount)?;
        let pay_to = self.pay_to.as_deref().and_then(|text| text.parse::<Address>().ok());
        let pay_to = pay_to.ok_or(SkippedOffer::Malformed("payTo is not an address, or its checksum is wrong"))?;
        let mut offer = Offer::received(asset, amount, pay_to).map_err(|error| match error {
            OfferError::PayTo { why, .. } => SkippedOffer::PayTo(why),
            OfferError::Amount(error) => SkippedOffer::Amount(error),
            OfferError::Twice { .. } | OfferError::Empty | OfferError::Permit2 { .. } => SkippedOffer::Amount(AmountError::Zero),
        })?;
        (offer.scheme, offer.method) = (scheme, method);
        let lifetime_seconds = match self.max_timeout_seconds.and_then(json::decimal) {
            None => Some(DEFAULT_LIFETIME),
            Some(text) => Some(text.parse().map_err(|_| SkippedOffer::Malformed("maxTimeoutSeconds is no whole number of seconds"))?),
        };
        let (solana, facilitator) = (extra.hints(network), extra.facilitator()?);
        let resource = match (version, resource) {
            (Version::V2, Some(resource)) => resource.clone(),
            _ => Arc::new(Resource {
                url: self.resource.map(Cow::into_owned).unwrap_or_default(),
                description: self.description.map(Cow::into_owned),
                mime_type: self.mime_type.map(Cow::into_owned),
            }),
        };
        Ok(Terms { requirements: Requirements { offer: Arc::new(offer), resource, lifetime_seconds, solana, facilitator }, flow })
    }

    /// Whether they ask for nothing, in the scheme that allows it.
    pub(super) fn asks_nothing(&self) -> bool {
        let amount = self.amount.and_then(json::decimal).and_then(|text| Amount::from_atomic_text(&text).ok());
        amount.is_some_and(Amount::is_zero) && self.scheme.as_deref() == Some(Scheme::Upto.as_str())
    }

    /// The same, asking for one smallest unit.
    pub(super) fn asking_one(self) -> Result<Self, WireError> {
        Ok(Self { amount: Some(json::read("1")?), ..self })
    }

    /// The memo that a transaction on Solana must have, if one is asked for.
    pub(super) fn memo(&self) -> Option<String> {
        ExtraIn::read(self.extra)?.memo.map(Cow::into_owned)
    }

    /// As a payer reads them, who cannot write the memo that is asked for.
    pub(super) fn parse_offer(self, version: Version, resource: Option<&Arc<Resource>>, assets: &Assets) -> Result<Terms, SkippedOffer> {
        if self.memo().is_some() { Err(SkippedOffer::Memo) } else { self.parse(version, resource, assets) }
    }

    fn asset(&self, network: Network, assets: &Assets) -> Result<Arc<Asset>, SkippedOffer> {
        let text = self.asset.as_deref().ok_or(SkippedOffer::Malformed("asset is missing"))?;
        let id = asset_id(network, text).map_err(|_| SkippedOffer::Malformed("asset is not an address of the network"))?;
        assets.get(&id).cloned().ok_or(SkippedOffer::UnknownAsset)
    }

    /// By what reference servers of version 1 find the option that a payment is for.
    pub(super) fn door(&self) -> Option<(String, String)> {
        Some((self.scheme.as_deref()?.to_owned(), self.network.as_deref()?.to_owned()))
    }
}

/// Requirements as we spell them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum RequirementsOut<'a> {
    V1(V1Out<'a>),
    V2(V2Out<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct V1Out<'a> {
    scheme: &'static str,
    network: String,
    max_amount_required: String,
    resource: &'a str,
    /// Programs of version 1 refuse a 402 without these two texts.
    description: &'a str,
    mime_type: &'a str,
    pay_to: String,
    max_timeout_seconds: u64,
    asset: String,
    extra: ExtraOut<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct V2Out<'a> {
    scheme: &'static str,
    network: String,
    amount: String,
    asset: String,
    pay_to: String,
    max_timeout_seconds: u64,
    extra: ExtraOut<'a>,
}

impl<'a> RequirementsOut<'a> {
    pub(super) fn new(terms: &'a Terms, version: Version) -> Result<Self, LeftOut> {
        let Requirements { offer, resource, lifetime_seconds, .. } = &terms.requirements;
        if !offer.can_be_said_in(version.into()) {
            return Err(LeftOut::Asset);
        }
        let (scheme, network) = (offer.scheme.as_str(), name::write(offer.network(), version).ok_or(LeftOut::Network)?);
        let (amount, asset, pay_to) = (offer.amount.to_string(), offer.asset.id.address.to_string(), offer.pay_to.to_string());
        let max_timeout_seconds = lifetime_seconds.unwrap_or(DEFAULT_LIFETIME);
        let extra = ExtraOut::new(terms)?;
        Ok(match version {
            Version::V1 => Self::V1(V1Out {
                scheme,
                network,
                max_amount_required: amount,
                resource: &resource.url,
                description: resource.description.as_deref().unwrap_or_default(),
                mime_type: resource.mime_type.as_deref().unwrap_or_default(),
                pay_to,
                max_timeout_seconds,
                asset,
                extra,
            }),
            Version::V2 => Self::V2(V2Out { scheme, network, amount, asset, pay_to, max_timeout_seconds, extra }),
        })
    }
}
