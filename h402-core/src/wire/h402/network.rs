//! How h402 spells networks: a namespace and an identifier in it.

use crate::{GenesisPrefix, Network, network::parse_chain_id};

/// Why a namespace and identifier are no network of ours.
pub(super) enum BadNetwork {
    /// Arkade, which h402 knows and we do not.
    Arkade,
    /// A namespace that h402 does not know.
    Namespace,
    /// An identifier that is none in its namespace.
    Id,
}

const CLUSTERS: [(&str, GenesisPrefix); 3] =
    [("mainnet", GenesisPrefix::MAINNET), ("devnet", GenesisPrefix::DEVNET), ("testnet", GenesisPrefix::TESTNET)];

pub(in crate::wire) fn namespace(network: Network) -> &'static str {
    match network {
        Network::Evm(_) => "evm",
        Network::Solana(_) => "solana",
    }
}

pub(in crate::wire) fn network_id(network: Network) -> String {
    match network {
        Network::Evm(id) => id.to_string(),
        Network::Solana(genesis) => match CLUSTERS.iter().find(|(_, known)| *known == genesis) {
            Some((name, _)) => (*name).to_owned(),
            None => genesis.as_str().to_owned(),
        },
    }
}

pub(super) fn parse(namespace: &str, id: &str) -> Result<Network, BadNetwork> {
    match namespace {
        "evm" | "eip155" => parse_chain_id(id).map(Network::Evm).ok_or(BadNetwork::Id),
        "solana" => match CLUSTERS.iter().find(|(name, _)| *name == id) {
            Some((_, genesis)) => Ok(Network::Solana(*genesis)),
            None => id.parse().map(Network::Solana).map_err(|_| BadNetwork::Id),
        },
        "arkade" => Err(BadNetwork::Arkade),
        _ => Err(BadNetwork::Namespace),
    }
}

/// The network of a kind of `/supported`: by namespace and identifier, or by name or CAIP-2 in the manner of others.
pub(in crate::wire) fn named(namespace: Option<&str>, id: Option<&str>, name: Option<&str>) -> Option<Network> {
    match (namespace, id, name) {
        (Some(namespace), Some(id), _) => parse(namespace, id).ok(),
        (_, _, Some(name)) => Network::from_name(name).or_else(|| name.parse().ok()),
        _ => None,
    }
}
