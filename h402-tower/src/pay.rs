//! The client-side layer: pays for calls that answer 402.
//!
//! It reads 402s of h402 and of x402 in versions 1 and 2 (`PAYMENT-REQUIRED` before the body), and pays in the dialect that asked.
//!
//! ```text
//! request ─► inner ─► 402 ─► choose an offer ─► cap, budget ─► sign, once ─► journal ─► inner with X-PAYMENT ─► answer
//!                                                                              ▲            │ no known outcome
//!                                                                              └────────────┘ the same bytes again
//! ```
//!
//! One call makes at most one payment. A 402 that follows the payment is final and comes back with [`Refused`] in its
//! extensions; any other answer comes back with [`Paid`]. While the outcome is unknown (no answer, 5xx, or a conflict
//! that says when to come back) the same payment is sent again; after the deadline the caller gets
//! [`PayError::OutcomeUnknown`] and the payment to resume with.
//!
//! # What is signed
//! Only what [`Cap`] allows, from its own asset table: nothing the server says about decimals, symbols or domains is
//! believed. Authorizations expire within 600 s, whatever the server asks for; payments on Solana within a minute or two,
//! and a server that names their blockhash and fee payer can make none of them dearer than [`SolanaWallet`] allows.
//!
//! Of several offers the one whose [`Means`] come first is taken: an authorization before Permit2 before a transaction on
//! Solana before one on EVM; among equals one that is charged after the service, then the one with the least share of its
//! cap. Permit2 and scheme `upto` need [`EvmWallet::with_permit2`]. `(EvmWallet, SolanaWallet)` is a wallet with both keys.

mod body;
mod budget;
mod call;
mod cap;
mod challenge;
mod choose;
mod directory;
mod error;
mod evm;
mod hints;
mod journal;
mod layer;
mod origin;
mod payment;
mod present;
mod receipt;
mod request;
mod service;
mod solana;
mod wallet;

pub use budget::Budget;
pub use cap::{Cap, UnknownAsset};
pub use directory::DirectoryJournal;
pub use error::{ChallengeError, PayError, Unusable};
pub use evm::{EvmWallet, NoHints};
pub use hints::HttpHints;
pub use journal::{CallKey, Journal, JournalUnavailable, NoJournal};
pub use layer::Pay;
pub use origin::Origin;
pub use payment::{BadRecord, Paid, Refused, SignedPayment, Unproved};
pub use service::{PayService, ResponseFuture};
pub use solana::SolanaWallet;
pub use wallet::{Means, SignError, Terms, Wallet};

#[cfg(test)]
mod tests;
