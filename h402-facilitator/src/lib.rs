//! Verifies and settles signed blockchain payments, with a durable ledger: a library and a server.
//!
//! [`Engine`] does the work over a [`h402_core::Store`] and the chains; [`LocalFacilitator`] offers it to a gate in
//! the same process, feature `server` to everybody over HTTP.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic))]
#![warn(missing_docs)]

#[cfg(feature = "chaos")]
pub mod chaos;
#[cfg(not(feature = "chaos"))]
mod chaos {
    //! Without feature `chaos` nothing can be switched on.
    #![allow(dead_code, reason = "what is left of the crate may have no use for it")]

    pub(crate) const fn crash_point(_: &'static str) {}

    pub(crate) const fn sabotaged(_: &'static str) -> bool {
        false
    }
}
mod clock;
#[cfg(any(feature = "evm", feature = "solana"))]
mod engine;
#[cfg(feature = "evm")]
pub mod evm;
#[cfg(any(feature = "evm", feature = "solana"))]
mod highest;
#[cfg(any(feature = "evm", feature = "solana"))]
mod limit;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod rpc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "solana")]
pub mod solana;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "evm", feature = "solana"))]
mod start;
#[cfg(any(feature = "evm", feature = "solana"))]
mod window;

pub use clock::SystemClock;
#[cfg(feature = "solana")]
pub use engine::SolanaNetwork;
#[cfg(any(feature = "evm", feature = "solana"))]
pub use engine::{Callers, Engine, EngineConfig, LocalFacilitator, NetworkConfig, NetworkReadiness, Payees, Readiness, ReconcileConfig};
#[cfg(feature = "evm")]
pub use engine::{CostLimit, EvmNetwork, SignError, Signer};
#[cfg(any(feature = "evm", feature = "solana"))]
pub use start::StartError;
