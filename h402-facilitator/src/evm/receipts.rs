//! Receipts, their logs read strictly.

use super::{
    EvmChain,
    quantity::{Data, Fixed, Quantity, hash, read},
};
use crate::rpc::Call;
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use h402_core::{BlockRef, EvmAddress, ReceiptFacts, TransferLog, Undecided, UnixSeconds, evm::Erc20};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A receipt as a node writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReceipt {
    transaction_hash: Fixed<B256>,
    pub(super) block_hash: Fixed<B256>,
    block_number: Quantity<u64>,
    status: Quantity<u64>,
    logs: Vec<WireLog>,
    #[serde(default)]
    gas_used: Option<Quantity<u64>>,
    #[serde(default)]
    effective_gas_price: Option<Quantity<U256>>,
    /// OP-stack chains: what the chain below takes for the data.
    #[serde(default)]
    l1_fee: Option<Quantity<U256>>,
}

/// A log as a node writes it, in a receipt or found by a filter.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireLog {
    pub(super) address: Fixed<EvmAddress>,
    pub(super) topics: Vec<Fixed<B256>>,
    pub(super) data: Data,
    #[serde(default)]
    pub(super) transaction_hash: Option<Fixed<B256>>,
    #[serde(default)]
    pub(super) removed: bool,
}

impl EvmChain {
    /// The receipts of transactions, in their order; none for what is not mined as far as the node knows, which may be behind.
    ///
    /// One HTTP request for as many as the node takes calls, and one more if their blocks are new.
    ///
    /// # Errors
    /// [`Undecided`] if the node does not answer for all of them.
    pub async fn receipts(&self, ids: &[B256]) -> Result<Vec<Option<ReceiptFacts>>, Undecided> {
        self.receipts_of(ids, None).await
    }

    /// As [`EvmChain::receipts`], and none proves that a transaction is in no block up to this one.
    ///
    /// # Errors
    /// [`Undecided`], also if the node does not have this block, or not the one that it shows a receipt of.
    pub async fn receipts_up_to(&self, ids: &[B256], block: BlockRef) -> Result<Vec<Option<ReceiptFacts>>, Undecided> {
        self.receipts_of(ids, Some(block)).await
    }

    async fn receipts_of(&self, ids: &[B256], up_to: Option<BlockRef>) -> Result<Vec<Option<ReceiptFacts>>, Undecided> {
        let mut wires = Vec::with_capacity(ids.len());
        for ids in ids.chunks(self.inner.calls_beside_chain_id().saturating_sub(usize::from(up_to.is_some())).max(1)) {
            let calls = ids.iter().map(receipt_call);
            let (answers, answerer) = match up_to {
                Some(block) => self.inner.ask_with(block, calls).await?,
                None => self.inner.ask_whom(calls).await?,
            };
            for (id, answer) in ids.iter().zip(answers) {
                let wire = answer.map_err(|_| Undecided::Chain).and_then(|answer| WireReceipt::of(id, &answer));
                wires.push(wire.inspect_err(|_| self.inner.rpc.distrust(answerer))?);
            }
        }
        self.inner.learn_times(wires.iter().flatten().map(WireReceipt::block)).await?;
        let facts = wires.into_iter().map(|wire| {
            let Some(wire) = wire else { return Ok(None) };
            match self.inner.times.get(&wire.block_hash.0) {
                Some(time) => Ok(Some(wire.facts(time))),
                // A block that the chain does not have takes its receipts with it; a node that is behind does not have it yet.
                None if up_to.is_none() => Ok(None),
                None => Err(Undecided::Chain),
            }
        });
        facts.collect()
    }
}

pub(super) fn receipt_call(id: &B256) -> Call {
    Call::new("eth_getTransactionReceipt", &[hash(id)])
}

impl WireReceipt {
    /// Reads the answer to the question for one receipt.
    pub(super) fn of(id: &B256, answer: &RawValue) -> Result<Option<Self>, Undecided> {
        let wire: Option<Self> = read(answer)?;
        match wire {
            // Another transaction's receipt, or a status that is neither yes nor no.
            Some(wire) if wire.transaction_hash.0 != *id || wire.status.0 > 1 => Err(Undecided::Chain),
            wire => Ok(wire),
        }
    }

    /// Number and hash of its block.
    pub(super) fn block(&self) -> (u64, B256) {
        (self.block_number.0, self.block_hash.0)
    }

    pub(super) fn facts(&self, time: UnixSeconds) -> ReceiptFacts {
        let logs = self.logs.iter().filter(|log| !log.removed);
        ReceiptFacts {
            success: self.status.0 == 1,
            block: self.block_number.0,
            block_hash: self.block_hash.0,
            time,
            transfers: logs.clone().filter_map(WireLog::transfer).collect(),
            authorizations: logs.filter_map(WireLog::authorization).collect(),
            cost: self.cost(),
        }
    }

    fn cost(&self) -> Option<U256> {
        let gas = self.effective_gas_price?.0.saturating_mul(U256::from(self.gas_used?.0));
        Some(gas.saturating_add(self.l1_fee.map(|fee| fee.0).unwrap_or_default()))
    }
}

impl WireLog {
    /// `Transfer` of an ERC-20 token; one with four topics moves a single non-fungible token (T056).
    pub(super) fn transfer(&self) -> Option<TransferLog> {
        let [signature, from, to] = self.topics.as_slice() else { return None };
        let amount = <[u8; 32]>::try_from(self.data.0.as_ref()).ok()?;
        if signature.0 != Erc20::Transfer::SIGNATURE_HASH {
            return None;
        }
        let amount = U256::from_be_bytes(amount).into();
        Some(TransferLog { token: self.address.0, from: address(&from.0)?, to: address(&to.0)?, amount })
    }

    /// `AuthorizationUsed` of an EIP-3009 token as (token, authorizer, nonce).
    pub(super) fn authorization(&self) -> Option<(EvmAddress, EvmAddress, B256)> {
        let [signature, authorizer, nonce] = self.topics.as_slice() else { return None };
        if signature.0 != Erc20::AuthorizationUsed::SIGNATURE_HASH || !self.data.0.is_empty() {
            return None;
        }
        Some((self.address.0, address(&authorizer.0)?, nonce.0))
    }
}

/// The address in a topic whose first twelve bytes are zero.
fn address(topic: &B256) -> Option<EvmAddress> {
    let (padding, address) = topic.split_first_chunk::<12>()?;
    (*padding == [0; 12]).then(|| EvmAddress::from_slice(address))
}
