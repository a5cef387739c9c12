//! The compiled contracts and the calls that the chain itself makes.

use alloy_primitives::{Address, Bytes, address};
use alloy_sol_types::{SolConstructor, SolEvent, SolValue, sol};
use serde::Deserialize;

use super::chain::Error;

sol! {
    /// What the chain itself calls of the token.
    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);

        function balanceOf(address account) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function mint(address to, uint256 amount) external returns (bool);
        function pause() external;
        function unpause() external;
        function blacklist(address account) external;
        function unBlacklist(address account) external;
    }

    /// How every token is constructed.
    contract Construction {
        constructor(string name, string symbol, string version);
    }
}

pub(super) const TRANSFER: alloy_primitives::B256 = Token::Transfer::SIGNATURE_HASH;

/// Where Multicall3 is on nearly every chain, and here.
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");

/// Where USDC is on Base Sepolia.
pub const USDC_BASE_SEPOLIA: Address = address!("036CbD53842c5426634e7929541eC2318f3dCF7e");

/// A token to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Behaves as USDC does.
    Usdc {
        /// The token's name, which is part of its EIP-712 domain.
        name: String,
        /// The token's symbol.
        symbol: String,
        /// The version in the token's EIP-712 domain.
        version: String,
    },
    /// Every transfer succeeds and does nothing; every balance is huge.
    Noop,
    /// Keeps one percent of each transfer.
    Fee,
    /// Uses up authorizations without a transfer; `transfer` returns false.
    False,
    /// Burns about six million gas in each authorized transfer, then works.
    GasBurner,
}

impl TokenKind {
    /// A token that behaves as USDC does, under this name and with version 2.
    pub fn usdc(name: &str) -> Self {
        Self::Usdc { name: name.to_owned(), symbol: "USDC".to_owned(), version: "2".to_owned() }
    }

    /// The name that the deployed token has; the bad tokens too are called "USDC".
    pub fn name(&self) -> &str {
        match self {
            Self::Usdc { name, .. } => name,
            Self::Noop | Self::Fee | Self::False | Self::GasBurner => "USDC",
        }
    }

    /// The version that the deployed token has; that of the bad tokens is "2".
    pub fn version(&self) -> &str {
        match self {
            Self::Usdc { version, .. } => version,
            Self::Noop | Self::Fee | Self::False | Self::GasBurner => "2",
        }
    }

    fn symbol(&self) -> &str {
        match self {
            Self::Usdc { symbol, .. } => symbol,
            Self::Noop | Self::Fee | Self::False | Self::GasBurner => "USDC",
        }
    }

    /// The code that creates the token, for deploying it on a chain that is not ours.
    ///
    /// # Errors
    /// [`Error::Artifact`] if the embedded artifact is broken.
    pub fn init_code(&self) -> Result<Bytes, Error> {
        let artifact = Artifact::parse(match self {
            Self::Usdc { .. } => include_str!("../../contracts/artifacts/TestUSDC.json"),
            Self::Noop => include_str!("../../contracts/artifacts/NoopToken.json"),
            Self::Fee => include_str!("../../contracts/artifacts/FeeToken.json"),
            Self::False => include_str!("../../contracts/artifacts/FalseToken.json"),
            Self::GasBurner => include_str!("../../contracts/artifacts/GasBurner.json"),
        })?;
        let arguments = Construction::constructorCall {
            name: self.name().to_owned(),
            symbol: self.symbol().to_owned(),
            version: self.version().to_owned(),
        };
        Ok([&artifact.bytecode[..], &arguments.abi_encode()].concat().into())
    }
}

/// Where the token of the genesis state is, and what it is called: on Base and Base Sepolia as USDC there.
pub(super) fn genesis_token(chain_id: u64) -> (Address, &'static str) {
    match chain_id {
        8453 => (address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"), "USD Coin"),
        84532 => (USDC_BASE_SEPOLIA, "USDC"),
        _ => (address!("0000000000000000000000000000000000402402"), "USDC"),
    }
}

/// The runtime code of Multicall3, for a chain that is not ours.
///
/// # Errors
/// [`Error::Artifact`] if the embedded artifact is broken.
pub fn multicall3() -> Result<Bytes, Error> {
    Ok(Artifact::parse(include_str!("../../contracts/artifacts/Multicall3.json"))?.deployed_bytecode)
}

/// Where Permit2 and the x402 proxies for schemes `exact` and `upto` are on every chain, and here, with their runtime code.
/// The code is ours, compiled from `contracts/Permit2.sol`: what the canonical contracts do with signed transfers.
///
/// # Errors
/// [`Error::Artifact`] if an embedded artifact is broken.
pub fn permit2_contracts() -> Result<[(Address, Bytes); 3], Error> {
    let code = |text| Ok::<_, Error>(Artifact::parse(text)?.deployed_bytecode);
    Ok([
        (address!("000000000022D473030F116dDEE9F6B43aC78BA3"), code(include_str!("../../contracts/artifacts/Permit2.json"))?),
        (address!("402085c248EeA27D92E8b30b2C58ed07f9E20001"), code(include_str!("../../contracts/artifacts/X402ExactPermit2Proxy.json"))?),
        (address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"), code(include_str!("../../contracts/artifacts/X402UptoPermit2Proxy.json"))?),
    ])
}

pub(super) fn rejects_ether() -> Result<Bytes, Error> {
    Ok(Artifact::parse(include_str!("../../contracts/artifacts/RejectsEther.json"))?.bytecode)
}

pub(super) fn smart_wallet(owner: Address) -> Result<Bytes, Error> {
    let artifact = Artifact::parse(include_str!("../../contracts/artifacts/SmartWallet.json"))?;
    Ok([&artifact.bytecode[..], &owner.abi_encode()].concat().into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Artifact {
    pub(super) bytecode: Bytes,
    pub(super) deployed_bytecode: Bytes,
}

impl Artifact {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(Error::Artifact)
    }
}
