//! What a Solana cluster says about a payment.

use crate::{
    GenesisPrefix, SolanaAddress, UnixSeconds,
    solana::{MintFacts, SolanaTransaction, TokenAccountFacts},
};

/// What a Solana cluster says about one payment, read at one commitment in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaFacts {
    /// The cluster's own identity.
    pub genesis: GenesisPrefix,
    /// Blocks since the payment's blockhash was the newest; none if it is not among the recent ones, so that the
    /// payment has expired or is for another cluster. Only for signed transactions.
    pub blockhash_age: Option<u64>,
    /// The payer's lamports, zero if there is no such account.
    pub payer_lamports: u64,
    /// The fee payer's lamports; only for sponsored payments.
    pub fee_payer_lamports: Option<u64>,
    /// The token account that is debited, if it is one; only for tokens.
    pub source: Option<TokenAccountFacts>,
    /// The token account that is credited, if it is one; only for tokens.
    pub destination: Option<TokenAccountFacts>,
    /// The mint, if it is one; only for tokens.
    pub mint: Option<MintFacts>,
    /// The transaction tried without sending it; only for signed transactions.
    pub simulation: Option<SolanaSimulation>,
    /// The sent transaction, if the cluster knows it; only for sent transactions.
    pub sent: Option<SolanaSentFacts>,
}

/// How a transaction fared that was tried without being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SolanaSimulation {
    /// It would succeed.
    Succeeds {
        /// Compute units it would use.
        units: u64,
    },
    /// It would fail.
    Fails {
        /// The cluster's reason, shortened.
        reason: String,
    },
}

/// A transaction as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaSentFacts {
    /// The transaction itself.
    pub transaction: SolanaTransaction,
    /// Whether it succeeded.
    pub success: bool,
    /// Whether its block cannot be undone.
    pub finalized: bool,
    /// Its slot.
    pub slot: u64,
    /// When its block was made.
    pub time: Option<UnixSeconds>,
    /// How lamports of accounts changed.
    pub lamports: Vec<NativeChange>,
    /// How tokens of token accounts changed; an account that was created had none before (T090).
    pub tokens: Vec<TokenChange>,
}

/// An account's lamports before and after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeChange {
    /// The account.
    pub account: SolanaAddress,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// A token account's tokens before and after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenChange {
    /// The token account.
    pub account: SolanaAddress,
    /// What it holds tokens of.
    pub mint: SolanaAddress,
    /// Whose they are.
    pub owner: SolanaAddress,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}
