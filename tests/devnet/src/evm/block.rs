//! Blocks, transactions and receipts.

use std::sync::Arc;

use alloy_consensus::{Header, TxEnvelope};
use alloy_primitives::{Address, B256, Bloom, Log, U256};

use super::{edit::Edit, state::Undo};

/// A signed transaction and its recovered sender.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: TxEnvelope,
    pub(super) sender: Address,
}

impl Transaction {
    pub(super) fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }
}

#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) success: bool,
    pub(super) gas_used: u64,
    pub(super) cumulative_gas_used: u64,
    pub(super) effective_gas_price: u128,
    pub(super) contract_address: Option<Address>,
    pub(super) logs: Vec<Log>,
    /// The index in the block of the first log.
    pub(super) first_log: usize,
    pub(super) bloom: Bloom,
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) hash: B256,
    pub(super) transactions: Vec<Arc<Transaction>>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) undo: Undo,
    /// What the chain's owner changed while this block was the newest.
    pub(super) edits: Vec<(Edit, Undo)>,
}

/// A block as the chain's owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// The number.
    pub number: u64,
    /// The hash.
    pub hash: B256,
    /// The time in Unix seconds.
    pub timestamp: u64,
    /// The base fee in wei.
    pub base_fee: u64,
    /// The gas that its transactions used.
    pub gas_used: u64,
    /// The hashes of its transactions in their order.
    pub transactions: Vec<B256>,
}

/// What became of a mined transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number of its block.
    pub block: u64,
    /// Whether it did not revert.
    pub success: bool,
    /// The gas that it used.
    pub gas_used: u64,
}

/// A transfer of tokens that happened in a block of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The transaction.
    pub tx_hash: B256,
    /// The number of its block.
    pub block: u64,
    /// Who paid.
    pub from: Address,
    /// Who received.
    pub to: Address,
    /// How much, in the token's smallest unit.
    pub value: U256,
}
