//! Payments on Solana against the chain's own programs, without any socket in between.

mod bend;
mod mutations;
