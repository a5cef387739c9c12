//! `GET /supported`.

use super::{VERSION, hints, hints::HintsOut, network};
use crate::{
    Dialect, Network, Scheme, Supported, SupportedKind,
    wire::{WireError, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Writes what a facilitator supports: each network by name (CAIP-2 if it has none) and by namespace and identifier.
///
/// # Errors
/// None in practice; see [`WireError`].
///
/// ```
/// use h402_core::{Dialect, Network, Scheme, Supported, SupportedKind, wire::h402};
/// let kind = SupportedKind { dialect: Dialect::H402V1, scheme: Scheme::Exact, network: Network::Evm(8453), solana: None, facilitator: None };
/// let supported = Supported { kinds: vec![kind], reserves: true };
/// assert_eq!(h402::decode_supported(&h402::encode_supported(&supported)?)?, supported);
/// # Ok::<(), h402::WireError>(())
/// ```
pub fn encode_supported(supported: &Supported) -> Result<Vec<u8>, WireError> {
    let kinds = supported.kinds.iter().map(|kind| KindOut {
        h402_version: VERSION,
        scheme: kind.scheme.as_str(),
        network: kind.network.known_name().map_or_else(|| kind.network.to_string(), ToOwned::to_owned),
        namespace: network::namespace(kind.network),
        network_id: network::network_id(kind.network),
        extra: HintsOut::new(kind.solana.as_ref()),
    });
    json::write(&SupportedOut { kinds: kinds.collect(), reserves: supported.reserves })
}

/// Reads what a facilitator supports. Kinds that are not spoken here are left out.
///
/// # Errors
/// [`WireError`] if there is no list of kinds.
pub fn decode_supported(body: &[u8]) -> Result<Supported, WireError> {
    let wire: SupportedIn<'_> = json::read_bytes(body)?;
    let kinds = wire.kinds.0.into_iter().filter_map(|raw| json::read::<KindIn<'_>>(raw.get()).ok()?.parse());
    Ok(Supported { kinds: kinds.collect(), reserves: wire.reserves.unwrap_or(false) })
}

#[derive(Serialize)]
struct SupportedOut {
    kinds: Vec<KindOut>,
    reserves: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KindOut {
    h402_version: u8,
    scheme: &'static str,
    network: String,
    namespace: &'static str,
    network_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<HintsOut>,
}

#[derive(Deserialize)]
struct SupportedIn<'a> {
    #[serde(borrow)]
    kinds: json::List<'a>,
    reserves: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindIn<'a> {
    #[serde(borrow)]
    h402_version: &'a RawValue,
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

impl KindIn<'_> {
    fn parse(self) -> Option<SupportedKind> {
        let scheme = Scheme::from_word(&self.scheme).filter(|scheme| *scheme == Scheme::Exact && json::is_one(self.h402_version))?;
        let network = match (self.namespace, self.network_id, self.network) {
            (Some(namespace), Some(id), _) => network::parse(&namespace, &id).ok()?,
            (_, _, Some(name)) => Network::from_name(&name).or_else(|| name.parse().ok())?,
            _ => return None,
        };
        let solana = if matches!(network, Network::Solana(_)) { hints::parse(self.extra) } else { None };
        Some(SupportedKind { dialect: Dialect::H402V1, scheme, network, solana, facilitator: None })
    }
}
