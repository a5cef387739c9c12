//! JSON-RPC over HTTP, or to a node in this process: batches, a deadline, a bounded answer, several endpoints, counts of everything.
//!
//! One call of [`Rpc::batch`] is one HTTP request. A second one goes out only if an endpoint fails and another
//! is left to ask; there is no other retry, no polling and no timer in here.

mod counters;
mod endpoint;
mod message;
mod node;
mod transport;

pub use counters::{Counters, EndpointCount, MethodCount};
pub use endpoint::{BadEndpoint, Endpoint};
#[cfg(any(feature = "evm", feature = "solana"))]
pub(crate) use message::printable;
pub use message::{Call, RpcError};
pub use node::{Answering, Node, Unanswered};

use crate::chaos::crash_point;
use alloy_primitives::{Bytes, hex};
use counters::Counts;
use endpoint::Pool;
use h402_core::Undecided;
use serde_json::value::RawValue;
use std::{
    fmt,
    future::Future,
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
        let transport = Transport::http(config.max_body);
        Self::by(config, transport)
    }

    /// As [`Rpc::new`], with a node in this process at every endpoint. [`Node`] has an example.
    #[must_use]
    pub fn over(config: RpcConfig, node: Arc<dyn Node>) -> Self {
        let transport = Transport::in_process(node, config.max_body);
        Self::by(config, transport)
    }

    fn by(config: RpcConfig, transport: Transport) -> Self {
        let counts = Counts::new(config.endpoints.iter().map(ToString::to_string));
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
        self.until_answered(reach, |index| self.ask_one(index, calls)).await
    }

    /// Brings somebody's own request to the node and its answer back, both as they are, byte for byte.
    ///
    /// An answer that is no JSON-RPC, that says to come back later or whose errors repeat a part of the endpoint's URL is
    /// none: the next endpoint gets the same bytes. One that is too long is none either, but that is not held against the
    /// endpoint. What the request asks for is for the caller to check.
    ///
    /// # Errors
    /// As [`Rpc::batch`]: the node may have done what it was asked for all the same.
    pub async fn relay(&self, request: &bytes::Bytes) -> Result<bytes::Bytes, Undecided> {
        let one =
            |index| self.exchange(index, &[], request.clone(), |answer, endpoint| message::relayable(&answer, endpoint).then_some(answer));
        Ok(self.until_answered(Reach::UntilAnswered, one).await?.0)
    }

    /// Tries the endpoints in their order, as far as `reach` says.
    async fn until_answered<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        reach: Reach,
        one: impl Fn(usize) -> F,
    ) -> Result<(T, Answerer), Undecided> {
        let mut undecided = Undecided::Chain;
        for index in self.inner.pool.candidates() {
            match one(index).await {
                Ok(answer) => return Ok((answer, Answerer(Some(index)))),
                Err(Failure::Busy) => return Err(Undecided::Busy),
                Err(Failure::Deadline) => undecided = Undecided::Deadline,
                // Only what a stranger asked for ends so, and the next endpoint would answer no shorter.
                Err(Failure::TooLong) => return Err(Undecided::Chain),
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
            self.failed(index);
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

    async fn ask_one(&self, index: usize, calls: &[Call]) -> Result<Answers, Failure> {
        let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        // An id is never used twice, so an answer that belongs to another request is noticed.
        let first_id = self.inner.next_id.fetch_add(count, Ordering::Relaxed);
        let request = message::encode(calls, first_id).into();
        let read = |answer: bytes::Bytes, endpoint: &Endpoint| message::decode(&answer, calls, first_id, endpoint);
        let answers = match self.exchange(index, calls, request, read).await {
            // We do not ask for so much.
            Err(Failure::TooLong) => {
                self.failed(index);
                return Err(Failure::Endpoint);
            }
            answers => answers?,
        };
        self.inner.counts.answered(calls, &answers);
        Ok(answers)
    }

    /// One HTTP request to one endpoint, which has failed if its answer cannot be read. Who asked must say what an answer that is
    /// too long means.
    async fn exchange<T>(
        &self,
        index: usize,
        calls: &[Call],
        request: bytes::Bytes,
        read: impl Fn(bytes::Bytes, &Endpoint) -> Option<T>,
    ) -> Result<T, Failure> {
        let inner = &*self.inner;
        let Some(endpoint) = inner.pool.endpoint(index) else { return Err(Failure::Endpoint) };
        let permit = timeout(inner.timeout / 2, inner.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(Failure::Busy) };
        inner.counts.asked(index, calls);
        let exchange = async {
            let answer = inner.transport.post(endpoint, request).await?;
            if calls.iter().any(Call::sends) {
                crash_point("send.mid");
            }
            read(answer, endpoint).ok_or(Failure::Endpoint)
        };
        let answer = timeout(inner.timeout, exchange).await.unwrap_or(Err(Failure::Deadline));
        match &answer {
            Ok(_) => inner.pool.succeeded(index),
            Err(Failure::TooLong) => {}
            Err(_) => self.failed(index),
        }
        answer
    }

    fn failed(&self, index: usize) {
        self.inner.counts.failed(index);
        self.inner.pool.failed(index);
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
pub(crate) mod tests;
