//! What a Solana cluster must say before a payment is accepted.

use crate::{Amount, GenesisPrefix, SolanaAddress, TokenProgram, UnixMillis, UnixSeconds, solana::SolanaTransaction};

/// What a Solana cluster says about one payment, read at one commitment in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaFacts {
    /// The cluster's own identity.
    pub genesis: GenesisPrefix,
    /// Blocks since the payment's blockhash was the newest; none if it is not among the recent ones, so that the
    /// payment has expired or is for another cluster. Only for signed transactions.
    pub blockhash_age: Option<u64>,
    /// The payer's lamports, zero if there is no such account.
    pub payer_lamports: u64,
    /// The fee payer's lamports; only for sponsored payments.
    pub fee_payer_lamports: Option<u64>,
    /// The token account that is debited, if it is one; only for tokens.
    pub source: Option<TokenAccountFacts>,
    /// The token account that is credited, if it is one; only for tokens.
    pub destination: Option<TokenAccountFacts>,
    /// The mint, if it is one; only for tokens.
    pub mint: Option<MintFacts>,
    /// The transaction tried without sending it; only for signed transactions.
    pub simulation: Option<SolanaSimulation>,
    /// The sent transaction, if the cluster knows it; only for sent transactions.
    pub sent: Option<SolanaSentFacts>,
}

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
    /// Whether it takes transfers with a memo only.
    pub needs_memo: bool,
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

/// How a transaction fared that was tried without being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SolanaSimulation {
    /// It would succeed.
    Succeeds {
        /// Compute units it would use.
        units: u64,
    },
    /// It would fail.
    Fails {
        /// The cluster's reason, shortened.
        reason: String,
    },
}

/// A transaction as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaSentFacts {
    /// The transaction itself.
    pub transaction: SolanaTransaction,
    /// Whether it succeeded.
    pub success: bool,
    /// Whether its block cannot be undone.
    pub finalized: bool,
    /// Its slot.
    pub slot: u64,
    /// When its block was made.
    pub time: Option<UnixSeconds>,
    /// How lamports of accounts changed.
    pub lamports: Vec<NativeChange>,
    /// How tokens of token accounts changed; an account that was created had none before (T090).
    pub tokens: Vec<TokenChange>,
}

/// An account's lamports before and after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeChange {
    /// The account.
    pub account: SolanaAddress,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// A token account's tokens before and after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenChange {
    /// The token account.
    pub account: SolanaAddress,
    /// What it holds tokens of.
    pub mint: SolanaAddress,
    /// Whose they are.
    pub owner: SolanaAddress,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Extensions of mints that a deployment accepts; none unless configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllowedExtensions {
    /// Takes a share of each transfer: what arrives must still be the price.
    pub transfer_fee: bool,
    /// Calls another program. A transfer that needs accounts for its hook is not accepted in any case.
    pub transfer_hook: bool,
    /// Somebody may move or burn anybody's tokens.
    pub permanent_delegate: bool,
    /// Somebody may stop all transfers.
    pub pausable: bool,
    /// New accounts are frozen.
    pub default_frozen: bool,
    /// Amounts can be hidden; those of payments are not.
    pub confidential: bool,
}

/// What a facilitator demands beyond the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolanaPolicy {
    /// The wall clock.
    pub now: UnixMillis,
    /// What other open payments have promised of the payer's balance.
    pub reserved: Amount,
    /// The account that pays fees for others, if one does.
    pub sponsor: Option<SolanaAddress>,
    /// The most lamports it pays for one payment.
    pub max_fee_lamports: u64,
    /// Blocks that a payment must have left.
    pub min_blocks_left: u64,
    /// Extensions of mints that are accepted.
    pub extensions: AllowedExtensions,
    /// A sent transaction of a block made before this is too old.
    pub not_before: UnixSeconds,
}

impl SolanaPolicy {
    /// Fee that is paid for others unless configured otherwise, in lamports.
    pub const MAX_FEE_LAMPORTS: u64 = 100_000;
    /// Blocks that a payment must have left unless configured otherwise: about eight seconds.
    pub const MIN_BLOCKS_LEFT: u64 = 20;
    /// Blocks for which a blockhash is good.
    pub const BLOCKHASH_LIFE: u64 = 150;
}
