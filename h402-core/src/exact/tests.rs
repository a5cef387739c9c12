//! Threats against the pure checks: each refusal has its honest twin, the same fixture with the one field unbent.

mod authorization;
mod fixture;
mod permit2;
mod sent;
mod solana;
mod transaction;
