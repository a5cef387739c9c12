//! Local chains behind JSON-RPC on loopback, for tests and demonstrations.
//!
//! A chain answers like a node does, and its owner can do what no one can do to a node: mine, shift time,
//! drop blocks, and lose, delay or spoil answers on request.

// Without any chain nothing serves.
#![cfg_attr(not(any(feature = "evm", feature = "solana")), allow(dead_code, unused_imports))]

mod blocks;
pub mod fault;
mod serve;

#[cfg(feature = "evm")]
pub mod evm;
#[cfg(feature = "solana")]
pub mod solana;

pub use blocks::{BlockTime, Orphans};
pub use serve::RpcError;
