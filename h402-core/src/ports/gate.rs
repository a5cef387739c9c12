use super::StoreUnavailable;
use crate::{
    Address, Amount, AssetId, CallerKey, Checked, Dialect, EvmAddress, Grant, Matched, Network, PaymentKey, Receipt, Scheme, SettleError,
    Settlement, SolanaHints, Undecided, UnixMillis, Verified, VerifyError,
};
use alloy_primitives::{Bytes, U256};
use core::future::Future;

/// Verifies and settles payments: in this process, or over HTTP.
pub trait Facilitator: Send + Sync + 'static {
    /// What it can verify and settle. Asked in the background, never while a 402 waits.
    fn supported(&self) -> impl Future<Output = Result<Supported, Undecided>> + Send;

    /// Asks the chain and says whether the payment is good. Reserves the payer's balance for a short time.
    ///
    /// # Errors
    /// [`VerifyError`].
    ///
    /// # Cancel safety
    /// May be dropped at any time; a reservation lapses by itself.
    fn verify(&self, payment: Checked, caller: CallerKey) -> impl Future<Output = Result<Verified, VerifyError>> + Send;

    /// Settles a claimed payment. Calling again with the same claim is safe and gives the same answer.
    ///
    /// # Errors
    /// [`SettleError`]; [`SettleError::Pending`] is not a failure.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop a settlement that has begun.
    fn settle(&self, payment: &Claimed, caller: CallerKey) -> impl Future<Output = Result<Receipt, SettleError>> + Send;

    /// Says how a payment stands.
    fn lookup(&self, payment: &PaymentKey) -> impl Future<Output = Result<Lookup, Undecided>> + Send;
}

/// What a facilitator says about one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It never took it on.
    Unknown,
    /// Where its settlement stands.
    Known(Settlement),
}

/// What a facilitator can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supported {
    /// One entry for each dialect, scheme and network.
    pub kinds: Vec<SupportedKind>,
    /// Whether an accepted verify reserves the payer's balance, so that several payments of one payer can be open.
    pub reserves: bool,
    /// The accounts that send and pay for transactions: x402 lists them.
    pub signers: Vec<Address>,
}

/// One combination that a facilitator supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportedKind {
    /// Dialect.
    pub dialect: Dialect,
    /// Scheme.
    pub scheme: Scheme,
    /// Network.
    pub network: Network,
    /// What a payer on Solana may want to know, to be passed on in a 402.
    pub solana: Option<SolanaHints>,
    /// Who settles scheme `upto`, to be passed on in a 402: the same account as long as the process and its replicas live.
    pub facilitator: Option<EvmAddress>,
}

/// Remembers which payment opened which request: durable, one row per payment.
///
/// A row may be forgotten after [`Grant::expires_at`], and never while it is owed or credited. Dropping a future does
/// not undo a write that was queued.
pub trait Grants: Send + Sync + 'static {
    /// A random identity of this store, as durable as its rows: gates that share the store are one caller.
    fn identity(&self) -> [u8; 32];

    /// Claims a payment with ONE durable insert, unique over its key and all its aliases.
    ///
    /// Of any number of concurrent calls for one payment, on any number of processes, exactly one gets
    /// [`Claim::New`]. The row is durable before this returns.
    fn claim(&self, grant: NewGrant, verified: Verified) -> impl Future<Output = Result<Claim, StoreUnavailable>> + Send;

    /// Finds the grant of a payment, by its key or one of its aliases, with the stored answer if there is one.
    fn load(&self, key: &PaymentKey) -> impl Future<Output = Result<Option<(Grant, Option<StoredAnswer>)>, StoreUnavailable>> + Send;

    /// Writes a changed row if the stored version is `grant.version - 1`; `answer` is stored beside it if given.
    /// `false` if somebody else changed it. Durable before it returns.
    fn update(&self, grant: &Grant, answer: Option<StoredAnswer>) -> impl Future<Output = Result<bool, StoreUnavailable>> + Send;

    /// The rows that owe something ([`crate::GrantState::is_owing`]), oldest claim first and by key within it, after
    /// `after`, at most `limit`: a page that is shorter is the last.
    fn owing(
        &self,
        after: Option<(UnixMillis, PaymentKey)>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Grant>, StoreUnavailable>> + Send;

    /// What a payer has open and has failed to pay since a time, in this asset.
    fn exposure(
        &self,
        payer: &Address,
        asset: &AssetId,
        failed_since: UnixMillis,
    ) -> impl Future<Output = Result<Exposure, StoreUnavailable>> + Send;
}

/// A payment about to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The row as it will be, in state [`crate::GrantState::Running`], version 1.
    pub grant: Grant,
    /// The payment's other names.
    pub aliases: Vec<PaymentKey>,
    /// At most this many rows of the payer and asset may be running or settling, this one included.
    pub max_unsettled: u32,
}

/// What came of a claim.
#[derive(Debug, Clone)]
pub enum Claim {
    /// The payment is ours.
    New(Claimed),
    /// Somebody was first; here is the row.
    Known(Box<Grant>),
    /// The payer has too much open.
    TooManyUnsettled,
}

/// A claimed payment: the only key to a handler and to settling.
#[derive(Debug, Clone)]
pub struct Claimed {
    matched: Matched,
    grant: Grant,
}

impl Claimed {
    /// States that `grant` is durably stored for this payment. Only a [`Grants`] store may say so, or the gate
    /// about a row it has just loaded or updated.
    #[must_use]
    pub fn assertion(matched: Matched, grant: Grant) -> Self {
        Self { matched, grant }
    }

    /// The payment.
    #[must_use]
    pub fn matched(&self) -> &Matched {
        &self.matched
    }

    /// The stored row.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
}

/// How much one payer has open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Rows that are running or settling.
    pub unsettled: u32,
    /// Capture rows whose settlement was refused after the handler had run.
    pub failed: u32,
}

/// A handler's answer, kept so that the same request gets it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Bytes,
}

impl StoredAnswer {
    /// Longest body that is kept, in bytes.
    pub const MAX_BODY: usize = 64 * 1024;
    /// How long it is kept, in seconds.
    pub const KEPT_SECONDS: u64 = 600;
}

/// Facts a payer needs from the chain for payloads that are transactions. Authorizations need none.
pub trait Hints: Send + Sync + 'static {
    /// Reads what is needed to build a transaction on an EVM chain.
    fn transaction(&self, needed: HintsNeeded) -> impl Future<Output = Result<TransactionHints, Undecided>> + Send;

    /// Reads what a payer must know to pay through Permit2 without a transaction of its own. A source that knows nothing of
    /// it need not have this.
    fn permit2(&self, _needed: Permit2Needed) -> impl Future<Output = Result<Permit2Hints, Undecided>> + Send {
        async { Err(Undecided::Chain) }
    }

    /// Reads a recent blockhash of a Solana cluster: one that is confirmed, so that it will not go away.
    fn blockhash(&self, network: Network) -> impl Future<Output = Result<[u8; 32], Undecided>> + Send;
}

/// The transaction a payer wants to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintsNeeded {
    /// Network.
    pub network: Network,
    /// Sender.
    pub from: EvmAddress,
    /// Called account.
    pub to: EvmAddress,
    /// Native value in wei.
    pub value: U256,
    /// Call data.
    pub input: Bytes,
}

/// The token that is to be paid through Permit2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Needed {
    /// Network.
    pub network: Network,
    /// Who pays.
    pub owner: EvmAddress,
    /// With what.
    pub token: EvmAddress,
}

/// Facts for a payment through Permit2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Hints {
    /// How much of the token Permit2 may move, in its smallest unit.
    pub allowance: Amount,
    /// The payer's next EIP-2612 nonce at the token; none if the token does not say.
    pub permit_nonce: Option<U256>,
}

/// Facts for an EVM transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionHints {
    /// The sender's next account nonce.
    pub nonce: u64,
    /// Price per gas in wei.
    pub gas_price: u128,
    /// Estimated gas.
    pub gas: u64,
}
