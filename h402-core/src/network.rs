//! Networks, CAIP-2 inside; other spellings live at the edge.

use core::{fmt, str::FromStr};

/// A blockchain, named as CAIP-2 names it.
///
/// ```
/// use h402_core::Network;
/// let base: Network = "eip155:8453".parse()?;
/// assert_eq!(base, Network::Evm(8453));
/// assert_eq!(base.known_name(), Some("base"));
/// # Ok::<(), h402_core::UnknownNetwork>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// An EVM chain by its chain id.
    Evm(u64),
    /// A Solana cluster by the first 32 characters of its genesis hash in base58.
    Solana(GenesisPrefix),
}

/// The first 32 base58 characters of a Solana genesis hash: its CAIP-2 reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenesisPrefix([u8; 32]);

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no network; expected CAIP-2, such as eip155:8453")]
pub struct UnknownNetwork(pub String);

impl GenesisPrefix {
    /// The cluster that real money lives on.
    pub const MAINNET: Self = Self(*b"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
    /// The public development cluster.
    pub const DEVNET: Self = Self(*b"EtWTRABZaYq6iMfeYKouRu166VU2xqa1");
    /// The public test cluster.
    pub const TESTNET: Self = Self(*b"4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z");

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for GenesisPrefix {
    type Err = UnknownNetwork;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
        match <[u8; 32]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(|b| base58(*b)) => Ok(Self(bytes)),
            _ => Err(UnknownNetwork(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Debug for GenesisPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// EVM chain ids by the names h402 and x402 v1 use for them.
const EVM_NAMES: [(&str, u64); 14] = [
    ("base", 8453),
    ("base-sepolia", 84532),
    ("bsc", 56),
    ("polygon", 137),
    ("sei", 1329),
    ("story", 1514),
    ("abstract", 2741),
    ("peaq", 3338),
    ("avalanche", 43114),
    ("avalanche-fuji", 43113),
    ("iotex", 4689),
    ("ethereum", 1),
    ("polygon-amoy", 80002),
    ("sei-testnet", 1328),
];

impl Network {
    /// The name under which h402 and x402 v1 know the network, if they do.
    #[must_use]
    pub fn known_name(&self) -> Option<&'static str> {
        match self {
            Self::Evm(id) => EVM_NAMES.iter().find(|(_, known)| known == id).map(|(name, _)| *name),
            Self::Solana(GenesisPrefix::MAINNET) => Some("solana"),
            Self::Solana(GenesisPrefix::DEVNET) => Some("solana-devnet"),
            Self::Solana(_) => None,
        }
    }

    /// Finds a network by its h402 or x402 v1 name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "solana" => Some(Self::Solana(GenesisPrefix::MAINNET)),
            "solana-devnet" => Some(Self::Solana(GenesisPrefix::DEVNET)),
            _ => EVM_NAMES.iter().find(|(known, _)| *known == name).map(|(_, id)| Self::Evm(*id)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(id) => write!(f, "eip155:{id}"),
            Self::Solana(genesis) => write!(f, "solana:{}", genesis.as_str()),
        }
    }
}

impl FromStr for Network {
    type Err = UnknownNetwork;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownNetwork(text.chars().take(64).collect());
        match text.split_once(':') {
            Some(("eip155", id)) => parse_chain_id(id).map(Self::Evm).ok_or_else(unknown),
            Some(("solana", genesis)) => genesis.parse().map(Self::Solana).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

/// One spelling per chain id: no sign, no leading zero, not zero.
pub(crate) fn parse_chain_id(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caip2_round_trips() {
        for text in ["eip155:1", "eip155:8453", "eip155:31337", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "8453",
            "eip155:",
            "eip155:08453",
            "eip155:0",
            "eip155:+1",
            "eip155:8453abc",
            "EIP155:1",
            "eip155:99999999999999999999",
            "solana:mainnet",
            "solana:0eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_leads_back_to_its_network() {
        for (name, id) in EVM_NAMES {
            assert_eq!(Network::from_name(name), Some(Network::Evm(id)));
            assert_eq!(Network::Evm(id).known_name(), Some(name));
        }
    }
}
