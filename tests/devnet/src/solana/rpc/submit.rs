//! Takes signed transactions.

use std::collections::HashSet;

use serde_json::{Value, json};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_rpc_client_types::config::RpcSendTransactionConfig;
use solana_transaction::{
    sanitized::{MessageHash, SanitizedTransaction},
    versioned::VersionedTransaction,
};

use super::{
    params::{self, Params},
    simulate,
};
use crate::{
    RpcError,
    solana::{
        chain::Shared,
        ledger::{Block, Ledger},
    },
};

pub(super) fn send_transaction(shared: &Shared, params: &Params<'_>) -> Result<Value, RpcError> {
    let text = params.required::<String>(0)?;
    let config = params.or_default::<RpcSendTransactionConfig>(1)?;
    let transaction = params::decode::<VersionedTransaction>(&text, params::binary(config.encoding)?)?;
    // Without preflight nobody looks at the signatures until a leader does.
    let signed = config.skip_preflight || transaction.verify_and_hash_message().is_ok();
    let mut ledger = shared.lock();
    let level = if config.skip_preflight { Some(CommitmentLevel::Processed) } else { config.preflight_commitment };
    let block = ledger.at_level(level.map(|commitment| CommitmentConfig { commitment }), config.min_context_slot)?;
    sanitize(&ledger, block, &transaction)?;
    if !config.skip_preflight {
        if !signed {
            return Err(unsigned());
        }
        let (result, error) = simulate::render(&ledger, block, ledger.simulate(&transaction, block.height), false);
        if let Some(error) = error {
            return Err(RpcError {
                data: serde_json::to_value(result).ok(),
                ..RpcError::new(-32002, format!("Transaction simulation failed: {error}"))
            });
        }
    }
    let signature = transaction.signatures[0].to_string();
    ledger.submit(transaction);
    Ok(json!(signature))
}

/// Whether a transaction hangs together: counts, indices, lookup tables.
pub(super) fn sanitize(ledger: &Ledger, block: &Block, transaction: &VersionedTransaction) -> Result<(), RpcError> {
    let tables = ledger.state(block.height).accounts_db();
    SanitizedTransaction::try_create(transaction.clone(), MessageHash::Compute, None, tables, &HashSet::new())
        .map(drop)
        .map_err(|error| RpcError::params(format!("invalid transaction: {error}")))
}

pub(super) fn unsigned() -> RpcError {
    RpcError::new(-32003, "Transaction signature verification failure")
}
