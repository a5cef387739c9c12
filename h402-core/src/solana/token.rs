//! What token programs keep in accounts, read from its bytes.

use crate::{SolanaAddress, TokenProgram};

/// A token account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenAccountFacts {
    /// The program that keeps it.
    pub program: TokenProgram,
    /// What it holds tokens of.
    pub mint: SolanaAddress,
    /// Whose they are.
    pub owner: SolanaAddress,
    /// How many, in the smallest unit.
    pub amount: u64,
    /// Whether they cannot be moved.
    pub frozen: bool,
}

/// A mint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintFacts {
    /// The program whose mint it is.
    pub program: TokenProgram,
    /// Decimal places.
    pub decimals: u8,
    /// What it can do beyond a plain one.
    pub extensions: Vec<TokenExtension>,
}

/// What a Token-2022 mint can do beyond a plain one, as far as that matters to a payee.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenExtension {
    /// Names, pointers, groups, interest that is shown only: nothing that moves or holds tokens.
    Harmless,
    /// Keeps a share of each transfer: the greater of the two shares that may count when the payment lands.
    TransferFee {
        /// Share in hundredths of a percent.
        basis_points: u16,
        /// Most that is kept.
        maximum: u64,
    },
    /// Calls another program with each transfer.
    TransferHook,
    /// Somebody may move or burn anybody's tokens.
    PermanentDelegate,
    /// Somebody may stop all transfers.
    Pausable,
    /// New accounts are frozen.
    DefaultFrozen,
    /// Amounts can be hidden.
    Confidential,
    /// Tokens cannot be transferred at all.
    NonTransferable,
    /// One that this program does not know.
    Unknown(u16),
}

/// Length of a token account without extensions; those of a mint start after as many bytes, too.
const ACCOUNT_LENGTH: usize = 165;
/// Length of a mint without extensions.
const MINT_LENGTH: usize = 82;
/// An account of this length is a list of signers.
const MULTISIG_LENGTH: usize = 355;

impl TokenAccountFacts {
    /// Reads a token account's data; `None` if it is none, or not in use.
    ///
    /// ```
    /// use h402_core::{TokenAccountFacts, TokenProgram};
    /// assert!(TokenAccountFacts::decode(TokenProgram::Token, &[0; 165]).is_none());
    /// ```
    #[must_use]
    pub fn decode(program: TokenProgram, data: &[u8]) -> Option<Self> {
        if data.len() != ACCOUNT_LENGTH && !has_kind(program, data, 2) {
            return None;
        }
        let (mint, rest) = data.split_first_chunk::<32>()?;
        let (owner, rest) = rest.split_first_chunk::<32>()?;
        let amount = rest.first_chunk::<8>()?;
        let frozen = match data.get(108)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        Some(Self { program, mint: (*mint).into(), owner: (*owner).into(), amount: u64::from_le_bytes(*amount), frozen })
    }
}

impl MintFacts {
    /// Reads a mint's data; `None` if it is none, or not in use.
    ///
    /// ```
    /// use h402_core::{MintFacts, TokenProgram};
    /// let mut data = [0; 82];
    /// (data[44], data[45]) = (6, 1);
    /// let mint = MintFacts::decode(TokenProgram::Token, &data).unwrap();
    /// assert_eq!((mint.decimals, mint.extensions.len()), (6, 0));
    /// ```
    #[must_use]
    pub fn decode(program: TokenProgram, data: &[u8]) -> Option<Self> {
        let extensions = match data.len() {
            MINT_LENGTH => Vec::new(),
            length if length > ACCOUNT_LENGTH && has_kind(program, data, 1) => extensions(data.get(ACCOUNT_LENGTH..)?.get(1..)?)?,
            _ => return None,
        };
        if data.get(45) != Some(&1) {
            return None;
        }
        Some(Self { program, decimals: *data.get(44)?, extensions })
    }
}

/// Whether data with extensions is marked as of this kind.
fn has_kind(program: TokenProgram, data: &[u8], kind: u8) -> bool {
    program == TokenProgram::Token2022 && data.len() != MULTISIG_LENGTH && data.get(ACCOUNT_LENGTH) == Some(&kind)
}

/// Reads type, length and value after another, up to the end or a type of zero.
fn extensions(mut rest: &[u8]) -> Option<Vec<TokenExtension>> {
    let mut found = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = *head;
        let (kind, length) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        if kind == 0 {
            return Some(found);
        }
        let (value, next) = after.split_at_checked(length)?;
        found.push(extension(kind, value)?);
        rest = next;
    }
    // Fewer than four bytes can only be padding.
    rest.iter().all(|byte| *byte == 0).then_some(found)
}

fn extension(kind: u16, value: &[u8]) -> Option<TokenExtension> {
    let is_set = |key: &[u8]| key.iter().any(|byte| *byte != 0);
    Some(match kind {
        1 => transfer_fee(value)?,
        4 | 16 | 24 => TokenExtension::Confidential,
        6 if value == [2] => TokenExtension::DefaultFrozen,
        9 => TokenExtension::NonTransferable,
        12 if is_set(value) => TokenExtension::PermanentDelegate,
        14 => TokenExtension::TransferHook,
        26 => TokenExtension::Pausable,
        // Close authority of a mint without supply, initialized by default, interest and scale as shown, metadata, groups.
        3 | 6 | 10 | 12 | 18..=23 | 25 => TokenExtension::Harmless,
        other => TokenExtension::Unknown(other),
    })
}

/// Two keys, what is withheld, and the fee of older and of newer epochs: which counts when the payment lands nobody
/// knows, so the dearer parts of both do.
fn transfer_fee(value: &[u8]) -> Option<TokenExtension> {
    let fee = |at: usize| {
        let (maximum, basis_points) = value.get(at..)?.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*maximum), u16::from_le_bytes(*basis_points.first_chunk::<2>()?)))
    };
    let ((older, older_share), (newer, newer_share)) = (fee(80)?, fee(98)?);
    Some(TokenExtension::TransferFee { basis_points: older_share.max(newer_share), maximum: older.max(newer) })
}

#[cfg(test)]
mod tests;
