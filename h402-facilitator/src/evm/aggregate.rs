//! Several settlements in one transaction, tried out before it is signed; and one that failed there, looked at alone.

use super::{
    EvmChain,
    abi::{DryCall, Multicall3, call_at_latest, is_true, word},
    permit2,
    quantity::{Data, read},
    question::simulation,
    revert,
};
use crate::rpc::Call;
use alloy_primitives::{Bytes, U256, hex};
use alloy_sol_types::SolCall;
use h402_core::{
    Amount, BlockRef, EvmAddress, PaymentKind, PaymentRow, Simulation, Undecided,
    evm::{Erc20, PERMIT2},
};
use serde::Serialize;

/// How a transaction of several calls would fare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryBatch {
    /// It would be mined; which of its calls would succeed, in their order.
    Runs(Vec<bool>),
    /// It would fail as a whole.
    Reverts,
}

/// How an authorization or a Permit2 transfer would fare that is settled alone, at the latest block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prospect {
    /// It would be settled.
    Good {
        /// Gas that it would use.
        gas: u64,
    },
    /// Its nonce is used or cancelled.
    Used,
    /// Its payer has too little.
    Poor {
        /// What its payer has.
        held: Amount,
    },
    /// The token refuses it.
    Reverts {
        /// In the token's words.
        reason: String,
    },
}

/// A call with the gas that it may use.
#[derive(Serialize)]
struct Limited {
    #[serde(flatten)]
    call: DryCall,
    gas: String,
}

impl EvmChain {
    /// The call that makes several calls, of which each may fail alone: Multicall3 and its call data. None where there
    /// is no Multicall3.
    #[must_use]
    pub fn batch_call(&self, calls: &[(EvmAddress, Bytes)]) -> Option<(EvmAddress, Bytes)> {
        let call3 =
            |(target, input): &(EvmAddress, Bytes)| Multicall3::Call3 { target: *target, allowFailure: true, callData: input.clone() };
        let calls = calls.iter().map(call3).collect();
        Some((self.inner.multicall3?, Multicall3::aggregate3Call { calls }.abi_encode().into()))
    }

    /// Tries out a call made by [`EvmChain::batch_call`], of so many calls, with so much gas: on top of the pending block,
    /// so that what waits to be mined counts as far as the node knows. One HTTP request.
    ///
    /// # Errors
    /// [`Undecided`] if the node did not try.
    pub async fn dry_batch(&self, from: EvmAddress, batch: &(EvmAddress, Bytes), count: usize, gas: u64) -> Result<DryBatch, Undecided> {
        let (to, input) = batch;
        let call = Limited { call: dry(from, *to, input), gas: format!("{gas:#x}") };
        let answer = self.inner.ask([Call::new("eth_call", &(call, "pending"))]).await?.pop().ok_or(Undecided::Chain)?;
        let data = match answer {
            Ok(data) => read::<Data>(&data)?.0,
            Err(error) if revert::is_revert(&error) || revert::is_out_of_gas(&error) => return Ok(DryBatch::Reverts),
            Err(_) => return Err(Undecided::Chain),
        };
        let results = Multicall3::aggregate3Call::abi_decode_returns(&data).map_err(|_| Undecided::Chain)?;
        if results.len() != count {
            return Err(Undecided::Chain);
        }
        Ok(DryBatch::Runs(results.iter().map(|result| result.success).collect()))
    }

    /// Looks how a claimed authorization or Permit2 transfer would fare alone, settled by `from`, at the latest block of a node
    /// that has this one. One HTTP request.
    ///
    /// # Errors
    /// [`Undecided`] if the node does not answer for everything or does not have the block, or the payment is not one that a
    /// key of ours carries.
    pub async fn prospect(&self, row: &PaymentRow, from: EvmAddress, block: BlockRef) -> Result<Prospect, Undecided> {
        let (Some(token), Some(payer), Some(nonce), Some(input)) = (row.asset.address.evm(), row.payer.evm(), row.nonce, &row.raw) else {
            return Err(Undecided::WrongChain);
        };
        let by_permit2 = row.kind == PaymentKind::Permit2;
        let nonce = U256::from_be_bytes(nonce);
        let state = if by_permit2 {
            call_at_latest(PERMIT2, &permit2::nonce_call(payer, nonce))
        } else {
            call_at_latest(token, &Erc20::authorizationStateCall { authorizer: payer, nonce: nonce.into() }.abi_encode())
        };
        let to = self.settles_at(token, input).ok_or(Undecided::WrongChain)?;
        let balance = Erc20::balanceOfCall { account: payer }.abi_encode();
        let calls = [state, call_at_latest(token, &balance), Call::new("eth_estimateGas", &(dry(from, to, input), "latest"))];
        let mut answers = self.inner.ask_with(block, calls).await?.0.into_iter();
        let mut next = || answers.next().ok_or(Undecided::Chain);
        let used = word(&read::<Data>(&next()?.map_err(|_| Undecided::Chain)?)?.0)?;
        let used = if by_permit2 { permit2::is_used(nonce, used) } else { is_true(used)? };
        let held = Amount::from(word(&read::<Data>(&next()?.map_err(|_| Undecided::Chain)?)?.0)?);
        let alone = next()?;
        if used {
            return Ok(Prospect::Used);
        }
        Ok(match simulation(&alone, false)? {
            Simulation::Succeeds { gas } => Prospect::Good { gas },
            Simulation::Reverts { .. } if held < row.amount => Prospect::Poor { held },
            Simulation::Reverts { reason } => Prospect::Reverts { reason },
        })
    }
}

fn dry(from: EvmAddress, to: EvmAddress, input: &Bytes) -> DryCall {
    DryCall { from: Some(from.to_string()), to: Some(to.to_string()), data: hex::encode_prefixed(input), ..DryCall::default() }
}
