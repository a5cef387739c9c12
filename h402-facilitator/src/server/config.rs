//! Configuration: one TOML file, overridden by the environment. Unknown keys are refused, secrets never shown.

use crate::{
    Callers, EngineConfig, EvmNetwork, NetworkConfig, Signer,
    evm::{EvmChain, EvmConfig},
    rpc::{Endpoint, Rpc, RpcConfig},
};
use h402_core::{Address, Amount, Asset, Assets, EvmKey, Network, Peg, asset_id};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};
use zeroize::Zeroizing;

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Anything but loopback needs `--public`.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The ledger's file.
    #[serde(default = "default_database")]
    pub database: PathBuf,
    /// `guarded` or `trusted`: whether callers without an `Idempotency-Key` exclude each other.
    #[serde(default)]
    pub callers: CallersWord,
    /// Whether payments that the payer has already sent are accepted.
    #[serde(default)]
    pub accept_sent: bool,
    /// Payments one payer may have open at once in one asset.
    pub max_open_per_payer: Option<usize>,
    /// Requests worked on at once.
    pub max_concurrent: Option<usize>,
    /// The networks.
    #[serde(default)]
    pub network: Vec<NetworkSection>,
    /// Assets that the built-in table lacks or has otherwise.
    #[serde(default)]
    pub asset: Vec<AssetSection>,
}

/// Who calls.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallersWord {
    /// Anybody.
    #[default]
    Guarded,
    /// Servers that remember what they were paid with.
    Trusted,
}

/// One network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// CAIP-2, such as `eip155:8453`.
    pub id: String,
    /// RPC URLs, first choice first. `H402_RPC_<chain id>` (comma-separated) overrides them.
    #[serde(default)]
    pub rpc: Vec<Secret>,
    /// File with the key that pays for gas, 64 hex digits. `H402_KEY_<chain id>` overrides it.
    pub key_file: Option<PathBuf>,
    /// Encrypted key file (Ethereum keystore, version 3); its password comes from `H402_KEYSTORE_PASSWORD_<chain id>`.
    pub keystore_file: Option<PathBuf>,
    /// Symbols of the accepted assets: an allow-list, so it cannot be left out.
    pub assets: Vec<String>,
    /// Address of Multicall3, or `none`.
    #[serde(default = "default_multicall")]
    pub multicall3: String,
    /// Blocks after which a settlement is answered as settled.
    pub accept_depth: Option<u64>,
    /// Blocks after which it is final.
    pub final_depth: Option<u64>,
    /// Greatest gas of one settlement.
    pub max_gas: Option<u64>,
    /// Greatest price per gas in gwei.
    pub max_fee_gwei: Option<u64>,
    /// Milliseconds between looks for new blocks.
    pub poll_ms: Option<u64>,
    /// Least amounts that are settled, by symbol, in token units as text.
    #[serde(default)]
    pub minimum: BTreeMap<String, String>,
}

/// One asset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetSection {
    /// CAIP-2 network.
    pub network: String,
    /// Token contract, or `native`.
    pub address: String,
    /// Decimal places.
    pub decimals: u8,
    /// Symbol by which the network lists it.
    pub symbol: String,
    /// EIP-712 domain, if the token has EIP-3009.
    pub eip3009: Option<DomainSection>,
    /// `usd`, if pegged.
    pub peg: Option<PegWord>,
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

/// What is wrong with a configuration. Repeats no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Not the TOML that is expected.
    #[error("{0}")]
    Syntax(String),
    /// A value is wrong.
    #[error("{key}: {why}")]
    Value {
        /// Which.
        key: String,
        /// Why.
        why: String,
    },
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8402))
}

fn default_database() -> PathBuf {
    "h402.sqlite".into()
}

fn default_multicall() -> String {
    "0xcA11bde05977b3631167028862bE2a173976CA11".into()
}

fn value(key: impl Into<String>, why: impl fmt::Display) -> ConfigError {
    ConfigError::Value { key: key.into(), why: why.to_string() }
}

impl FromStr for Config {
    type Err = ConfigError;
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        from_toml(text)
    }
}

/// Reads TOML whose values may be secrets: an error names the line, and repeats nothing that is written there but keys.
///
/// # Errors
/// [`ConfigError::Syntax`].
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        let message = error.message();
        // Where a text stands in place of something else, it would be quoted.
        let quoted = message.split_once("string \"").and_then(|(before, rest)| Some((before, rest.rsplit_once('"')?.1)));
        let message = quoted.map_or_else(|| message.to_owned(), |(before, after)| format!("{before}string{after}"));
        ConfigError::Syntax(format!("line {line}: {message}"))
    })
}

impl Config {
    /// Applies `H402_LISTEN`, `H402_DATABASE`, `H402_RPC_<chain id>` from `env`.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn override_from(&mut self, env: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        if let Some(listen) = env("H402_LISTEN") {
            self.listen = listen.parse().map_err(|_| value("H402_LISTEN", "not an address and port"))?;
        }
        if let Some(database) = env("H402_DATABASE") {
            self.database = database.into();
        }
        for network in &mut self.network {
            if let Some(urls) = env(&format!("H402_RPC_{}", network.reference())) {
                network.rpc = urls.split(',').map(|url| Secret(url.trim().to_owned())).collect();
            }
        }
        Ok(())
    }

    /// Refuses a listener that strangers reach, unless that was asked for.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check_bind(&self, public: bool) -> Result<(), ConfigError> {
        if self.listen.ip().is_loopback() || public {
            return Ok(());
        }
        Err(value("listen", format!("{} is reachable by others; start with --public to mean it", self.listen)))
    }

    /// Turns the text into an engine's configuration; keys come from `env` or from key files.
    ///
    /// # Errors
    /// [`ConfigError::Value`], naming the key.
    pub fn engine(&self, env: impl Fn(&str) -> Option<String>) -> Result<EngineConfig, ConfigError> {
        let mut known = Assets::known();
        for section in &self.asset {
            known = known.with(section.asset()?);
        }
        let mut allowed = Assets::none();
        let mut networks: Vec<NetworkConfig> = Vec::new();
        if self.network.is_empty() {
            return Err(value("network", "at least one [[network]] is needed"));
        }
        for section in &self.network {
            let network = section.network()?;
            if networks.iter().any(|other| other.network() == network) {
                return Err(value(format!("network {network}"), "is there twice"));
            }
            if section.assets.is_empty() {
                return Err(value(format!("network {network} assets"), "at least one asset must be listed"));
            }
            let mut minimums = Vec::new();
            for symbol in &section.assets {
                let asset = known.by_symbol(network, symbol).ok_or_else(|| {
                    value(format!("network {network} assets"), format!("{symbol} is not known; describe it in an [[asset]]"))
                })?;
                if let Some(text) = section.minimum.get(symbol) {
                    let minimum = Amount::from_units(text, asset.decimals)
                        .map_err(|why| value(format!("network {network} minimum {symbol}"), why))?;
                    minimums.push((asset.id.address, minimum));
                }
                allowed = allowed.with((**asset).clone());
            }
            if let Some(symbol) = section.minimum.keys().find(|symbol| !section.assets.contains(symbol)) {
                return Err(value(format!("network {network} minimum"), format!("{symbol} is not among the assets")));
            }
            networks.push(EvmNetwork { minimums, ..section.config(network, &env)? }.into());
        }
        let defaults = EngineConfig::new(allowed, networks);
        Ok(EngineConfig {
            callers: match self.callers {
                CallersWord::Guarded => Callers::Guarded,
                CallersWord::Trusted => Callers::Trusted,
            },
            accept_sent: self.accept_sent,
            max_open_per_payer: self.max_open_per_payer.unwrap_or(defaults.max_open_per_payer),
            max_concurrent: self.max_concurrent.unwrap_or(defaults.max_concurrent),
            ..defaults
        })
    }
}

impl NetworkSection {
    fn network(&self) -> Result<Network, ConfigError> {
        self.id.parse().map_err(|why| value("network id", why))
    }

    /// The part of the id that names environment variables: the chain id.
    fn reference(&self) -> &str {
        self.id.split_once(':').map_or(self.id.as_str(), |(_, reference)| reference)
    }

    fn config(&self, network: Network, env: &impl Fn(&str) -> Option<String>) -> Result<EvmNetwork, ConfigError> {
        let key = |part: &str| format!("network {network} {part}");
        let Network::Evm(chain_id) = network else { return Err(value(key("id"), "only EVM networks are supported yet")) };
        let mut endpoints = Vec::new();
        for Secret(url) in &self.rpc {
            endpoints.push(url.parse::<Endpoint>().map_err(|why| value(key("rpc"), why))?);
        }
        if endpoints.is_empty() {
            return Err(value(key("rpc"), format!("at least one URL is needed, here or in H402_RPC_{chain_id}")));
        }
        let multicall3 = match self.multicall3.as_str() {
            "none" => None,
            text => match text.parse() {
                Ok(Address::Evm(address)) => Some(address),
                _ => return Err(value(key("multicall3"), "neither an address nor \"none\"")),
            },
        };
        let signer = Signer::Local(self.key(chain_id, env)?);
        let rpc = Rpc::new(RpcConfig::new(endpoints));
        let chain = EvmChain::new(EvmConfig { chain_id, multicall3, simulate_from: signer.address(), rpc });
        let defaults = EvmNetwork::new(chain, signer);
        Ok(EvmNetwork {
            accept_depth: self.accept_depth.unwrap_or(defaults.accept_depth).max(1),
            final_depth: self.final_depth.unwrap_or(defaults.final_depth).max(1),
            max_gas: self.max_gas.unwrap_or(defaults.max_gas),
            max_fee_per_gas: self.max_fee_gwei.map_or(defaults.max_fee_per_gas, |gwei| u128::from(gwei) * 1_000_000_000),
            poll: self.poll_ms.map_or(defaults.poll, |ms| Duration::from_millis(ms.max(10))),
            ..defaults
        })
    }

    fn key(&self, chain_id: u64, env: &impl Fn(&str) -> Option<String>) -> Result<EvmKey, ConfigError> {
        let variable = format!("H402_KEY_{chain_id}");
        if let Some(text) = env(&variable) {
            return EvmKey::from_hex(&text).map_err(|why| value(variable, why));
        }
        let key = |part: &str| format!("network {} {part}", self.id);
        match (&self.key_file, &self.keystore_file) {
            (Some(path), None) => {
                let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.clone(), error })?;
                EvmKey::from_hex(&Zeroizing::new(text)).map_err(|why| value(path.display().to_string(), why))
            }
            (None, Some(path)) => {
                let variable = format!("H402_KEYSTORE_PASSWORD_{chain_id}");
                let password = Zeroizing::new(env(&variable).ok_or_else(|| value(key("keystore_file"), format!("{variable} is not set")))?);
                // The library's own errors may quote the file.
                let opened = eth_keystore::decrypt_key(path, password.as_bytes());
                let secret =
                    Zeroizing::new(opened.map_err(|_| value(path.display().to_string(), "is no keystore, or the password is wrong"))?);
                let secret =
                    <&[u8; 32]>::try_from(secret.as_slice()).map_err(|_| value(path.display().to_string(), "holds no 32-byte key"))?;
                EvmKey::from_bytes(secret).map_err(|why| value(path.display().to_string(), why))
            }
            (Some(_), Some(_)) => Err(value(key("key_file"), "and keystore_file are both given")),
            (None, None) => Err(value(key("key_file"), format!("is missing, as is keystore_file, and {variable} is not set"))),
        }
    }
}

impl AssetSection {
    /// The asset that is described.
    ///
    /// # Errors
    /// [`ConfigError::Value`], naming the key.
    pub fn asset(&self) -> Result<Asset, ConfigError> {
        let key = |part: &str| format!("asset {} {part}", self.symbol);
        let network: Network = self.network.parse().map_err(|why| value(key("network"), why))?;
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
        if let Some(PegWord::Usd) = self.peg {
            asset = asset.with_peg(Peg::Usd);
        }
        Ok(asset)
    }
}

#[cfg(test)]
mod tests;
