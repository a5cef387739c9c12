//! What the end-to-end tests stand on: real chains, real files, real sockets.
#![allow(missing_docs, missing_debug_implementations)]

pub mod cluster;
pub mod contract;
pub mod dice;
pub mod holds;
pub mod http;
pub mod interop;
pub mod market;
pub mod nginx;
pub mod node;
pub mod permit2;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod reference;
pub mod relay;
pub mod replica;
pub mod rig;
pub mod shop;
pub mod sim;
pub mod torture;
pub mod transactions;

mod readme;
