//! The payments that are open on one network: as many as there is room for in memory, the oldest above all, and of the others
//! some at a time. The ledger has them all.

use super::{lease::Term, signal::Signal};
use alloy_primitives::U256;
use h402_core::{Fence, Network, PaymentKey, PaymentRow, TransactionId, UnixMillis};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A settlement that is not over and is driven here, and whoever waits for it.
pub(super) struct OpenPayment {
    /// The row as stored; locked while it is changed.
    pub row: tokio::sync::Mutex<PaymentRow>,
    /// Shows every stored row.
    pub news: Signal<PaymentRow>,
    /// The term in which it is driven.
    pub term: Arc<Term>,
}

/// The settlements of a network that are not over and held in memory; empty unless this process drives it.
pub(super) struct OpenPayments {
    network: Network,
    room: usize,
    recovered: AtomicBool,
    driven: Mutex<Driven>,
    costs: Mutex<VecDeque<(TransactionId, U256)>>,
}

#[derive(Default)]
struct Driven {
    term: Option<Arc<Term>>,
    open: BTreeMap<PaymentKey, Arc<OpenPayment>>,
    pass: Pass,
}

/// How far the ledger's open payments have been gone through: again and again, unless all of them are held.
#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    /// The last that was read.
    after: Option<PaymentKey>,
    /// Whether something was put aside since its beginning.
    left_out: bool,
    /// All that are open are held.
    whole: bool,
    /// Passes that have come to their end.
    count: u64,
}

/// How many costs are remembered until they are stored.
#[cfg(feature = "evm")]
const COSTS: usize = 4096;

impl OpenPayments {
    /// Holds as many as `room`, and a quarter more for a while.
    pub(super) fn new(network: Network, room: usize) -> Self {
        Self { network, room, recovered: AtomicBool::new(false), driven: Mutex::default(), costs: Mutex::default() }
    }

    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// Whether payments can be taken: the ledger's open rows of this network are driven, here or by another process.
    pub(super) fn is_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }

    pub(super) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    /// Begins to drive.
    pub(super) fn begin(&self, fence: Fence) -> Arc<Term> {
        let term = Arc::new(Term::new(fence));
        *self.driven() = Driven { term: Some(term.clone()), ..Driven::default() };
        term
    }

    /// Drives nothing any more: whoever waits for a settlement looks in the ledger from now on.
    pub(super) fn end(&self) {
        if let Some(term) = std::mem::take(&mut *self.driven()).term {
            term.end();
        }
    }

    /// The term in which this process drives the network, if it does.
    pub(super) fn term(&self) -> Option<Arc<Term>> {
        self.driven().term.clone()
    }

    /// Enters a row that is open, if this process drives the network; says whether it is new here. An entry that is there
    /// already stays.
    pub(super) fn enter(&self, row: PaymentRow) -> Option<(Arc<OpenPayment>, bool)> {
        let mut driven = self.driven();
        let term = driven.term.clone()?;
        let mut is_new = false;
        let open = driven.open.entry(row.key).or_insert_with(|| {
            is_new = true;
            Arc::new(OpenPayment { news: Signal::new(row.clone()), row: tokio::sync::Mutex::new(row), term })
        });
        Some((open.clone(), is_new))
    }

    pub(super) fn find(&self, key: &PaymentKey) -> Option<Arc<OpenPayment>> {
        self.driven().open.get(key).cloned()
    }

    pub(super) fn leave(&self, key: &PaymentKey) {
        self.driven().open.remove(key);
    }

    /// Those that are held now, in the order of their keys: the same ledger is worked on in the same order.
    pub(super) fn each(&self) -> Vec<Arc<OpenPayment>> {
        self.driven().open.values().cloned().collect()
    }

    /// How many are held for good.
    #[cfg(feature = "evm")]
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Whether every open payment is held: one that is not here is over, or not of this process.
    pub(super) fn is_whole(&self) -> bool {
        self.driven().pass.whole
    }

    /// After which payment the ledger is to be read on, and how many are wanted: none if all are held, or as many as can be.
    pub(super) fn wanted(&self) -> (Option<PaymentKey>, usize) {
        let driven = self.driven();
        let Pass { after, whole, .. } = driven.pass;
        // A quarter more than there is room for, so that all others are looked at as well, some at a time.
        let most = self.room.saturating_add((self.room / 4).max(1));
        (after, if whole { 0 } else { most.saturating_sub(driven.open.len()) })
    }

    /// How often the ledger has been read to its end.
    #[cfg(feature = "evm")]
    pub(super) fn passes(&self) -> u64 {
        self.driven().pass.count
    }

    /// Has the ledger read once more from its beginning, should anything have been missed.
    pub(super) fn read_anew(&self) {
        let pass = &mut self.driven().pass;
        (pass.whole, pass.after) = (false, None);
    }

    /// Notes how far the ledger was read: to this payment, or to its end.
    pub(super) fn read_to(&self, last: Option<PaymentKey>) {
        let pass = &mut self.driven().pass;
        pass.after = last;
        if last.is_none() {
            pass.whole = !pass.left_out;
            pass.left_out = false;
            pass.count = pass.count.wrapping_add(1);
        }
    }

    /// Puts the youngest aside that are more than there is room for, and that nobody is at work on. The ledger has them, and
    /// they come back when it is read again.
    pub(super) fn put_aside(&self) {
        let mut driven = self.driven();
        let excess = driven.open.len().saturating_sub(self.room);
        if excess == 0 {
            return;
        }
        // Whoever works on one holds it, and gets it only from here.
        let idle = driven.open.values().filter(|open| Arc::strong_count(open) == 1);
        let mut idle: Vec<(UnixMillis, PaymentKey)> = idle.map(|open| open.news.borrow()).map(|row| (row.claimed_at, row.key)).collect();
        idle.sort_unstable_by(|one, other| other.cmp(one));
        idle.truncate(excess);
        if idle.is_empty() {
            return;
        }
        for (_, key) in &idle {
            driven.open.remove(key);
        }
        let Pass { after, whole, .. } = driven.pass;
        driven.pass = Pass { after: after.filter(|_| !whole), whole: false, left_out: true, ..driven.pass };
    }

    /// Notes what a transaction of ours has cost, to be stored with what it brought; `true` if that is news.
    #[cfg(feature = "evm")]
    pub(super) fn note_cost(&self, transaction: TransactionId, cost: U256) -> bool {
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = costs.iter_mut().find(|(known, _)| *known == transaction) {
            // After a reorg it may have cost something else.
            known.1 = cost;
            return false;
        }
        if costs.len() >= COSTS {
            costs.pop_front();
        }
        costs.push_back((transaction, cost));
        true
    }

    /// What a transaction has cost, if that was noted lately.
    pub(super) fn cost(&self, transaction: &TransactionId) -> Option<U256> {
        let costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        costs.iter().rev().find(|(known, _)| known == transaction).map(|(_, cost)| *cost)
    }

    fn driven(&self) -> MutexGuard<'_, Driven> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
