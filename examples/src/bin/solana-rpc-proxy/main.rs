//! Sells the methods of a Solana RPC endpoint by the call. `docs/guides/solana-rpc-proxy.md` tells how to run it.
//!
//! `cargo run -p h402-examples --bin solana-rpc-proxy -- --upstream https://api.devnet.solana.com` takes payments on a
//! chain in this process and prints what to try; with `--config FILE` it takes them in earnest.

mod configured;
mod embedded;

use clap::Parser;
use h402_core::{Facilitator, Grants};
use h402_examples::solana_rpc_proxy::{Settings, metrics_routes, routes, serve};
use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

type Error = Box<dyn std::error::Error>;

/// Sells the methods of a Solana RPC endpoint by the call.
#[derive(Debug, Parser)]
#[command(name = "solana-rpc-proxy", version)]
struct Arguments {
    /// The configuration file; without one, payments are taken on a chain in this process.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A node to ask instead of the configured ones; several are asked in their order.
    #[arg(long)]
    upstream: Vec<String>,
    /// Where to listen, without a configuration file.
    #[arg(long, default_value = "127.0.0.1:8899", conflicts_with = "config")]
    listen: SocketAddr,
    /// Allow a listener that is reachable from outside this machine.
    #[arg(long, requires = "config")]
    public: bool,
    /// Write a configuration to start from, to the file named by --config, and end.
    #[arg(long, requires = "config")]
    init: bool,
    /// Read the configuration, say whether it is good, and end.
    #[arg(long, requires = "config", conflicts_with = "init")]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("H402_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("solana-rpc-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> Result<(), Error> {
    match &arguments.config {
        Some(path) if arguments.init => configured::init(path),
        Some(path) if arguments.check => configured::check(path),
        Some(path) => configured::run(path, &arguments.upstream, arguments.public).await,
        None => embedded::run(&arguments.upstream, arguments.listen).await,
    }
}

/// Where the proxy and its metrics listen.
struct Listeners {
    proxy: TcpListener,
    metrics: Option<TcpListener>,
}

/// Serves until SIGTERM or SIGINT, and finishes what is under way.
async fn sell<F: Facilitator, G: Grants>(
    settings: Settings,
    listeners: Listeners,
    probe: Option<Duration>,
    facilitator: F,
    grants: G,
) -> Result<(), Error> {
    let upstreams = settings.upstreams.clone();
    let (routes, metrics) = routes(settings, facilitator, grants)?;
    let probing = tokio::spawn(async move {
        if let Some(every) = probe {
            upstreams.probe(every).await;
        }
    });
    let measured = tokio::spawn(async move {
        match listeners.metrics {
            Some(listener) => serve(listener, metrics_routes(metrics), std::future::pending()).await,
            None => Ok(()),
        }
    });
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    let served = serve(listeners.proxy, routes, stop).await;
    probing.abort();
    measured.abort();
    Ok(served?)
}

/// Prints one line; a closed pipe is no reason to stop selling.
fn say(line: impl std::fmt::Display) {
    drop(writeln!(io::stdout(), "{line}"));
}
