//! The gate under attack: real shops, real sockets, a real facilitator on a real chain.

mod caching;
mod contracts;
mod delivery;
mod exposure;
mod facilitator;
mod headers;
mod held;
mod outcome;
mod paths;
mod permit2;
mod prices;
pub(crate) mod race;
mod receipts;
mod replay;
mod restart;
mod solana;
mod spelling;
mod stack;
mod x402;

use axum::{Extension, Router, routing::any};
use h402_core::{Facilitator, Grants, wire::h402};
use h402_tests::{raw::Reply, rig::Rig, shop::Runs};
use h402_tower::gate::{GateLayer, Payment};

/// What has happened behind a gate: counted outside of it, by the handler and by the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Door {
    /// How often a handler ran.
    pub(crate) runs: u64,
    /// How many transfers the payee got.
    pub(crate) transfers: usize,
}

impl Door {
    /// Nothing happened.
    pub(crate) const SHUT: Self = Self { runs: 0, transfers: 0 };
    /// One run, one transfer.
    pub(crate) const OPENED: Self = Self { runs: 1, transfers: 1 };

    /// Looks.
    pub(crate) fn look(rig: &Rig, runs: &Runs) -> Self {
        Self { runs: runs.count(), transfers: rig.transfers() }
    }

    /// What has happened since.
    pub(crate) fn since(self, rig: &Rig, runs: &Runs) -> Self {
        let now = Self::look(rig, runs);
        Self { runs: now.runs - self.runs, transfers: now.transfers - self.transfers }
    }
}

/// A shop that sells everything below `/`, to any method, and says how often it has.
pub(crate) fn sells_all<F: Facilitator, G: Grants>(gate: GateLayer<F, G>, runs: &Runs) -> Router {
    let runs = runs.clone();
    let handler = async move |payment: Extension<Payment>| format!("goods {} for {}", runs.add(), payment.payer);
    Router::new().route("/{*path}", any(handler)).route_layer(gate)
}

/// The payer, as the receipt of an answer says.
pub(crate) fn payer_of(reply: &Reply) -> String {
    let receipt = h402::decode_receipt(reply.receipt().as_bytes()).unwrap();
    assert!(receipt.success && receipt.transaction.is_some(), "{reply:?}");
    receipt.payer.unwrap().to_string()
}

/// How many transactions were handed to the chain, by whomever.
pub(crate) fn broadcasts(rig: &Rig) -> u64 {
    rig.chain.faults().calls("eth_sendRawTransaction")
}
