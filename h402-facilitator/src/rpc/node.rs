//! A node in this process.

use super::Endpoint;
use bytes::Bytes;
use std::{future::Future, pin::Pin};

/// What a [`Node`] is going to answer.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Unanswered>> + Send + 'a>>;

/// No answer came. The node may have done what it was asked for all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node did not answer")]
pub struct Unanswered;

/// Answers JSON-RPC in this process, where HTTP would only be in the way: chains made for tests and simulations, or a
/// transport of your own.
///
/// ```
/// use bytes::Bytes;
/// use h402_facilitator::rpc::{Answering, Call, Endpoint, Node, Rpc, RpcConfig};
/// use std::sync::Arc;
///
/// /// A chain that has one answer.
/// struct Answers42;
/// impl Node for Answers42 {
///     fn answer<'a>(&'a self, _: &'a Endpoint, request: Bytes) -> Answering<'a> {
///         Box::pin(async move {
///             let request: serde_json::Value = serde_json::from_slice(&request).unwrap_or_default();
///             Ok(serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "result": "0x2a" }).to_string().into())
///         })
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let rpc = Rpc::over(RpcConfig::new(vec!["http://node.invalid".parse().unwrap()]), Arc::new(Answers42));
/// let answer = rpc.call(Call::new("eth_chainId", &())).await.unwrap().unwrap();
/// assert_eq!(answer.get(), "\"0x2a\"");
/// # });
/// ```
pub trait Node: Send + Sync + 'static {
    /// Answers the body of one POST to `endpoint`: a JSON-RPC call, or an array of them.
    ///
    /// # Errors
    /// [`Unanswered`] stands for everything that is no answer of status 200: no connection, a broken one, another status.
    ///
    /// # Cancel safety
    /// The future is dropped when the deadline of [`super::RpcConfig::timeout`] has passed.
    fn answer<'a>(&'a self, endpoint: &'a Endpoint, request: Bytes) -> Answering<'a>;
}
