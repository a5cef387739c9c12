//! Assets, as a configuration describes them.

use super::{ConfigError, network_of, value};
use h402_core::{Asset, Peg, asset_id};
use serde::Deserialize;

/// One asset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetSection {
    /// CAIP-2 network, or a name such as `solana-devnet`.
    pub network: String,
    /// Token contract or mint, or `native`.
    pub address: String,
    /// Decimal places.
    pub decimals: u8,
    /// Symbol by which the network lists it.
    pub symbol: String,
    /// EIP-712 domain, if the token has EIP-3009.
    pub eip3009: Option<DomainSection>,
    /// `token` or `token-2022`, for a mint on Solana; the first if it is not said.
    pub token_program: Option<TokenProgramWord>,
    /// `usd`, if pegged.
    pub peg: Option<PegWord>,
}

/// A token program of Solana.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenProgramWord {
    /// SPL Token.
    Token,
    /// Token-2022.
    #[serde(rename = "token-2022")]
    Token2022,
}

/// An EIP-712 domain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainSection {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A currency.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PegWord {
    /// United States dollar.
    Usd,
}

impl AssetSection {
    /// The asset that is described.
    ///
    /// # Errors
    /// [`ConfigError::Value`], naming the key.
    pub fn asset(&self) -> Result<Asset, ConfigError> {
        let key = |part: &str| format!("asset {} {part}", self.symbol);
        let network = network_of(&self.network).map_err(|why| value(key("network"), why))?;
        let mut asset = match self.address.as_str() {
            "native" => Asset { decimals: self.decimals, ..Asset::native(network, &self.symbol) },
            text => {
                let id = asset_id(network, text).map_err(|why| value(key("address"), why))?;
                Asset::new(id, self.decimals, &self.symbol)
            }
        };
        if let Some(domain) = &self.eip3009 {
            asset = asset.with_eip3009(&domain.name, &domain.version);
        }
        match (self.token_program, asset.token_program) {
            (Some(_), None) => return Err(value(key("token_program"), "is of mints on Solana")),
            (Some(TokenProgramWord::Token2022), Some(_)) => asset = asset.with_token_2022(),
            (Some(TokenProgramWord::Token) | None, _) => {}
        }
        if let Some(PegWord::Usd) = self.peg {
            asset = asset.with_peg(Peg::Usd);
        }
        Ok(asset)
    }
}
