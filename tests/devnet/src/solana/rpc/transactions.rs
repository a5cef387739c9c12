//! Methods that say what became of a transaction.

use serde_json::{Value, json};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_rpc_client_types::config::{
    RpcEncodingConfigWrapper, RpcSignatureStatusConfig, RpcSignaturesForAddressConfig, RpcTransactionConfig,
};
use solana_signature::Signature;
use solana_transaction_status::{
    ConfirmedTransactionWithStatusMeta, EncodeError, TransactionConfirmationStatus, TransactionStatus, TransactionWithStatusMeta,
    UiTransactionEncoding, VersionedTransactionWithStatusMeta,
};

use super::{
    in_context,
    params::{self, Params},
};
use crate::{RpcError, solana::ledger::Ledger};

/// How many signatures one call may ask for.
const MAX_SIGNATURES: usize = 256;
/// How many transactions of an address one call lists.
const MAX_LISTED: usize = 1000;
/// How many blocks back a node finds a status without searching its history.
const REMEMBERED: u64 = 300;

pub(super) fn get_signature_statuses(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let signatures = params.required::<Vec<String>>(0)?;
    if signatures.len() > MAX_SIGNATURES {
        return Err(RpcError::params(format!("Too many inputs provided; max {MAX_SIGNATURES}")));
    }
    let signatures = signatures.iter().map(|text| params::signature(text)).collect::<Result<Vec<_>, _>>()?;
    let search = params.optional::<RpcSignatureStatusConfig>(1)?.is_some_and(|config| config.search_transaction_history);
    let statuses: Vec<_> = signatures.iter().map(|signature| status(ledger, signature, search)).collect();
    Ok(in_context(ledger.newest(CommitmentLevel::Processed), statuses))
}

fn status(ledger: &Ledger, signature: &Signature, search: bool) -> Option<TransactionStatus> {
    let landed = ledger.landed.get(signature)?;
    let age = ledger.tip().height - landed.height;
    if !search && age > REMEMBERED {
        return None;
    }
    let (confirmations, level) = match ledger.commitment(landed.height) {
        CommitmentLevel::Finalized => (None, TransactionConfirmationStatus::Finalized),
        CommitmentLevel::Confirmed => (Some(age), TransactionConfirmationStatus::Confirmed),
        CommitmentLevel::Processed => (Some(age), TransactionConfirmationStatus::Processed),
    };
    Some(TransactionStatus {
        slot: landed.slot,
        confirmations: confirmations.and_then(|age| usize::try_from(age).ok()),
        status: landed.meta.status.clone(),
        err: landed.meta.status.clone().err(),
        confirmation_status: Some(level),
    })
}

pub(super) fn get_transaction(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let signature = params::signature(&params.required::<String>(0)?)?;
    let config = params.optional::<RpcEncodingConfigWrapper<RpcTransactionConfig>>(1)?;
    let config = config.map(|config| config.convert_to_current()).unwrap_or_default();
    let level = config.commitment.unwrap_or_else(CommitmentConfig::finalized);
    if !level.is_at_least_confirmed() {
        return Err(RpcError::params("Method does not support commitment below `confirmed`"));
    }
    let newest = ledger.newest(level.commitment);
    let Some(landed) = ledger.landed.get(&signature).filter(|landed| landed.height <= newest.height) else { return Ok(Value::Null) };
    let record = ConfirmedTransactionWithStatusMeta {
        slot: landed.slot,
        tx_with_meta: TransactionWithStatusMeta::Complete(VersionedTransactionWithStatusMeta {
            transaction: landed.transaction.clone(),
            meta: landed.meta.clone(),
        }),
        block_time: Some(landed.time),
        index: landed.index,
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    match record.encode(encoding, config.max_supported_transaction_version) {
        Ok(encoded) => Ok(json!(encoded)),
        Err(EncodeError::UnsupportedTransactionVersion(version)) => Err(RpcError::new(
            -32015,
            format!(
                "Transaction version ({version}) is not supported by the requesting client. Please try the request again with the \
                 following configuration parameter: \"maxSupportedTransactionVersion\": {version}"
            ),
        )),
    }
}

pub(super) fn get_signatures_for_address(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let address = params.pubkey(0)?;
    let config = params.or_default::<RpcSignaturesForAddressConfig>(1)?;
    let limit = config.limit.unwrap_or(MAX_LISTED);
    if !(1..=MAX_LISTED).contains(&limit) {
        return Err(RpcError::params(format!("Invalid limit; max {MAX_LISTED}")));
    }
    let before = config.before.as_deref().map(params::signature).transpose()?;
    let until = config.until.as_deref().map(params::signature).transpose()?;
    let level = config.commitment.unwrap_or_else(CommitmentConfig::finalized);
    if !level.is_at_least_confirmed() {
        return Err(RpcError::params("Method does not support commitment below `confirmed`"));
    }
    let newest = ledger.at_level(Some(level), config.min_context_slot)?;
    let newest_first = ledger.blocks_up_to(newest.height).iter().rev().flat_map(|block| block.landed.iter().rev());
    let mentions =
        newest_first.filter_map(|signature| ledger.landed.get(signature).map(|landed| (signature, landed))).filter(|(_, landed)| {
            let loaded = &landed.meta.loaded_addresses;
            let keys = landed.transaction.message.static_account_keys().iter().chain(&loaded.writable).chain(&loaded.readonly);
            keys.into_iter().any(|key| *key == address)
        });
    // One that the node does not know is nowhere, and nothing comes after it.
    let after =
        mentions.skip_while(|(signature, _)| before.is_some_and(|before| **signature != before)).skip(usize::from(before.is_some()));
    let listed = after.take_while(|(signature, _)| Some(**signature) != until).take(limit);
    Ok(Value::Array(
        listed
            .map(|(signature, landed)| {
                json!({
                    "signature": signature.to_string(),
                    "slot": landed.slot,
                    "err": landed.meta.status.clone().err(),
                    "memo": null,
                    "blockTime": landed.time,
                    "confirmationStatus": status(ledger, signature, true).and_then(|status| status.confirmation_status),
                })
            })
            .collect(),
    ))
}
