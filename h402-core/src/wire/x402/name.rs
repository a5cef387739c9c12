//! Networks by the names of x402 version 1.

use super::Version;
use crate::{GenesisPrefix, Network};

/// What every program of version 1 means by a name. `story`, `educhain` and `skale-base-sepolia` are not here: the
/// TypeScript and the Python packages mean different chains by them, so a payment would be signed for one of two.
const NAMES: [(&str, Network); 14] = [
    ("abstract", Network::Evm(2741)),
    ("abstract-testnet", Network::Evm(11124)),
    ("avalanche", Network::Evm(43114)),
    ("avalanche-fuji", Network::Evm(43113)),
    ("base", Network::Evm(8453)),
    ("base-sepolia", Network::Evm(84532)),
    ("iotex", Network::Evm(4689)),
    ("peaq", Network::Evm(3338)),
    ("polygon", Network::Evm(137)),
    ("polygon-amoy", Network::Evm(80002)),
    ("sei", Network::Evm(1329)),
    ("sei-testnet", Network::Evm(1328)),
    ("solana", Network::Solana(GenesisPrefix::MAINNET)),
    ("solana-devnet", Network::Solana(GenesisPrefix::DEVNET)),
];

/// Names that only later programs know. They are read; but a 402 with one of them is of no use at all to the others.
const LATER: [(&str, Network); 10] = [
    ("celo", Network::Evm(42220)),
    ("ethereum", Network::Evm(1)),
    ("flare", Network::Evm(14)),
    ("megaeth", Network::Evm(4326)),
    ("monad", Network::Evm(143)),
    ("monad-testnet", Network::Evm(10143)),
    ("sepolia", Network::Evm(11_155_111)),
    ("solana-testnet", Network::Solana(GenesisPrefix::TESTNET)),
    ("stable", Network::Evm(988)),
    ("stable-testnet", Network::Evm(2201)),
];

/// Whether every client of version 1 reads a 402 with this network.
pub(super) fn is_common(network: Network) -> bool {
    NAMES.iter().any(|(_, known)| *known == network)
}

/// The network as it is spelled; `None` if this version cannot.
pub(super) fn write(network: Network, version: Version) -> Option<String> {
    match version {
        Version::V1 => all().find(|(_, known)| *known == network).map(|(name, _)| name.to_owned()),
        Version::V2 => Some(network.to_string()),
    }
}

/// The network that is meant.
pub(super) fn read(text: &str, version: Version) -> Option<Network> {
    match version {
        Version::V1 => all().find(|(known, _)| *known == text).map(|(_, network)| network),
        Version::V2 => text.parse().ok(),
    }
}

fn all() -> impl Iterator<Item = (&'static str, Network)> {
    NAMES.into_iter().chain(LATER)
}
