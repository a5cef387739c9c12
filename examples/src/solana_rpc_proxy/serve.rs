//! Serving and stopping.

use super::Metrics;
use axum::{Router, routing};
use http::header::CONTENT_TYPE;
use std::{
    future::{Future, IntoFuture as _},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};

/// How long requests that are under way get after the signal to stop: as long as a paid one may take.
const DRAIN: Duration = Duration::from_secs(40);

/// Serves until `stop` resolves, then finishes what is under way and returns: 40 seconds later at most.
///
/// # Errors
/// Any error of the listener.
pub async fn serve(listener: TcpListener, routes: Router, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    let (stopped, stopping) = watch::channel(());
    tokio::spawn(async move {
        stop.await;
        drop(stopped);
    });
    // A closed channel is the signal.
    let signal = |mut stopping: watch::Receiver<()>| async move { while stopping.changed().await.is_ok() {} };
    let server = axum::serve(listener, routes).with_graceful_shutdown(signal(stopping.clone()));
    tokio::select! {
        ended = server.into_future() => ended,
        () = async { signal(stopping).await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

/// `GET /metrics`, for a listener that only the operator reaches.
pub fn metrics_routes(metrics: Metrics) -> Router {
    let text = async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render());
    Router::new().route("/metrics", routing::get(text))
}
