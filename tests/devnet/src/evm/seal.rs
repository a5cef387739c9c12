//! Turns what was executed into receipts and blocks.

use std::sync::Arc;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, Transaction as _, constants::EMPTY_WITHDRAWALS, proofs};
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy_primitives::{B256, Bloom, keccak256, logs_bloom};
use revm::context::result::ExecutionResult;

use super::{
    block::{Block, Receipt, Transaction},
    execute::Surroundings,
    state::Undo,
};

/// The base fee of the block after this one.
pub(super) fn next_base_fee(parent: &Header) -> u64 {
    let fee = parent.base_fee_per_gas.unwrap_or_default();
    calc_next_block_base_fee(parent.gas_used, parent.gas_limit, fee, BaseFeeParams::ethereum())
}

/// The random value of the block after a parent, which differs from branch to branch.
pub(super) fn randao(parent: B256, branch: u64) -> B256 {
    keccak256([parent.as_slice(), &branch.to_be_bytes()].concat())
}

pub(super) fn receipt(tx: &Transaction, result: ExecutionResult, at: &Surroundings, cumulative_gas_used: u64, first_log: usize) -> Receipt {
    let contract_address = if tx.envelope.is_create() { Some(tx.sender.create(tx.envelope.nonce())) } else { None };
    let success = result.is_success();
    let gas_used = result.tx_gas_used();
    let logs = if success { result.into_logs() } else { Vec::new() };
    Receipt {
        success,
        gas_used,
        cumulative_gas_used,
        effective_gas_price: tx.envelope.effective_gas_price(Some(at.base_fee)),
        contract_address,
        bloom: logs_bloom(&logs),
        logs,
        first_log,
    }
}

pub(super) fn seal(at: &Surroundings, parent_hash: B256, transactions: Vec<Arc<Transaction>>, receipts: Vec<Receipt>, undo: Undo) -> Block {
    let envelopes: Vec<_> = transactions.iter().map(|tx| &tx.envelope).collect();
    let transactions_root = proofs::ordered_trie_root_with_encoder(&envelopes, |tx, buf| alloy_eips::Encodable2718::encode_2718(*tx, buf));
    let logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom);
    let header = Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: at.beneficiary,
        // There is no state trie; the roots only have to differ where the blocks do.
        state_root: at.prevrandao,
        transactions_root,
        receipts_root: keccak256([at.prevrandao.as_slice(), transactions_root.as_slice()].concat()),
        logs_bloom,
        number: at.number,
        gas_limit: at.gas_limit,
        gas_used: receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used),
        timestamp: at.timestamp,
        mix_hash: at.prevrandao,
        base_fee_per_gas: Some(at.base_fee),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        ..Header::default()
    };
    let hash = header.hash_slow();
    Block { header, hash, transactions, receipts, undo, edits: Vec::new() }
}
