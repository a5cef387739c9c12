//! Passes every request on to one origin and pays where that asks for it, within a cap.
//!
//! `AGENT_KEY=0x… cargo run -p h402-examples --bin paying-forwarder -- --to https://rpc.example --cap 0.01`

use clap::Parser;
use h402_core::{Amount, Assets, EvmKey, Network, PaymentPayload, Peg, Requirements, SolanaKey};
use h402_examples::{
    https,
    paying_forwarder::{Destination, routes},
};
use h402_facilitator::server::config::{AssetSection, from_toml, network_of};
use h402_tower::pay::{Budget, Cap, EvmWallet, Means, Pay, PayService, SignError, SolanaWallet, Terms, Unusable, Wallet};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use tower::ServiceBuilder;

type Error = Box<dyn std::error::Error>;

/// Passes every request on to one origin and pays where that asks for it, with the keys in AGENT_KEY (EVM, hex) and
/// AGENT_SOLANA_KEY (base58, or as solana-keygen writes it).
#[derive(Debug, Parser)]
#[command(name = "paying-forwarder", version)]
struct Arguments {
    /// Where requests go, such as https://rpc.example
    #[arg(long)]
    to: Destination,
    /// The most that one request may cost, in dollars.
    #[arg(long)]
    cap: String,
    /// The most that all requests of a day may cost together, in dollars of each asset.
    #[arg(long)]
    daily: Option<String>,
    /// Where to listen, on loopback.
    #[arg(long, default_value = "127.0.0.1:8898")]
    listen: SocketAddr,
    /// The cluster of AGENT_SOLANA_KEY if it is not the main network; the key must hold nothing on any other.
    #[arg(long, value_parser = network_of)]
    cluster: Option<Network>,
    /// The most lamports that a payment on Solana may cost beside its price: 5001 where nobody else pays the fee.
    #[arg(long, default_value_t = 5_001)]
    max_fee: u64,
    /// A TOML file with an [[asset]] for each that the built-in table lacks.
    #[arg(long)]
    assets: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssetFile {
    asset: Vec<AssetSection>,
}

/// The keys there are, each a wallet of its own.
struct Keys {
    evm: Option<EvmWallet>,
    solana: Option<SolanaWallet>,
}

impl Keys {
    fn from_env(cluster: Option<Network>, max_fee: u64) -> Result<Self, Error> {
        let text = |name: &str| std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let evm = text("AGENT_KEY").map(|key| EvmKey::from_hex(&key)).transpose()?.map(EvmWallet::from_key);
        let solana = text("AGENT_SOLANA_KEY").map(|key| SolanaKey::from_text(&key)).transpose()?;
        let solana = solana.map(|key| {
            let wallet = SolanaWallet::from_key(key).with_max_cost(max_fee);
            match cluster {
                Some(cluster) => wallet.with_key_of_cluster_only(cluster),
                None => wallet,
            }
        });
        if evm.is_none() && solana.is_none() {
            return Err("set AGENT_KEY or AGENT_SOLANA_KEY: the private key that pays".into());
        }
        Ok(Self { evm, solana })
    }

    fn addresses(&self) -> String {
        let evm = self.evm.as_ref().map(|wallet| wallet.address().to_string());
        let solana = self.solana.as_ref().map(|wallet| wallet.address().to_string());
        evm.into_iter().chain(solana).collect::<Vec<_>>().join(" and ")
    }
}

impl Wallet for Keys {
    fn can_pay(&self, requirements: &Requirements) -> Option<Means> {
        let evm = self.evm.as_ref().and_then(|wallet| wallet.can_pay(requirements));
        evm.or_else(|| self.solana.as_ref()?.can_pay(requirements))
    }

    fn why_not(&self, requirements: &Requirements) -> Unusable {
        let solana = self.solana.as_ref().filter(|_| matches!(requirements.offer.network(), Network::Solana(_)));
        solana.map_or(Unusable::Wallet, |wallet| wallet.why_not(requirements))
    }

    async fn sign(&self, terms: &Terms) -> Result<PaymentPayload, SignError> {
        match (terms.requirements.offer.network(), &self.evm, &self.solana) {
            (Network::Evm(_), Some(wallet), _) => wallet.sign(terms).await,
            (Network::Solana(_), _, Some(wallet)) => wallet.sign(terms).await,
            _ => Err(SignError::Unsupported),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("H402_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paying-forwarder: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    if !arguments.listen.ip().is_loopback() {
        return Err("--listen: whoever reaches the forwarder spends your money; it listens on loopback only".into());
    }
    let mut assets = Assets::known();
    if let Some(path) = &arguments.assets {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for section in from_toml::<AssetFile>(&text)?.asset {
            assets = assets.with(section.asset()?);
        }
    }
    let wallet = Keys::from_env(arguments.cluster, arguments.max_fee)?;
    let payers = wallet.addresses();
    let mut pay = Pay::new(wallet, Cap::usd(&arguments.cap, &assets)?).with_any_offer();
    if let Some(most) = &arguments.daily {
        let mut budget = Budget::per(Duration::from_secs(24 * 3600));
        for asset in assets.iter().filter(|asset| asset.peg == Some(Peg::Usd)) {
            budget = budget.allow(asset.id, Amount::from_units(most, asset.decimals)?);
        }
        pay = pay.with_budget(budget);
    }
    let agent: PayService<https::HttpsClient, Keys> = ServiceBuilder::new().layer(pay).service(https::client());
    let listener =
        tokio::net::TcpListener::bind(arguments.listen).await.map_err(|error| format!("listen on {}: {error}", arguments.listen))?;
    println!("paying-forwarder listens on http://{}, and pays from {payers}", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    let routes: axum::Router = routes::<_, _, _>(arguments.to, agent);
    Ok(axum::serve(listener, routes).with_graceful_shutdown(stop).await?)
}
