//! Verifies and settles signed blockchain payments, with a durable ledger: a library and a server.
//!
//! [`Engine`] does the work over a [`h402_core::Store`] and the chains; [`LocalFacilitator`] offers it to a gate in
//! the same process, feature `server` to everybody over HTTP.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic))]
#![warn(missing_docs)]

#[cfg(feature = "chaos")]
pub mod chaos;
mod clock;
#[cfg(feature = "evm")]
mod engine;
#[cfg(feature = "evm")]
pub mod evm;
pub mod rpc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "evm")]
mod start;
#[cfg(feature = "evm")]
mod window;

pub use clock::SystemClock;
#[cfg(feature = "evm")]
pub use engine::{
    Callers, Engine, EngineConfig, EvmNetwork, LocalFacilitator, NetworkConfig, NetworkReadiness, Readiness, SignError, Signer,
};
#[cfg(feature = "evm")]
pub use start::StartError;
