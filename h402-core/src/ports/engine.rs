use super::StoreUnavailable;
use crate::{Address, Amount, AssetId, CallerKey, EvmAddress, Network, PaymentKey, Settlement, TransactionId, UnixMillis, UnixSeconds};
use alloy_primitives::Bytes;
use core::future::Future;

/// The facilitator's durable ledger: the unit of group commit, of contract tests and of crash points.
///
/// Every method that changes something is durable (on disk) before it returns. Dropping its future does not undo a
/// write that was queued.
pub trait Store: Send + Sync + 'static {
    /// Makes all of a change or none of it.
    fn apply(&self, change: Change) -> impl Future<Output = Result<Applied, StoreUnavailable>> + Send;

    /// Finds a payment by its key or by one of its aliases.
    fn payment(&self, key: &PaymentKey) -> impl Future<Output = Result<Option<PaymentRow>, StoreUnavailable>> + Send;

    /// Finds a stored transaction.
    fn transaction(
        &self,
        network: Network,
        id: &TransactionId,
    ) -> impl Future<Output = Result<Option<TransactionRow>, StoreUnavailable>> + Send;

    /// The payments of a network that are not finished, oldest first, after `after`, at most `limit`.
    fn unfinished(
        &self,
        network: Network,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaymentRow>, StoreUnavailable>> + Send;

    /// The stored transactions of a key that are not known to be mined, and the greatest nonce ever stored.
    fn lane(&self, network: Network, sender: &EvmAddress) -> impl Future<Output = Result<LanePosition, StoreUnavailable>> + Send;

    /// Whether a key is taken, by a payment or by a transaction of ours (T173).
    fn is_taken(&self, key: &PaymentKey) -> impl Future<Output = Result<bool, StoreUnavailable>> + Send;

    /// Whether the store can be written now.
    fn ready(&self) -> impl Future<Output = Result<(), StoreUnavailable>> + Send;
}

/// All that alters in one transaction of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// A new payment; conflicts if its key or one of its aliases is taken.
    pub claim: Option<NewPayment>,
    /// Changed payments; conflicts if a stored version differs from the one expected.
    pub updates: Vec<PaymentUpdate>,
    /// New transactions of ours, each with its alias key; conflicts if (network, sender, nonce, hash) or the key is taken.
    pub transactions: Vec<TransactionRow>,
    /// Transactions whose sending or mining became known.
    pub sent: Vec<SentState>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// All of it is durable.
    Applied,
    /// None of it happened: something was taken or changed meanwhile.
    Conflict,
}

/// A payment to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// The row, in version 1.
    pub row: PaymentRow,
    /// Its other names.
    pub aliases: Vec<PaymentKey>,
}

/// A changed payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentUpdate {
    /// The row as it will be; its version is one more than the stored one.
    pub row: PaymentRow,
}

/// What kind of proof a payment was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentKind {
    /// EIP-3009 authorization.
    Authorization,
    /// Signed EVM transaction of the payer.
    EvmTransaction,
    /// Sent EVM transaction.
    EvmSent,
    /// Signed Solana transaction of the payer, with our own signature where we pay its fee.
    SolanaTransaction,
    /// Sent Solana transaction.
    SolanaSent,
}

impl PaymentKind {
    /// The word under which stores keep it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::EvmTransaction => "signedTransaction",
            Self::EvmSent => "signAndSendTransaction",
            Self::SolanaTransaction => "signTransaction",
            Self::SolanaSent => "solanaSignAndSendTransaction",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Authorization, Self::EvmTransaction, Self::EvmSent, Self::SolanaTransaction, Self::SolanaSent];
        all.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A facilitator's durable record of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRow {
    /// The payment.
    pub key: PaymentKey,
    /// What was paid with.
    pub asset: AssetId,
    /// Who pays.
    pub payer: Address,
    /// Who is paid.
    pub pay_to: Address,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
    /// By what proof.
    pub kind: PaymentKind,
    /// The EIP-3009 nonce, to look for the payment on chain.
    pub nonce: Option<[u8; 32]>,
    /// Who asked for it first; none for a caller without a key.
    pub caller: Option<CallerKey>,
    /// Where it stands.
    pub state: Settlement,
    /// How it failed, stored with the failure; or that its success was told to a caller without a key.
    pub answer: Option<SettlementAnswer>,
    /// After this it cannot land any more.
    pub expires: Option<UnixSeconds>,
    /// On Solana, the block height after which it cannot land any more: the height at first sight and 150.
    pub last_block_height: Option<u64>,
    /// For an authorization, the call that settles it; for a payer's own transaction, its bytes as they are sent: as
    /// received, on Solana with our signature where we pay its fee; none for one that the payer has sent.
    pub raw: Option<Bytes>,
    /// When it was claimed.
    pub claimed_at: UnixMillis,
    /// When it last changed.
    pub updated_at: UnixMillis,
    /// Counts changes.
    pub version: u64,
}

/// How a payment ended, as far as it has to be remembered beside its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementAnswer {
    /// The success was told, to a caller without a key; nobody else is told.
    Settled,
    /// It failed; the word and text of the reason.
    Refused {
        /// [`crate::Reject::word`].
        word: String,
        /// Its text.
        text: String,
    },
}

/// A transaction that a key of ours signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// Network.
    pub network: Network,
    /// Its identifier; also stored as an alias key owned by no payment (T173).
    pub id: TransactionId,
    /// Signing account.
    pub sender: EvmAddress,
    /// Account nonce.
    pub nonce: u64,
    /// The bytes that are sent, every time the same.
    pub raw: Bytes,
    /// The payments it carries.
    pub payments: Vec<PaymentKey>,
    /// Whether it is known to be mined or replaced.
    pub done: bool,
    /// When it was signed.
    pub signed_at: UnixMillis,
}

/// News of a stored transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentState {
    /// Network.
    pub network: Network,
    /// Which.
    pub id: TransactionId,
    /// Whether it is known to be mined or replaced.
    pub done: bool,
}

/// Where a key's nonces stand in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LanePosition {
    /// Transactions not known to be mined, in nonce order.
    pub open: Vec<TransactionRow>,
    /// The greatest nonce ever stored.
    pub greatest: Option<u64>,
}
