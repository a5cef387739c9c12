//! Addresses, parsed once to bytes; two spellings of one address are equal.

use crate::base58;
use core::{fmt, str::FromStr};

/// A 20-byte EVM address.
pub use alloy_primitives::Address as EvmAddress;

/// A 32-byte Solana address: a public key, a program, a mint or an account that a program owns. Shown in base58.
///
/// ```
/// use h402_core::SolanaAddress;
/// let mint: SolanaAddress = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse()?;
/// assert_eq!(SolanaAddress::from_bytes(*mint.as_bytes()), mint);
/// assert_eq!(mint.to_string(), "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
/// # Ok::<(), h402_core::BadAddress>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SolanaAddress([u8; 32]);

/// An address on some network: a payer, a payee or an asset.
///
/// ```
/// use h402_core::Address;
/// let lower: Address = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8".parse()?;
/// let mixed: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?;
/// assert_eq!(lower, mixed);
/// assert_eq!(lower.to_string(), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
/// # Ok::<(), h402_core::BadAddress>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// 20 bytes, shown with the EIP-55 checksum.
    Evm(EvmAddress),
    /// 32 bytes, shown in base58.
    Solana(SolanaAddress),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Neither `0x` and 40 hex digits nor 32 bytes in base58.
    #[error("neither 0x and 40 hex digits nor 32 bytes in base58")]
    Syntax,
    /// Mixed case whose EIP-55 checksum is wrong: most likely a typing error.
    #[error("EIP-55 checksum is wrong")]
    Checksum,
}

impl Address {
    /// The EVM address, if it is one.
    #[must_use]
    pub fn evm(&self) -> Option<EvmAddress> {
        match self {
            Self::Evm(address) => Some(*address),
            Self::Solana(_) => None,
        }
    }

    /// The Solana address, if it is one.
    #[must_use]
    pub fn solana(&self) -> Option<SolanaAddress> {
        match self {
            Self::Solana(address) => Some(*address),
            Self::Evm(_) => None,
        }
    }

    /// Whether all bytes are zero: the marker of a native coin.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.as_bytes().iter().all(|byte| *byte == 0)
    }

    /// The bytes, 20 or 32 of them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Evm(address) => address.as_slice(),
            Self::Solana(address) => address.as_bytes(),
        }
    }
}

impl From<EvmAddress> for Address {
    fn from(address: EvmAddress) -> Self {
        Self::Evm(address)
    }
}

impl From<SolanaAddress> for Address {
    fn from(address: SolanaAddress) -> Self {
        Self::Solana(address)
    }
}

impl SolanaAddress {
    /// Takes the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for SolanaAddress {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for SolanaAddress {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base58::read(text).map(Self).ok_or(BadAddress::Syntax)
    }
}

impl fmt::Display for SolanaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(&self.0).into_string())
    }
}

impl fmt::Debug for SolanaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(digits) = text.strip_prefix("0x") else {
            return text.parse().map(Self::Solana);
        };
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadAddress::Syntax)?;
        let address = EvmAddress::from(bytes);
        let mixed = digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
        if mixed && address.to_checksum(None) != text {
            return Err(BadAddress::Checksum);
        }
        Ok(Self::Evm(address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(address) => f.write_str(&address.to_checksum(None)),
            Self::Solana(address) => fmt::Display::fmt(address, f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T026: six spellings of one payee; only wrong ones are refused.
    #[test]
    fn t026_spellings_of_one_address() {
        let right: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
        let cases = [
            ("0x70997970c51812dc3a010c7d01b50e0d17dc79c8", Ok(right)),
            ("0x70997970C51812DC3A010C7D01B50E0D17DC79C8", Ok(right)),
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", Ok(right)),
            ("0x70997970c51812dc3A010C7d01b50e0d17dc79C8", Err(BadAddress::Checksum)),
            ("0X70997970c51812dc3a010c7d01b50e0d17dc79c8", Err(BadAddress::Syntax)),
            ("shop.eth", Err(BadAddress::Syntax)),
            (" 0x70997970c51812dc3a010c7d01b50e0d17dc79c8", Err(BadAddress::Syntax)),
            ("0x70997970c51812dc3a010c7d01b50e0d17dc79", Err(BadAddress::Syntax)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Address>(), want, "{text}");
        }
    }

    #[test]
    fn solana_addresses_round_trip() {
        for text in ["EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "11111111111111111111111111111111"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("11111111111111111111111111111111".parse::<Address>().unwrap().is_zero());
        assert!("1111111111111111111111111111111".parse::<Address>().is_err());
    }
}
