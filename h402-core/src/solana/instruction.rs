//! Instructions that a payment may have, read strictly: exact lengths, exact accounts, anything else refused.

use super::{
    message::{SolanaInstruction, SolanaMessage},
    program,
};
use crate::{SolanaAddress, SolanaReject, TokenProgram};

/// An instruction with its accounts looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Most compute units of the transaction.
    UnitLimit(u32),
    /// Price of a unit in millionths of a lamport.
    UnitPrice(u64),
    /// Creates an associated token account if there is none.
    CreateAccount(CreateAccount),
    /// Moves lamports or tokens.
    Transfer(Transfer),
    /// Writes a text to the log.
    Memo,
    /// Fails the transaction if an account is not as it was expected to be.
    Assertion,
}

/// Who pays for which account of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CreateAccount {
    pub(crate) funder: SolanaAddress,
    pub(crate) account: SolanaAddress,
    pub(crate) owner: SolanaAddress,
    pub(crate) mint: SolanaAddress,
    pub(crate) program: TokenProgram,
}

/// What moves from where to where, and who allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) source: SolanaAddress,
    pub(crate) destination: SolanaAddress,
    pub(crate) authority: SolanaAddress,
    pub(crate) amount: u64,
    /// None for lamports.
    pub(crate) token: Option<TransferredToken>,
}

/// What kind of tokens move, as the instruction states it and the token program checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransferredToken {
    pub(crate) program: TokenProgram,
    pub(crate) mint: SolanaAddress,
    pub(crate) decimals: u8,
}

/// Longest memo, in bytes: what x402 allows.
const MAX_MEMO: usize = 256;

pub(super) fn read(message: &SolanaMessage, instruction: &SolanaInstruction) -> Result<Instruction, SolanaReject> {
    let Some(program) = message.key(instruction.program) else { return refuse("its program is no key of the message") };
    match *program {
        program::SYSTEM => system(message, instruction),
        program::COMPUTE_BUDGET => compute_budget(instruction),
        program::ASSOCIATED_TOKEN => create_account(message, instruction),
        program::TOKEN => token(message, instruction, TokenProgram::Token),
        program::TOKEN_2022 => token(message, instruction, TokenProgram::Token2022),
        program::MEMO | program::MEMO_V1 => memo(message, instruction),
        program::LIGHTHOUSE => lighthouse(instruction),
        _ => refuse("its program is none that payments use"),
    }
}

fn refuse<T>(why: &'static str) -> Result<T, SolanaReject> {
    Err(SolanaReject::Instruction(why))
}

/// The keys of an instruction that has exactly so many accounts.
fn accounts<const N: usize>(message: &SolanaMessage, instruction: &SolanaInstruction) -> Result<[SolanaAddress; N], SolanaReject> {
    let mut keys = [program::SYSTEM; N];
    if instruction.accounts.len() != N {
        return refuse("it has more or fewer accounts than it needs");
    }
    for (key, index) in keys.iter_mut().zip(instruction.accounts.iter()) {
        *key = *message.key(*index).ok_or(SolanaReject::LookupTables)?;
    }
    Ok(keys)
}

/// The index of an instruction's account; one that no message has if there is none.
fn index(instruction: &SolanaInstruction, at: usize) -> u8 {
    instruction.accounts.get(at).copied().unwrap_or(u8::MAX)
}

/// `Transfer` and nothing else: twelve bytes and two accounts (T071).
fn system(message: &SolanaMessage, instruction: &SolanaInstruction) -> Result<Instruction, SolanaReject> {
    let Some((tag, rest)) = instruction.data.split_first_chunk::<4>() else { return refuse("system: no tag") };
    match (u32::from_le_bytes(*tag), <[u8; 8]>::try_from(rest)) {
        // Advances a durable nonce; with it first, the transaction never expires.
        (4, _) => Err(SolanaReject::DurableNonce),
        (2, Ok(lamports)) => {
            let [source, destination] = accounts(message, instruction)?;
            if !message.is_signer(index(instruction, 0)) {
                return refuse("system: the source does not sign");
            }
            let amount = u64::from_le_bytes(lamports);
            Ok(Instruction::Transfer(Transfer { source, destination, authority: source, amount, token: None }))
        }
        _ => refuse("system: not a transfer"),
    }
}

fn compute_budget(instruction: &SolanaInstruction) -> Result<Instruction, SolanaReject> {
    if !instruction.accounts.is_empty() {
        return refuse("compute budget: it has accounts");
    }
    match instruction.data.as_ref() {
        [2, a, b, c, d] => Ok(Instruction::UnitLimit(u32::from_le_bytes([*a, *b, *c, *d]))),
        [3, a, b, c, d, e, f, g, h] => Ok(Instruction::UnitPrice(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))),
        _ => Err(SolanaReject::ComputeBudget("only limit and price of units may be set")),
    }
}

/// `CreateIdempotent` and nothing else: the plain `Create` fails once the account is there.
fn create_account(message: &SolanaMessage, instruction: &SolanaInstruction) -> Result<Instruction, SolanaReject> {
    if instruction.data.as_ref() != [1] {
        return refuse("associated token account: not an idempotent creation");
    }
    let [funder, account, owner, mint, system, program] = accounts(message, instruction)?;
    let Some(program) = TokenProgram::at(&program).filter(|_| system == program::SYSTEM) else {
        return refuse("associated token account: not of a token program");
    };
    Ok(Instruction::CreateAccount(CreateAccount { funder, account, owner, mint, program }))
}

/// `TransferChecked` and nothing else, with no accounts for several signers or a hook behind the four (T086).
fn token(message: &SolanaMessage, instruction: &SolanaInstruction, program: TokenProgram) -> Result<Instruction, SolanaReject> {
    let [12, a, b, c, d, e, f, g, h, decimals] = instruction.data.as_ref() else { return refuse("token: not a checked transfer") };
    let [source, mint, destination, authority] = accounts(message, instruction)?;
    if !message.is_signer(index(instruction, 3)) {
        return refuse("token: the authority does not sign");
    }
    let amount = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
    let token = Some(TransferredToken { program, mint, decimals: *decimals });
    Ok(Instruction::Transfer(Transfer { source, destination, authority, amount, token }))
}

/// The memo program only logs; the accounts it may be given are signers that it names.
fn memo(message: &SolanaMessage, instruction: &SolanaInstruction) -> Result<Instruction, SolanaReject> {
    if instruction.data.len() > MAX_MEMO || core::str::from_utf8(&instruction.data).is_err() {
        return refuse("memo: longer than 256 bytes or no text");
    }
    if !instruction.accounts.iter().all(|index| message.is_signer(*index)) {
        return refuse("memo: an account does not sign");
    }
    Ok(Instruction::Memo)
}

/// Assertions about accounts, mints and token accounts, as wallets append them.
///
/// These instructions read accounts and fail the transaction, or do nothing: they write no account and, at the log
/// levels taken here, call no other program, whatever the message marks as writable. Those that keep memory in accounts
/// of their own (0 and 1) move lamports of a signer, and comparisons with that memory (4), the clock (15) and trees that
/// other programs keep (16 and 17) are of no use to a payment, so none of these is taken. The program cannot be changed
/// any more. And if it could: neither the payee nor a sponsor, who is in no instruction's accounts, signs for it.
fn lighthouse(instruction: &SolanaInstruction) -> Result<Instruction, SolanaReject> {
    match instruction.data.as_ref() {
        [2 | 3 | 5..=10, 0 | 1 | 2 | 4 | 5, ..] => Ok(Instruction::Assertion),
        _ => refuse("lighthouse: not an assertion about an account"),
    }
}
