//! `extra` of payment requirements: the fields that are read, and nothing else of it.

use super::{LeftOut, Terms};
use crate::{
    Asset, EvmAddress, Flow, Network, Requirements, SolanaHints, TransferMethod, base58,
    wire::{SkippedOffer, h402::HintsOut, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The flow that nobody writes, since it is the default.
const DEFAULT_FLOW: &str = "authorization";
const UPFRONT: &str = "upfront";

/// As it is spelled. `null` is as good as absent; so is a hint that cannot be read.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ExtraIn<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    asset_transfer_method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payment_flow: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) fee_payer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) facilitator_address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) memo: Option<Cow<'a, str>>,
    #[serde(borrow)]
    recent_blockhash: Option<&'a RawValue>,
    #[serde(borrow)]
    last_valid_block_height: Option<&'a RawValue>,
}

impl<'a> ExtraIn<'a> {
    /// Absent, `null` and `{}` are alike.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Option<Self> {
        match raw {
            None => Some(Self::default()),
            Some(raw) if raw.get() == "null" => Some(Self::default()),
            Some(raw) => json::read(raw.get()).ok(),
        }
    }

    /// The flow, `None` if it is not spoken here. It must not be taken for the default: the payer would be charged when
    /// it thinks that it is not.
    pub(super) fn flow(&self) -> Option<Flow> {
        match self.payment_flow.as_deref() {
            None | Some(DEFAULT_FLOW) => Some(Flow::Capture),
            Some(UPFRONT) => Some(Flow::Upfront),
            Some(_) => None,
        }
    }

    /// How the token is moved, `None` if that is not spoken here.
    pub(super) fn method(&self) -> Option<TransferMethod> {
        match self.asset_transfer_method.as_deref() {
            None => Some(TransferMethod::Eip3009),
            Some(word) => TransferMethod::from_word(word),
        }
    }

    /// What a payer on Solana need not ask for.
    pub(super) fn hints(&self, network: Network) -> Option<SolanaHints> {
        let Network::Solana(_) = network else { return None };
        let hints = SolanaHints {
            fee_payer: self.fee_payer.as_deref().and_then(|text| text.parse().ok()),
            blockhash: self.recent_blockhash.and_then(json::string).and_then(|text| base58::read(&text)),
            last_valid_block_height: self.last_valid_block_height.and_then(json::decimal).and_then(|text| text.parse().ok()),
        };
        (hints != SolanaHints::default()).then_some(hints)
    }

    /// Who must submit the payment.
    pub(super) fn facilitator(&self) -> Result<Option<EvmAddress>, SkippedOffer> {
        let Some(text) = self.facilitator_address.as_deref() else { return Ok(None) };
        let address = text.parse().ok().and_then(|address: crate::Address| address.evm());
        address.map(Some).ok_or(SkippedOffer::Malformed("facilitatorAddress is not an EVM address"))
    }

    /// The domain is the table's; one that is stated must agree, or the payer would sign what the token does not take.
    pub(super) fn domain_agrees(&self, asset: &Asset) -> bool {
        let Some(domain) = &asset.eip3009 else { return true };
        self.name.as_deref().is_none_or(|name| name == domain.name)
            && self.version.as_deref().is_none_or(|version| version == domain.version)
    }
}

/// As we spell it: only what there is to say.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtraOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset_transfer_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator_address: Option<String>,
    #[serde(flatten)]
    hints: Option<HintsOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_flow: Option<&'static str>,
}

impl<'a> ExtraOut<'a> {
    pub(super) fn new(terms: &'a Terms) -> Result<Self, LeftOut> {
        let Requirements { offer, solana, facilitator, .. } = &terms.requirements;
        let asset = &offer.asset;
        // Of a token without EIP-3009 the payer may want to sign a permit.
        let domain = asset.eip3009.as_ref().or(asset.permit2612.as_ref());
        let (method, hints) = match asset.id.network {
            Network::Evm(_) => ((offer.method == TransferMethod::Permit2).then_some(offer.method.as_str()), None),
            Network::Solana(_) => {
                let hints = solana.as_ref().filter(|hints| hints.fee_payer.is_some()).ok_or(LeftOut::FeePayer)?;
                (None, HintsOut::new(Some(hints)))
            }
        };
        Ok(Self {
            name: domain.map(|domain| domain.name.as_str()),
            version: domain.map(|domain| domain.version.as_str()),
            asset_transfer_method: method,
            facilitator_address: facilitator.map(|address| crate::Address::from(address).to_string()),
            hints,
            payment_flow: (terms.flow == Flow::Upfront).then_some(UPFRONT),
        })
    }
}
