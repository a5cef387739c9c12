//! Comparing the configuration with the chain, before anything is taken.

use super::{
    EvmChain,
    abi::{call_at_latest, word},
    code::code_call,
    quantity::{Data, read},
    question::has_code,
    revert,
};
use crate::{StartError, rpc::RpcError};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use h402_core::{
    Asset, Undecided,
    evm::{EXACT_PROXY, Erc20, PERMIT2, UPTO_PROXY},
};
use serde_json::value::RawValue;
use std::sync::Arc;

impl EvmChain {
    /// Makes sure that Permit2 and both proxies are where payers take them to be: to a call of no contract no dry run objects.
    ///
    /// # Errors
    /// As [`EvmChain::check`].
    pub async fn check_permit2(&self) -> Result<(), StartError> {
        let contracts = [PERMIT2, EXACT_PROXY, UPTO_PROXY];
        let answers = self.inner.ask(contracts.iter().map(|contract| code_call(&contract.to_string()))).await;
        let answers = answers.map_err(|error| match error {
            Undecided::WrongChain => mismatch(format!("the node is not of chain {}", self.inner.chain_id)),
            _ => StartError::Unreachable,
        })?;
        for (contract, answer) in contracts.iter().zip(answers) {
            if !is_contract(answer)? {
                return Err(mismatch(format!("no contract at {contract}, which payments through Permit2 need")));
            }
        }
        Ok(())
    }

    /// Compares the configuration with the chain: its id, the code at Multicall3, and of each token of this network
    /// its code, its decimals and, if it takes authorizations, its domain separator. One HTTP request.
    ///
    /// # Errors
    /// [`StartError::Mismatch`] with the first difference; [`StartError::Unreachable`] if the node did not answer
    /// for everything.
    pub async fn check(&self, assets: &[Arc<Asset>]) -> Result<(), StartError> {
        let tokens: Vec<_> = assets
            .iter()
            .filter(|asset| asset.id.network == self.network() && !asset.is_native())
            .filter_map(|asset| asset.id.address.evm().map(|address| (asset, address)))
            .collect();
        let mut calls = Vec::new();
        if let Some(multicall3) = self.inner.multicall3 {
            calls.push(code_call(&multicall3.to_string()));
        }
        for (_, token) in &tokens {
            calls.push(code_call(&token.to_string()));
            calls.push(call_at_latest(*token, &Erc20::decimalsCall {}.abi_encode()));
            calls.push(call_at_latest(*token, &Erc20::DOMAIN_SEPARATORCall {}.abi_encode()));
        }
        let mut answers = match self.inner.ask(calls).await {
            Ok(answers) => answers.into_iter(),
            Err(Undecided::WrongChain) => return Err(mismatch(format!("the node is not of chain {}", self.inner.chain_id))),
            Err(_) => return Err(StartError::Unreachable),
        };
        let mut next = || answers.next().ok_or(StartError::Unreachable);
        if let Some(multicall3) = self.inner.multicall3
            && !is_contract(next()?)?
        {
            return Err(mismatch(format!("no contract at {multicall3}, where Multicall3 should be")));
        }
        for (asset, token) in tokens {
            let symbol = &asset.symbol;
            let (code, decimals, separator) = (next()?, next()?, next()?);
            if !is_contract(code)? {
                return Err(mismatch(format!("no contract at {token}, where {symbol} should be")));
            }
            match returned_word(decimals)? {
                Some(decimals) if decimals == U256::from(asset.decimals) => {}
                Some(decimals) => return Err(mismatch(format!("{symbol} at {token} has {decimals} decimals, not {}", asset.decimals))),
                None => return Err(mismatch(format!("{symbol} at {token} does not tell its decimals"))),
            }
            if let Some(expected) = asset.domain_separator()
                && returned_word(separator)?.map(B256::from) != Some(expected)
            {
                return Err(mismatch(format!("{symbol} at {token} has another EIP-712 domain than its name and version make")));
            }
        }
        Ok(())
    }
}

fn mismatch(what: String) -> StartError {
    StartError::Mismatch { what }
}

fn is_contract(answer: Result<Box<RawValue>, RpcError>) -> Result<bool, StartError> {
    has_code(&answer.map_err(|_| StartError::Unreachable)?).map_err(|_| StartError::Unreachable)
}

/// The word that a contract returned; none if it has no such function.
fn returned_word(answer: Result<Box<RawValue>, RpcError>) -> Result<Option<U256>, StartError> {
    match answer {
        Ok(answer) => Ok(word(&read::<Data>(&answer).map_err(|_| StartError::Unreachable)?.0).ok()),
        Err(error) if revert::is_revert(&error) => Ok(None),
        Err(_) => Err(StartError::Unreachable),
    }
}
