//! What a ledger says of itself as a whole: counts, and how it compares with the chain.

use crate::{Difference, Network, PaymentKey, UnixMillis};

/// How many payments of a network are in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentTotal {
    /// Network.
    pub network: Network,
    /// [`crate::Settlement::as_str`].
    pub state: &'static str,
    /// So many.
    pub count: u64,
}

/// How far ledger and chain were compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The last block, or slot, in which transactions of ours were looked for; none before the first pass.
    pub block: Option<u64>,
    /// The last final payment that was looked for on chain: when it became final, and its key.
    pub row: Option<(UnixMillis, PaymentKey)>,
}

/// How ledger and chain stand to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// How far they were compared.
    pub reached: Reconciled,
    /// When that was stored last.
    pub at: Option<UnixMillis>,
    /// How many differences nobody has accepted yet.
    pub open: u64,
    /// The first [`Reconciliation::SHOWN`] of them, oldest first.
    pub differences: Vec<Difference>,
}

impl Reconciliation {
    /// Most differences that are shown.
    pub const SHOWN: u32 = 100;
}

/// What came of comparing a network's ledger with its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconciliationPass {
    /// Network.
    pub network: Network,
    /// How far it got.
    pub reached: Reconciled,
    /// What differs.
    pub found: Vec<Difference>,
    /// When.
    pub at: UnixMillis,
}
