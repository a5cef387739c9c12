//! Proofs of payment, their signatures checked.

use super::PayerSignature;
use crate::{
    Amount, Authorization, Permit2Authorization, SignedPermit, SolanaAddress,
    evm::EvmTransaction,
    solana::{SolanaPayment, SolanaTransaction},
};
use alloy_primitives::{B256, Bytes, Signature};
use core::fmt;

/// A proof of payment with its signatures checked. Exhaustive: a new kind of proof must not compile before every
/// place that settles or stores one knows it.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// An EIP-3009 authorization.
    Authorization {
        /// What was signed.
        authorization: Authorization,
        /// What makes it the payer's.
        signature: PayerSignature,
    },
    /// A transfer through Permit2.
    Permit2 {
        /// What was signed.
        authorization: Permit2Authorization,
        /// Made by the key of the payer's account.
        signature: Signature,
        /// The payer's approval of Permit2, to be made with it.
        permit: Option<SignedPermit>,
    },
    /// A signed EVM transaction.
    EvmTransaction {
        /// Decoded.
        transaction: EvmTransaction,
        /// As received.
        raw: Bytes,
        /// What it pays.
        paid: Amount,
    },
    /// A sent EVM transaction.
    EvmSent {
        /// Its hash.
        hash: B256,
        /// Who signed the resource, and so must have sent it.
        claimant: crate::EvmAddress,
    },
    /// A signed Solana transaction. Every signature in it is checked but that of a sponsoring fee payer, whose slot
    /// is not the payer's to fill.
    SolanaTransaction {
        /// Decoded.
        transaction: SolanaTransaction,
        /// What it pays.
        payment: SolanaPayment,
        /// As received.
        raw: Bytes,
    },
    /// A sent Solana transaction.
    SolanaSent {
        /// Its first signature.
        signature: [u8; 64],
        /// Who signed the resource, and so must be the owner of what was paid.
        claimant: SolanaAddress,
    },
}

/// Signed bytes are replayable: they never appear in debug output.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorization { authorization, .. } => f.debug_tuple("Authorization").field(authorization).finish(),
            Self::Permit2 { authorization, .. } => f.debug_tuple("Permit2").field(authorization).finish(),
            Self::EvmTransaction { transaction, .. } => f.debug_tuple("EvmTransaction").field(transaction).finish(),
            Self::EvmSent { hash, claimant } => f.debug_tuple("EvmSent").field(hash).field(claimant).finish(),
            Self::SolanaTransaction { payment, .. } => f.debug_tuple("SolanaTransaction").field(payment).finish(),
            Self::SolanaSent { claimant, .. } => f.debug_tuple("SolanaSent").field(claimant).finish_non_exhaustive(),
        }
    }
}
