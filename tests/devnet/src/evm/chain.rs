//! The handle on a running chain.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent};
use tokio::sync::watch;

use super::{
    block::{Block, BlockSummary, Outcome, Transfer},
    builder::Builder,
    contracts::{self, MULTICALL3, TRANSFER, Token, TokenKind},
    edit::Edit,
    execute,
    ledger::Ledger,
};
use crate::{BlockTime, Orphans, RpcError, fault::Faults, serve::Running};

/// Why a chain did not start or did not do what its owner asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port or the thread was not to be had.
    #[error("cannot serve the chain: {0}")]
    Io(#[from] std::io::Error),
    /// A compiled contract in this crate is broken.
    #[error("a compiled contract cannot be read: {0}")]
    Artifact(serde_json::Error),
    /// A call or a deployment by the chain's owner failed.
    #[error("the call failed: {0}")]
    Call(RpcError),
}

/// What the handle and the endpoint share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ledger: RwLock<Ledger>,
    pub(super) mode: watch::Sender<BlockTime>,
}

impl Shared {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Inner {
    shared: Arc<Shared>,
    faults: Faults,
    running: Running,
    chain_id: u64,
    usdc: Address,
    token: TokenKind,
}

/// A running chain; clones are handles on the same one, and it stops when the last is dropped.
#[derive(Clone)]
pub struct Chain(Arc<Inner>);

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("chain_id", &self.0.chain_id).field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Chain {
    /// Begins the settings of a new chain.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(shared: Arc<Shared>, faults: Faults, running: Running, usdc: Address, token: TokenKind) -> Self {
        let chain_id = shared.read().chain_id;
        Self(Arc::new(Inner { shared, faults, running, chain_id, usdc, token }))
    }

    /// The URL of the endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.running.address)
    }

    /// The address of the endpoint.
    pub fn socket_address(&self) -> SocketAddr {
        self.0.running.address
    }

    /// The chain id.
    pub fn chain_id(&self) -> u64 {
        self.0.chain_id
    }

    /// The token that is there from genesis.
    pub fn usdc(&self) -> Address {
        self.0.usdc
    }

    /// The name in that token's EIP-712 domain.
    pub fn usdc_name(&self) -> &str {
        self.0.token.name()
    }

    /// The version in that token's EIP-712 domain.
    pub fn usdc_version(&self) -> &str {
        self.0.token.version()
    }

    /// The address of Multicall3.
    pub fn multicall3(&self) -> Address {
        MULTICALL3
    }

    /// The faults that the endpoint shows, and the counts of what reached it.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    // Blocks and time.

    /// Makes one block of the waiting transactions and returns its number.
    #[expect(clippy::unused_async, reason = "so that making a block may come to wait for something")]
    pub async fn mine(&self) -> u64 {
        let mut ledger = self.0.shared.write();
        ledger.mine();
        ledger.height()
    }

    /// Moves the chain's clock forward; a chain that mines on demand also makes a block.
    pub fn advance_time(&self, seconds: u64) {
        self.0.shared.write().advance(seconds);
    }

    /// The chain's clock in Unix seconds: the next block has this time.
    pub fn now(&self) -> u64 {
        self.0.shared.read().now()
    }

    /// Changes when blocks are made; what waits is mined at once if that is on demand.
    pub fn set_block_time(&self, block_time: BlockTime) {
        self.0.shared.write().set_block_time(block_time);
        self.0.shared.mode.send_replace(block_time);
    }

    /// Sets the base fee of the next block in wei; the blocks after it follow the rules again.
    pub fn set_next_base_fee(&self, base_fee: u64) {
        self.0.shared.write().next_base_fee = Some(base_fee);
    }

    /// Drops the newest blocks, at most down to genesis, and returns how many; the owner's own changes stay.
    ///
    /// No block takes their place, and returned transactions are not mined before the next block is made.
    pub fn reorg(&self, depth: usize, orphans: Orphans) -> usize {
        self.0.shared.write().reorg(depth, orphans)
    }

    /// The number of the newest block.
    pub fn block_number(&self) -> u64 {
        self.0.shared.read().height()
    }

    /// All blocks from genesis on.
    pub fn blocks(&self) -> Vec<BlockSummary> {
        self.0.shared.read().blocks.iter().map(summary).collect()
    }

    // Transactions.

    /// How many calls of `eth_sendRawTransaction` were processed, whatever became of them.
    pub fn transaction_count_seen(&self) -> u64 {
        self.0.shared.read().raw_seen
    }

    /// The hashes of the transactions that wait, in no order.
    pub fn pending(&self) -> Vec<B256> {
        self.0.shared.read().pool.hashes().collect()
    }

    /// Makes the chain forget a waiting transaction and tells whether it was there.
    pub fn drop_pending(&self, hash: B256) -> bool {
        self.0.shared.write().pool.remove(&hash).is_some()
    }

    /// What became of a transaction, if it is in a block.
    pub fn outcome(&self, hash: B256) -> Option<Outcome> {
        let ledger = self.0.shared.read();
        let (number, index) = *ledger.mined.get(&hash)?;
        let block = ledger.blocks.get(number)?;
        let receipt = block.receipts.get(index)?;
        Some(Outcome { block: block.header.number, success: receipt.success, gas_used: receipt.gas_used })
    }

    /// All transfers of a token in blocks, from the receipts themselves and in their order.
    pub fn transfers(&self, token: Address) -> Vec<Transfer> {
        let ledger = self.0.shared.read();
        let mut transfers = Vec::new();
        for block in &ledger.blocks {
            for (tx, _, _, log) in Ledger::logs(block) {
                if log.address != token || log.topics().first() != Some(&TRANSFER) {
                    continue;
                }
                let Ok(event) = Token::Transfer::decode_log_data(&log.data) else { continue };
                transfers.push(Transfer {
                    tx_hash: tx.hash(),
                    block: block.header.number,
                    from: event.from,
                    to: event.to,
                    value: event.value,
                });
            }
        }
        transfers
    }

    // State.

    /// What a token says that an account has of it; zero if there is no token.
    pub fn balance_of(&self, token: Address, owner: Address) -> U256 {
        let call = Token::balanceOfCall { account: owner }.abi_encode();
        let output = self.call(token, call.into());
        output.ok().and_then(|output| Token::balanceOfCall::abi_decode_returns(&output).ok()).unwrap_or_default()
    }

    /// Whether a token says that an authorization is used or cancelled; false if there is no token.
    pub fn authorization_used(&self, token: Address, authorizer: Address, nonce: B256) -> bool {
        let call = Token::authorizationStateCall { authorizer, nonce }.abi_encode();
        let output = self.call(token, call.into());
        output.ok().is_some_and(|output| Token::authorizationStateCall::abi_decode_returns(&output) == Ok(true))
    }

    /// What an account has of the chain's own coin, in wei.
    pub fn native_balance(&self, who: Address) -> U256 {
        self.0.shared.read().state.account(&who).balance
    }

    /// How many transactions an account has in blocks.
    pub fn nonce(&self, who: Address) -> u64 {
        self.0.shared.read().state.account(&who).nonce
    }

    /// Makes a call on the newest state and changes nothing.
    pub fn call(&self, to: Address, data: Bytes) -> Result<Bytes, Error> {
        let run = self.0.shared.read().run_free(Address::ZERO, 0, TxKind::Call(to), data)?;
        execute::output(run.result).map_err(Error::Call)
    }

    // Changes by the owner, outside of any block.

    /// Deploys a token and returns its address.
    pub fn deploy(&self, token: TokenKind) -> Result<Address, Error> {
        self.create(token.init_code()?)
    }

    /// Deploys a contract that refuses the chain's own coin.
    pub fn deploy_rejects_ether(&self) -> Result<Address, Error> {
        self.create(contracts::rejects_ether()?)
    }

    /// Deploys an account with ERC-1271 signatures, which are those of its owner.
    pub fn deploy_smart_wallet(&self, owner: Address) -> Result<Address, Error> {
        self.create(contracts::smart_wallet(owner)?)
    }

    /// Deploys any contract, given its creation code with the constructor's arguments.
    pub fn create(&self, code: Bytes) -> Result<Address, Error> {
        let created = self.0.shared.write().edit(Edit::Create(code))?;
        created.ok_or_else(|| Error::Call(RpcError::server("no contract was created")))
    }

    /// Mints tokens; there is no transaction and no event in any block.
    pub fn mint(&self, token: Address, to: Address, amount: U256) -> Result<(), Error> {
        self.execute(token, Token::mintCall { to, amount }.abi_encode().into())
    }

    /// Pauses a token or lets it go on.
    pub fn set_paused(&self, token: Address, paused: bool) -> Result<(), Error> {
        let call = if paused { Token::pauseCall {}.abi_encode() } else { Token::unpauseCall {}.abi_encode() };
        self.execute(token, call.into())
    }

    /// Puts an account on a token's blacklist or takes it off.
    pub fn blacklist(&self, token: Address, who: Address, listed: bool) -> Result<(), Error> {
        let call =
            if listed { Token::blacklistCall { account: who }.abi_encode() } else { Token::unBlacklistCall { account: who }.abi_encode() };
        self.execute(token, call.into())
    }

    /// Makes any call by the chain's owner and keeps what it changes.
    pub fn execute(&self, to: Address, data: Bytes) -> Result<(), Error> {
        self.0.shared.write().edit(Edit::Call(to, data)).map(drop)
    }

    /// Puts runtime code at an address.
    pub fn set_code(&self, at: Address, code: Bytes) -> Result<(), Error> {
        self.0.shared.write().edit(Edit::Code(at, code)).map(drop)
    }

    /// Sets what an account has of the chain's own coin, in wei.
    pub fn set_balance(&self, who: Address, balance: U256) -> Result<(), Error> {
        self.0.shared.write().edit(Edit::Balance(who, balance)).map(drop)
    }

    // The endpoint.

    /// Sets how many blocks one `eth_getLogs` may ask for, as public endpoints do.
    pub fn set_log_range(&self, blocks: Option<u64>) {
        self.0.shared.write().log_range = blocks;
    }

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

fn summary(block: &Block) -> BlockSummary {
    BlockSummary {
        number: block.header.number,
        hash: block.hash,
        timestamp: block.header.timestamp,
        base_fee: block.header.base_fee_per_gas.unwrap_or_default(),
        gas_used: block.header.gas_used,
        transactions: block.transactions.iter().map(|tx| tx.hash()).collect(),
    }
}
