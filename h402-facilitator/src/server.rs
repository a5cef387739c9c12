//! The HTTP server: `/verify`, `/settle`, `/supported`, `/health`, `/ready`, `/payments/{id}`.
//!
//! Every answer is JSON. A payment that is refused is an answer (200), a request that cannot be read is the
//! caller's mistake (400), and what we cannot decide is our trouble (503 with `Retry-After`).

mod cli;
pub mod config;
mod routes;

pub use cli::{CliError, run};
pub use routes::router;

use crate::Engine;
use h402_core::{Clock, Store};
use std::{future::Future, time::Duration};
use tokio::net::TcpListener;

/// How long running requests get after the signal to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// Serves until `stop` resolves, then answers running requests and returns.
///
/// # Errors
/// Any error of the listener.
pub async fn serve<S: Store, C: Clock>(
    listener: TcpListener,
    engine: Engine<S, C>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopped, stopping) = tokio::sync::oneshot::channel::<()>();
    let draining = engine.clone();
    let drain = async move {
        stop.await;
        draining.shutdown(DRAIN).await;
        if stopped.send(()).is_err() {
            tracing::debug!("the listener ended first");
        }
    };
    let server = axum::serve(listener, router(engine)).with_graceful_shutdown(async move {
        drop(stopping.await);
    });
    tokio::spawn(drain);
    server.await
}
