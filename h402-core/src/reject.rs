//! The two ways not to accept a payment: the payer's fault, and ours.

use crate::{Address, Amount, ErrorReason, Network, SolanaReject, TransactionId};

/// The payment is wrong or cannot be taken here: the payer's fault, final for this payload.
///
/// [`Reject::reason`] is its word in h402, [`Reject::word`] its own finer word.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The header is not a payment.
    #[error("payment header: {0}")]
    Undecodable(&'static str),
    /// A field of the payload cannot be read.
    #[error("payload: {0}")]
    Malformed(&'static str),
    /// A protocol version this server does not speak.
    #[error("protocol version is not supported")]
    Version,
    /// A scheme this server does not offer.
    #[error("scheme is not offered")]
    Scheme,
    /// A payload type that is not accepted here.
    #[error("payload type is not accepted: {0}")]
    PayloadType(&'static str),
    /// The payment is for another network than any offer.
    #[error("network {0} is not offered")]
    Network(Network),
    /// The asset is not accepted here.
    #[error("asset is not accepted")]
    Asset,
    /// The payload matches no offer.
    #[error("payment matches no offer")]
    NoOffer,
    /// The payload matches several offers.
    #[error("payment matches several offers")]
    Ambiguous,
    /// The payment requirements themselves are wrong.
    #[error("payment requirements: {0}")]
    Requirements(&'static str),
    /// The requirements state another EIP-712 domain than the token's.
    #[error("token's name or version is not the stated one")]
    Domain,
    /// Not valid yet.
    #[error("authorization is not valid yet")]
    ValidAfter,
    /// Expired, or too close to it.
    #[error("authorization expires in {left} s, {required} s are needed")]
    ExpiresTooSoon {
        /// Seconds left, zero if expired.
        left: u64,
        /// Seconds needed.
        required: u64,
    },
    /// Valid for longer than is accepted.
    #[error("authorization is valid for {left} s, at most {accepted} s are accepted")]
    ExpiresTooLate {
        /// Seconds left.
        left: u64,
        /// Seconds accepted.
        accepted: u64,
    },
    /// Pays less than the price.
    #[error("pays {paid}, price is {required}")]
    Value {
        /// Amount in the payload.
        paid: Amount,
        /// Amount of the offer.
        required: Amount,
    },
    /// Pays somebody else.
    #[error("pays {paid}, not the offer's payee")]
    Recipient {
        /// Payee in the payload.
        paid: Address,
    },
    /// The signature is not the payer's.
    #[error("signature: {0}")]
    Signature(&'static str),
    /// The payer is a contract, and contract payers are not accepted here.
    #[error("payer has code; only plain accounts are accepted")]
    PayerHasCode,
    /// The payer holds too little, other open payments counted.
    #[error("payer has {held} available, {required} are needed")]
    InsufficientFunds {
        /// Available: balance less what is already promised.
        held: Amount,
        /// Needed.
        required: Amount,
    },
    /// The payer has not approved Permit2 for enough of the token, and sent no approval along.
    #[error("payer has approved Permit2 for {approved}, {required} are needed")]
    Allowance {
        /// What Permit2 may move.
        approved: Amount,
        /// Needed.
        required: Amount,
    },
    /// A Permit2 transfer may be made by another contract than the canonical proxy of its scheme.
    #[error("spender is not the proxy of the scheme")]
    Spender,
    /// A payment of scheme `upto` names an account to settle it that is not this facilitator's.
    #[error("another facilitator is to settle it")]
    Facilitator,
    /// The authorization was used or cancelled.
    #[error("authorization is used or cancelled")]
    AuthorizationUsed,
    /// The transaction can not be included now: nonce, fee or gas.
    #[error("transaction state: {0}")]
    TransactionState(&'static str),
    /// The transfer would revert, or did.
    #[error("transfer reverts: {0}")]
    Reverts(String),
    /// The transaction succeeded, and the payment was not in it.
    #[error("transaction moved less than the price to the payee")]
    TransferNotObserved,
    /// The payment was settled, then its block was dropped from the chain, and it cannot be made any more: its payer owes it.
    #[error("settled, then its block was dropped, and it cannot land any more: the payer owes it")]
    Lost,
    /// A transaction of a kind that is not accepted as a payment.
    #[error("transaction is not a plain transfer: {0}")]
    TransactionKind(&'static str),
    /// The payment was made too long ago, or before this service started.
    #[error("payment is too old to be claimed")]
    TooOld,
    /// Settling would cost more than it may.
    #[error("settlement would cost {cost} gas, {limit} are allowed")]
    Cost {
        /// Gas needed.
        cost: u64,
        /// Gas allowed.
        limit: u64,
    },
    /// The amount is below the least that is settled here.
    #[error("amount is below the minimum of {minimum}")]
    BelowMinimum {
        /// Least amount.
        minimum: Amount,
    },
    /// What was paid to settle for this payer has been wasted too often lately.
    #[error("too many settlements for this payer failed lately")]
    GasWasted,
    /// The payer's contract is still to be deployed, by a contract that is not called here.
    #[error("payer's contract is made by a factory that is not allowed here")]
    Factory,
    /// Nothing is settled to this payee here.
    #[error("payee is not settled to here")]
    Payee,
    /// The resource is not the one that was offered.
    #[error("resource differs from the offered one")]
    Resource,
    /// The same payment is being worked on.
    #[error("payment is in progress")]
    InProgress,
    /// The payment has opened another request.
    #[error("payment is used already")]
    AlreadyUsed,
    /// The payment was settled for another caller.
    #[error("payment is settled already")]
    DuplicateSettlement {
        /// Where it was settled, if it was.
        transaction: Option<TransactionId>,
    },
    /// The payer has too many payments open.
    #[error("payer has too many open payments")]
    TooManyOpen,
    /// A payment on Solana is wrong where EVM has no word for it.
    #[error(transparent)]
    Solana(#[from] SolanaReject),
    /// What another facilitator said, in its own text.
    #[error("{text}")]
    Other {
        /// Its h402 word.
        reason: ErrorReason,
        /// Its finer word, if it is one of ours.
        word: &'static str,
        /// Its text, shortened and without control characters.
        text: String,
    },
}

impl Reject {
    /// The h402 word, the nearest of the 35.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.words().h402
    }

    /// Our own, finer word, for logs and the free-text fields.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.words().ours
    }

    /// Whether the fault lies in timing against other requests (HTTP 409), not in the payment (402).
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::InProgress | Self::AlreadyUsed | Self::DuplicateSettlement { .. } | Self::TooManyOpen)
    }
}

/// We could not decide: our trouble, never the payer's. Answered 503, worth retrying.
///
/// Its text may be shown to anybody: it holds no URL, no key and nothing a peer wrote.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The chain cannot be asked.
    #[error("chain is not reachable")]
    Chain,
    /// The chain answers, and is not the configured one.
    #[error("chain is not the configured one")]
    WrongChain,
    /// The store cannot be written.
    #[error("store is not available")]
    Store,
    /// The facilitator cannot be asked, or its answer makes no sense.
    #[error("facilitator is not available")]
    Facilitator,
    /// Too much work at once.
    #[error("too busy")]
    Busy,
    /// It took too long.
    #[error("deadline passed")]
    Deadline,
    /// What an earlier run left unfinished is not taken up yet.
    #[error("still starting")]
    Starting,
    /// A payment that was taken on is of a network or an asset that is configured no more. It may be on its way.
    #[error("network or asset is not configured any more")]
    NotConfigured,
    /// The service is going down.
    #[error("shutting down")]
    ShuttingDown,
    /// The payer has sent the payment, and the chain has not confirmed it yet: paying again would pay twice.
    #[error("payment is sent and not confirmed yet")]
    Unconfirmed,
    /// The contract of the asset is not the one that the operator has pinned.
    #[error("asset's contract is not the configured one")]
    AssetChanged,
    /// The chain answers, and makes no blocks.
    #[error("chain makes no blocks")]
    Halted,
    /// The operator's daily budget for gas and fees is spent.
    #[error("facilitator has spent its daily budget for gas")]
    Budget,
    /// More differs between ledger and chain than the operator lets pass.
    #[error("ledger and chain differ; an operator has to look")]
    Unreconciled,
    /// The facilitator's key cannot pay for gas.
    #[error("facilitator cannot pay for gas")]
    Gas,
}

impl Undecided {
    /// The word for logs and answers.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Unconfirmed => "payment_unconfirmed",
            _ => "dependency_unavailable",
        }
    }
}

/// Why a payment is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The payer's fault.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// Ours.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

/// Why a settlement has no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The payment will not be settled: refused before anything was sent, or failed for good on chain.
    #[error("{reject}")]
    Rejected {
        /// Why.
        reject: Reject,
        /// The transaction that failed, if one was sent.
        transaction: Option<TransactionId>,
    },
    /// Something was sent and the outcome is not known yet: ask again, never sign again.
    #[error("settlement is pending")]
    Pending {
        /// What was sent, once it is known.
        transaction: Option<TransactionId>,
    },
    /// Nothing was sent, and nothing is decided.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl From<Reject> for SettleError {
    fn from(reject: Reject) -> Self {
        Self::Rejected { reject, transaction: None }
    }
}
