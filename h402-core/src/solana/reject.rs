use crate::{ErrorReason, SolanaAddress};

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

impl SolanaReject {
    /// The h402 word and our own, finer one.
    pub(crate) const fn words(&self) -> (ErrorReason, &'static str) {
        use ErrorReason as R;
        match self {
            Self::Undecodable(_) => (R::InvalidPayload, "solana_undecodable"),
            Self::Signature(_) => (R::SolanaSignature, "invalid_exact_solana_payload_signature"),
            Self::Signers => (R::SolanaSignature, "solana_signer_set"),
            Self::LookupTables => (R::InvalidPayload, "solana_lookup_tables"),
            Self::DurableNonce => (R::InvalidPayload, "solana_durable_nonce"),
            Self::Instruction(_) => (R::InvalidPayload, "solana_instruction"),
            Self::ComputeBudget(_) => (R::InvalidPayload, "solana_compute_budget"),
            Self::Fee { .. } => (R::InvalidPayload, "solana_fee_exceeds_limit"),
            Self::FeePayerUsed => (R::InvalidPayload, "solana_fee_payer_used"),
            Self::FeeWasted => (R::InvalidPayload, "solana_fee_wasted"),
            Self::FeePayerUnknown => (R::InvalidPayload, "solana_fee_payer_unknown"),
            Self::NoTransfer => (R::InvalidPayload, "solana_no_transfer"),
            Self::TwoTransfers => (R::InvalidPayload, "solana_two_transfers"),
            Self::Recipient { .. } => (R::SolanaRecipientMismatch, "invalid_exact_solana_payload_recipient_mismatch"),
            Self::Value { .. } => (R::SolanaValue, "invalid_exact_solana_payload_authorization_value"),
            Self::Expires { .. } => (R::SolanaValidBefore, "invalid_exact_solana_payload_authorization_valid_before"),
            Self::TokenAccount(_) => (R::InvalidTransactionState, "solana_token_account"),
            Self::Extension(_) => (R::InvalidPaymentRequirements, "solana_token_extension"),
        }
    }
}
