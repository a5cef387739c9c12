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
        /// The transaction.
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
    /// Its block was dropped from the chain.
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
    /// A transaction for it was signed and is about to be stored.
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
    /// Refused between claim and signature. No driver raises it yet: what is refused is refused before the claim.
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
            (S::Claimed, E::Sign(transaction)) => S::Signed { transaction },
            (S::Claimed, E::Refuse) => S::Rejected,
            (S::Claimed, E::Expired) => S::Abandoned { transaction: None },
            (S::Signed { transaction } | S::Reorged { transaction }, E::Sent) => S::Broadcast { transaction },
            (S::Broadcast { transaction }, E::Sent) => S::Broadcast { transaction },
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
            Self::Rejected => "rejected",
            Self::Abandoned { .. } => "abandoned",
        }
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
            | Self::Reverted { transaction, .. } => Some(*transaction),
        }
    }

    /// The block, once it is in one.
    #[must_use]
    pub const fn block(&self) -> Option<BlockRef> {
        match self {
            Self::Included { block, .. } | Self::Final { block, .. } | Self::Reverted { block, .. } => Some(*block),
            _ => None,
        }
    }

    /// Whether the payee has the money.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Included { .. } | Self::Final { .. })
    }

    /// Whether the driver still has something to do or to look for.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Claimed | Self::Signed { .. } | Self::Broadcast { .. } | Self::Included { .. } | Self::Reorged { .. })
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
            ("rejected", None, None) => Self::Rejected,
            ("abandoned", transaction, None) => Self::Abandoned { transaction },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
