//! Threats against payments on Solana, built and signed by Solana's own crates.

mod fixture;
mod instructions;
mod judge;
mod sent;
mod signatures;
