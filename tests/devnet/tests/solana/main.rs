//! The Solana chain, seen through `solana-rpc-client` and through its owner's handle.

mod client;

mod commitment;
mod delivery;
mod endpoint;
mod fork;
mod simulation;
mod socket;
mod tokens;
mod transactions;
