//! Configuration: one TOML file. Unknown keys are refused, and no error repeats a URL, since those often hold a key.

use super::{Accepted, PriceTable, Settings, Tariff, Upstreams};
use h402_core::{Amount, Assets};
use h402_facilitator::{
    rpc::Endpoint,
    server::config::{self, AssetSection, from_toml, network_of},
};
use h402_tower::gate::Origin;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

/// The longest time upstreams may be given: what is paid for after the answer must still be good then.
const LONGEST_TIMEOUT: u64 = 19;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Anything but loopback needs `--public`.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// What payers know the proxy by, such as `https://rpc.example`.
    pub origin: String,
    /// Hosts that requests may be addressed to, if not just the origin's own.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// Where the metrics are, on loopback.
    pub metrics: Option<SocketAddr>,
    /// The file that remembers what each payment has opened.
    #[serde(default = "default_database")]
    pub database: PathBuf,
    /// Seconds that upstreams may take to answer, all together.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
    /// Seconds between two questions to an upstream whether it is well; 0 asks none.
    #[serde(default = "default_probe")]
    pub probe_seconds: u64,
    /// The longest request in bytes.
    #[serde(default = "default_body")]
    pub max_body_bytes: usize,
    /// The most calls in a batch.
    #[serde(default = "default_batch")]
    pub max_batch: usize,
    /// Requests at the upstreams at once; more are answered 503.
    #[serde(default = "default_in_flight")]
    pub max_in_flight: usize,
    /// How often an answer above 64 KiB is fetched again for its payer.
    #[serde(default)]
    pub redeliveries: u8,
    /// Who verifies and settles.
    pub facilitator: FacilitatorSection,
    /// The nodes, first choice first. `SOLANA_RPC_UPSTREAMS` (comma-separated) overrides them.
    #[serde(default)]
    pub upstreams: Vec<Url>,
    /// What each method costs.
    pub price: PriceSection,
    /// How one may pay, first choice first.
    #[serde(default)]
    pub accept: Vec<AcceptSection>,
    /// Assets that the built-in table lacks or has otherwise.
    #[serde(default)]
    pub asset: Vec<AssetSection>,
}

/// A URL that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(url)")
    }
}

/// A facilitator: another program's, or one in this process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilitatorSection {
    /// Where it is reached.
    pub url: Option<String>,
    /// Its configuration file, `h402.toml`, if it runs in this process.
    pub config: Option<PathBuf>,
}

/// What each method costs: dollars as text, `"free"` or `"deny"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSection {
    /// A method that is not named.
    pub default: String,
    /// Methods that cost nothing.
    #[serde(default)]
    pub free: Vec<String>,
    /// Methods that are not passed on.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Methods that are paid for before they are passed on.
    #[serde(default = "default_upfront")]
    pub upfront: Vec<String>,
    /// The least that a request costs unless all of it is free, in dollars.
    pub minimum: Option<String>,
    /// Methods with prices of their own.
    #[serde(default)]
    pub methods: BTreeMap<String, String>,
}

/// One way to pay.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptSection {
    /// A name or CAIP-2, such as `base` or `eip155:8453`.
    pub network: String,
    /// Symbol of the asset.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// How much of the asset counts as a dollar, as text, if it is not pegged to the dollar.
    pub per_dollar: Option<String>,
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not the TOML that is expected.
    #[error("{0}")]
    Syntax(String),
    /// A value is wrong.
    #[error("{place}: {why}")]
    Value {
        /// Which.
        place: String,
        /// Why.
        why: String,
    },
}

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::Syntax(error.to_string())
    }
}

fn wrong(place: impl Into<String>, why: impl fmt::Display) -> ConfigError {
    ConfigError::Value { place: place.into(), why: why.to_string() }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8899))
}

fn default_database() -> PathBuf {
    "solana-rpc-proxy.sqlite".into()
}

fn default_timeout() -> u64 {
    10
}

fn default_probe() -> u64 {
    10
}

fn default_body() -> usize {
    128 * 1024
}

fn default_batch() -> usize {
    50
}

fn default_in_flight() -> usize {
    256
}

fn default_upfront() -> Vec<String> {
    vec!["sendTransaction".to_owned()]
}

impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Ok(from_toml(text)?)
    }
}

impl Config {
    /// A file to start from.
    pub const STARTER: &str = include_str!("starter.toml");

    /// Takes upstreams from `SOLANA_RPC_UPSTREAMS`, if it is set.
    pub fn override_from(&mut self, env: impl Fn(&str) -> Option<String>) {
        if let Some(urls) = env("SOLANA_RPC_UPSTREAMS") {
            self.ask_instead(&urls.split(',').map(|url| url.trim().to_owned()).collect::<Vec<_>>());
        }
    }

    /// Takes other upstreams than those of the file.
    pub fn ask_instead(&mut self, upstreams: &[String]) {
        self.upstreams = upstreams.iter().cloned().map(Url).collect();
    }

    /// Refuses listeners that strangers reach: the proxy's unless that was asked for, the metrics' always.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check_bind(&self, public: bool) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && !public {
            return Err(wrong("listen", format!("{} is reachable by others; start with --public to mean it", self.listen)));
        }
        match self.metrics {
            Some(metrics) if !metrics.ip().is_loopback() => Err(wrong("metrics", format!("{metrics} is not on loopback"))),
            _ => Ok(()),
        }
    }

    /// Checks everything else.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let origin = Origin::parse(&self.origin).map_err(|why| wrong("origin", why))?;
        if !(1..=LONGEST_TIMEOUT).contains(&self.timeout_seconds) {
            return Err(wrong("timeout_seconds", format!("from 1 to {LONGEST_TIMEOUT} are possible")));
        }
        if !(1..=1000).contains(&self.max_batch) {
            return Err(wrong("max_batch", "from 1 to 1000 are possible"));
        }
        if !(64..=16 << 20).contains(&self.max_body_bytes) {
            return Err(wrong("max_body_bytes", "from 64 to 16777216 are possible"));
        }
        if !(1..=100_000).contains(&self.max_in_flight) {
            return Err(wrong("max_in_flight", "from 1 to 100000 are possible"));
        }
        if self.upstreams.is_empty() {
            return Err(wrong("upstreams", "at least one is needed"));
        }
        let endpoints: Result<Vec<Endpoint>, _> = self.upstreams.iter().map(|url| url.0.parse()).collect();
        let endpoints = endpoints.map_err(|why| wrong("upstreams", why))?;
        Ok(Settings {
            origin,
            allowed_hosts: self.allowed_hosts.clone(),
            prices: self.prices()?,
            upstreams: Arc::new(Upstreams::new(endpoints)),
            timeout: Duration::from_secs(self.timeout_seconds),
            max_body: self.max_body_bytes,
            max_batch: self.max_batch,
            max_in_flight: self.max_in_flight,
            redeliveries: self.redeliveries,
        })
    }

    /// How often upstreams are asked whether they are well.
    #[must_use]
    pub fn probe(&self) -> Option<Duration> {
        (self.probe_seconds > 0).then(|| Duration::from_secs(self.probe_seconds))
    }

    fn prices(&self) -> Result<PriceTable, ConfigError> {
        let mut assets = Assets::known();
        for section in &self.asset {
            assets = assets.with(section.asset().map_err(|why| wrong("asset", why))?);
        }
        let accepted: Result<Vec<Accepted>, _> = self.accept.iter().map(|section| section.accepted(&assets)).collect();
        let PriceSection { default, free, deny, upfront, methods, minimum } = self.price.clone();
        let tariff = Tariff { default, free, deny, upfront, methods, minimum };
        PriceTable::new(&tariff, &accepted?).map_err(|why| wrong("price", why))
    }
}

impl AcceptSection {
    fn accepted(&self, assets: &Assets) -> Result<Accepted, ConfigError> {
        let place = |key: &str| format!("accept {} {}: {key}", self.network, self.asset);
        let network = network_of(&self.network).map_err(|why| wrong(place("network"), why))?;
        let asset = assets.by_symbol(network, &self.asset);
        let asset = asset.ok_or_else(|| wrong(place("asset"), "is not known; describe it in an [[asset]]"))?.clone();
        let pay_to = self.pay_to.parse().map_err(|why| wrong(place("pay_to"), why))?;
        let rate = self.per_dollar.as_deref().map(|text| Amount::from_units(text, asset.decimals)).transpose();
        let per_dollar = rate.map_err(|why| wrong(place("per_dollar"), why))?;
        Ok(Accepted { asset, pay_to, per_dollar })
    }
}

#[cfg(test)]
mod tests;
