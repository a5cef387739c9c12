//! Faults that a chain's endpoint shows on request, and counts of what reached it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::watch;

use crate::RpcError;

/// The method name that stands for all methods.
pub const ANY: &str = "*";

/// One way for a call to go wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Waits before the call is processed.
    Delay(Duration),
    /// Processes the call, then waits before it is answered.
    DelayAnswer(Duration),
    /// Holds the call until its gate is opened, then processes it.
    Hold(Gate),
    /// Processes the call, then holds the answer until its gate is opened.
    HoldAnswer(Gate),
    /// Answers with this error without processing the call.
    Error(RpcError),
    /// Answers with this result without processing the call.
    Answer(Value),
    /// Closes the connection without processing the call.
    DropRequest,
    /// Processes the call, then closes the connection without an answer.
    DropAnswer,
    /// Answers with this HTTP status without processing the call.
    Status(u16),
    /// Processes the call, then answers with this HTTP status.
    StatusAfter(u16),
    /// Answers with a page of HTML and status 200 without processing the call.
    Html,
    /// Processes the call, then answers with half of the JSON.
    Truncated,
    /// Processes the call, then answers under another id.
    WrongId,
    /// Answers as a node that does not have the newest blocks yet, this many, also to the other calls of the batch. Only of
    /// EVM chains.
    Behind(u64),
}

/// A gate that holds calls, and tells when one has reached it.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    held: Arc<watch::Sender<u64>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)), held: Arc::new(watch::Sender::new(0)) }
    }
}

impl Gate {
    /// Makes a closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets through the held calls and all later ones.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until at least this many calls have reached the gate.
    pub async fn reached(&self, calls: u64) {
        let mut held = self.held.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        drop(held.wait_for(|seen| *seen >= calls).await);
    }

    pub(crate) async fn pass(&self) {
        self.held.send_modify(|seen| *seen += 1);
        let mut open = self.open.subscribe();
        drop(open.wait_for(|open| *open).await);
    }
}

/// How often a fault occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// On the next call only.
    Once,
    /// On the next calls, this many.
    Next(u32),
    /// Not on the next calls, this many, then once.
    After(u32),
    /// On each call until the faults are cleared.
    Always,
}

#[derive(Debug)]
struct Rule {
    method: String,
    fault: Fault,
    skip: u32,
    /// `None` is without end.
    left: Option<u32>,
}

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<Rule>,
    requests: u64,
    calls: HashMap<String, u64>,
}

/// The faults to show and the counts of what arrived; clones share both.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

impl Faults {
    /// Adds a fault to calls of a method, or of [`ANY`]; of several that apply to a call the first added is shown.
    pub fn add(&self, method: &str, fault: Fault, times: Times) {
        let (skip, left) = match times {
            Times::Once => (0, Some(1)),
            Times::Next(count) => (0, Some(count)),
            Times::After(count) => (count, Some(1)),
            Times::Always => (0, None),
        };
        self.inner().rules.push(Rule { method: method.to_owned(), fault, skip, left });
    }

    /// Adds a fault to the next call of a method.
    pub fn once(&self, method: &str, fault: Fault) {
        self.add(method, fault, Times::Once);
    }

    /// Adds a closed gate before the next call of a method and returns it.
    pub fn hold(&self, method: &str) -> Gate {
        let gate = Gate::new();
        self.once(method, Fault::Hold(gate.clone()));
        gate
    }

    /// Adds a closed gate after the next call of a method, before its answer, and returns it.
    pub fn hold_answer(&self, method: &str) -> Gate {
        let gate = Gate::new();
        self.once(method, Fault::HoldAnswer(gate.clone()));
        gate
    }

    /// Removes all faults; the counts stay.
    pub fn clear(&self) {
        self.inner().rules.clear();
    }

    /// How many HTTP requests arrived; a batch is one.
    pub fn requests(&self) -> u64 {
        self.inner().requests
    }

    /// How many calls of a method arrived, single or in batches, processed or not.
    pub fn calls(&self, method: &str) -> u64 {
        let inner = self.inner();
        if method == ANY { inner.calls.values().sum() } else { inner.calls.get(method).copied().unwrap_or(0) }
    }

    /// Sets all counts to zero; the faults stay.
    pub fn reset_counts(&self) {
        let mut inner = self.inner();
        inner.requests = 0;
        inner.calls.clear();
    }

    pub(crate) fn count_request(&self) {
        self.inner().requests += 1;
    }

    /// Counts a call and takes the fault that it is to show.
    pub(crate) fn take(&self, method: &str) -> Option<Fault> {
        let mut inner = self.inner();
        *inner.calls.entry(method.to_owned()).or_default() += 1;
        let mut shown = None;
        for rule in &mut inner.rules {
            if shown.is_some() || (rule.method != ANY && rule.method != method) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            match &mut rule.left {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            shown = Some(rule.fault.clone());
        }
        inner.rules.retain(|rule| rule.left != Some(0));
        shown
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
