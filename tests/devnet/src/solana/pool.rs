//! What was sent and is not in a block.

use std::collections::VecDeque;

use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

/// What becomes of a transaction that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is executed at once, if it can be.
    Land,
    /// It waits until what is held is released.
    Hold,
    /// It is lost; whoever sent it is told the same as ever.
    Drop,
}

/// Sent transactions on their way to a block.
#[derive(Debug)]
pub(super) struct Pool {
    /// What happens to the next ones, one each.
    pub(super) next: VecDeque<Delivery>,
    /// What happens after that.
    pub(super) usual: Delivery,
    /// What waits for its release.
    pub(super) held: Vec<VersionedTransaction>,
    /// What came back from a dropped block and goes into the next one.
    pub(super) returned: Vec<VersionedTransaction>,
    /// The first signature of all that was sent, in order, also of what was lost.
    pub(super) sent: Vec<Signature>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { next: VecDeque::new(), usual: Delivery::Land, held: Vec::new(), returned: Vec::new(), sent: Vec::new() }
    }
}

impl Pool {
    /// Notes that a transaction was sent and tells what happens to it.
    pub(super) fn take(&mut self, signature: Signature) -> Delivery {
        self.sent.push(signature);
        self.next.pop_front().unwrap_or(self.usual)
    }
}
