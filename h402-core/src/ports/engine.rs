use super::{Fence, HoldAnswer, HoldAsk, LeaseAnswer, LeaseAsk, PaymentTotal, Reconciliation, ReconciliationPass, StoreUnavailable};
use crate::{Address, Amount, AssetId, CallerKey, EvmAddress, Network, PaymentKey, Settlement, TransactionId, UnixMillis, UnixSeconds};
use alloy_primitives::{Bytes, U256};
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

    /// The open payments of a payer in an asset, all of them, in any order: what they promise of its balance. Asked whenever a
    /// payer is met that was not lately, so this must cost no more than a look into an index.
    fn promised(&self, payer: &Address, asset: AssetId) -> impl Future<Output = Result<Vec<PaymentRow>, StoreUnavailable>> + Send;

    /// The keys of open payments of a network that are as they were claimed: nobody has changed them since. In the order of
    /// keys, after `after`, at most `limit`. Whoever drives the network asks for them several times a second, so this must
    /// cost no more than a look into an index, however many payments there are.
    fn untouched(
        &self,
        network: Network,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaymentKey>, StoreUnavailable>> + Send;

    /// The stored transactions of a key that are not known to be mined, from the nonce `from` on, at most `limit`, and the
    /// greatest nonce ever stored.
    fn lane(
        &self,
        network: Network,
        sender: &EvmAddress,
        from: u64,
        limit: u32,
    ) -> impl Future<Output = Result<LanePosition, StoreUnavailable>> + Send;

    /// Whether a key is taken, by a payment or by a transaction of ours (T173).
    fn is_taken(&self, key: &PaymentKey) -> impl Future<Output = Result<bool, StoreUnavailable>> + Send;

    /// Takes the lease of a network, renews it, or says how long somebody else still has it.
    ///
    /// Who drives a network holds its lease, one at a time; times are by the store's own clock, and whoever is answered
    /// [`LeaseAnswer::Held`] counts the time left from before it asked. A lease whose time is over is anybody's, and until
    /// somebody else has taken it its holder may renew it under the same epoch.
    fn lease(&self, ask: LeaseAsk) -> impl Future<Output = Result<LeaseAnswer, StoreUnavailable>> + Send;

    /// Gives a lease back, so that the next one need not wait, and fences what its holder would still write. Nothing
    /// happens if `holder` does not have it.
    fn release(&self, network: Network, holder: [u8; 16]) -> impl Future<Output = Result<(), StoreUnavailable>> + Send;

    /// What the transactions that a key signed at `since` or later have cost, as far as it is known, in the network's
    /// smallest unit. Reads a row for each of them.
    fn spent(
        &self,
        network: Network,
        sender: &EvmAddress,
        since: UnixMillis,
    ) -> impl Future<Output = Result<U256, StoreUnavailable>> + Send;

    /// The payments of a network that ended at `since` or later and were not settled, the latest first, at most `limit`.
    fn failed(
        &self,
        network: Network,
        since: UnixMillis,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaymentRow>, StoreUnavailable>> + Send;

    /// The payments of a network by [`PaymentKind::SolanaTransaction`] that were claimed at `since` or later, oldest first,
    /// after `after`, at most `limit`.
    fn signed_since(
        &self,
        network: Network,
        since: UnixMillis,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaymentRow>, StoreUnavailable>> + Send;

    /// The payments of a network that are final, in the order in which they became it and by key within it, after `after`,
    /// none that became it later than `until`, at most `limit`.
    fn finals(
        &self,
        network: Network,
        after: Option<(UnixMillis, PaymentKey)>,
        until: UnixMillis,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaymentRow>, StoreUnavailable>> + Send;

    /// How far a network's ledger was compared with its chain, and the differences that nobody has accepted yet.
    fn reconciliation(&self, network: Network) -> impl Future<Output = Result<Reconciliation, StoreUnavailable>> + Send;

    /// Stores what came of comparing, all of it or none. A difference that is known already stays as it is, and how far it got
    /// never goes back, so that a pass may be stored twice.
    fn reconcile(&self, pass: ReconciliationPass) -> impl Future<Output = Result<(), StoreUnavailable>> + Send;

    /// Accepts all differences of a network that are not accepted yet, and says how many those were.
    fn accept_differences(&self, network: Network, now: UnixMillis) -> impl Future<Output = Result<u64, StoreUnavailable>> + Send;

    /// How many payments of each network are in each state, all as of one moment.
    fn totals(&self) -> impl Future<Output = Result<Vec<PaymentTotal>, StoreUnavailable>> + Send;

    /// Whether other processes may work on it at the same time. If not, the one that does keeps in its memory what payments
    /// promise, and [`Store::hold`] and those after it are not asked.
    fn is_shared(&self) -> bool;

    /// Holds a payment that was found good, so that every process knows what it promises of its payer's balance, and answers
    /// what else is promised. In one step: of any number of exclusive asks for a payment, one is told
    /// [`HoldAnswer::Held`], and of two payments of a payer at least one learns of the other.
    ///
    /// A hold ends with its time, by the store's clock, and counts no more once its payment is claimed: then that counts.
    /// It need not survive a crash of the store.
    fn hold(&self, ask: HoldAsk) -> impl Future<Output = Result<HoldAnswer, StoreUnavailable>> + Send;

    /// Ends a hold.
    fn let_go(&self, key: &PaymentKey) -> impl Future<Output = Result<(), StoreUnavailable>> + Send;

    /// Whether a payment is held now.
    fn is_held(&self, key: &PaymentKey) -> impl Future<Output = Result<bool, StoreUnavailable>> + Send;

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
    /// The lease this is written under; none for what needs none, as a claim.
    pub fence: Option<Fence>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// All of it is durable.
    Applied,
    /// None of it happened: something was taken or changed meanwhile.
    Conflict,
    /// None of it happened: the lease it was to be written under is no longer the current one.
    Fenced,
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
    /// Transfer through Permit2, of either scheme.
    Permit2,
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
            Self::Permit2 => "permit2",
            Self::EvmTransaction => "signedTransaction",
            Self::EvmSent => "signAndSendTransaction",
            Self::SolanaTransaction => "signTransaction",
            Self::SolanaSent => "solanaSignAndSendTransaction",
        }
    }

    /// Whether a key of the facilitator signs the transaction that settles it.
    #[must_use]
    pub const fn is_carried(self) -> bool {
        match self {
            Self::Authorization | Self::Permit2 => true,
            Self::EvmTransaction | Self::EvmSent | Self::SolanaTransaction | Self::SolanaSent => false,
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Authorization, Self::Permit2, Self::EvmTransaction, Self::EvmSent, Self::SolanaTransaction, Self::SolanaSent];
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
    /// The nonce of an EIP-3009 authorization or a Permit2 transfer, to look for the payment on chain.
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
    /// For an authorization or a Permit2 transfer, the call that settles it; for a payer's own transaction, its bytes as they are sent: as
    /// received, on Solana with our signature where we pay its fee; none for one that the payer has sent.
    pub raw: Option<Bytes>,
    /// When it was claimed.
    pub claimed_at: UnixMillis,
    /// When it last changed.
    pub updated_at: UnixMillis,
    /// Counts changes.
    pub version: u64,
}

impl PaymentRow {
    /// Whether the payer owes it: it was settled, its block was dropped from the chain, and it cannot be made any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let lost = crate::Reject::Lost.word();
        matches!(&self.answer, Some(SettlementAnswer::Refused { word, .. }) if word == lost) && self.state.is_decided()
    }
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
    /// What it has cost in the network's smallest unit, once that is known.
    pub cost: Option<U256>,
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
    /// What it has cost in the network's smallest unit; none leaves what is stored.
    pub cost: Option<U256>,
}

/// Where a key's nonces stand in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LanePosition {
    /// Transactions not known to be mined, in nonce order.
    pub open: Vec<TransactionRow>,
    /// The greatest nonce ever stored.
    pub greatest: Option<u64>,
}
