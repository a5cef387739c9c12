//! The EVM chain, seen through its JSON-RPC and through its owner's handle.

mod client;

mod endpoint;
mod history;
mod pool;
mod settlement;
mod tokens;
