//! Configuration: one TOML file, overridden by the environment. Unknown keys are refused, secrets never shown.

mod asset;
mod evm;
mod solana;
mod solana_rpc;

pub use asset::{AssetSection, DomainSection, PegWord, TokenProgramWord};
pub use solana::{CommitmentWord, ExtensionWord};
pub use solana_rpc::SolanaRpcSection;

use crate::{
    Callers, EngineConfig, EvmNetwork, NetworkConfig, SolanaNetwork,
    rpc::{Endpoint, Rpc, RpcConfig},
};
use h402_core::{Address, Amount, Assets, Network, UnknownNetwork};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr};

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
    /// The proxy for Solana clients; off if it is left out.
    pub solana_rpc: Option<SolanaRpcSection>,
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

/// One network. What is said to be of EVM or of Solana is refused elsewhere.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// CAIP-2, such as `eip155:8453`, or a name, such as `solana-devnet`.
    pub id: String,
    /// RPC URLs, first choice first. `H402_RPC_<reference>` (comma-separated) overrides them; the reference is the part
    /// of the CAIP-2 id after the colon.
    #[serde(default)]
    pub rpc: Vec<Secret>,
    /// File with a key; `H402_KEY_<reference>` overrides it. EVM: the key that pays for gas, 64 hex digits. Solana: the
    /// key that pays the fees of others, in base58 or as `solana-keygen` writes it; without it payers pay their own.
    pub key_file: Option<PathBuf>,
    /// EVM: encrypted key file (Ethereum keystore, version 3); its password comes from
    /// `H402_KEYSTORE_PASSWORD_<reference>`.
    pub keystore_file: Option<PathBuf>,
    /// Symbols of the accepted assets: an allow-list, so it cannot be left out.
    pub assets: Vec<String>,
    /// EVM: address of Multicall3, or `none`.
    pub multicall3: Option<String>,
    /// EVM: blocks after which a settlement is answered as settled.
    pub accept_depth: Option<u64>,
    /// EVM: blocks after which it is final.
    pub final_depth: Option<u64>,
    /// EVM: greatest gas of one settlement.
    pub max_gas: Option<u64>,
    /// EVM: greatest price per gas in gwei.
    pub max_fee_gwei: Option<u64>,
    /// Solana: `confirmed` or `finalized`, when a settlement is answered as settled.
    pub commitment: Option<CommitmentWord>,
    /// Solana: amounts from which on that is `finalized` in any case, by symbol, in token units as text.
    #[serde(default)]
    pub large_amount: BTreeMap<String, String>,
    /// Solana: the most lamports that are paid for a payment of others.
    pub max_fee_lamports: Option<u64>,
    /// Solana: blocks that a payment must have left.
    pub min_blocks_left: Option<u64>,
    /// Solana: what mints of Token-2022 may be able to do.
    #[serde(default)]
    pub extensions: Vec<ExtensionWord>,
    /// Milliseconds between looks for open settlements.
    pub poll_ms: Option<u64>,
    /// Least amounts that are settled, by symbol, in token units as text.
    #[serde(default)]
    pub minimum: BTreeMap<String, String>,
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

/// The network with this name, or with this CAIP-2 id.
///
/// # Errors
/// [`UnknownNetwork`].
pub fn network_of(text: &str) -> Result<Network, UnknownNetwork> {
    Network::from_name(text).map_or_else(|| text.parse(), Ok)
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
    /// Applies `H402_LISTEN`, `H402_DATABASE`, `H402_RPC_<reference>` from `env`.
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
            for symbol in &section.assets {
                let asset = known.by_symbol(network, symbol).ok_or_else(|| {
                    value(format!("network {network} assets"), format!("{symbol} is not known; describe it in an [[asset]]"))
                })?;
                allowed = allowed.with((**asset).clone());
            }
            let minimums = section.amounts("minimum", &section.minimum, network, &allowed)?;
            networks.push(match network {
                Network::Evm(chain_id) => EvmNetwork { minimums, ..section.evm(chain_id, &env)? }.into(),
                Network::Solana(genesis) => {
                    let large_amounts = section.amounts("large_amount", &section.large_amount, network, &allowed)?;
                    SolanaNetwork { minimums, large_amounts, ..section.solana(genesis, &env)? }.into()
                }
                _ => return Err(value(format!("network {network}"), "is of a kind that is not supported")),
            });
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
        network_of(&self.id).map_err(|why| value("network id", why))
    }

    /// The part of the CAIP-2 id that names environment variables.
    fn reference(&self) -> String {
        let id = network_of(&self.id).map_or_else(|_| self.id.clone(), |network| network.to_string());
        id.split_once(':').map_or(id.clone(), |(_, reference)| reference.to_owned())
    }

    fn rpc(&self) -> Result<Rpc, ConfigError> {
        let key = format!("network {} rpc", self.id);
        let mut endpoints = Vec::new();
        for Secret(url) in &self.rpc {
            endpoints.push(url.parse::<Endpoint>().map_err(|why| value(&key, why))?);
        }
        if endpoints.is_empty() {
            return Err(value(key, format!("at least one URL is needed, here or in H402_RPC_{}", self.reference())));
        }
        Ok(Rpc::new(RpcConfig::new(endpoints)))
    }

    /// Amounts of the listed assets, by address.
    fn amounts(
        &self,
        name: &str,
        texts: &BTreeMap<String, String>,
        network: Network,
        allowed: &Assets,
    ) -> Result<Vec<(Address, Amount)>, ConfigError> {
        let mut amounts = Vec::new();
        for (symbol, text) in texts {
            let asset = allowed.by_symbol(network, symbol).filter(|_| self.assets.contains(symbol));
            let asset = asset.ok_or_else(|| value(format!("network {network} {name}"), format!("{symbol} is not among the assets")))?;
            let amount = Amount::from_units(text, asset.decimals);
            amounts.push((asset.id.address, amount.map_err(|why| value(format!("network {network} {name} {symbol}"), why))?));
        }
        Ok(amounts)
    }

    /// Refuses settings of another kind of network.
    fn refuse(&self, given: &[(&str, bool)], kind: &str) -> Result<(), ConfigError> {
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(value(format!("network {} {name}", self.id), format!("is of {kind} networks"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
