//! Methods that read accounts.

use serde_json::{Value, json};
use solana_account::Account;
use solana_account_decoder::{
    MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account, parse_account_data::AccountAdditionalDataV3,
    parse_token::token_amount_to_ui_amount_v3,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::{RpcAccountInfoConfig, RpcContextConfig, RpcTokenAccountsFilter};

use super::{
    in_context,
    params::{self, Params},
};
use crate::{
    RpcError,
    solana::{
        ledger::{Block, Ledger},
        tokens,
    },
};

/// How many accounts one call may ask for.
const MAX_ACCOUNTS: usize = 100;

pub(super) fn get_account_info(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let key = params.pubkey(0)?;
    let config = params.or_default::<RpcAccountInfoConfig>(1)?;
    let block = ledger.at_level(config.commitment, config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    Ok(in_context(block, encoded(ledger, block, &key, encoding, config.data_slice)?))
}

pub(super) fn get_multiple_accounts(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let keys = params.required::<Vec<String>>(0)?;
    if keys.len() > MAX_ACCOUNTS {
        return Err(RpcError::params(format!("Too many inputs provided; max {MAX_ACCOUNTS}")));
    }
    let keys = keys.iter().map(|key| params::pubkey(key)).collect::<Result<Vec<_>, _>>()?;
    let config = params.or_default::<RpcAccountInfoConfig>(1)?;
    let block = ledger.at_level(config.commitment, config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Base64);
    let accounts = keys.iter().map(|key| encoded(ledger, block, key, encoding, config.data_slice));
    Ok(in_context(block, accounts.collect::<Result<Vec<_>, _>>()?))
}

pub(super) fn get_token_account_balance(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let key = params.pubkey(0)?;
    let block = ledger.at(&params.or_default::<RpcContextConfig>(1)?)?;
    let no = |what: &str| RpcError::params(format!("Invalid param: {what}"));
    let account = ledger.account(&key, block.height).ok_or_else(|| no("could not find account"))?;
    let token = tokens::token(&account).ok_or_else(|| no("not a Token account"))?;
    let mint = ledger.account(&token.mint, block.height).ok_or_else(|| no("could not find mint"))?;
    let shown = tokens::shown(&mint, block.time).ok_or_else(|| no("Token mint could not be unpacked"))?;
    Ok(in_context(block, token_amount_to_ui_amount_v3(token.amount, &shown)))
}

pub(super) fn get_token_accounts_by_owner(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let owner = params.pubkey(0)?;
    let filter = params.required::<RpcTokenAccountsFilter>(1)?;
    let config = params.or_default::<RpcAccountInfoConfig>(2)?;
    let block = ledger.at_level(config.commitment, config.min_context_slot)?;
    let (program, mint) = match filter {
        RpcTokenAccountsFilter::ProgramId(program) => (params::pubkey(&program)?, None),
        RpcTokenAccountsFilter::Mint(mint) => {
            let mint = params::pubkey(&mint)?;
            let account = ledger.account(&mint, block.height).ok_or_else(|| RpcError::params("Invalid param: could not find mint"))?;
            (account.owner, Some(mint))
        }
    };
    if !tokens::is_token_program(&program) {
        return Err(RpcError::params("Invalid param: unrecognized Token program id"));
    }
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let mut found = Vec::new();
    for (key, account) in ledger.state(block.height).get_program_accounts(&program) {
        let Some(token) = tokens::token(&account) else { continue };
        if token.owner == owner && mint.is_none_or(|mint| mint == token.mint) {
            let account = encode(ledger, block, &key, &account, encoding, config.data_slice)?;
            found.push(json!({ "pubkey": key.to_string(), "account": account }));
        }
    }
    Ok(in_context(block, found))
}

fn encoded(
    ledger: &Ledger,
    block: &Block,
    key: &Pubkey,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Result<Option<UiAccount>, RpcError> {
    let account = ledger.account(key, block.height);
    account.map(|account| encode(ledger, block, key, &account, encoding, slice)).transpose()
}

/// Shows an account as it is or as it may become.
pub(super) fn encode(
    ledger: &Ledger,
    block: &Block,
    key: &Pubkey,
    account: &Account,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Result<UiAccount, RpcError> {
    let shown = slice.map_or(account.data.len(), |slice| slice.length.min(account.data.len().saturating_sub(slice.offset)));
    if matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58) && shown > MAX_BASE58_BYTES {
        let text = format!("Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, please use Base64 encoding.");
        return Err(RpcError::new(-32600, text));
    }
    let mint = tokens::token(account).and_then(|token| ledger.account(&token.mint, block.height));
    let more = mint.and_then(|mint| tokens::shown(&mint, block.time));
    let more = more.map(|shown| AccountAdditionalDataV3 { spl_token_additional_data: Some(shown) });
    Ok(encode_ui_account(key, account, encoding, more, slice))
}
