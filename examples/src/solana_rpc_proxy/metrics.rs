//! What happened, by method, as Prometheus reads it. A method that the price table does not name is `other`, so no
//! client can make new labels.

use super::{Calls, PriceTable, Upstreams};
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Served; it costs nothing.
    Free,
    /// Served for a payment.
    Paid,
    /// Answered with the price.
    Asked,
    /// The answer that was paid for before was given again.
    Repeated,
    /// Not served, and no upstream was asked.
    Refused,
    /// An upstream answered with an error, or none answered.
    Failed,
}

const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Free, "free"),
    (Outcome::Paid, "paid"),
    (Outcome::Asked, "asked"),
    (Outcome::Repeated, "repeated"),
    (Outcome::Refused, "refused"),
    (Outcome::Failed, "failed"),
];

/// Upper ends of the buckets, in milliseconds.
const BUCKETS: [u64; 9] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/// Counters of one proxy. Cheap to clone; clones are the same counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    methods: Vec<Method>,
    upstreams: Arc<Upstreams>,
    /// Requests that could not be read.
    unread: AtomicU64,
}

#[derive(Debug)]
struct Method {
    label: String,
    outcomes: [AtomicU64; OUTCOMES.len()],
    /// Served requests by time, each bucket with what is in the smaller ones.
    buckets: [AtomicU64; BUCKETS.len()],
    served: AtomicU64,
    micros: AtomicU64,
}

impl Metrics {
    pub(super) fn new(table: &PriceTable, upstreams: Arc<Upstreams>) -> Self {
        let method = |label: &str| Method {
            label: label.to_owned(),
            outcomes: Default::default(),
            buckets: Default::default(),
            served: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        };
        Self { inner: Arc::new(Inner { methods: table.labels().map(method).collect(), upstreams, unread: AtomicU64::new(0) }) }
    }

    pub(super) fn unread(&self) {
        self.inner.unread.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts every call of a request; the time counts for a call that came alone.
    pub(super) fn count(&self, table: &PriceTable, calls: &Calls, outcome: Outcome, took: Duration) {
        for call in calls.iter() {
            let Some(method) = self.inner.methods.get(table.label(&call.method)) else { continue };
            for ((known, _), count) in OUTCOMES.iter().zip(&method.outcomes) {
                if *known == outcome {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            if !calls.is_batch() && matches!(outcome, Outcome::Free | Outcome::Paid) {
                method.served(took);
            }
        }
    }

    /// How many calls of a method had this outcome.
    #[must_use]
    pub fn calls(&self, method: &str, outcome: Outcome) -> u64 {
        let found = self.inner.methods.iter().find(|known| known.label == method);
        let place = OUTCOMES.iter().position(|(known, _)| *known == outcome);
        found.zip(place).and_then(|(method, place)| method.outcomes.get(place)).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Everything, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let written = self.write(&mut text);
        debug_assert!(written.is_ok(), "writing into a string does not fail");
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        writeln!(to, "# HELP solana_rpc_proxy_calls_total Calls by method and what became of them.")?;
        writeln!(to, "# TYPE solana_rpc_proxy_calls_total counter")?;
        for method in &self.inner.methods {
            for ((_, outcome), count) in OUTCOMES.iter().zip(&method.outcomes) {
                let (label, count) = (&method.label, count.load(Ordering::Relaxed));
                writeln!(to, "solana_rpc_proxy_calls_total{{method=\"{label}\",outcome=\"{outcome}\"}} {count}")?;
            }
        }
        writeln!(to, "# HELP solana_rpc_proxy_unread_total Requests that are no JSON-RPC call over HTTP POST.")?;
        writeln!(to, "# TYPE solana_rpc_proxy_unread_total counter")?;
        writeln!(to, "solana_rpc_proxy_unread_total {}", self.inner.unread.load(Ordering::Relaxed))?;
        writeln!(to, "# HELP solana_rpc_proxy_seconds Time to the first byte of served calls that came alone.")?;
        writeln!(to, "# TYPE solana_rpc_proxy_seconds histogram")?;
        for method in &self.inner.methods {
            method.write(to)?;
        }
        writeln!(to, "# HELP solana_rpc_proxy_upstream_healthy Whether the last request or probe of an upstream went well.")?;
        writeln!(to, "# TYPE solana_rpc_proxy_upstream_healthy gauge")?;
        let counts = self.inner.upstreams.counts();
        for (at, upstream) in counts.iter().enumerate() {
            let healthy = u8::from(upstream.healthy);
            writeln!(to, "solana_rpc_proxy_upstream_healthy{{upstream=\"{at}\",endpoint=\"{}\"}} {healthy}", upstream.endpoint)?;
        }
        writeln!(to, "# HELP solana_rpc_proxy_upstream_requests_total Requests to an upstream, and those that it failed.")?;
        writeln!(to, "# TYPE solana_rpc_proxy_upstream_requests_total counter")?;
        for (at, upstream) in counts.iter().enumerate() {
            let (endpoint, answered) = (&upstream.endpoint, upstream.asked.saturating_sub(upstream.failed));
            for (result, count) in [("answered", answered), ("failed", upstream.failed)] {
                let labels = format!("upstream=\"{at}\",endpoint=\"{endpoint}\",result=\"{result}\"");
                writeln!(to, "solana_rpc_proxy_upstream_requests_total{{{labels}}} {count}")?;
            }
        }
        Ok(())
    }
}

impl Method {
    fn served(&self, took: Duration) {
        let millis = took.as_millis();
        for (end, count) in BUCKETS.iter().zip(&self.buckets) {
            if millis < u128::from(*end) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.served.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let (name, label) = ("solana_rpc_proxy_seconds", &self.label);
        for (end, count) in BUCKETS.iter().zip(&self.buckets) {
            let (whole, rest, count) = (end / 1_000, end % 1_000, count.load(Ordering::Relaxed));
            writeln!(to, "{name}_bucket{{method=\"{label}\",le=\"{whole}.{rest:03}\"}} {count}")?;
        }
        let (served, micros) = (self.served.load(Ordering::Relaxed), self.micros.load(Ordering::Relaxed));
        writeln!(to, "{name}_bucket{{method=\"{label}\",le=\"+Inf\"}} {served}")?;
        writeln!(to, "{name}_sum{{method=\"{label}\"}} {}.{:06}", micros / 1_000_000, micros % 1_000_000)?;
        writeln!(to, "{name}_count{{method=\"{label}\"}} {served}")
    }
}
