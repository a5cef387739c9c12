//! The payments that are open on one network.

use super::{lease::Term, signal::Signal};
use alloy_primitives::U256;
use h402_core::{Fence, Network, PaymentKey, PaymentRow, TransactionId};
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

/// All settlements of a network that are not over; empty unless this process drives it.
pub(super) struct OpenPayments {
    network: Network,
    recovered: AtomicBool,
    driven: Mutex<Driven>,
    costs: Mutex<VecDeque<(TransactionId, U256)>>,
}

#[derive(Default)]
struct Driven {
    term: Option<Arc<Term>>,
    open: BTreeMap<PaymentKey, Arc<OpenPayment>>,
}

/// How many costs are remembered until they are stored.
#[cfg(feature = "evm")]
const COSTS: usize = 4096;

impl OpenPayments {
    pub(super) fn new(network: Network) -> Self {
        Self { network, recovered: AtomicBool::new(false), driven: Mutex::default(), costs: Mutex::default() }
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
        *self.driven() = Driven { term: Some(term.clone()), open: BTreeMap::new() };
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

    /// As they are now, in the order of their keys: the same ledger is worked on in the same order.
    pub(super) fn each(&self) -> Vec<Arc<OpenPayment>> {
        self.driven().open.values().cloned().collect()
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
