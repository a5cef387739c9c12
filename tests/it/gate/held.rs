//! A handler that waits until it may go on, so that things can happen while it runs.

use axum::{Extension, Router, routing::any};
use h402_core::{Facilitator, Grants};
use h402_tests::{
    raw::Reply,
    shop::{Runs, Shop, get},
};
use h402_tower::gate::{GateLayer, Payment};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What a handler must not give away.
pub(crate) const SECRET: &str = "the secret goods";

/// Holds the runs of a handler.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) runs: Runs,
    entered: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self { runs: Runs::default(), entered: Arc::new(Semaphore::new(0)), go: Arc::new(Semaphore::new(0)) }
    }

    /// What the handler does.
    pub(crate) async fn work(&self) {
        self.runs.add();
        self.entered.add_permits(1);
        self.go.acquire().await.unwrap().forget();
    }

    /// Waits until the handler runs.
    pub(crate) async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }

    /// Lets one run go on.
    pub(crate) fn go(&self) {
        self.go.add_permits(1);
    }

    /// Lets all runs go on, now and later.
    pub(crate) fn go_all(&self) {
        self.go.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// A shop that sells the secret once it may, and says when the money moved.
    pub(crate) async fn shop<F: Facilitator, G: Grants>(&self, gate: GateLayer<F, G>) -> Shop {
        let held = self.clone();
        let handler = async move |Extension(payment): Extension<Payment>| {
            let flow = if payment.transaction.is_some() { "upfront" } else { "capture" };
            held.work().await;
            ([("x-flow", flow)], SECRET)
        };
        Shop::open(Router::new().route("/{*path}", any(handler)).route_layer(gate)).await
    }

    /// Presents a payment for `/a` and has something happen while the handler runs.
    pub(crate) async fn meanwhile(&self, shop: &Shop, payment: &str, deed: impl AsyncFnOnce()) -> Reply {
        let ask = get("/a").paying(payment);
        let during = async {
            self.entered().await;
            deed().await;
            self.go();
        };
        tokio::join!(shop.ask(&ask), during).0
    }
}
