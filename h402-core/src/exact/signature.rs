//! Signatures of payers by authorization: of an account's own key, or for a contract to judge.

use alloy_primitives::{B256, Bytes, Signature};
use core::fmt;

/// What makes an authorization its payer's.
#[derive(Clone, PartialEq, Eq)]
pub enum PayerSignature {
    /// Made by the key of the payer's account, in the one form tokens accept.
    Account(Signature),
    /// For the payer's contract to say yes or no to, as received; nothing about it is checked. At most 4 KiB.
    Contract(Bytes),
}

impl PayerSignature {
    /// Longest signature for a contract, in bytes.
    pub const MAX_CONTRACT: usize = 4096;
    /// What a signature ends with whose contract is still to be deployed (ERC-6492).
    const COUNTERFACTUAL: B256 = alloy_primitives::b256!("6492649264926492649264926492649264926492649264926492649264926492");

    /// The bytes to hand on.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Account(signature) => Bytes::copy_from_slice(&signature.as_bytes()),
            Self::Contract(bytes) => bytes.clone(),
        }
    }

    /// Whether a contract is to be asked that is still to be deployed (ERC-6492).
    #[must_use]
    pub fn is_counterfactual(&self) -> bool {
        matches!(self, Self::Contract(bytes) if bytes.ends_with(Self::COUNTERFACTUAL.as_slice()))
    }
}

/// Replayable as well.
impl fmt::Debug for PayerSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account(_) => "Account(..)",
            Self::Contract(_) => "Contract(..)",
        })
    }
}
