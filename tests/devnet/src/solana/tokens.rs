//! What token accounts and mints say.

use litesvm::LiteSVM;
use solana_account::Account;
use solana_account_decoder::parse_account_data::SplTokenAdditionalDataV2;
use solana_pubkey::Pubkey;
use solana_transaction_status::TransactionTokenBalance;
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions, StateWithExtensions, interest_bearing_mint::InterestBearingConfig, scaled_ui_amount::ScaledUiAmountConfig,
    },
    state::{Account as Token, Mint},
};

pub(super) const TOKEN: Pubkey = spl_token_interface::ID;
pub(super) const TOKEN_2022: Pubkey = spl_token_2022_interface::ID;

/// Whether a program is one of the two that keep tokens.
pub(super) fn is_token_program(program: &Pubkey) -> bool {
    *program == TOKEN || *program == TOKEN_2022
}

/// A token account, if this is one.
pub(super) fn token(account: &Account) -> Option<Token> {
    if !is_token_program(&account.owner) {
        return None;
    }
    StateWithExtensions::<Token>::unpack(&account.data).ok().map(|token| token.base)
}

/// How amounts of a mint are shown, if this is a mint.
pub(super) fn shown(mint: &Account, time: i64) -> Option<SplTokenAdditionalDataV2> {
    if !is_token_program(&mint.owner) {
        return None;
    }
    let state = StateWithExtensions::<Mint>::unpack(&mint.data).ok()?;
    Some(SplTokenAdditionalDataV2 {
        decimals: state.base.decimals,
        interest_bearing_config: state.get_extension::<InterestBearingConfig>().ok().map(|config| (*config, time)),
        scaled_ui_amount_config: state.get_extension::<ScaledUiAmountConfig>().ok().map(|config| (*config, time)),
    })
}

/// What the token accounts among these hold, as a transaction's record gives it.
pub(super) fn balances(keys: &[Pubkey], time: i64, read: impl Fn(&Pubkey) -> Option<Account>) -> Vec<TransactionTokenBalance> {
    let balance = |(index, key): (usize, &Pubkey)| {
        let account = read(key)?;
        let token = token(&account)?;
        let shown = shown(&read(&token.mint)?, time)?;
        Some(TransactionTokenBalance {
            account_index: u8::try_from(index).ok()?,
            mint: token.mint.to_string(),
            ui_token_amount: solana_account_decoder::parse_token::token_amount_to_ui_amount_v3(token.amount, &shown),
            owner: token.owner.to_string(),
            program_id: account.owner.to_string(),
        })
    };
    keys.iter().enumerate().filter_map(balance).collect()
}

/// An account of a state, if it holds lamports.
pub(super) fn read(state: &LiteSVM, key: &Pubkey) -> Option<Account> {
    state.get_account(key).filter(|account| account.lamports > 0)
}
