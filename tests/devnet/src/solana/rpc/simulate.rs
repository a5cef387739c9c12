//! Methods that run a transaction and keep nothing.

use std::collections::HashMap;

use serde_json::Value;
use solana_account::Account;
use solana_account_decoder::UiAccountEncoding;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcContextConfig, RpcSimulateTransactionAccountsConfig, RpcSimulateTransactionConfig},
    response::{RpcBlockhash, RpcSimulateTransactionResult},
};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{
    TransactionBinaryEncoding, UiInnerInstructions, UiLoadedAddresses, UiTransactionTokenBalance, map_inner_instructions,
};

use super::{
    accounts, in_context,
    params::{self, Params},
    submit,
};
use crate::{
    RpcError,
    solana::{
        chain::Shared,
        execute::Simulated,
        ledger::{Block, Ledger, WINDOW},
        tokens,
    },
};

pub(super) fn simulate_transaction(shared: &Shared, params: &Params<'_>) -> Result<Value, RpcError> {
    let text = params.required::<String>(0)?;
    let config = params.or_default::<RpcSimulateTransactionConfig>(1)?;
    let mut transaction = params::decode::<VersionedTransaction>(&text, params::binary(config.encoding)?)?;
    if config.replace_recent_blockhash && config.sig_verify {
        return Err(RpcError::params("sigVerify may not be used with replaceRecentBlockhash"));
    }
    let signed = !config.sig_verify || transaction.verify_and_hash_message().is_ok();
    let ledger = shared.lock();
    let block = ledger.at_level(config.commitment, config.min_context_slot)?;
    let replacement = config.replace_recent_blockhash.then(|| {
        transaction.message.set_recent_blockhash(block.hash);
        RpcBlockhash { blockhash: block.hash.to_string(), last_valid_block_height: block.height + WINDOW }
    });
    submit::sanitize(&ledger, block, &transaction)?;
    if !signed {
        return Err(submit::unsigned());
    }
    let simulated = ledger.simulate(&transaction, block.height);
    let shown = config.accounts.map(|wanted| shown_accounts(&ledger, block, &simulated, &wanted)).transpose()?;
    let (mut result, _) = render(&ledger, block, simulated, config.inner_instructions);
    result.accounts = shown;
    result.replacement_blockhash = replacement;
    Ok(in_context(block, result))
}

pub(super) fn get_fee_for_message(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let message = params::decode::<VersionedMessage>(&params.required::<String>(0)?, TransactionBinaryEncoding::Base64)?;
    let block = ledger.at(&params.or_default::<RpcContextConfig>(1)?)?;
    let known = ledger.last_valid(message.recent_blockhash(), block.height).is_some();
    let signatures = vec![Signature::default(); usize::from(message.header().num_required_signatures)];
    let transaction = VersionedTransaction { signatures, message };
    submit::sanitize(ledger, block, &transaction)?;
    // The fee is known even of what would fail.
    let fee = match ledger.state(block.height).simulate_transaction(transaction) {
        Ok(info) => info.meta.fee,
        Err(failed) => failed.meta.fee,
    };
    Ok(in_context(block, known.then_some(fee)))
}

/// What a node says about a simulation, and why it failed.
pub(super) fn render(
    ledger: &Ledger,
    block: &Block,
    simulated: Simulated,
    inner: bool,
) -> (RpcSimulateTransactionResult, Option<TransactionError>) {
    let state = ledger.state(block.height);
    let before = |key: &Pubkey| tokens::read(state, key);
    let Simulated { keys, loaded, result } = simulated;
    let (meta, error, changed) = match result {
        Ok(info) => (info.meta, None, info.post_accounts),
        Err(failed) => (failed.meta, Some(failed.err), Vec::new()),
    };
    let changed: HashMap<Pubkey, Account> = changed.into_iter().map(|(key, account)| (key, account.into())).collect();
    let after = |key: &Pubkey| changed.get(key).cloned().or_else(|| before(key));
    let lamports = |account: Option<Account>| account.map_or(0, |account| account.lamports);
    let pre_balances: Vec<u64> = keys.iter().map(|key| lamports(before(key))).collect();
    let mut post_balances: Vec<u64> = keys.iter().map(|key| lamports(after(key))).collect();
    if let (true, Some(payer)) = (error.is_some() && !meta.logs.is_empty(), post_balances.first_mut()) {
        // What fails still pays.
        *payer = payer.saturating_sub(meta.fee);
    }
    let shown = |balances: Vec<_>| Some(balances.into_iter().map(UiTransactionTokenBalance::from).collect());
    let result = RpcSimulateTransactionResult {
        err: error.clone().map(Into::into),
        logs: Some(meta.logs),
        accounts: None,
        units_consumed: Some(meta.compute_units_consumed),
        // LiteSVM keeps this to itself.
        loaded_accounts_data_size: None,
        return_data: (!meta.return_data.data.is_empty()).then(|| meta.return_data.into()),
        inner_instructions: inner.then(|| map_inner_instructions(meta.inner_instructions).map(UiInnerInstructions::from).collect()),
        replacement_blockhash: None,
        fee: Some(meta.fee),
        pre_balances: Some(pre_balances),
        post_balances: Some(post_balances),
        pre_token_balances: shown(tokens::balances(&keys, block.time, before)),
        post_token_balances: shown(tokens::balances(&keys, block.time, after)),
        loaded_addresses: Some(UiLoadedAddresses::from(&loaded)),
    };
    (result, error)
}

fn shown_accounts(
    ledger: &Ledger,
    block: &Block,
    simulated: &Simulated,
    wanted: &RpcSimulateTransactionAccountsConfig,
) -> Result<Vec<Option<solana_account_decoder::UiAccount>>, RpcError> {
    let encoding = wanted.encoding.unwrap_or(UiAccountEncoding::Base64);
    if matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58) {
        return Err(RpcError::params("base58 encoding not supported"));
    }
    if wanted.addresses.len() > simulated.keys.len() {
        return Err(RpcError::params(format!("Too many accounts provided; max {}", simulated.keys.len())));
    }
    let Ok(info) = &simulated.result else { return Ok(vec![None; wanted.addresses.len()]) };
    let one = |address: &String| {
        let key = params::pubkey(address)?;
        let changed = info.post_accounts.iter().find(|(other, _)| *other == key).map(|(_, account)| Account::from(account.clone()));
        let account = changed.or_else(|| ledger.account(&key, block.height)).filter(|account| account.lamports > 0);
        account.map(|account| accounts::encode(ledger, block, &key, &account, encoding, None)).transpose()
    };
    wanted.addresses.iter().map(one).collect()
}
