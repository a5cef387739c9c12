//! The 402 payment protocol without I/O: types, wire formats, checks, signing, payment identity and state machines.
//!
//! A payment is a chain of types, each step eating the last:
//!
//! ```text
//! header ─decode─► PaymentPayload ─match─► Matched ─check─► Checked ─chain─► Verified ─claim─► Claimed ─settle─► Receipt
//! ```
//!
//! Time, randomness and everything a chain says are arguments; nothing here opens a socket or reads a clock.
//! ARCHITECTURE.md has the whole walk.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic))]
#![warn(missing_docs)]

mod address;
mod amount;
mod asset;
mod base58;
pub mod evm;
mod exact;
mod grant;
mod identity;
mod lane;
mod lease;
mod network;
mod offer;
mod payload;
mod ports;
mod reason;
mod receipt;
mod reconcile;
mod reject;
mod settlement;
pub mod solana;
mod time;
pub mod wire;
mod words;

pub use address::{Address, BadAddress, EvmAddress, SolanaAddress};
pub use amount::{Amount, AmountError, AmountFormat, WireAmount};
pub use asset::{Asset, AssetId, Assets, Peg, TokenDomain, TokenProgram, asset_id};
pub use evm::{BadKey, EvmKey, SignedTransaction};
pub use exact::{
    AllowedExtensions, Attestation, CheckPolicy, Checked, EvmFacts, JudgePolicy, Matched, NativeChange, PayerSignature, Permit2Facts,
    Proof, ReceiptFacts, SentFacts, Simulation, SolanaFacts, SolanaPolicy, SolanaSentFacts, SolanaSimulation, TokenChange, TransferLog,
    Verified,
};
pub use grant::{Flow, Grant, GrantEvent, GrantOutOfOrder, GrantState};
pub use identity::{BadPaymentKey, CallerKey, Fingerprint, PaymentId, PaymentKey};
pub use lane::Lane;
pub use lease::{Lease, LeaseEffect, LeaseEvent, LeaseTerms};
pub use network::{GenesisPrefix, Network, UnknownNetwork};
pub use offer::{Offer, OfferError, Offers, Requirements, Resource, Scheme, TransferMethod};
pub use payload::{
    Authorization, BadTransactionId, Dialect, Payload, PaymentClass, PaymentPayload, Permit, Permit2Authorization, Permit2Witness, Receipt,
    SentEvmTransaction, SentSolanaTransaction, SignedAuthorization, SignedEvmTransaction, SignedPermit, SignedPermit2,
    SignedSolanaTransaction, SolanaClaim, TransactionId,
};
pub use ports::{
    Applied, Change, Claim, Claimed, Clock, Exposure, Facilitator, Fence, Grants, Hints, HintsNeeded, HoldAnswer, HoldAsk, LanePosition,
    LeaseAnswer, LeaseAsk, Lookup, NewGrant, NewPayment, PaymentKind, PaymentRow, PaymentTotal, PaymentUpdate, Permit2Hints, Permit2Needed,
    Reconciled, Reconciliation, ReconciliationPass, SentState, SettlementAnswer, Store, StoreUnavailable, StoredAnswer, Supported,
    SupportedKind, TransactionHints, TransactionRow,
};
pub use reason::ErrorReason;
pub use receipt::{BadReceipt, BadReceiptKey, ReceiptIssuer, ReceiptKey, ReceiptPurpose, SignedReceipt, Statement};
pub use reconcile::{Difference, DifferenceKind, Movement, ShownTransaction, differences};
pub use reject::{Reject, SettleError, Undecided, VerifyError};
pub use settlement::{BlockRef, Settlement, SettlementEvent, SettlementOutOfOrder};
pub use solana::{BadSolanaKey, MintFacts, SolanaHints, SolanaKey, SolanaReject, TokenAccountFacts, TokenExtension};
pub use time::{UnixMillis, UnixSeconds};
