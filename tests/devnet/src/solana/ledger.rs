//! The chain itself: blocks, states and what landed, changed under one lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use litesvm::LiteSVM;
use sha2::{Digest, Sha256};
use solana_account::Account;
use solana_commitment_config::CommitmentLevel;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::TransactionStatusMeta;

use super::{pool::Pool, sysvars, tokens};
use crate::{BlockTime, Orphans};

/// How many blocks after the one of its hash a transaction may land.
pub(super) const WINDOW: u64 = 150;
/// How many closed blocks are there at the start, so that the first transactions find a chain in its usual state.
const GENESIS_BLOCKS: u64 = 200;
/// The first slot; far from the heights, so that nobody takes one for the other.
const GENESIS_SLOT: u64 = 1_000;
/// How many states from before a block's transactions are kept: how deep a fork can be on a busy chain.
const KEPT: usize = 64;

/// A block, of which the newest is still open.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) height: u64,
    pub(super) slot: u64,
    /// The hash that transactions may name from this block on.
    pub(super) hash: Hash,
    pub(super) time: i64,
    pub(super) landed: Vec<Signature>,
}

/// A transaction in a block.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) transaction: VersionedTransaction,
    /// The hash of its message, which makes two transactions the same.
    pub(super) message: Hash,
    pub(super) height: u64,
    pub(super) slot: u64,
    pub(super) index: u32,
    pub(super) time: i64,
    pub(super) meta: TransactionStatusMeta,
}

/// What became of a transaction that is in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The slot of its block.
    pub slot: u64,
    /// The height of its block.
    pub block_height: u64,
    /// Why it failed, if it did; then it only paid its fee.
    pub error: Option<TransactionError>,
    /// Its fee in lamports.
    pub fee: u64,
    /// How settled its block is.
    pub commitment: CommitmentLevel,
}

/// The state before the first change of a block, and so at the end of the block before.
struct Past {
    height: u64,
    state: LiteSVM,
}

pub(super) struct Ledger {
    pub(super) genesis: Hash,
    pub(super) block_time: BlockTime,
    /// How many blocks make one confirmed, and finalized.
    pub(super) confirmed_after: u64,
    pub(super) finalized_after: u64,
    /// The state at the newest block.
    pub(super) svm: LiteSVM,
    past: VecDeque<Past>,
    blocks: Vec<Block>,
    hashes: HashMap<Hash, u64>,
    pub(super) landed: HashMap<Signature, Arc<Landed>>,
    /// The height at which each message landed.
    messages: HashMap<Hash, u64>,
    pub(super) pool: Pool,
    pub(super) ahead: Duration,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("genesis", &self.genesis).field("tip", self.tip()).finish_non_exhaustive()
    }
}

impl Ledger {
    pub(super) fn new(genesis: Hash, block_time: BlockTime, confirmed_after: u64, finalized_after: u64) -> Self {
        // LiteSVM knows one live blockhash and remembers by signature; both checks are made here instead.
        let svm = LiteSVM::new().with_blockhash_check(false).with_sigverify(false);
        let first = Block { height: 1, slot: GENESIS_SLOT, hash: genesis, time: unix_time(Duration::ZERO), landed: Vec::new() };
        let mut ledger = Self {
            genesis,
            block_time,
            confirmed_after,
            finalized_after,
            svm,
            past: VecDeque::new(),
            hashes: HashMap::from([(first.hash, first.height)]),
            blocks: vec![first],
            landed: HashMap::new(),
            messages: HashMap::new(),
            pool: Pool::default(),
            ahead: Duration::ZERO,
        };
        ledger.advance(GENESIS_BLOCKS);
        ledger
    }

    // Reading.

    /// The newest block.
    pub(super) fn tip(&self) -> &Block {
        &self.blocks[self.blocks.len() - 1]
    }

    /// The newest block that is as settled as this.
    pub(super) fn newest(&self, level: CommitmentLevel) -> &Block {
        let age = match level {
            CommitmentLevel::Processed => 0,
            CommitmentLevel::Confirmed => self.confirmed_after,
            CommitmentLevel::Finalized => self.finalized_after,
        };
        self.block(self.tip().height.saturating_sub(age)).unwrap_or(&self.blocks[0])
    }

    pub(super) fn block(&self, height: u64) -> Option<&Block> {
        let index = usize::try_from(height.checked_sub(1)?).ok()?;
        self.blocks.get(index)
    }

    /// The blocks up to this height, oldest first.
    pub(super) fn blocks_up_to(&self, height: u64) -> &[Block] {
        &self.blocks[..self.blocks.len().min(height as usize)]
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// How settled a block of this height is.
    pub(super) fn commitment(&self, height: u64) -> CommitmentLevel {
        let age = self.tip().height.saturating_sub(height);
        if age >= self.finalized_after {
            CommitmentLevel::Finalized
        } else if age >= self.confirmed_after {
            CommitmentLevel::Confirmed
        } else {
            CommitmentLevel::Processed
        }
    }

    /// The state at the end of the block of this height, besides what [`Ledger::sysvar`] gives.
    pub(super) fn state(&self, height: u64) -> &LiteSVM {
        self.past.iter().find(|past| past.height > height).map_or(&self.svm, |past| &past.state)
    }

    /// An account at the end of the block of this height.
    pub(super) fn account(&self, key: &Pubkey, height: u64) -> Option<Account> {
        self.sysvar(key, height).or_else(|| tokens::read(self.state(height), key))
    }

    /// The height after which a hash is dead, if it is live at the block of this height.
    pub(super) fn last_valid(&self, hash: &Hash, height: u64) -> Option<u64> {
        let last = self.hashes.get(hash).filter(|born| **born <= height)? + WINDOW;
        (height <= last).then_some(last)
    }

    /// The height at which a message landed, if that was not above this one.
    pub(super) fn landed_at(&self, message: &Hash, height: u64) -> Option<u64> {
        self.messages.get(message).copied().filter(|landed| *landed <= height)
    }

    pub(super) fn outcome(&self, signature: &Signature) -> Option<Outcome> {
        let landed = self.landed.get(signature)?;
        Some(Outcome {
            slot: landed.slot,
            block_height: landed.height,
            error: landed.meta.status.clone().err(),
            fee: landed.meta.fee,
            commitment: self.commitment(landed.height),
        })
    }

    // Changing.

    /// All states that are kept, the newest first.
    pub(super) fn states(&mut self) -> impl Iterator<Item = &mut LiteSVM> {
        std::iter::once(&mut self.svm).chain(self.past.iter_mut().rev().map(|past| &mut past.state))
    }

    /// Keeps the state as it is before the open block's first change.
    pub(super) fn keep_state(&mut self) {
        let height = self.tip().height;
        if self.past.back().is_some_and(|past| past.height == height) {
            return;
        }
        self.past.push_back(Past { height, state: self.svm.clone() });
        if self.past.len() > KEPT {
            self.past.pop_front();
        }
    }

    /// Puts a transaction into the open block.
    pub(super) fn record(&mut self, transaction: VersionedTransaction, message: Hash, meta: TransactionStatusMeta) {
        let Some(block) = self.blocks.last_mut() else { return };
        let signature = transaction.signatures[0];
        let (height, slot, time, index) = (block.height, block.slot, block.time, block.landed.len() as u32);
        block.landed.push(signature);
        self.messages.insert(message, height);
        self.landed.insert(signature, Arc::new(Landed { transaction, message, height, slot, index, time, meta }));
    }

    /// Closes the open block, after what came back from dropped ones went into it, and opens the next; this many times.
    pub(super) fn advance(&mut self, blocks: u64) {
        for _ in 0..blocks {
            for transaction in std::mem::take(&mut self.pool.returned) {
                // What cannot land any more is lost, as on any chain.
                drop(self.land(transaction));
            }
            self.open_block(self.tip().slot + 1);
        }
        // Nothing runs in between.
        self.set_sysvars();
    }

    /// Drops the newest blocks with all that they changed, and returns how many those were.
    ///
    /// Slots go on: the block that is open afterwards has a slot and a hash that no block had.
    pub(super) fn fork(&mut self, depth: u64, orphans: Orphans) -> u64 {
        let tip = self.tip().clone();
        // Below the oldest state that is kept nothing can be undone; nor does genesis go.
        let oldest = self.past.front().filter(|_| self.past.len() == KEPT).map(|past| past.height);
        let depth = depth.min(tip.height + 1 - oldest.unwrap_or(GENESIS_BLOCKS + 1));
        if depth == 0 {
            return 0;
        }
        let first = tip.height + 1 - depth;
        if let Some(index) = self.past.iter().position(|past| past.height >= first) {
            let mut undone = self.past.split_off(index);
            if let Some(past) = undone.pop_front() {
                self.svm = past.state;
            }
        }
        for block in self.blocks.split_off((first - 1) as usize) {
            self.hashes.remove(&block.hash);
            for signature in block.landed {
                let Some(landed) = self.landed.remove(&signature) else { continue };
                self.messages.remove(&landed.message);
                if orphans == Orphans::Return {
                    self.pool.returned.push(landed.transaction.clone());
                }
            }
        }
        self.open_block(tip.slot + 1);
        self.set_sysvars();
        depth
    }

    fn open_block(&mut self, slot: u64) {
        let parent = self.tip();
        let hash = Sha256::new().chain_update(parent.hash).chain_update(slot.to_le_bytes()).finalize();
        let time = unix_time(self.ahead).max(parent.time);
        let block = Block { height: parent.height + 1, slot, hash: Hash::new_from_array(hash.into()), time, landed: Vec::new() };
        self.hashes.insert(block.hash, block.height);
        self.blocks.push(block);
    }

    fn set_sysvars(&mut self) {
        let height = self.tip().height;
        for key in [sysvars::CLOCK, sysvars::RECENT_BLOCKHASHES] {
            if let Some(account) = self.sysvar(&key, height) {
                // LiteSVM refuses only what it cannot read, and these it can.
                drop(self.svm.set_account(key, account));
            }
        }
    }
}

fn unix_time(ahead: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + ahead;
    now.as_secs() as i64
}
