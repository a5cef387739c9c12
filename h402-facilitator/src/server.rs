//! The HTTP server: `/verify`, `/settle`, `/supported`, `/health`, `/ready`, `/payments/{id}`, and if configured
//! `/solana-rpc`.
//!
//! Every answer is JSON. A payment that is refused is an answer (200), a request that cannot be read is the
//! caller's mistake (400), and what we cannot decide is our trouble (503 with `Retry-After`).

mod body;
mod cli;
pub mod config;
mod routes;
mod solana_rpc;

pub use cli::{CliError, run};
pub use routes::router;
pub use solana_rpc::{SolanaRpc, SolanaRpcConfig};

use crate::Engine;
use h402_core::{Clock, Store};
use std::{
    future::{Future, IntoFuture},
    net::SocketAddr,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};

/// How long running requests get after the signal to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How long connections get after that to take their answers and close.
const CLOSE: Duration = Duration::from_secs(2);

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
    serve_with(listener, engine, None, stop).await
}

/// As [`serve`], with the proxy for Solana clients if there is one.
///
/// # Errors
/// Any error of the listener.
pub async fn serve_with<S: Store, C: Clock>(
    listener: TcpListener,
    engine: Engine<S, C>,
    solana_rpc: Option<SolanaRpc>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (drained, closing) = watch::channel(false);
    let draining = engine.clone();
    let drain = async move {
        stop.await;
        draining.shutdown(DRAIN).await;
        drained.send_replace(true);
    };
    // A closed channel means that draining ended, too.
    let is_drained = |mut closing: watch::Receiver<bool>| async move { drop(closing.wait_for(|drained| *drained).await) };
    let service = router(engine, solana_rpc).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(is_drained(closing.clone()));
    tokio::spawn(drain);
    tokio::select! {
        ended = server.into_future() => ended,
        // Whoever has sent half a request by now will not send the rest.
        () = async { is_drained(closing).await; tokio::time::sleep(CLOSE).await } => Ok(()),
    }
}
