use crate::SolanaAddress;

/// What is wrong with a payment on Solana, where EVM has no word for it: the payer's fault, final for this payload.
///
/// ```
/// use h402_core::{Reject, SolanaReject};
/// let reject = Reject::from(SolanaReject::LookupTables);
/// assert_eq!((reject.reason().as_str(), reject.word()), ("invalid_payload", "solana_lookup_tables"));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolanaReject {
    /// The bytes are no transaction.
    #[error("transaction cannot be decoded: {0}")]
    Undecodable(&'static str),
    /// A signature that is missing, or not its key's over the message.
    #[error("signature: {0}")]
    Signature(&'static str),
    /// Others than the payer and whoever pays the fee must sign.
    #[error("signers are not the payer, and at most a fee payer before it")]
    Signers,
    /// It loads keys from lookup tables, which hide what it does (T078).
    #[error("lookup tables are not accepted")]
    LookupTables,
    /// It never expires (T083).
    #[error("durable nonces are not accepted")]
    DurableNonce,
    /// An instruction that payments do not need.
    #[error("instruction is not accepted: {0}")]
    Instruction(&'static str),
    /// Units or their price are set twice, or too high (T080).
    #[error("compute budget: {0}")]
    ComputeBudget(&'static str),
    /// The fee is above what is paid for others.
    #[error("fee may be {lamports} lamports, {limit} are paid for others")]
    Fee {
        /// The most it can be.
        lamports: u64,
        /// The most that is paid.
        limit: u64,
    },
    /// Whoever pays the fee for others is used for more than that (T077).
    #[error("fee payer is part of an instruction")]
    FeePayerUsed,
    /// The fee is to be paid by somebody who does not do that here.
    #[error("fee payer is nobody who pays for others here")]
    FeePayerUnknown,
    /// The fee is to be paid by somebody else than the one who was named for it.
    #[error("fee payer is not the one that was asked for")]
    FeePayerDiffers,
    /// A memo was asked for, and it has another, several or none.
    #[error("memo is not the one that was asked for")]
    Memo,
    /// Fees were paid for others of this payer's payments, which failed (T077).
    #[error("fees were paid for this payer's payments that failed: for an hour it pays its own")]
    FeeWasted,
    /// Nothing in it pays.
    #[error("no transfer in it")]
    NoTransfer,
    /// More than one thing in it pays (T086).
    #[error("more than one transfer in it")]
    TwoTransfers,
    /// Pays somebody else, or into another account than the payee's associated one.
    #[error("pays into {paid}, not the payee's account")]
    Recipient {
        /// The account that is paid.
        paid: SolanaAddress,
    },
    /// Pays less than the price.
    #[error("pays {paid}, price is {required}")]
    Value {
        /// What is paid, in the smallest unit.
        paid: u64,
        /// The price.
        required: crate::Amount,
    },
    /// Expired, or too close to it (T084).
    #[error("blockhash has {left} blocks left, {required} are needed")]
    Expires {
        /// Blocks left, zero if it is expired or was never one.
        left: u64,
        /// Blocks needed.
        required: u64,
    },
    /// A token account that cannot pay or be paid.
    #[error("token account: {0}")]
    TokenAccount(&'static str),
    /// The mint can take tokens back, hold them, or take a share (T085).
    #[error("mint has an extension that is not accepted: {0}")]
    Extension(&'static str),
}
