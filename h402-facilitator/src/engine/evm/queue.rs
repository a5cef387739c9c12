//! Claimed payments that wait for a lane, each once, in the order they came.

use super::super::open::OpenPayment;
use alloy_primitives::B256;
use h402_core::PaymentKey;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A claimed payment to settle by a transaction of ours.
pub(super) struct Job {
    pub open: Arc<OpenPayment>,
    /// Gas that its simulation used, alone.
    pub gas: u64,
    /// Whether it may share a transaction with others.
    pub company: bool,
    /// The transaction that a block had without this payment; none for a payment that nothing was signed for.
    pub after: Option<B256>,
}

impl Job {
    pub(super) fn key(&self) -> PaymentKey {
        self.open.news.borrow().key
    }
}

/// The queue of one lane; bounded by the engine's permits. It outlives whoever works on it.
#[derive(Default)]
pub(super) struct JobQueue {
    waiting: Mutex<Waiting>,
    some: Notify,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    keys: BTreeSet<PaymentKey>,
}

impl JobQueue {
    /// Puts a job at the end; a payment that waits already waits once, unless it waits since a term that is over.
    pub(super) fn put(&self, job: Job) {
        let mut waiting = self.waiting();
        let key = job.key();
        if waiting.keys.insert(key) {
            waiting.jobs.push_back(job);
            self.some.notify_one();
        } else if let Some(lapsed) = waiting.jobs.iter_mut().find(|known| known.key() == key && known.open.term.is_over()) {
            *lapsed = job;
        }
    }

    /// Puts jobs back to where they were taken from.
    pub(super) fn put_back(&self, jobs: Vec<Job>) {
        let mut waiting = self.waiting();
        for job in jobs.into_iter().rev() {
            if waiting.keys.insert(job.key()) {
                waiting.jobs.push_front(job);
            }
        }
        if !waiting.jobs.is_empty() {
            self.some.notify_one();
        }
    }

    /// Waits until there is one.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(super) async fn some(&self) {
        while self.waiting().jobs.is_empty() {
            self.some.notified().await;
        }
    }

    /// Takes what waits now, at most `limit`.
    pub(super) fn take(&self, limit: usize) -> Vec<Job> {
        let mut waiting = self.waiting();
        let count = waiting.jobs.len().min(limit);
        let jobs: Vec<Job> = waiting.jobs.drain(..count).collect();
        for job in &jobs {
            waiting.keys.remove(&job.key());
        }
        jobs
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().jobs.len()
    }

    /// Whether a payment waits in the term that goes on.
    pub(super) fn has(&self, key: &PaymentKey) -> bool {
        let waiting = self.waiting();
        waiting.keys.contains(key) && waiting.jobs.iter().any(|job| job.key() == *key && !job.open.term.is_over())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
