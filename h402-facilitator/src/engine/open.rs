//! The payments that are open on one network.

use h402_core::{Network, PaymentKey, PaymentRow};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch as signal;

/// A settlement that is not over, and whoever waits for it.
pub(super) struct OpenPayment {
    /// The row as stored; locked while it is changed.
    pub row: tokio::sync::Mutex<PaymentRow>,
    /// Shows every stored row.
    pub news: signal::Sender<PaymentRow>,
}

/// All settlements of a network that are not over.
pub(super) struct OpenPayments {
    network: Network,
    recovered: AtomicBool,
    open: Mutex<HashMap<PaymentKey, Arc<OpenPayment>>>,
}

impl OpenPayments {
    pub(super) fn new(network: Network) -> Self {
        Self { network, recovered: AtomicBool::new(false), open: Mutex::default() }
    }

    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// Whether the ledger's open rows of this network are being driven.
    pub(super) fn is_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }

    pub(super) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    /// Enters a row that is open; an entry that is there already stays.
    pub(super) fn enter(&self, row: PaymentRow) -> Arc<OpenPayment> {
        let entry = || Arc::new(OpenPayment { news: signal::Sender::new(row.clone()), row: tokio::sync::Mutex::new(row.clone()) });
        self.all().entry(row.key).or_insert_with(entry).clone()
    }

    pub(super) fn find(&self, key: &PaymentKey) -> Option<Arc<OpenPayment>> {
        self.all().get(key).cloned()
    }

    pub(super) fn leave(&self, key: &PaymentKey) {
        self.all().remove(key);
    }

    /// As they are now, in no order.
    pub(super) fn each(&self) -> Vec<Arc<OpenPayment>> {
        self.all().values().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PaymentKey, Arc<OpenPayment>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
