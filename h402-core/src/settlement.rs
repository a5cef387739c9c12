//! The life of one settlement at a facilitator, as a pure machine.

use crate::TransactionId;
use alloy_primitives::B256;

/// Where a settlement stands. Unknown is a state: `Broadcast` lasts until the chain says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Taken on; nothing signed.
    Claimed,
    /// A transaction is signed and stored; it may or may not have been sent.
    Signed {
        /// The last that was signed; others before it may be mined in its place.
        transaction: TransactionId,
    },
    /// The transaction was handed to the chain; the outcome is not known.
    Broadcast {
        /// The transaction.
        transaction: TransactionId,
    },
    /// In a block, with the transfer observed.
    Included {
        /// The transaction.
        transaction: TransactionId,
        /// Its block.
        block: BlockRef,
    },
    /// Deep enough that it will not come back.
    Final {
        /// The transaction.
        transaction: TransactionId,
        /// Its block.
        block: BlockRef,
    },
    /// Its block was dropped from the chain. It stays so, whatever is sent, until it is in another block or cannot come back:
    /// whoever was told that it is settled has delivered for it.
    Reorged {
        /// The transaction.
        transaction: TransactionId,
    },
    /// Failed on chain, or succeeded without the transfer.
    Reverted {
        /// The transaction.
        transaction: TransactionId,
        /// Its block.
        block: BlockRef,
    },
    /// As reverted, so deep that its block will not go away.
    Failed {
        /// The transaction.
        transaction: TransactionId,
        /// Its block.
        block: BlockRef,
    },
    /// Refused before anything was signed.
    Rejected,
    /// Proven that it can never land: expired with its nonce unused, or replaced.
    Abandoned {
        /// What had been signed, if anything.
        transaction: Option<TransactionId>,
    },
}

/// A block by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// Number or slot.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// What happened to a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettlementEvent {
    /// A transaction for it was signed and is about to be stored: the first, or one more. One more has the account nonce
    /// of the last and pays more for its gas, or comes after a block had the last without the payment.
    Sign(TransactionId),
    /// The transaction left this process: accepted, refused by the node, or unanswered. None proves anything.
    Sent,
    /// The payment was seen in a block: in our transaction, or in another's that carried the same payment (T010).
    Paid {
        /// The transaction it was seen in.
        transaction: TransactionId,
        /// Its block.
        block: BlockRef,
    },
    /// The transaction was seen in a block without the payment.
    Failed {
        /// The transaction.
        transaction: TransactionId,
        /// Its block.
        block: BlockRef,
    },
    /// Its block is final.
    Deep,
    /// Its block is gone.
    Vanished,
    /// Refused between claim and signature: nothing was sent, and nothing will be.
    Refuse,
    /// Proven that it cannot land any more.
    Expired,
}

/// The event cannot follow the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot follow {state:?}")]
pub struct SettlementOutOfOrder {
    /// The state.
    pub state: Settlement,
    /// The event.
    pub event: SettlementEvent,
}

impl Settlement {
    /// Applies one event. The caller stores the new state before it acts on it: sends the bytes of `Signed` and
    /// `Reorged`, looks for `Broadcast`, answers the others.
    ///
    /// # Errors
    /// [`SettlementOutOfOrder`] if the event cannot follow.
    pub fn step(self, event: SettlementEvent) -> Result<Self, SettlementOutOfOrder> {
        use Settlement as S;
        use SettlementEvent as E;
        Ok(match (self, event) {
            // Whatever was signed before stays stored, and may still be the one that is mined.
            (S::Claimed | S::Signed { .. } | S::Broadcast { .. }, E::Sign(transaction)) => S::Signed { transaction },
            (S::Reorged { .. }, E::Sign(transaction)) | (S::Reorged { transaction }, E::Sent) => S::Reorged { transaction },
            (S::Claimed, E::Refuse) => S::Rejected,
            (S::Claimed, E::Expired) => S::Abandoned { transaction: None },
            (S::Signed { transaction } | S::Broadcast { transaction }, E::Sent) => S::Broadcast { transaction },
            (
                S::Claimed | S::Signed { .. } | S::Broadcast { .. } | S::Reorged { .. } | S::Abandoned { .. },
                E::Paid { transaction, block },
            ) => S::Included { transaction, block },
            (S::Signed { .. } | S::Broadcast { .. } | S::Reorged { .. }, E::Failed { transaction, block }) => {
                S::Reverted { transaction, block }
            }
            (S::Signed { transaction } | S::Broadcast { transaction } | S::Reorged { transaction }, E::Expired) => {
                S::Abandoned { transaction: Some(transaction) }
            }
            (S::Included { transaction, block }, E::Deep) => S::Final { transaction, block },
            (S::Reverted { transaction, block }, E::Deep) => S::Failed { transaction, block },
            (S::Included { transaction, .. } | S::Reverted { transaction, .. }, E::Vanished) => S::Reorged { transaction },
            (state, event) => return Err(SettlementOutOfOrder { state, event }),
        })
    }

    /// The word under which stores keep it and `GET /payments/{id}` shows it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Signed { .. } => "signed",
            Self::Broadcast { .. } => "broadcast",
            Self::Included { .. } => "included",
            Self::Final { .. } => "final",
            Self::Reorged { .. } => "reorged",
            Self::Reverted { .. } => "reverted",
            Self::Failed { .. } => "failed",
            Self::Rejected => "rejected",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// All words of [`Settlement::as_str`], in the order of a settlement's life.
    pub const WORDS: [&'static str; 10] =
        ["claimed", "signed", "broadcast", "included", "final", "reorged", "reverted", "failed", "rejected", "abandoned"];

    /// The words of the states that are [open](Settlement::is_open).
    pub const OPEN_WORDS: [&'static str; 6] = ["claimed", "signed", "broadcast", "included", "reorged", "reverted"];

    /// Finds a word of [`Settlement::as_str`].
    #[must_use]
    pub fn word(text: &str) -> Option<&'static str> {
        Self::WORDS.into_iter().find(|word| *word == text)
    }

    /// The transaction, once there is one.
    #[must_use]
    pub const fn transaction(&self) -> Option<TransactionId> {
        match self {
            Self::Claimed | Self::Rejected => None,
            Self::Abandoned { transaction } => *transaction,
            Self::Signed { transaction }
            | Self::Broadcast { transaction }
            | Self::Included { transaction, .. }
            | Self::Final { transaction, .. }
            | Self::Reorged { transaction }
            | Self::Reverted { transaction, .. }
            | Self::Failed { transaction, .. } => Some(*transaction),
        }
    }

    /// The block, once it is in one.
    #[must_use]
    pub const fn block(&self) -> Option<BlockRef> {
        match self {
            Self::Included { block, .. } | Self::Final { block, .. } | Self::Reverted { block, .. } | Self::Failed { block, .. } => {
                Some(*block)
            }
            _ => None,
        }
    }

    /// Whether the payee has the money.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Included { .. } | Self::Final { .. })
    }

    /// Whether callers can be told how it ended: settled, or failed.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        !matches!(self, Self::Claimed | Self::Signed { .. } | Self::Broadcast { .. } | Self::Reorged { .. })
    }

    /// Whether the driver still has something to do or to look for. What is decided is looked for until its block is final.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.is_decided() || matches!(self, Self::Included { .. } | Self::Reverted { .. })
    }

    /// Rebuilds a state from what a store keeps; `None` if the parts do not fit.
    #[must_use]
    pub fn from_parts(word: &str, transaction: Option<TransactionId>, block: Option<BlockRef>) -> Option<Self> {
        Some(match (word, transaction, block) {
            ("claimed", None, None) => Self::Claimed,
            ("signed", Some(transaction), None) => Self::Signed { transaction },
            ("broadcast", Some(transaction), None) => Self::Broadcast { transaction },
            ("included", Some(transaction), Some(block)) => Self::Included { transaction, block },
            ("final", Some(transaction), Some(block)) => Self::Final { transaction, block },
            ("reorged", Some(transaction), None) => Self::Reorged { transaction },
            ("reverted", Some(transaction), Some(block)) => Self::Reverted { transaction, block },
            ("failed", Some(transaction), Some(block)) => Self::Failed { transaction, block },
            ("rejected", None, None) => Self::Rejected,
            ("abandoned", transaction, None) => Self::Abandoned { transaction },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
