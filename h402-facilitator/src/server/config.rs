//! Configuration: one TOML file, overridden by the environment. Unknown keys are refused, secrets never shown.

mod asset;
mod connections;
mod database;
mod discovery;
mod error;
mod evm;
mod keystore;
mod policy;
mod receipts;
mod reconcile;
mod secret;
mod solana;
mod solana_rpc;

pub use asset::{AssetSection, DomainSection, PegWord, TokenProgramWord};
pub use connections::ConnectionsSection;
pub use database::Database;
pub use discovery::{DiscoverySection, OfferSection, ResourceSection};
pub use error::ConfigError;
pub use receipts::ReceiptsSection;
pub use reconcile::ReconcileSection;
pub use secret::Secret;
pub use solana::{CommitmentWord, ExtensionWord};
pub use solana_rpc::SolanaRpcSection;

use crate::{
    Callers, EngineConfig, EvmNetwork, NetworkConfig, SolanaNetwork,
    evm::Permit2Payments,
    rpc::{Endpoint, Rpc, RpcConfig},
};
use h402_core::{Address, Amount, Asset, Assets, Network, ReceiptKey, UnknownNetwork};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Anything but loopback needs `--public`.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The ledger: a file, or the `postgres://` URL of a database that other facilitators share.
    #[serde(default)]
    pub database: Database,
    /// `guarded` or `trusted`: whether callers without an `Idempotency-Key` exclude each other.
    #[serde(default)]
    pub callers: CallersWord,
    /// Whether payments that the payer has already sent are accepted.
    #[serde(default)]
    pub accept_sent: bool,
    /// Payments one payer may have open at once in one asset.
    pub max_open_per_payer: Option<usize>,
    /// Payments verified at once, and as many settled.
    pub max_concurrent: Option<usize>,
    /// Times a second that the chains are asked about payments of one payer.
    pub reads_per_payer: Option<u32>,
    /// The same of all payers together.
    pub reads_overall: Option<u32>,
    /// Connections of clients.
    #[serde(default)]
    pub connections: ConnectionsSection,
    /// The networks.
    #[serde(default)]
    pub network: Vec<NetworkSection>,
    /// Assets that the built-in table lacks or has otherwise.
    #[serde(default)]
    pub asset: Vec<AssetSection>,
    /// How ledger and chains are compared.
    #[serde(default)]
    pub reconcile: ReconcileSection,
    /// Who signs receipts; nobody if it is left out.
    pub receipts: Option<ReceiptsSection>,
    /// The proxy for Solana clients; off if it is left out.
    pub solana_rpc: Option<SolanaRpcSection>,
    /// What is listed for others to find; off if it is left out.
    pub discovery: Option<DiscoverySection>,
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
    /// EVM: files with further keys, 64 hex digits in each: the one with the least to do settles next. `H402_KEY_<reference>`
    /// overrides them all, and may hold several keys with commas between them.
    #[serde(default)]
    pub key_files: Vec<PathBuf>,
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
    /// Amounts from which on a settlement is answered only once it is final, by symbol, in token units as text: on EVM at
    /// `final_depth`, on Solana at `finalized`.
    #[serde(default)]
    pub large_amount: BTreeMap<String, String>,
    /// Solana: the most lamports that are paid for a payment of others.
    pub max_fee_lamports: Option<u64>,
    /// Solana: blocks that a payment must have left.
    pub min_blocks_left: Option<u64>,
    /// Solana: what mints of Token-2022 may be able to do.
    #[serde(default)]
    pub extensions: Vec<ExtensionWord>,
    /// Seconds without a new block, while payments wait for one, after which new payments are turned away.
    pub max_block_age_s: Option<u64>,
    /// Milliseconds between looks for open settlements.
    pub poll_ms: Option<u64>,
    /// Least amounts that are settled, by symbol, in token units as text.
    #[serde(default)]
    pub minimum: BTreeMap<String, String>,
    /// Payees that are settled to; everybody if it is left out.
    pub payees: Option<Vec<String>>,
    /// Payees of some assets, in place of that, by symbol.
    #[serde(default)]
    pub payees_of: BTreeMap<String, Vec<String>>,
    /// The most that each key spends within a day on gas or on fees of others, in the network's coin as text.
    pub daily_budget: Option<String>,
    /// EVM: what a coin of the network costs in dollars, as text.
    pub coin_usd: Option<String>,
    /// EVM: hundredths of a payment in a pegged asset that settling it may cost, once `coin_usd` is given; 50 if it is not said.
    pub max_cost_percent: Option<u32>,
    /// EVM: whether the chain below takes a fee for data, as below OP-stack chains.
    #[serde(default)]
    pub l1_fee: bool,
    /// EVM: whether payers may be contracts (ERC-1271, EIP-7702).
    #[serde(default)]
    pub contract_payers: bool,
    /// EVM: whether payments through Permit2 are taken (x402), which needs its contracts on the chain.
    #[serde(default)]
    pub permit2: bool,
    /// EVM: contracts that may be called to deploy payers (ERC-6492), besides.
    #[serde(default)]
    pub factories: Vec<String>,
    /// EVM: Keccak-256 of the code that must stand at tokens, by symbol; `check-config --chain` shows what does.
    #[serde(default)]
    pub code_hash: BTreeMap<String, String>,
    /// EVM: the same of what is behind tokens that are proxies.
    #[serde(default)]
    pub implementation_hash: BTreeMap<String, String>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8402))
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

    /// The key that signs receipts, if there is one.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn receipt_key(&self, env: impl Fn(&str) -> Option<String>) -> Result<Option<ReceiptKey>, ConfigError> {
        ReceiptsSection::key(self.receipts.as_ref(), &env)
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
        self.database.check()?;
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
            let payees = section.payees(network, &allowed)?;
            let large_amounts = section.amounts("large_amount", &section.large_amount, network, &allowed)?;
            networks.push(match network {
                Network::Evm(chain_id) => {
                    let pins = section.pins(network, &allowed)?;
                    let (daily_budget, cost_limit) = (section.coins(18)?.map(Amount::to_u256), section.cost_limit()?);
                    let (l1_fee, contract_payers) = (section.l1_fee, section.contract_payers()?);
                    let permit2 = section.permit2.then(Permit2Payments::default);
                    let policy = section.evm(chain_id, &env)?;
                    EvmNetwork {
                        minimums,
                        payees,
                        large_amounts,
                        pins,
                        daily_budget,
                        cost_limit,
                        l1_fee,
                        contract_payers,
                        permit2,
                        ..policy
                    }
                    .into()
                }
                Network::Solana(genesis) => {
                    let daily_budget = section.coins(9)?.map(|coins| u64::try_from(coins.to_u256()).unwrap_or(u64::MAX));
                    SolanaNetwork { minimums, payees, large_amounts, daily_budget, ..section.solana(genesis, &env)? }.into()
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
            receipt_key: self.receipt_key(&env)?,
            reconcile: self.reconcile.read(defaults.reconcile)?,
            max_open_per_payer: self.max_open_per_payer.unwrap_or(defaults.max_open_per_payer),
            max_concurrent: self.max_concurrent.unwrap_or(defaults.max_concurrent),
            reads_per_payer: self.reads_per_payer.unwrap_or(defaults.reads_per_payer),
            reads_overall: self.reads_overall.unwrap_or(defaults.reads_overall),
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
            let asset = self.listed(name, symbol, network, allowed)?;
            let amount = Amount::from_units(text, asset.decimals);
            amounts.push((asset.id.address, amount.map_err(|why| value(format!("network {network} {name} {symbol}"), why))?));
        }
        Ok(amounts)
    }

    /// One of the listed assets, by its symbol.
    fn listed<'a>(&self, name: &str, symbol: &String, network: Network, allowed: &'a Assets) -> Result<&'a Arc<Asset>, ConfigError> {
        let asset = allowed.by_symbol(network, symbol).filter(|_| self.assets.contains(symbol));
        asset.ok_or_else(|| value(format!("network {network} {name}"), format!("{symbol} is not among the assets")))
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
