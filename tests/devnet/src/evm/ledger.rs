//! The chain itself: blocks, state, waiting transactions and clock, changed under one lock.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    block::{Block, Receipt, Transaction},
    execute::{self, Checks, Surroundings},
    pool::Pool,
    seal,
    state::{State, Undo, View},
};
use crate::{BlockTime, Orphans, RpcError};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Log, LogData, U256, address};

/// Who receives the tips.
pub(super) const BENEFICIARY: Address = address!("00000000000000000000000000000000000402fe");

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) chain_id: u64,
    pub(super) gas_limit: u64,
    pub(super) finality: u64,
    pub(super) block_time: BlockTime,
    pub(super) state: State,
    pub(super) blocks: Vec<Block>,
    pub(super) pool: Pool,
    /// Where each mined transaction is: its block and its index there.
    pub(super) mined: HashMap<B256, (usize, usize)>,
    pub(super) raw_seen: u64,
    /// The base fee of the next block, if the owner set it.
    pub(super) next_base_fee: Option<u64>,
    /// How many blocks one `eth_getLogs` may ask for; any number if there is no limit.
    pub(super) log_range: Option<u64>,
    offset: Duration,
    /// Makes a block that takes the place of a dropped one differ from it.
    branch: u64,
}

impl Ledger {
    pub(super) fn new(chain_id: u64, gas_limit: u64, base_fee: u64, finality: u64, block_time: BlockTime) -> Self {
        let mut ledger = Self {
            chain_id,
            gas_limit,
            finality,
            block_time,
            state: State::default(),
            blocks: Vec::new(),
            pool: Pool::default(),
            mined: HashMap::new(),
            raw_seen: 0,
            next_base_fee: None,
            log_range: None,
            offset: Duration::ZERO,
            branch: 0,
        };
        let at = Surroundings {
            chain_id,
            number: 0,
            timestamp: ledger.now(),
            gas_limit,
            base_fee,
            beneficiary: BENEFICIARY,
            prevrandao: B256::ZERO,
        };
        let genesis = seal::seal(&at, B256::ZERO, Vec::new(), Vec::new(), Undo::default());
        ledger.state.hashes.push(genesis.hash);
        ledger.blocks.push(genesis);
        ledger
    }

    /// The chain's clock.
    pub(super) fn now(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (wall + self.offset).as_secs()
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.offset += Duration::from_secs(seconds);
        if self.block_time == BlockTime::Auto {
            // Without this the newest block would stay behind the clock until the next transaction.
            self.mine();
        }
    }

    pub(super) fn set_block_time(&mut self, block_time: BlockTime) {
        self.block_time = block_time;
        self.mine_if_automatic();
    }

    pub(super) fn head(&self) -> &Block {
        // The genesis block is never removed.
        &self.blocks[self.blocks.len() - 1]
    }

    pub(super) fn height(&self) -> u64 {
        self.head().header.number
    }

    /// The surroundings of the next block.
    pub(super) fn next(&self) -> Surroundings {
        let head = self.head();
        let parent_fee = head.header.base_fee_per_gas.unwrap_or_default();
        let base_fee = self.next_base_fee.unwrap_or_else(|| match self.block_time {
            BlockTime::Auto => parent_fee,
            BlockTime::Every(_) | BlockTime::Manual => seal::next_base_fee(&head.header),
        });
        Surroundings {
            chain_id: self.chain_id,
            number: head.header.number + 1,
            timestamp: self.now().max(head.header.timestamp),
            gas_limit: self.gas_limit,
            base_fee,
            beneficiary: BENEFICIARY,
            prevrandao: seal::randao(head.hash, self.branch),
        }
    }

    /// The surroundings of a block of the chain, as calls at it see them.
    pub(super) fn at(&self, block: &Block) -> Surroundings {
        let header = &block.header;
        let newest = header.number == self.height();
        Surroundings {
            chain_id: self.chain_id,
            number: header.number,
            // A chain that mines on demand stands for one that has a fresh block at any time.
            timestamp: if newest && self.block_time == BlockTime::Auto { self.now().max(header.timestamp) } else { header.timestamp },
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            beneficiary: header.beneficiary,
            prevrandao: header.mix_hash,
        }
    }

    /// The state after a block of the chain.
    pub(super) fn view(&self, number: u64) -> View<'_> {
        if number >= self.height() {
            return self.state.now();
        }
        let later = self.blocks.iter().rev().take_while(|block| block.header.number > number);
        let undone = later.flat_map(|block| block.edits.iter().rev().map(|(_, undo)| undo).chain(std::iter::once(&block.undo)));
        self.state.before(undone)
    }

    /// The blocks of a range of numbers, as far as there are any.
    pub(super) fn range(&self, first: u64, last: u64) -> &[Block] {
        let start = usize::try_from(first).unwrap_or(usize::MAX).min(self.blocks.len());
        let end = usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1).min(self.blocks.len());
        self.blocks.get(start..end).unwrap_or_default()
    }

    pub(super) fn block_by_hash(&self, hash: &B256) -> Option<&Block> {
        let number = self.state.hashes.iter().rposition(|known| known == hash)?;
        self.blocks.get(number)
    }

    /// Takes a transaction into the pool, and mines it if that is the mode.
    pub(super) fn submit(&mut self, tx: Arc<Transaction>) -> Result<B256, RpcError> {
        let hash = tx.hash();
        if self.mined.contains_key(&hash) || self.pool.get(&hash).is_some() {
            return Err(RpcError::server("already known"));
        }
        let account = self.state.account(&tx.sender);
        let nonce = tx.envelope.nonce();
        if nonce < account.nonce {
            return Err(RpcError::server(format!("nonce too low: next nonce {}, tx nonce {nonce}", account.nonce)));
        }
        if tx.envelope.gas_limit() > self.gas_limit {
            return Err(RpcError::server("exceeds block gas limit"));
        }
        let cost = cost(&tx);
        if cost > account.balance {
            let overshot = cost - account.balance;
            return Err(RpcError::server(format!(
                "insufficient funds for gas * price + value: balance {}, tx cost {cost}, overshot {overshot}",
                account.balance,
            )));
        }
        self.pool.add(tx)?;
        self.mine_if_automatic();
        Ok(hash)
    }

    fn mine_if_automatic(&mut self) {
        if self.block_time != BlockTime::Auto {
            return;
        }
        // A block may be full; what is left goes into further ones.
        while self.mine_unless_empty() {}
    }

    fn mine_unless_empty(&mut self) -> bool {
        let base_fee = self.next().base_fee;
        let ready = self.pool.senders().any(|sender| self.candidate(sender, base_fee).is_some());
        ready && self.mine() > 0
    }

    /// The sender's next transaction, if it can pay the base fee: its tip, its place in the queue and itself.
    fn candidate(&self, sender: Address, base_fee: u64) -> Option<(u128, Reverse<u64>, Address)> {
        let waiting = self.pool.at(sender, self.state.account(&sender).nonce)?;
        let tip = waiting.tx.envelope.effective_tip_per_gas(base_fee)?;
        Some((tip, Reverse(waiting.arrival), sender))
    }

    /// Makes one block of the waiting transactions and returns how many it has.
    pub(super) fn mine(&mut self) -> usize {
        let at = self.next();
        self.next_base_fee = None;
        for sender in self.pool.senders().collect::<Vec<_>>() {
            self.pool.forget_below(sender, self.state.account(&sender).nonce);
        }
        let mut queue: BinaryHeap<_> = self.pool.senders().filter_map(|sender| self.candidate(sender, at.base_fee)).collect();
        let mut undo = Undo::default();
        let (mut transactions, mut receipts): (Vec<Arc<Transaction>>, Vec<Receipt>) = (Vec::new(), Vec::new());
        let mut gas_used = 0;
        let mut log_count = 0;
        while let Some((_, _, sender)) = queue.pop() {
            let Some(waiting) = self.pool.at(sender, self.state.account(&sender).nonce) else { continue };
            let tx = waiting.tx.clone();
            if tx.envelope.gas_limit() > at.gas_limit - gas_used {
                continue;
            }
            let run = execute::run(self.state.now(), &at, execute::signed(&tx), Checks::All);
            self.pool.remove(&tx.hash());
            // A transaction whose sender can no longer pay is forgotten, as nodes do.
            let Ok(run) = run else { continue };
            self.state.apply(run.state, &mut undo);
            gas_used += run.result.tx_gas_used();
            let receipt = seal::receipt(&tx, run.result, &at, gas_used, log_count);
            log_count += receipt.logs.len();
            receipts.push(receipt);
            transactions.push(tx);
            queue.extend(self.candidate(sender, at.base_fee));
        }
        let parent = self.head().hash;
        let number = self.blocks.len();
        for (index, tx) in transactions.iter().enumerate() {
            self.mined.insert(tx.hash(), (number, index));
        }
        let block = seal::seal(&at, parent, transactions, receipts, undo);
        let mined = block.transactions.len();
        self.state.hashes.push(block.hash);
        self.blocks.push(block);
        mined
    }

    /// Drops the newest blocks, at most down to genesis, and returns how many it dropped.
    pub(super) fn reorg(&mut self, depth: usize, orphans: Orphans) -> usize {
        let depth = depth.min(self.blocks.len() - 1);
        let dropped = self.blocks.split_off(self.blocks.len() - depth);
        self.state.hashes.truncate(self.blocks.len());
        self.branch += 1;
        let mut edits = Vec::new();
        let mut returned = Vec::new();
        for block in dropped.into_iter().rev() {
            for (edit, undo) in block.edits.into_iter().rev() {
                self.state.revert(undo);
                edits.push(edit);
            }
            self.state.revert(block.undo);
            returned.push(block.transactions);
        }
        // The owner's changes are no part of the blocks and stay.
        for edit in edits.into_iter().rev() {
            // It worked before; should it not work on this branch, there is nobody to tell.
            drop(self.edit(edit));
        }
        for tx in returned.into_iter().rev().flatten() {
            self.mined.remove(&tx.hash());
            if orphans == Orphans::Return {
                // A newer transaction with the same nonce may wait already.
                drop(self.pool.add(tx));
            }
        }
        depth
    }

    /// All logs of a block with the transaction and the index in the block of each.
    pub(super) fn logs(block: &Block) -> impl Iterator<Item = (&Arc<Transaction>, usize, usize, &Log<LogData>)> {
        block.transactions.iter().zip(&block.receipts).enumerate().flat_map(|(index, (tx, receipt))| {
            receipt.logs.iter().enumerate().map(move |(offset, log)| (tx, index, receipt.first_log + offset, log))
        })
    }
}

/// What a transaction may cost its sender at most.
fn cost(tx: &Transaction) -> U256 {
    let gas = U256::from(tx.envelope.gas_limit());
    gas.saturating_mul(U256::from(tx.envelope.max_fee_per_gas())).saturating_add(tx.envelope.value())
}
