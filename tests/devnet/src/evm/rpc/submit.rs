//! Takes signed transactions.

use std::sync::Arc;

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::Decodable2718;
use alloy_primitives::TxKind;
use serde_json::{Value, json};

use super::params::Params;
use crate::{
    RpcError,
    evm::{block::Transaction, chain::Shared},
};

pub(super) fn send_raw_transaction(shared: &Shared, params: &Params<'_>) -> Result<Value, RpcError> {
    let decoded = params.bytes(0).and_then(|raw| decode(&raw));
    let chain_id = {
        let mut ledger = shared.write();
        ledger.raw_seen += 1;
        ledger.chain_id
    };
    // Recovering the sender takes longest and needs no lock.
    let tx = check(decoded?, chain_id)?;
    shared.write().submit(Arc::new(tx)).map(|hash| json!(hash))
}

fn decode(raw: &[u8]) -> Result<TxEnvelope, RpcError> {
    let mut rest = raw;
    let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|error| RpcError::server(error.to_string()))?;
    if !rest.is_empty() {
        return Err(RpcError::server("rlp: input contains more than one value"));
    }
    Ok(envelope)
}

/// What can be checked without the state, in the words of geth.
fn check(envelope: TxEnvelope, chain_id: u64) -> Result<Transaction, RpcError> {
    match &envelope {
        TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_) | TxEnvelope::Eip1559(_) => {}
        TxEnvelope::Eip4844(_) | TxEnvelope::Eip7702(_) => {
            return Err(RpcError::server("transaction type not supported"));
        }
    }
    match envelope.chain_id() {
        None => {
            return Err(RpcError::server("only replay-protected (EIP-155) transactions allowed over RPC"));
        }
        Some(other) if other != chain_id => {
            return Err(RpcError::server(format!("invalid sender: invalid chain id for signer: have {other} want {chain_id}")));
        }
        Some(_) => {}
    }
    let tip_above_cap = envelope.max_priority_fee_per_gas().is_some_and(|tip| tip > envelope.max_fee_per_gas());
    if tip_above_cap {
        return Err(RpcError::server(format!(
            "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {}, maxFeePerGas: {}",
            envelope.max_priority_fee_per_gas().unwrap_or_default(),
            envelope.max_fee_per_gas(),
        )));
    }
    let sender = envelope.recover_signer().map_err(|_| RpcError::server("invalid sender"))?;
    let needed = intrinsic_gas(&envelope);
    if envelope.gas_limit() < needed {
        return Err(RpcError::server(format!("intrinsic gas too low: gas {}, minimum needed {needed}", envelope.gas_limit())));
    }
    Ok(Transaction { envelope, sender })
}

/// What a transaction costs before its first instruction, with the floor for its data (EIP-7623).
pub(super) fn intrinsic_gas(tx: &TxEnvelope) -> u64 {
    let data = tx.input();
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    let others = data.len() as u64 - zeros;
    let mut gas = 21_000 + 4 * zeros + 16 * others;
    if tx.kind() == TxKind::Create {
        gas += 32_000 + 2 * (data.len() as u64).div_ceil(32);
    }
    for item in tx.access_list().into_iter().flat_map(|list| list.iter()) {
        gas += 2_400 + 1_900 * item.storage_keys.len() as u64;
    }
    gas.max(21_000 + 10 * (zeros + 4 * others))
}
