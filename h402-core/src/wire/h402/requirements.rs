//! Payment requirements: one element of `accepts`, and half of what a facilitator is asked.

use super::{hints, hints::HintsOut, network, network::BadNetwork};
use crate::{
    Address, Amount, AmountError, AmountFormat, Assets, Dialect, Network, Offer, OfferError, Requirements, Resource, Scheme, WireAmount,
    asset_id,
    wire::{SkippedOffer, WireError, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// Who reads a price, as far as it matters for the amount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The payer. Servers that compute in floats may ask for more than the exact amount; the larger satisfies both.
    Payer,
    /// The payee's side: exactly what is written.
    Payee,
}

/// Requirements as they are spelled; what nobody reads is not here, so it may be anything.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequirementsIn<'a> {
    #[serde(borrow)]
    scheme: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    network_id: Cow<'a, str>,
    #[serde(borrow)]
    amount_required: Option<&'a RawValue>,
    #[serde(borrow)]
    max_amount_required: Option<&'a RawValue>,
    #[serde(borrow)]
    amount_required_format: Cow<'a, str>,
    #[serde(borrow)]
    pay_to_address: Cow<'a, str>,
    #[serde(borrow)]
    token_address: Option<Cow<'a, str>>,
    token_decimals: Option<u8>,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mime_type: Option<Cow<'a, str>>,
    estimated_processing_time: Option<u64>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

impl RequirementsIn<'_> {
    pub(super) fn parse(self, assets: &Assets, reader: Reader) -> Result<Requirements, SkippedOffer> {
        self.scheme.as_deref().and_then(Scheme::from_word).filter(|scheme| *scheme == Scheme::Exact).ok_or(SkippedOffer::Scheme)?;
        let network = network::parse(&self.namespace, &self.network_id).map_err(|bad| match bad {
            BadNetwork::Arkade | BadNetwork::Namespace => SkippedOffer::Network,
            BadNetwork::Id => SkippedOffer::Malformed("networkId is not an identifier of its namespace"),
        })?;
        let token = self.token_address.as_deref().ok_or(SkippedOffer::Malformed("tokenAddress is missing"))?;
        let id = asset_id(network, token).map_err(|_| SkippedOffer::Malformed("tokenAddress is not an address of the network"))?;
        let asset = assets.get(&id).ok_or(SkippedOffer::UnknownAsset)?.clone();
        if let Some(stated) = self.token_decimals.filter(|stated| *stated != asset.decimals) {
            return Err(SkippedOffer::Decimals { stated, known: asset.decimals });
        }
        let amount = self.amount(network, asset.decimals, reader)?;
        let pay_to: Address =
            self.pay_to_address.parse().map_err(|_| SkippedOffer::Malformed("payToAddress is not an address, or its checksum is wrong"))?;
        let offer = Offer::received(asset, amount, pay_to).map_err(|error| match error {
            OfferError::PayTo { why, .. } => SkippedOffer::PayTo(why),
            OfferError::Amount(error) => SkippedOffer::Amount(error),
            OfferError::Twice { .. } | OfferError::Empty | OfferError::Permit2 { .. } => SkippedOffer::Malformed("not an offer"),
        })?;
        let resource = Resource {
            url: self.resource.map(Cow::into_owned).unwrap_or_default(),
            description: self.description.map(Cow::into_owned),
            mime_type: self.mime_type.map(Cow::into_owned),
        };
        let solana = hints::of(self.extra, network);
        let lifetime_seconds = self.estimated_processing_time;
        Ok(Requirements { offer: Arc::new(offer), resource: Arc::new(resource), lifetime_seconds, solana, facilitator: None })
    }

    fn amount(&self, network: Network, decimals: u8, reader: Reader) -> Result<Amount, SkippedOffer> {
        let raw = self.max_amount_required.or(self.amount_required).ok_or(SkippedOffer::Malformed("amountRequired is missing"))?;
        let literal = json::decimal(raw).ok_or(SkippedOffer::Amount(AmountError::Syntax))?.into_owned();
        let format = match &*self.amount_required_format {
            "smallestUnit" => AmountFormat::SmallestUnit,
            "humanReadable" => AmountFormat::HumanReadable,
            _ => return Err(SkippedOffer::Malformed("amountRequiredFormat is not known")),
        };
        let wire = WireAmount { literal, format };
        let exact = wire.to_amount(decimals).map_err(SkippedOffer::Amount)?;
        if reader == Reader::Payee || !matches!(network, Network::Evm(_)) {
            return Ok(exact);
        }
        let decimals = if format == AmountFormat::HumanReadable { decimals } else { 0 };
        let float = Amount::as_float_client_reads(&wire.literal, decimals).map_err(SkippedOffer::Amount)?;
        Ok(exact.max(float))
    }
}

/// Requirements as we spell them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequirementsOut<'a> {
    scheme: &'a str,
    namespace: &'a str,
    network_id: String,
    amount_required: Box<RawValue>,
    amount_required_format: &'a str,
    pay_to_address: String,
    token_address: String,
    token_decimals: u8,
    token_symbol: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_processing_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<ExtraOut<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ExtraOut<'a> {
    Domain(DomainOut<'a>),
    Solana(HintsOut),
}

/// The EIP-712 domain, for clients that cannot ask the token.
#[derive(Serialize)]
struct DomainOut<'a> {
    name: &'a str,
    version: &'a str,
}

impl<'a> RequirementsOut<'a> {
    pub(super) fn new(requirements: &'a Requirements) -> Result<Self, WireError> {
        let Requirements { offer, resource, lifetime_seconds, solana, facilitator: _ } = requirements;
        if !offer.can_be_said_in(Dialect::H402V1) {
            return Err(WireError::Field("h402 has no words for the offer"));
        }
        let asset = &offer.asset;
        let amount = offer.amount.to_wire(asset.decimals)?;
        Ok(Self {
            scheme: offer.scheme.as_str(),
            namespace: network::namespace(offer.network()),
            network_id: network::network_id(offer.network()),
            amount_required: RawValue::from_string(amount.literal).map_err(|_| WireError::Json)?,
            amount_required_format: match amount.format {
                AmountFormat::SmallestUnit => "smallestUnit",
                AmountFormat::HumanReadable => "humanReadable",
            },
            pay_to_address: offer.pay_to.to_string(),
            token_address: asset.id.address.to_string(),
            token_decimals: asset.decimals,
            token_symbol: &asset.symbol,
            resource: &resource.url,
            description: resource.description.as_deref(),
            mime_type: resource.mime_type.as_deref(),
            estimated_processing_time: *lifetime_seconds,
            required_deadline_seconds: *lifetime_seconds,
            extra: match &asset.eip3009 {
                Some(domain) => Some(ExtraOut::Domain(DomainOut { name: &domain.name, version: &domain.version })),
                None => HintsOut::new(solana.as_ref()).map(ExtraOut::Solana),
            },
        })
    }
}
