//! The ports: what the protocol needs from the world. No port has a default that could lose money.

mod books;
mod engine;
mod gate;
mod lease;

pub use books::{PaymentTotal, Reconciled, Reconciliation, ReconciliationPass};
pub use engine::{
    Applied, Change, LanePosition, NewPayment, PaymentKind, PaymentRow, PaymentUpdate, SentState, SettlementAnswer, Store, TransactionRow,
};
pub use gate::{
    Claim, Claimed, Exposure, Facilitator, Grants, Hints, HintsNeeded, Lookup, NewGrant, Permit2Hints, Permit2Needed, StoredAnswer,
    Supported, SupportedKind, TransactionHints,
};
pub use lease::{Fence, HoldAnswer, HoldAsk, LeaseAnswer, LeaseAsk};

use crate::UnixMillis;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;
}

/// The store cannot be read or written. A change it was asked for may or may not have been made: load before
/// trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store is not available: {0}")]
pub struct StoreUnavailable(pub String);

impl From<StoreUnavailable> for crate::Undecided {
    fn from(_: StoreUnavailable) -> Self {
        Self::Store
    }
}
