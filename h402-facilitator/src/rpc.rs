//! JSON-RPC over HTTP: batches, a deadline, a bounded answer, several endpoints, counts of everything.
//!
//! One call of [`Rpc::batch`] is one HTTP request. A second one goes out only if an endpoint fails and another
//! is left to ask; there is no other retry, no polling and no timer in here.

mod counters;
mod endpoint;
mod message;
mod transport;

pub use counters::{Counters, EndpointCount, MethodCount};
pub use endpoint::{BadEndpoint, Endpoint};
#[cfg(any(feature = "evm", feature = "solana"))]
pub(crate) use message::printable;
pub use message::{Call, RpcError};

use alloy_primitives::{Bytes, hex};
use counters::Counts;
use endpoint::Pool;
use h402_core::Undecided;
use serde_json::value::RawValue;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};
use transport::{Failure, Transport};

/// How a node's endpoints are asked.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Asked in this order: the first that is healthy.
    pub endpoints: Vec<Endpoint>,
    /// How long one HTTP request may take, answer included.
    pub timeout: Duration,
    /// The longest answer that is read, in bytes.
    pub max_body: usize,
    /// Calls that the node takes in one request. Reads that are shared or many are cut to it; [`Rpc::batch`] is not.
    pub max_calls: usize,
    /// HTTP requests under way at once; more wait for up to half of `timeout`.
    pub max_in_flight: usize,
}

impl RpcConfig {
    /// The usual limits: 2 s, 8 MiB, 100 calls in a request, 64 requests at once.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints, timeout: Duration::from_secs(2), max_body: 8 << 20, max_calls: 100, max_in_flight: 64 }
    }
}

/// A JSON-RPC client of one node, reached at one or several endpoints. Cheap to clone.
///
/// ```
/// use h402_facilitator::rpc::{Endpoint, Rpc, RpcConfig};
/// let endpoint: Endpoint = "https://rpc.example/v2/secret-key".parse()?;
/// assert_eq!(endpoint.to_string(), "https://rpc.example");
/// let rpc = Rpc::new(RpcConfig::new(vec![endpoint]));
/// assert_eq!(rpc.counters().requests, 0);
/// # Ok::<(), h402_facilitator::rpc::BadEndpoint>(())
/// ```
#[derive(Clone)]
pub struct Rpc {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    max_calls: usize,
    transport: Transport,
    timeout: Duration,
    permits: Semaphore,
    counts: Counts,
    next_id: AtomicU64,
}

/// How many endpoints a request may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One endpoint, whatever it answers.
    One,
    /// On to the next endpoint, with the same bytes, as long as none has answered.
    UntilAnswered,
}

/// The answers to a batch, in the order of its calls.
pub type Answers = Vec<Result<Box<RawValue>, RpcError>>;

impl Rpc {
    /// Makes a client; nothing is sent yet. Without any endpoint every call is [`Undecided::Chain`].
    #[must_use]
    pub fn new(config: RpcConfig) -> Self {
        let counts = Counts::new(config.endpoints.iter().map(ToString::to_string));
        let transport = Transport::new(config.max_body);
        let permits = Semaphore::new(config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS));
        let pool = Pool::new(config.endpoints.clone(), config.timeout);
        let RpcConfig { timeout, max_calls, .. } = config;
        Self { inner: Arc::new(Inner { pool, max_calls, transport, timeout, permits, counts, next_id: AtomicU64::new(1) }) }
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// As [`Rpc::batch`]; the inner error is what the node itself answered.
    pub async fn call(&self, call: Call) -> Result<Result<Box<RawValue>, RpcError>, Undecided> {
        self.batch(&[call]).await?.pop().ok_or(Undecided::Chain)
    }

    /// Asks several things in one HTTP request; a single call goes out as a plain object.
    ///
    /// The answers are complete and in the order of the calls. An endpoint that does not give such an answer in
    /// time has failed: it is left alone for a while, and the next one is asked.
    ///
    /// # Errors
    /// [`Undecided::Chain`] or [`Undecided::Deadline`] if no endpoint answered, [`Undecided::Busy`] if too many
    /// requests are under way.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the request; whether the node has seen it is not known.
    pub async fn batch(&self, calls: &[Call]) -> Result<Answers, Undecided> {
        Ok(self.ask(calls, Reach::UntilAnswered).await?.0)
    }

    /// As [`Rpc::batch`], as far as `reach` says, and tells which endpoint answered.
    ///
    /// # Errors
    /// As [`Rpc::batch`].
    pub async fn ask(&self, calls: &[Call], reach: Reach) -> Result<(Answers, Answerer), Undecided> {
        if calls.is_empty() {
            return Ok((Vec::new(), Answerer(None)));
        }
        let mut undecided = Undecided::Chain;
        for index in self.inner.pool.candidates() {
            match self.ask_one(index, calls).await {
                Ok(answers) => return Ok((answers, Answerer(Some(index)))),
                Err(Failure::Busy) => return Err(Undecided::Busy),
                Err(Failure::Deadline) => undecided = Undecided::Deadline,
                Err(Failure::Endpoint) => undecided = Undecided::Chain,
            }
            if reach == Reach::One {
                break;
            }
        }
        Err(undecided)
    }

    /// Leaves an endpoint alone for a while whose answer was well formed and cannot be right.
    pub fn distrust(&self, answerer: Answerer) {
        if let Some(index) = answerer.0 {
            self.inner.counts.failed(index);
            self.inner.pool.failed(index);
        }
    }

    /// How many calls the node takes in one request.
    #[must_use]
    pub fn max_calls(&self) -> usize {
        self.inner.max_calls
    }

    /// How many endpoints there are.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.inner.pool.len()
    }

    /// Ends all rests, as time would.
    #[cfg(all(test, feature = "evm"))]
    pub(crate) fn forget_failures(&self) {
        for index in 0..self.endpoints() {
            self.inner.pool.succeeded(index);
        }
    }

    /// Hands a signed transaction to the node. The bytes are the same wherever they go.
    ///
    /// # Errors
    /// As [`Rpc::batch`]: the node may have taken the transaction all the same.
    pub async fn send_raw(&self, raw: &Bytes, reach: Reach) -> Result<Result<Box<RawValue>, RpcError>, Undecided> {
        let call = Call::new("eth_sendRawTransaction", &[hex::encode_prefixed(raw)]);
        let (mut answers, _) = self.ask(&[call], reach).await?;
        answers.pop().ok_or(Undecided::Chain)
    }

    /// What was asked so far, and how the endpoints are.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.counts.read(&self.inner.pool)
    }

    /// One HTTP request to one endpoint.
    async fn ask_one(&self, index: usize, calls: &[Call]) -> Result<Answers, Failure> {
        let inner = &*self.inner;
        let Some(endpoint) = inner.pool.endpoint(index) else { return Err(Failure::Endpoint) };
        let permit = timeout(inner.timeout / 2, inner.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(Failure::Busy) };
        let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        // An id is never used twice, so an answer that belongs to another request is noticed.
        let first_id = inner.next_id.fetch_add(count, Ordering::Relaxed);
        inner.counts.asked(index, calls);
        let exchange = async {
            let body = inner.transport.post(endpoint, message::encode(calls, first_id)).await?;
            message::decode(&body, calls, first_id, endpoint).ok_or(Failure::Endpoint)
        };
        let answers = timeout(inner.timeout, exchange).await.unwrap_or(Err(Failure::Deadline));
        match &answers {
            Ok(answers) => {
                inner.counts.answered(calls, answers);
                inner.pool.succeeded(index);
            }
            Err(_) => {
                inner.counts.failed(index);
                inner.pool.failed(index);
            }
        }
        answers
    }
}

/// Which endpoint an answer came from.
#[derive(Debug, Clone, Copy)]
pub struct Answerer(Option<usize>);

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("endpoints", &self.inner.pool).field("timeout", &self.inner.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
