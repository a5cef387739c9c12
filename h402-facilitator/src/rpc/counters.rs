//! Counts of what was asked.

use super::{Call, RpcError, endpoint::Pool};
use serde_json::value::RawValue;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What an [`super::Rpc`] has asked since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// HTTP requests; a batch is one.
    pub requests: u64,
    /// Calls per method.
    pub methods: BTreeMap<&'static str, MethodCount>,
    /// The endpoints in their order.
    pub endpoints: Vec<EndpointCount>,
}

/// The calls of one method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MethodCount {
    /// Sent, alone or in batches.
    pub calls: u64,
    /// Answered with an error by the node itself.
    pub errors: u64,
}

/// The requests to one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointCount {
    /// Scheme, host and port.
    pub endpoint: String,
    /// HTTP requests.
    pub requests: u64,
    /// Those without a usable answer.
    pub failures: u64,
    /// Whether the last one went well.
    pub healthy: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    methods: Mutex<BTreeMap<&'static str, MethodCount>>,
    endpoints: Vec<PerEndpoint>,
}

#[derive(Debug, Default)]
struct PerEndpoint {
    shown: String,
    requests: AtomicU64,
    failures: AtomicU64,
}

impl Counts {
    pub(super) fn new(endpoints: impl Iterator<Item = String>) -> Self {
        let endpoint = |shown| PerEndpoint { shown, ..PerEndpoint::default() };
        Self { methods: Mutex::default(), endpoints: endpoints.map(endpoint).collect() }
    }

    pub(super) fn asked(&self, endpoint: usize, calls: &[Call]) {
        if let Some(endpoint) = self.endpoints.get(endpoint) {
            endpoint.requests.fetch_add(1, Ordering::Relaxed);
        }
        let mut methods = self.methods();
        for call in calls {
            methods.entry(call.method()).or_default().calls += 1;
        }
    }

    pub(super) fn answered(&self, calls: &[Call], answers: &[Result<Box<RawValue>, RpcError>]) {
        let mut methods = self.methods();
        for (call, _) in calls.iter().zip(answers).filter(|(_, answer)| answer.is_err()) {
            methods.entry(call.method()).or_default().errors += 1;
        }
    }

    pub(super) fn failed(&self, endpoint: usize) {
        if let Some(endpoint) = self.endpoints.get(endpoint) {
            endpoint.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self, pool: &Pool) -> Counters {
        let endpoints: Vec<EndpointCount> = self
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| EndpointCount {
                endpoint: endpoint.shown.clone(),
                requests: endpoint.requests.load(Ordering::Relaxed),
                failures: endpoint.failures.load(Ordering::Relaxed),
                healthy: pool.is_healthy(index),
            })
            .collect();
        let requests = endpoints.iter().map(|endpoint| endpoint.requests).sum();
        Counters { requests, methods: self.methods().clone(), endpoints }
    }

    fn methods(&self) -> MutexGuard<'_, BTreeMap<&'static str, MethodCount>> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
