//! Passes every request on to one origin and pays where that asks for it, within a cap.
//!
//! `AGENT_KEY=0x… cargo run -p h402-examples --bin paying-forwarder -- --to https://rpc.example --cap 0.01`

use clap::Parser;
use h402_core::{Amount, Assets, EvmKey, Peg};
use h402_examples::{
    https,
    paying_forwarder::{Destination, routes},
};
use h402_facilitator::server::config::{AssetSection, from_toml};
use h402_tower::pay::{Budget, Cap, EvmWallet, Pay, PayService};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use tower::ServiceBuilder;

type Error = Box<dyn std::error::Error>;

/// Passes every request on to one origin and pays where that asks for it, with the key in AGENT_KEY.
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
    /// A TOML file with an [[asset]] for each that the built-in table lacks.
    #[arg(long)]
    assets: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssetFile {
    asset: Vec<AssetSection>,
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
    let key = std::env::var("AGENT_KEY").map_err(|_| "AGENT_KEY is not set: the private key that pays, in hex")?;
    let wallet = EvmWallet::from_key(EvmKey::from_hex(key.trim())?);
    let payer = wallet.address();
    let mut pay = Pay::new(wallet, Cap::usd(&arguments.cap, &assets)?).with_any_offer();
    if let Some(most) = &arguments.daily {
        let mut budget = Budget::per(Duration::from_secs(24 * 3600));
        for asset in assets.iter().filter(|asset| asset.peg == Some(Peg::Usd)) {
            budget = budget.allow(asset.id, Amount::from_units(most, asset.decimals)?);
        }
        pay = pay.with_budget(budget);
    }
    let agent: PayService<https::HttpsClient, EvmWallet> = ServiceBuilder::new().layer(pay).service(https::client());
    let listener =
        tokio::net::TcpListener::bind(arguments.listen).await.map_err(|error| format!("listen on {}: {error}", arguments.listen))?;
    println!("paying-forwarder listens on http://{}, and pays from {payer}", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    let routes: axum::Router = routes::<_, _, _>(arguments.to, agent);
    Ok(axum::serve(listener, routes).with_graceful_shutdown(stop).await?)
}
