//! Addresses of the programs that payments meet.

use crate::SolanaAddress;

const fn address(text: &[u8]) -> SolanaAddress {
    SolanaAddress::from_bytes(bs58::decode(text).into_array_const_unwrap())
}

/// Keeps lamports; as an asset, the marker of SOL itself.
pub const SYSTEM: SolanaAddress = address(b"11111111111111111111111111111111");
/// SPL Token.
pub const TOKEN: SolanaAddress = address(b"TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// Token-2022.
pub const TOKEN_2022: SolanaAddress = address(b"TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
/// Creates associated token accounts.
pub const ASSOCIATED_TOKEN: SolanaAddress = address(b"ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
/// Sets the unit limit and unit price of a transaction.
pub const COMPUTE_BUDGET: SolanaAddress = address(b"ComputeBudget111111111111111111111111111111");
/// Memo, version 3: writes a text to the log.
pub const MEMO: SolanaAddress = address(b"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Memo, version 1.
pub const MEMO_V1: SolanaAddress = address(b"Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo");
/// Lighthouse: wallets append its assertions, which fail the transaction if an account is not as it was simulated.
pub const LIGHTHOUSE: SolanaAddress = address(b"L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");

/// Whether it is a program that writes texts to the log.
pub(super) fn is_memo(program: &SolanaAddress) -> bool {
    [MEMO, MEMO_V1].contains(program)
}
