//! What processes that share a ledger tell each other through it: who drives a network, and what is promised of a balance.

use crate::{Address, Amount, AssetId, Network, PaymentKey};
use core::time::Duration;

/// Proof that a writer drives a network, checked in the transaction of the change it comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Network.
    pub network: Network,
    /// As [`LeaseAnswer::Held`] gave it.
    pub epoch: u64,
}

/// Somebody who would drive a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseAsk {
    /// Network.
    pub network: Network,
    /// Who asks: random, made when the process starts.
    pub holder: [u8; 16],
    /// For how long; a millisecond is the smallest part that counts.
    pub ttl: Duration,
}

/// What a payment that was found good promises of its payer's balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldAsk {
    /// The payment.
    pub key: PaymentKey,
    /// Who pays.
    pub payer: Address,
    /// What is paid with.
    pub asset: AssetId,
    /// How much is promised; zero for what has moved already.
    pub amount: Amount,
    /// Asked for by a caller without a name: another one is refused as long as this lasts.
    pub exclusive: bool,
    /// The block at which the payer's balance was read: what is settled in it or before shows there.
    pub block: u64,
    /// For how long.
    pub ttl: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldAnswer {
    /// It is held.
    Held {
        /// Each other hold of the payer in this asset, and each of its claimed payments that moves money which its balance still
        /// shows.
        others: Vec<Amount>,
        /// Nobody held it before.
        is_new: bool,
    },
    /// Another caller without a name holds it.
    Taken,
}

/// Who drives a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Whoever asked.
    Held {
        /// Grows by one with every change of holder.
        epoch: u64,
        /// For so long, counted from before the question.
        left: Duration,
    },
    /// Somebody else.
    Other {
        /// For so long, unless it is renewed or given back.
        left: Duration,
    },
}
