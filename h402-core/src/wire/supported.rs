//! `GET /supported`: one list for every dialect.

use super::{WireError, h402, json, x402};
use crate::{Address, Dialect, Scheme, Supported, SupportedKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// Writes what a facilitator supports: in h402 each network by name (CAIP-2 if it has none) and by namespace and identifier;
/// in x402 by name or CAIP-2, as its version has it. Kinds that their dialect cannot say are left out.
///
/// # Errors
/// None in practice; see [`WireError`].
///
/// ```
/// use h402_core::{Dialect, Network, Scheme, Supported, SupportedKind, wire};
/// let kind = |dialect| SupportedKind { dialect, scheme: Scheme::Exact, network: Network::Evm(8453), solana: None, facilitator: None };
/// let kinds = [Dialect::H402V1, Dialect::X402V1, Dialect::X402V2].map(kind).to_vec();
/// let supported = Supported { kinds, reserves: true, signers: Vec::new() };
/// assert_eq!(wire::decode_supported(&wire::encode_supported(&supported)?)?, supported);
/// # Ok::<(), wire::WireError>(())
/// ```
pub fn encode_supported(supported: &Supported) -> Result<Vec<u8>, WireError> {
    let kinds = supported.kinds.iter().filter_map(KindOut::new).collect();
    let mut signers: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for signer in &supported.signers {
        let family = match signer {
            Address::Evm(_) => "eip155:*",
            Address::Solana(_) => "solana:*",
        };
        signers.entry(family).or_default().push(signer.to_string());
    }
    json::write(&SupportedOut { kinds, extensions: [], signers, reserves: supported.reserves })
}

/// Reads what a facilitator supports. Kinds that are not spoken here are left out, and so are signers that cannot be read.
///
/// # Errors
/// [`WireError`] if there is no list of kinds.
pub fn decode_supported(body: &[u8]) -> Result<Supported, WireError> {
    let wire: SupportedIn<'_> = json::read_bytes(body)?;
    let kinds = wire.kinds.0.into_iter().filter_map(|raw| json::read::<KindIn<'_>>(raw.get()).ok()?.parse());
    let signers: Option<BTreeMap<String, Vec<String>>> = wire.signers.and_then(|raw| json::read(raw.get()).ok());
    let signers = signers.into_iter().flatten().flat_map(|(_, list)| list).filter_map(|text| text.parse().ok());
    Ok(Supported { kinds: kinds.collect(), reserves: wire.reserves.unwrap_or(false), signers: signers.take(MAX_SIGNERS).collect() })
}

/// More signers than this are not read.
const MAX_SIGNERS: usize = 256;

#[derive(Serialize)]
struct SupportedOut {
    kinds: Vec<KindOut>,
    /// Those that a facilitator has a part in. None is.
    extensions: [&'static str; 0],
    signers: BTreeMap<&'static str, Vec<String>>,
    reserves: bool,
}

/// One kind. Programs of x402 throw the whole list away for one kind without a number in `x402Version`, so kinds of h402 have
/// one as well: 0, which is no version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KindOut {
    x402_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    h402_version: Option<u8>,
    scheme: &'static str,
    network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<ExtraOut>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtraOut {
    #[serde(flatten)]
    hints: Option<h402::HintsOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator_address: Option<String>,
}

impl KindOut {
    fn new(kind: &SupportedKind) -> Option<Self> {
        let SupportedKind { dialect, scheme, network, solana, facilitator } = kind;
        if *scheme != Scheme::Exact && *dialect != Dialect::X402V2 {
            return None;
        }
        let hints = h402::HintsOut::new(solana.as_ref());
        let facilitator_address = facilitator.map(|address| Address::from(address).to_string());
        let extra = (hints.is_some() || facilitator_address.is_some()).then_some(ExtraOut { hints, facilitator_address });
        let (namespace, network_id, h402_version, x402_version, name) = match dialect {
            Dialect::H402V1 => {
                let name = network.known_name().map_or_else(|| network.to_string(), ToOwned::to_owned);
                (Some(h402::namespace(*network)), Some(h402::network_id(*network)), Some(1), 0, name)
            }
            Dialect::X402V1 => (None, None, None, 1, x402::v1::network_name(*network)?),
            Dialect::X402V2 => (None, None, None, 2, network.to_string()),
        };
        Some(Self { x402_version, h402_version, scheme: scheme.as_str(), network: name, namespace, network_id, extra })
    }
}

#[derive(Deserialize)]
struct SupportedIn<'a> {
    #[serde(borrow)]
    kinds: json::List<'a>,
    reserves: Option<bool>,
    #[serde(borrow)]
    signers: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindIn<'a> {
    #[serde(borrow)]
    h402_version: Option<&'a RawValue>,
    #[serde(borrow)]
    x402_version: Option<&'a RawValue>,
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    network_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FacilitatorIn<'a> {
    #[serde(borrow)]
    facilitator_address: Option<Cow<'a, str>>,
}

impl KindIn<'_> {
    fn parse(self) -> Option<SupportedKind> {
        let scheme = Scheme::from_word(&self.scheme)?;
        let is = |version: Option<&RawValue>, number| version.is_some_and(|version| json::is(version, number));
        let (dialect, network) = if is(self.h402_version, 1) {
            (Dialect::H402V1, h402::supported_network(self.namespace.as_deref(), self.network_id.as_deref(), self.network.as_deref())?)
        } else if is(self.x402_version, 1) {
            (Dialect::X402V1, x402::v1::network_of_name(self.network.as_deref()?)?)
        } else if is(self.x402_version, 2) {
            (Dialect::X402V2, self.network.as_deref()?.parse().ok()?)
        } else {
            return None;
        };
        if scheme != Scheme::Exact && dialect != Dialect::X402V2 {
            return None;
        }
        let solana = h402::hints(self.extra, network);
        let told: Option<FacilitatorIn<'_>> = self.extra.and_then(|extra| json::read(extra.get()).ok());
        let facilitator =
            told.and_then(|told| told.facilitator_address).and_then(|text| text.parse().ok()).and_then(|read: Address| read.evm());
        Some(SupportedKind { dialect, scheme, network, solana, facilitator })
    }
}
