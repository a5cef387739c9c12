//! EVM chains: what is read from them and what is sent to them.
//!
//! The chain's id comes with every read, in the same HTTP request: a node of another chain decides nothing.

mod abi;
mod aggregate;
mod authorization;
mod blocks;
mod code;
mod contract;
mod facts;
mod fees;
mod l1;
mod logs;
mod own;
mod permit2;
mod plan;
mod quantity;
mod question;
mod reading;
mod receipts;
mod revert;
mod send;
mod span;
mod start;

pub use aggregate::{DryBatch, Prospect};
pub use authorization::{AuthorizationLog, AuthorizationTrace};
pub use blocks::Head;
pub use code::{CodePin, FoundCode};
pub use contract::ContractPayers;
pub use fees::Fees;
pub use own::{OwnTransaction, OwnTransactions};
pub(crate) use permit2::ProxyCall;
pub use permit2::{Permit2Payments, Permit2Transfer};
pub use send::{SendRefusal, Sent};

use crate::{
    highest::Highest,
    rpc::{Answerer, Answers, Call, Reach, Rpc, RpcError},
    window::Window,
};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use blocks::BlockTimes;
use h402_core::{EvmAddress, EvmFacts, Matched, Network, PayerSignature, Proof, Undecided, evm::Erc20};
use quantity::{Quantity, read};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::{fmt, sync::Arc};

/// How an EVM chain is reached.
#[derive(Debug, Clone)]
pub struct EvmConfig {
    /// The chain that the node must be of.
    pub chain_id: u64,
    /// Where Multicall3 is, if it is there; none also where contracts see another block number than
    /// transactions have, as on Arbitrum.
    pub multicall3: Option<EvmAddress>,
    /// The account that will settle, from which authorizations are tried out.
    pub simulate_from: EvmAddress,
    /// The node.
    pub rpc: Rpc,
}

/// A node's answer to one call.
type Answer = Result<Box<RawValue>, RpcError>;

/// An EVM chain. Cheap to clone.
///
/// ```
/// use h402_facilitator::{evm::{EvmChain, EvmConfig}, rpc::{Rpc, RpcConfig}};
/// let rpc = Rpc::new(RpcConfig::new(vec!["http://127.0.0.1:8545".parse()?]));
/// let chain = EvmChain::new(EvmConfig { chain_id: 8453, multicall3: None, simulate_from: Default::default(), rpc });
/// assert_eq!(chain.network().to_string(), "eip155:8453");
/// # Ok::<(), h402_facilitator::rpc::BadEndpoint>(())
/// ```
#[derive(Clone)]
pub struct EvmChain {
    inner: Arc<Inner>,
}

struct Inner {
    chain_id: u64,
    multicall3: Option<EvmAddress>,
    simulate_from: EvmAddress,
    rpc: Rpc,
    window: Window<question::Question, EvmFacts>,
    times: BlockTimes,
    highest: Highest,
    fees: fees::Cache,
    l1_fee: l1::Cache,
    log_span: span::Span,
    block_span: span::Span,
}

impl EvmChain {
    /// Describes a chain; nothing is sent yet.
    #[must_use]
    pub fn new(config: EvmConfig) -> Self {
        let EvmConfig { chain_id, multicall3, simulate_from, rpc } = config;
        let (window, times, fees, l1_fee) = Default::default();
        let (log_span, block_span) = (span::Span::of_logs(), span::Span::of_blocks());
        let highest = Highest::new(blocks::NEAR);
        Self {
            inner: Arc::new(Inner { chain_id, multicall3, simulate_from, rpc, window, times, highest, fees, l1_fee, log_span, block_span }),
        }
    }

    /// The configured network.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::Evm(self.inner.chain_id)
    }

    /// The account from which settlements are tried out.
    #[must_use]
    pub fn tries_from(&self) -> EvmAddress {
        self.inner.simulate_from
    }

    /// The node's client, for its counters.
    #[must_use]
    pub fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    /// Asks the node for its chain id, whatever it is.
    ///
    /// # Errors
    /// [`Undecided`] if the node does not answer.
    pub async fn chain_id(&self) -> Result<u64, Undecided> {
        let answer = self.inner.rpc.call(chain_id_call()).await?;
        chain_id_of(answer.as_ref())
    }

    /// How many transactions of an account are mined, at the latest block.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn account_nonce(&self, who: EvmAddress) -> Result<u64, Undecided> {
        let call = Call::new("eth_getTransactionCount", &[who.to_string().as_str(), "latest"]);
        Ok(self.inner.read_one::<Quantity<u64>>(call).await?.0)
    }

    /// How many transactions of an account were mined up to a block. Nodes know that of their last hundred blocks, at least.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn account_nonce_at(&self, who: EvmAddress, height: u64) -> Result<u64, Undecided> {
        let call = Call::new("eth_getTransactionCount", &[who.to_string(), quantity::number(height)]);
        Ok(self.inner.read_one::<Quantity<u64>>(call).await?.0)
    }

    /// What an account holds of the native coin in wei, at the latest block.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn native_balance(&self, who: EvmAddress) -> Result<U256, Undecided> {
        let call = Call::new("eth_getBalance", &[who.to_string().as_str(), "latest"]);
        Ok(self.inner.read_one::<Quantity<U256>>(call).await?.0)
    }

    /// The call that settles an authorization or a transfer through Permit2: contract and call data. None for other kinds of
    /// payment.
    #[must_use]
    pub fn settlement_call(payment: &Matched) -> Option<(EvmAddress, Bytes)> {
        let Proof::Authorization { authorization, signature } = payment.proof() else { return permit2::settlement(payment) };
        let token = payment.requirements().offer.asset.id.address.evm()?;
        let input = match signature {
            PayerSignature::Account(signature) => Erc20::transferWithAuthorizationCall {
                from: authorization.from,
                to: authorization.to,
                value: authorization.value.to_u256(),
                validAfter: authorization.valid_after,
                validBefore: authorization.valid_before,
                nonce: authorization.nonce,
                v: 27 + u8::from(signature.v()),
                r: signature.r().into(),
                s: signature.s().into(),
            }
            .abi_encode(),
            PayerSignature::Contract(signature) => contract::transfer(authorization, signature.clone()),
        };
        Some((token, input.into()))
    }
}

impl Inner {
    /// Asks several things and the chain's id with them, in one HTTP request.
    async fn ask(&self, calls: impl IntoIterator<Item = Call>) -> Result<Answers, Undecided> {
        Ok(self.ask_whom(calls).await?.0)
    }

    /// As [`Inner::ask`], and tells who answered.
    async fn ask_whom(&self, calls: impl IntoIterator<Item = Call>) -> Result<(Answers, Answerer), Undecided> {
        let calls: Vec<Call> = [chain_id_call()].into_iter().chain(calls).collect();
        let (mut answers, answerer) = self.rpc.ask(&calls, Reach::UntilAnswered).await?;
        let rest = answers.split_off(1);
        let chain_id: Quantity<u64> = self.read_answer(answers.pop(), answerer)?;
        if chain_id.0 != self.chain_id {
            self.rpc.distrust(answerer);
            return Err(Undecided::WrongChain);
        }
        Ok((rest, answerer))
    }

    /// Asks one thing whose answer must be a `T`.
    async fn read_one<T: DeserializeOwned>(&self, call: Call) -> Result<T, Undecided> {
        let (mut answers, answerer) = self.ask_whom([call]).await?;
        self.read_answer(answers.pop(), answerer)
    }

    /// Reads the answer to something that every node can answer, and leaves the endpoint alone that did not.
    fn read_answer<T: DeserializeOwned>(&self, answer: Option<Answer>, answerer: Answerer) -> Result<T, Undecided> {
        let read = answer.and_then(Result::ok).and_then(|answer| read(&answer).ok());
        read.ok_or_else(|| {
            self.rpc.distrust(answerer);
            Undecided::Chain
        })
    }

    /// How many calls a request has room for beside the one for the chain id.
    fn calls_beside_chain_id(&self) -> usize {
        self.rpc.max_calls().saturating_sub(1).max(1)
    }
}

fn chain_id_call() -> Call {
    Call::new("eth_chainId", &[(); 0])
}

fn chain_id_of<T: AsRef<RawValue>>(answer: Result<&T, &RpcError>) -> Result<u64, Undecided> {
    Ok(read::<Quantity<u64>>(answer.map_err(|_| Undecided::Chain)?.as_ref())?.0)
}

impl fmt::Debug for EvmChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmChain").field("network", &self.network()).field("rpc", &self.inner.rpc).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
