//! Verifies and settles signed blockchain payments, with a durable ledger.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)
)]
#![warn(missing_docs)]

#[cfg(feature = "evm")]
pub mod evm;
pub mod rpc;
#[cfg(feature = "sqlite")]
pub mod sqlite;
