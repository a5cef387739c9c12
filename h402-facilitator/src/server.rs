//! The HTTP server: `/verify`, `/settle`, `/supported`, `/health`, `/ready`, `/payments/{id}`,
//! `/payments/{id}/receipt`, `/receipts/key`, and if configured
//! `/solana-rpc` and `/discovery/resources`.
//!
//! Every answer is JSON. A payment that is refused is an answer (200), a request that cannot be read is the
//! caller's mistake (400), and what we cannot decide is our trouble (503 with `Retry-After`).

mod body;
mod books;
mod cli;
pub mod config;
mod connections;
mod discovery;
mod payments;
mod receipts;
mod routes;
mod solana_rpc;

pub use cli::{CliError, run};
pub use connections::ConnectionLimits;
pub use discovery::Discovery;
pub use routes::{Services, router};
pub use solana_rpc::{SolanaRpc, SolanaRpcConfig};

use crate::Engine;
use h402_core::{Clock, Store};
use std::{future::Future, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// How long running requests get after the signal to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// Serves until `stop` resolves, then answers running requests and returns: 27 seconds later at most, whatever
/// its clients do.
///
/// # Errors
/// Any error of the listener.
pub async fn serve<S: Store, C: Clock>(
    listener: TcpListener,
    engine: Engine<S, C>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_with(listener, engine, Services::default(), ConnectionLimits::default(), stop).await
}

/// As [`serve`], with what is off unless it is configured, and within these limits.
///
/// # Errors
/// Any error of the listener.
pub async fn serve_with<S: Store, C: Clock>(
    listener: TcpListener,
    engine: Engine<S, C>,
    services: impl Into<Services>,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (drained, closing) = watch::channel(false);
    let draining = engine.clone();
    let drain = async move {
        stop.await;
        draining.shutdown(DRAIN).await;
        drained.send_replace(true);
    };
    tokio::spawn(drain);
    connections::serve(listener, router(engine, services), limits, closing).await;
    Ok(())
}
