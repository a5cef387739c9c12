//! Assets: what is paid with, and what each can do.

use crate::{Address, BadAddress, Network, SolanaAddress, solana::program};
use alloy_primitives::B256;
use alloy_sol_types::Eip712Domain;
use std::sync::Arc;

mod table;

/// An asset's identity; symbols and names are for display only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId {
    /// The network it lives on.
    pub network: Network,
    /// Token contract or mint; all zeros for the native coin.
    pub address: Address,
}

/// An asset with the facts a payment in it needs. Nothing here is guessed or taken from a payer.
///
/// ```
/// use h402_core::{Asset, Assets};
/// let assets = Assets::known();
/// let usdc = assets.by_symbol("eip155:8453".parse()?, "USDC").expect("USDC on Base is in the table");
/// assert_eq!((usdc.decimals, usdc.eip3009.is_some()), (6, true));
/// # Ok::<(), h402_core::UnknownNetwork>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Which asset.
    pub id: AssetId,
    /// Decimal places between the token unit and the smallest unit.
    pub decimals: u8,
    /// For display and for clients that prefer stablecoins.
    pub symbol: String,
    /// The EIP-712 domain, if the token has EIP-3009 `transferWithAuthorization`.
    pub eip3009: Option<TokenDomain>,
    /// The EIP-712 domain, if the token has EIP-2612 `permit`.
    pub permit2612: Option<TokenDomain>,
    /// The program whose mint it is; only tokens on Solana have one.
    pub token_program: Option<TokenProgram>,
    /// The currency its price is pegged to, if any.
    pub peg: Option<Peg>,
    /// Whether somebody on this project has compared the row with the chain.
    pub checked_on_chain: bool,
}

/// The two programs that keep tokens on Solana.
///
/// ```
/// use h402_core::TokenProgram;
/// let address = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb".parse()?;
/// assert_eq!(TokenProgram::at(&address), Some(TokenProgram::Token2022));
/// # Ok::<(), h402_core::BadAddress>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenProgram {
    /// SPL Token.
    Token,
    /// Token-2022, whose mints may carry extensions.
    Token2022,
}

impl TokenProgram {
    /// The program's address.
    #[must_use]
    pub const fn address(self) -> SolanaAddress {
        match self {
            Self::Token => program::TOKEN,
            Self::Token2022 => program::TOKEN_2022,
        }
    }

    /// The token program at an address, if it is one.
    #[must_use]
    pub fn at(address: &SolanaAddress) -> Option<Self> {
        [Self::Token, Self::Token2022].into_iter().find(|program| program.address() == *address)
    }
}

/// A currency that stablecoins are pegged to.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peg {
    /// United States dollar.
    Usd,
}

/// Name and version of a token's EIP-712 domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenDomain {
    /// `name` of the domain.
    pub name: String,
    /// `version` of the domain.
    pub version: String,
}

impl Asset {
    /// Describes the native coin of `network`.
    #[must_use]
    pub fn native(network: Network, symbol: &str) -> Self {
        let (address, decimals) = match network {
            Network::Evm(_) => (Address::Evm(Default::default()), 18),
            Network::Solana(_) => (program::SYSTEM.into(), 9),
        };
        Self::new(AssetId { network, address }, decimals, symbol)
    }

    /// Describes a token without any optional ability; one on Solana is SPL Token's.
    #[must_use]
    pub fn new(id: AssetId, decimals: u8, symbol: &str) -> Self {
        let symbol = symbol.to_owned();
        let spl = matches!(id.address, Address::Solana(mint) if mint != program::SYSTEM);
        let token_program = spl.then_some(TokenProgram::Token);
        Self { id, decimals, symbol, eip3009: None, permit2612: None, token_program, peg: None, checked_on_chain: false }
    }

    /// Adds EIP-3009 with its EIP-712 domain name and version.
    #[must_use]
    pub fn with_eip3009(mut self, name: &str, version: &str) -> Self {
        self.eip3009 = Some(TokenDomain { name: name.to_owned(), version: version.to_owned() });
        self
    }

    /// Adds EIP-2612 with its EIP-712 domain name and version.
    #[must_use]
    pub fn with_permit2612(mut self, name: &str, version: &str) -> Self {
        self.permit2612 = Some(TokenDomain { name: name.to_owned(), version: version.to_owned() });
        self
    }

    /// States that the mint is Token-2022's.
    #[must_use]
    pub fn with_token_2022(mut self) -> Self {
        self.token_program = Some(TokenProgram::Token2022);
        self
    }

    /// States the currency the asset is pegged to.
    #[must_use]
    pub fn with_peg(mut self, peg: Peg) -> Self {
        self.peg = Some(peg);
        self
    }

    /// Whether this is the network's own coin.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.id.address.is_zero()
    }

    /// The EIP-712 domain under which EIP-3009 authorizations for this asset are signed.
    #[must_use]
    pub fn eip712_domain(&self) -> Option<Eip712Domain> {
        let (Some(domain), Network::Evm(chain_id), Some(contract)) = (&self.eip3009, self.id.network, self.id.address.evm()) else {
            return None;
        };
        Some(Eip712Domain::new(
            Some(domain.name.clone().into()),
            Some(domain.version.clone().into()),
            Some(alloy_primitives::U256::from(chain_id)),
            Some(contract),
            None,
        ))
    }

    /// What the token's `DOMAIN_SEPARATOR()` must answer.
    #[must_use]
    pub fn domain_separator(&self) -> Option<B256> {
        self.eip712_domain().map(|domain| domain.separator())
    }
}

/// The assets a deployment knows. An asset that is not here is not accepted.
#[derive(Debug, Clone, Default)]
pub struct Assets(Vec<Arc<Asset>>);

impl Assets {
    /// No asset at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every asset of the built-in table (docs/wire.md#assets).
    #[must_use]
    pub fn known() -> Self {
        table::known()
    }

    /// Adds an asset, or replaces the one of the same identity.
    #[must_use]
    pub fn with(mut self, asset: Asset) -> Self {
        self.0.retain(|known| known.id != asset.id);
        self.0.push(Arc::new(asset));
        self
    }

    /// Finds an asset by identity.
    #[must_use]
    pub fn get(&self, id: &AssetId) -> Option<&Arc<Asset>> {
        self.0.iter().find(|asset| asset.id == *id)
    }

    /// Finds an asset by its symbol, for configuration only: symbols prove nothing.
    #[must_use]
    pub fn by_symbol(&self, network: Network, symbol: &str) -> Option<&Arc<Asset>> {
        self.0.iter().find(|asset| asset.id.network == network && asset.symbol == symbol)
    }

    /// All assets, in table order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Asset>> {
        self.0.iter()
    }
}

/// Reads an asset's identity from its network and address as text.
///
/// # Errors
/// [`BadAddress`] if the text is no address of that network.
pub fn asset_id(network: Network, address: &str) -> Result<AssetId, BadAddress> {
    let address: Address = address.parse()?;
    match (network, address) {
        (Network::Evm(_), Address::Evm(_)) | (Network::Solana(_), Address::Solana(_)) => Ok(AssetId { network, address }),
        _ => Err(BadAddress::Syntax),
    }
}
