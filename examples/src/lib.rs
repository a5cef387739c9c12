//! What the larger examples are made of: a proxy that sells Solana RPC by the call, and a forwarder that pays for it.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::type_complexity, reason = "tables of cases are arrays of tuples"))]

pub mod https;
pub mod paying_forwarder;
pub mod solana_rpc_proxy;
