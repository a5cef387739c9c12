//! Writes blocks, transactions and receipts as JSON.

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use serde_json::{Value, json};

use crate::evm::{
    block::{Block, Transaction},
    ledger::Ledger,
};

pub(super) fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

pub(super) fn big_quantity(number: U256) -> Value {
    Value::String(format!("{number:#x}"))
}

fn wide(number: u128) -> Value {
    Value::String(format!("{number:#x}"))
}

pub(super) fn block(block: &Block, full: bool) -> Value {
    let header = &block.header;
    let transactions: Value = block
        .transactions
        .iter()
        .enumerate()
        .map(|(index, tx)| if full { transaction(tx, Some((block, index))) } else { json!(tx.hash()) })
        .collect();
    json!({
        "number": quantity(header.number),
        "hash": block.hash,
        "parentHash": header.parent_hash,
        "sha3Uncles": header.ommers_hash,
        "miner": header.beneficiary,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transactions_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": header.nonce,
        "baseFeePerGas": quantity(header.base_fee_per_gas.unwrap_or_default()),
        "withdrawalsRoot": header.withdrawals_root,
        "withdrawals": [],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "size": quantity(header.size() as u64),
        "uncles": [],
        "transactions": transactions,
    })
}

/// The next block as far as it is known: its header and the hashes that wait.
pub(super) fn pending_block(ledger: &Ledger) -> Value {
    let next = ledger.next();
    let header = crate::evm::seal::seal(&next, ledger.head().hash, Vec::new(), Vec::new(), Default::default());
    let mut value = block(&header, false);
    value["hash"] = Value::Null;
    value["nonce"] = Value::Null;
    value["transactions"] = ledger.pool.hashes().map(|hash| json!(hash)).collect();
    value
}

pub(super) fn transaction(tx: &Transaction, place: Option<(&Block, usize)>) -> Value {
    let envelope = &tx.envelope;
    let signature = envelope.signature();
    let parity = u64::from(signature.v());
    let legacy = matches!(envelope, TxEnvelope::Legacy(_));
    let v = match (legacy, envelope.chain_id()) {
        (true, Some(chain_id)) => chain_id.saturating_mul(2).saturating_add(35 + parity),
        (true, None) => 27 + parity,
        (false, _) => parity,
    };
    let base_fee = place.and_then(|(block, _)| block.header.base_fee_per_gas);
    let mut value = json!({
        "type": quantity(u8::from(envelope.tx_type()).into()),
        "hash": tx.hash(),
        "from": tx.sender,
        "to": envelope.to(),
        "nonce": quantity(envelope.nonce()),
        "value": big_quantity(envelope.value()),
        "input": envelope.input(),
        "gas": quantity(envelope.gas_limit()),
        "gasPrice": wide(envelope.effective_gas_price(base_fee)),
        "v": quantity(v),
        "r": big_quantity(signature.r()),
        "s": big_quantity(signature.s()),
        "blockHash": place.map(|(block, _)| block.hash),
        "blockNumber": place.map(|(block, _)| quantity(block.header.number)),
        "transactionIndex": place.map(|(_, index)| quantity(index as u64)),
    });
    if let Some(chain_id) = envelope.chain_id() {
        value["chainId"] = quantity(chain_id);
    }
    if let Some(access_list) = envelope.access_list() {
        value["accessList"] = access_list.iter().map(|item| json!({ "address": item.address, "storageKeys": item.storage_keys })).collect();
        value["yParity"] = quantity(parity);
    }
    if let Some(tip) = envelope.max_priority_fee_per_gas() {
        value["maxPriorityFeePerGas"] = wide(tip);
        value["maxFeePerGas"] = wide(envelope.max_fee_per_gas());
    }
    value
}

pub(super) fn receipt(block: &Block, index: usize) -> Value {
    let (tx, receipt) = (&block.transactions[index], &block.receipts[index]);
    let logs: Value = receipt
        .logs
        .iter()
        .enumerate()
        .map(|(offset, entry)| log(block, tx.hash(), index, receipt.first_log + offset, entry.address, &entry.data))
        .collect();
    json!({
        "type": quantity(u8::from(tx.envelope.tx_type()).into()),
        "status": quantity(receipt.success.into()),
        "transactionHash": tx.hash(),
        "transactionIndex": quantity(index as u64),
        "blockHash": block.hash,
        "blockNumber": quantity(block.header.number),
        "from": tx.sender,
        "to": tx.envelope.to(),
        "contractAddress": receipt.contract_address,
        "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "effectiveGasPrice": wide(receipt.effective_gas_price),
        "logs": logs,
        "logsBloom": receipt.bloom,
    })
}

pub(super) fn log(block: &Block, tx: B256, index: usize, log: usize, address: Address, data: &LogData) -> Value {
    let (topics, bytes): (&[B256], &Bytes) = (data.topics(), &data.data);
    json!({
        "address": address,
        "topics": topics,
        "data": bytes,
        "blockNumber": quantity(block.header.number),
        "blockHash": block.hash,
        "blockTimestamp": quantity(block.header.timestamp),
        "transactionHash": tx,
        "transactionIndex": quantity(index as u64),
        "logIndex": quantity(log as u64),
        "removed": false,
    })
}
