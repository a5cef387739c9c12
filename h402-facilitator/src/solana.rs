//! Solana clusters: what is read from them and what is sent to them.
//!
//! The cluster's genesis hash comes with every read, in the same HTTP request: a node of another cluster decides
//! nothing. Why these few messages are our own: docs/adr/0002-solana-rpc.md.

mod account;
mod answer;
mod facts;
mod hint;
mod history;
mod question;
mod send;
mod sent;
mod start;
mod status;

pub use facts::SolanaRead;
pub use hint::BlockhashHint;
pub use history::Naming;
pub use send::SolanaSending;
pub use status::{Commitment, SignatureStatus, Statuses};

use crate::{
    highest::Highest,
    rpc::{Answerer, Answers, Call, Reach, Rpc, RpcError},
    window::Window,
};
use answer::{Level, read};
use h402_core::{GenesisPrefix, Network, SolanaAddress, Undecided};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::{fmt, sync::Arc};

/// How a Solana cluster is reached.
#[derive(Debug, Clone)]
pub struct SolanaConfig {
    /// The cluster that the node must be of.
    pub genesis: GenesisPrefix,
    /// The node.
    pub rpc: Rpc,
}

/// A node's answer to one call.
type Answer = Result<Box<RawValue>, RpcError>;

/// Slots by which endpoints of one cluster differ without harm: about twelve seconds.
const NEAR: u64 = 30;

/// A Solana cluster. Cheap to clone.
///
/// ```
/// use h402_core::GenesisPrefix;
/// use h402_facilitator::{rpc::{Rpc, RpcConfig}, solana::{SolanaChain, SolanaConfig}};
/// let rpc = Rpc::new(RpcConfig::new(vec!["http://127.0.0.1:8899".parse()?]));
/// let chain = SolanaChain::new(SolanaConfig { genesis: GenesisPrefix::DEVNET, rpc });
/// assert_eq!(chain.network().to_string(), "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1");
/// # Ok::<(), h402_facilitator::rpc::BadEndpoint>(())
/// ```
#[derive(Clone)]
pub struct SolanaChain {
    inner: Arc<Inner>,
}

struct Inner {
    genesis: GenesisPrefix,
    rpc: Rpc,
    window: Window<question::Question, SolanaRead>,
    highest: Highest,
    hint: hint::Kept,
}

impl SolanaChain {
    /// Describes a cluster; nothing is sent yet.
    #[must_use]
    pub fn new(config: SolanaConfig) -> Self {
        let SolanaConfig { genesis, rpc } = config;
        let (window, hint) = Default::default();
        Self { inner: Arc::new(Inner { genesis, rpc, window, highest: Highest::new(NEAR), hint }) }
    }

    /// The configured network.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::Solana(self.inner.genesis)
    }

    /// The node's client, for its counters.
    #[must_use]
    pub fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    /// Whether the node answers, and is of the configured cluster.
    ///
    /// # Errors
    /// [`Undecided`]; [`Undecided::WrongChain`] if it is of another.
    pub async fn answers(&self) -> Result<(), Undecided> {
        self.inner.ask([]).await.map(drop)
    }

    /// What an account holds in lamports, confirmed; zero if there is no such account.
    ///
    /// # Errors
    /// [`Undecided`], also if the node is of another cluster.
    pub async fn lamports(&self, who: SolanaAddress) -> Result<u64, Undecided> {
        let call = Call::new("getBalance", &(who.to_string(), Level::CONFIRMED));
        let (mut answers, answerer) = self.inner.ask([call]).await?;
        let answer: answer::Answered<u64> = self.inner.read_answer(answers.pop(), answerer)?;
        Ok(answer.value)
    }
}

impl Inner {
    /// Asks several things and the cluster's genesis hash with them, in one HTTP request; tells who answered.
    async fn ask(&self, calls: impl IntoIterator<Item = Call>) -> Result<(Answers, Answerer), Undecided> {
        let calls: Vec<Call> = [genesis_call()].into_iter().chain(calls).collect();
        let (mut answers, answerer) = self.rpc.ask(&calls, Reach::UntilAnswered).await?;
        let rest = answers.split_off(1);
        if self.genesis_of(answers.pop(), answerer)? != self.genesis {
            self.rpc.distrust(answerer);
            return Err(Undecided::WrongChain);
        }
        Ok((rest, answerer))
    }

    fn genesis_of(&self, answer: Option<Answer>, answerer: Answerer) -> Result<GenesisPrefix, Undecided> {
        let hash: String = self.read_answer(answer, answerer)?;
        hash.get(..32).and_then(|prefix| prefix.parse().ok()).ok_or(Undecided::Chain)
    }

    /// Reads the answer to something that every node can answer, and leaves the endpoint alone that did not.
    fn read_answer<T: DeserializeOwned>(&self, answer: Option<Answer>, answerer: Answerer) -> Result<T, Undecided> {
        answer.and_then(Result::ok).and_then(|answer| read(&answer)).ok_or_else(|| {
            self.rpc.distrust(answerer);
            Undecided::Chain
        })
    }

    /// Leaves an endpoint for another if it is behind what that one has shown (T147).
    fn keeps_up(&self, slot: u64, answerer: Answerer) -> Result<(), Undecided> {
        if self.highest.is_near(slot) || self.rpc.endpoints() < 2 {
            return Ok(());
        }
        self.rpc.distrust(answerer);
        Err(Undecided::Chain)
    }

    /// How many calls a request has room for beside the one for the genesis hash.
    fn calls_beside_genesis(&self) -> usize {
        self.rpc.max_calls().saturating_sub(1).max(1)
    }
}

fn genesis_call() -> Call {
    Call::new("getGenesisHash", &[(); 0])
}

impl fmt::Debug for SolanaChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SolanaChain").field("network", &self.network()).field("rpc", &self.inner.rpc).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
