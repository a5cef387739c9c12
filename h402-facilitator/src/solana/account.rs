//! Accounts of the token programs, and the list of recent blockhashes.

use super::answer::WireAccount;
use h402_core::{MintFacts, SolanaAddress, TokenAccountFacts, TokenProgram};

/// Where the cluster keeps the last 150 blockhashes.
const RECENT_BLOCKHASHES: &str = "SysvarRecentB1ockHashes11111111111111111111";

/// Reads a token account; none if it is something else.
pub(super) fn token_account(account: &WireAccount) -> Option<TokenAccountFacts> {
    TokenAccountFacts::decode(TokenProgram::at(&account.owner.into())?, &account.data.0)
}

/// Reads a mint; none if it is something else.
pub(super) fn mint(account: &WireAccount) -> Option<MintFacts> {
    MintFacts::decode(TokenProgram::at(&account.owner.into())?, &account.data.0)
}

/// How many blocks ago a blockhash was the newest, by the cluster's own list, newest first.
pub(super) fn age_of(blockhash: &[u8; 32], recent: &WireAccount) -> Option<u64> {
    /// A hash and a fee that no longer means anything.
    const ENTRY: usize = 40;
    let (count, entries) = recent.data.0.split_first_chunk::<8>()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    let at = entries.chunks_exact(ENTRY).take(count).position(|entry| entry.starts_with(blockhash))?;
    u64::try_from(at).ok()
}

/// The account of [`RECENT_BLOCKHASHES`].
pub(super) fn recent_blockhashes() -> Option<SolanaAddress> {
    RECENT_BLOCKHASHES.parse().ok()
}
