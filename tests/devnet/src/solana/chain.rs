//! The handle on a running chain.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use solana_account::Account;
use solana_commitment_config::CommitmentLevel;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_program_error::ProgramError;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::TransactionStatusMeta;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_token_2022_interface::{extension::pausable, instruction};
use tokio::sync::watch;

use super::{
    config::SolanaConfig,
    edit::Edit,
    ledger::{Ledger, Outcome, WINDOW},
    mint::MintConfig,
    pool::Delivery,
    tokens,
};
use crate::{BlockTime, Orphans, fault::Faults, serve::Running};

/// Why a chain did not start or did not do what its owner asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port or the thread was not to be had.
    #[error("cannot serve the chain: {0}")]
    Io(#[from] std::io::Error),
    /// Instructions of the chain's owner failed.
    #[error("the instructions failed: {error}: {logs:?}")]
    Failed {
        /// Why.
        error: TransactionError,
        /// What the programs said.
        logs: Vec<String>,
    },
    /// An account cannot be as it was to be.
    #[error("the account cannot be put there: {0}")]
    Account(String),
    /// An instruction cannot be made of these arguments.
    #[error("the instruction cannot be made: {0}")]
    Instruction(#[from] ProgramError),
    /// There is no such mint.
    #[error("{0} is no mint")]
    NoMint(Pubkey),
    /// SPL Token has no extensions.
    #[error("extensions need Token-2022")]
    NoExtensions,
}

/// What the handle and the endpoint share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ledger: Mutex<Ledger>,
    pub(super) mode: watch::Sender<BlockTime>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Inner {
    shared: Arc<Shared>,
    faults: Faults,
    running: Running,
    genesis: Hash,
    usdc: Pubkey,
}

/// A running chain; clones are handles on the same one, and it stops when the last is dropped.
#[derive(Clone)]
pub struct SolanaChain(Arc<Inner>);

impl std::fmt::Debug for SolanaChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SolanaChain").field("genesis", &self.0.genesis).field("url", &self.url()).finish_non_exhaustive()
    }
}

impl SolanaChain {
    /// Makes the genesis state and serves the chain from a thread of its own.
    pub async fn start(config: SolanaConfig) -> Result<Self, Error> {
        config.start().await
    }

    pub(super) fn new(shared: Arc<Shared>, faults: Faults, running: Running, genesis: Hash, usdc: Pubkey) -> Self {
        Self(Arc::new(Inner { shared, faults, running, genesis, usdc }))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.shared.lock()
    }

    /// The URL of the endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.running.address)
    }

    /// The address of the endpoint.
    pub fn socket_address(&self) -> SocketAddr {
        self.0.running.address
    }

    /// The genesis hash; its text is in base58.
    pub fn genesis_hash(&self) -> Hash {
        self.0.genesis
    }

    /// The token that is there from genesis, with 6 decimals.
    pub fn usdc(&self) -> Pubkey {
        self.0.usdc
    }

    /// The faults that the endpoint shows, and the counts of what reached it.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    // Slots and time.

    /// The slot of the newest block.
    pub fn slot(&self) -> u64 {
        self.ledger().tip().slot
    }

    /// The height of the newest block.
    pub fn block_height(&self) -> u64 {
        self.ledger().tip().height
    }

    /// The newest confirmed blockhash, and the last height at which a transaction with it may land.
    pub fn latest_blockhash(&self) -> (Hash, u64) {
        let ledger = self.ledger();
        let block = ledger.newest(CommitmentLevel::Confirmed);
        (block.hash, block.height + WINDOW)
    }

    /// Lets slots pass, each with a block.
    pub fn advance_slots(&self, slots: u64) {
        self.ledger().advance(slots);
    }

    /// Lets as many slots pass as finalize all that has landed.
    pub fn finalize(&self) {
        let mut ledger = self.ledger();
        let slots = ledger.finalized_after;
        ledger.advance(slots);
    }

    /// Lets as many slots pass as make every blockhash that is known so far dead, and finalize that.
    pub fn expire_blockhashes(&self) {
        let mut ledger = self.ledger();
        let slots = WINDOW + 1 + ledger.finalized_after;
        ledger.advance(slots);
    }

    /// Changes when slots pass.
    pub fn set_slot_time(&self, slot_time: BlockTime) {
        self.ledger().block_time = slot_time;
        self.0.shared.mode.send_replace(slot_time);
    }

    /// Moves the chain's clock forward, from the next block on.
    pub fn advance_time(&self, seconds: u64) {
        self.ledger().ahead += Duration::from_secs(seconds);
    }

    /// The time of the newest block in Unix seconds.
    pub fn now(&self) -> i64 {
        self.ledger().tip().time
    }

    /// Drops the newest blocks with all that they changed, and returns how many; the owner's own changes stay.
    ///
    /// Their blockhashes die, and slots go on. A block that is kept is not changed, so a depth of one reopens the newest. At most
    /// the last 64 blocks with transactions can be dropped.
    pub fn fork(&self, depth: u64, orphans: Orphans) -> u64 {
        self.ledger().fork(depth, orphans)
    }

    /// Drops the block of a transaction and all later ones; tells whether that was done.
    pub fn fork_away(&self, signature: &Signature, orphans: Orphans) -> bool {
        let mut ledger = self.ledger();
        let Some(height) = ledger.landed.get(signature).map(|landed| landed.height) else { return false };
        let depth = ledger.tip().height + 1 - height;
        ledger.fork(depth, orphans);
        !ledger.landed.contains_key(signature)
    }

    // Transactions.

    /// Sends a transaction past the endpoint, as if it came from another node.
    pub fn send(&self, transaction: VersionedTransaction) {
        self.ledger().submit(transaction);
    }

    /// The first signatures of all transactions that were sent, in order and as often as they were, also of those that were lost.
    pub fn sent(&self) -> Vec<Signature> {
        self.ledger().pool.sent.clone()
    }

    /// Sets what becomes of transactions that are sent from now on.
    pub fn set_delivery(&self, delivery: Delivery) {
        self.ledger().pool.usual = delivery;
    }

    /// Sets what becomes of the next transactions that are sent, this many.
    pub fn deliver_next(&self, count: usize, delivery: Delivery) {
        self.ledger().pool.next.extend(std::iter::repeat_n(delivery, count));
    }

    /// The first signatures of the transactions that are held.
    pub fn held(&self) -> Vec<Signature> {
        self.ledger().pool.held.iter().map(|transaction| transaction.signatures[0]).collect()
    }

    /// Lets the held transactions land, in the order in which they came.
    pub fn release(&self) {
        let mut ledger = self.ledger();
        for transaction in std::mem::take(&mut ledger.pool.held) {
            ledger.land_now(transaction);
        }
    }

    /// Loses the held transactions.
    pub fn drop_held(&self) {
        self.ledger().pool.held.clear();
    }

    /// What became of a transaction, if it is in a block.
    pub fn outcome(&self, signature: &Signature) -> Option<Outcome> {
        self.ledger().outcome(signature)
    }

    /// What a transaction that is in a block did: balances before and after, logs, inner instructions.
    pub fn effects(&self, signature: &Signature) -> Option<TransactionStatusMeta> {
        self.ledger().landed.get(signature).map(|landed| landed.meta.clone())
    }

    /// The first signatures of all transactions in blocks, in their order.
    pub fn landed(&self) -> Vec<Signature> {
        self.ledger().blocks().iter().flat_map(|block| block.landed.iter().copied()).collect()
    }

    // State, at the newest block.

    /// What an account has, in lamports.
    pub fn lamports(&self, key: impl Into<Pubkey>) -> u64 {
        self.account(key).map_or(0, |account| account.lamports)
    }

    /// An account, if it holds lamports.
    pub fn account(&self, key: impl Into<Pubkey>) -> Option<Account> {
        let ledger = self.ledger();
        ledger.account(&key.into(), ledger.tip().height)
    }

    /// The address of an owner's associated token account, whether or not it exists; `None` if there is no such mint.
    pub fn token_account(&self, owner: impl Into<Pubkey>, mint: impl Into<Pubkey>) -> Option<Pubkey> {
        let (owner, mint) = (owner.into(), mint.into());
        let program = self.ledger().program_of(&mint).ok()?;
        Some(get_associated_token_address_with_program_id(&owner, &mint, &program))
    }

    /// What an owner has in the associated token account, in atomic units; zero if that does not exist.
    pub fn token_balance(&self, owner: impl Into<Pubkey>, mint: impl Into<Pubkey>) -> u64 {
        let account = self.token_account(owner, mint).and_then(|account| self.account(account));
        account.and_then(|account| tokens::token(&account)).map_or(0, |token| token.amount)
    }

    // Changes by the owner, outside of any block.

    /// Gives lamports.
    pub fn airdrop(&self, to: impl Into<Pubkey>, lamports: u64) -> Result<(), Error> {
        self.ledger().edit(Edit::Lamports(to.into(), lamports))
    }

    /// Creates a mint and returns its address.
    pub fn create_mint(&self, config: MintConfig) -> Result<Pubkey, Error> {
        let mint = Keypair::new().pubkey();
        self.ledger().create_mint(mint, &config)?;
        Ok(mint)
    }

    /// Creates an owner's associated token account, if there is none, and returns its address.
    pub fn create_token_account(&self, owner: impl Into<Pubkey>, mint: impl Into<Pubkey>) -> Result<Pubkey, Error> {
        self.ledger().create_token_account(owner.into(), mint.into())
    }

    /// Mints to an owner's associated token account, creating that if need be, and returns its address.
    pub fn mint_to(&self, owner: impl Into<Pubkey>, mint: impl Into<Pubkey>, amount: u64) -> Result<Pubkey, Error> {
        self.ledger().mint_to(owner.into(), mint.into(), amount)
    }

    /// Freezes an owner's associated token account or thaws it.
    pub fn set_frozen(&self, owner: impl Into<Pubkey>, mint: impl Into<Pubkey>, frozen: bool) -> Result<(), Error> {
        let (owner, mint) = (owner.into(), mint.into());
        let mut ledger = self.ledger();
        let account = get_associated_token_address_with_program_id(&owner, &mint, &ledger.program_of(&mint)?);
        let by = ledger.svm.airdrop_pubkey();
        ledger.run_token(&mint, |id| match frozen {
            true => instruction::freeze_account(id, &account, &mint, &by, &[]),
            false => instruction::thaw_account(id, &account, &mint, &by, &[]),
        })
    }

    /// Pauses all transfers of a pausable mint or lets them go on.
    pub fn set_paused(&self, mint: impl Into<Pubkey>, paused: bool) -> Result<(), Error> {
        let mint = mint.into();
        let mut ledger = self.ledger();
        let by = ledger.svm.airdrop_pubkey();
        ledger.run_token(&mint, |id| match paused {
            true => pausable::instruction::pause(id, &mint, &by, &[]),
            false => pausable::instruction::resume(id, &mint, &by, &[]),
        })
    }

    /// Puts an account where it says; one without lamports goes away.
    pub fn set_account(&self, key: impl Into<Pubkey>, account: Account) -> Result<(), Error> {
        self.ledger().edit(Edit::Account(key.into(), account))
    }

    /// Runs instructions, whoever must have signed them, and keeps what they change.
    pub fn execute(&self, instructions: Vec<Instruction>) -> Result<(), Error> {
        self.ledger().edit(Edit::Run(instructions))
    }

    // The endpoint.

    /// Closes all connections and refuses new ones; the chain goes on.
    pub async fn pause(&self) {
        self.0.running.gatekeeper.close().await;
    }

    /// Serves on the same port again.
    pub async fn resume(&self) {
        self.0.running.gatekeeper.open().await;
    }

    /// Stops the chain for all its handles and waits until its port is free.
    pub async fn stop(&self) {
        self.0.running.stop().await;
    }
}
