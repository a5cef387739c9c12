//! A small chain: accounts, a pool, blocks on simulated time, and what goes wrong on chains.

use super::token::{
    AuthorizationUsed, Env, MULTICALL3, Machine, Nonce, Reverted, Signers, State, TOKEN, Transfer, authorizations, hash_of,
};
use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable as _};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy_sol_types::SolEvent as _;
use std::collections::BTreeMap;

pub const GAS_LIMIT: u64 = 30_000_000;
const INTRINSIC: u64 = 21_000;

/// A transaction, and what it would do.
#[derive(Debug, Clone)]
pub struct Tx {
    pub hash: B256,
    pub sender: Address,
    pub nonce: u64,
    pub to: Address,
    pub input: Bytes,
    pub gas_limit: u64,
    pub max_fee: u128,
    pub tip: u128,
    /// What a payer does without a transaction of its own making: cancel this authorization.
    pub cancels: Option<B256>,
}

#[derive(Debug, Clone)]
pub struct Receipt {
    pub tx: Tx,
    pub success: bool,
    pub gas_used: u64,
    pub price: u128,
    pub logs: Vec<Log>,
}

#[derive(Debug, Clone)]
pub struct Block {
    pub number: u64,
    pub hash: B256,
    pub parent: B256,
    pub time: u64,
    pub base_fee: u128,
    pub receipts: Vec<Receipt>,
    /// Afterwards.
    pub state: State,
}

/// One authorized transfer that the chain shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    pub nonce: Nonce,
    pub to: Address,
    pub value: U256,
    pub carrier: B256,
    pub sender: Address,
    pub block: u64,
}

pub struct Chain {
    pub blocks: Vec<Block>,
    pub pool: BTreeMap<(Address, u64), Tx>,
    pub base_fee: u128,
    signers: Signers,
    /// What raw transactions say, by their hashes: many are sent again and again.
    decoded: BTreeMap<B256, Option<Tx>>,
    salt: u64,
    /// Every transfer by authorization that was ever in a block.
    pub ever_paid: BTreeMap<Nonce, Paid>,
    /// Those that a reorg has taken out of a block.
    pub reorged_out: BTreeMap<Nonce, u64>,
    /// Account nonces that a reorg has taken out of a block, and when it last did.
    pub taken_back: BTreeMap<(Address, u64), u64>,
}

/// Why the pool does not take a transaction, in geth's words.
pub type Refused = String;

impl Chain {
    pub fn new(salt: u64, time: u64, state: State) -> Self {
        let hash = hash_of(&[b"genesis", &salt.to_be_bytes()]);
        let genesis = Block { number: 1, hash, parent: B256::ZERO, time, base_fee: 1_000_000_000, receipts: Vec::new(), state };
        let (pool, signers, decoded) = Default::default();
        let (ever_paid, reorged_out, taken_back) = Default::default();
        Self { blocks: vec![genesis], pool, base_fee: 1_000_000_000, signers, decoded, salt, ever_paid, reorged_out, taken_back }
    }

    pub fn head(&self) -> &Block {
        self.blocks.last().expect("a chain has a genesis")
    }

    /// The head as a node shows it that is so many blocks behind.
    pub fn seen_from(&self, behind: usize) -> usize {
        self.blocks.len().saturating_sub(behind).max(1)
    }

    pub fn receipt(&self, hash: B256, height: usize) -> Option<(&Block, usize, &Receipt)> {
        self.blocks[..height].iter().rev().find_map(|block| {
            let at = block.receipts.iter().position(|receipt| receipt.tx.hash == hash)?;
            Some((block, at, &block.receipts[at]))
        })
    }

    /// Takes a raw transaction into the pool, as geth would.
    pub fn send(&mut self, raw: &[u8]) -> Result<Tx, Refused> {
        let tx = self.decode(raw).ok_or("invalid transaction")?;
        self.add(tx.clone()).map(|()| tx)
    }

    /// A raw transaction, if it is one.
    pub fn decode(&mut self, raw: &[u8]) -> Option<Tx> {
        let hash = keccak256(raw);
        self.decoded.entry(hash).or_insert_with(|| decode(hash, raw)).clone()
    }

    pub fn add(&mut self, tx: Tx) -> Result<(), Refused> {
        let state = &self.head().state;
        let next = state.nonces.get(&tx.sender).copied().unwrap_or_default();
        if self.pool.get(&(tx.sender, tx.nonce)).is_some_and(|known| known.hash == tx.hash) {
            return Err("already known".to_owned());
        }
        if tx.nonce < next {
            return Err(format!("nonce too low: next nonce {next}, tx nonce {}", tx.nonce));
        }
        let cost = U256::from(tx.gas_limit) * U256::from(tx.max_fee);
        if state.wei.get(&tx.sender).copied().unwrap_or_default() < cost {
            return Err("insufficient funds for gas * price + value".to_owned());
        }
        if tx.gas_limit > GAS_LIMIT {
            return Err("exceeds block gas limit".to_owned());
        }
        if let Some(known) = self.pool.get(&(tx.sender, tx.nonce))
            && (tx.max_fee < known.max_fee * 11 / 10 || tx.tip < known.tip * 11 / 10)
        {
            return Err("replacement transaction underpriced".to_owned());
        }
        self.pool.insert((tx.sender, tx.nonce), tx);
        Ok(())
    }

    /// Makes a block of what the pool has, pays enough and follows in nonces.
    pub fn mine(&mut self, now: u64, lucky: impl FnMut(&Tx) -> bool) -> &Block {
        let block = self.build(now, lucky);
        for receipt in &block.receipts {
            self.pool.remove(&(receipt.tx.sender, receipt.tx.nonce));
        }
        let nonces = &block.state.nonces;
        self.pool.retain(|(sender, nonce), _| nonces.get(sender).is_none_or(|next| nonce >= next));
        for paid in paid_in(&block) {
            self.ever_paid.insert(paid.nonce, paid);
        }
        self.blocks.push(block);
        self.head()
    }

    fn build(&mut self, now: u64, mut lucky: impl FnMut(&Tx) -> bool) -> Block {
        self.salt += 1;
        let parent = self.head();
        let mut block = Block {
            number: parent.number + 1,
            hash: hash_of(&[parent.hash.as_slice(), &self.salt.to_be_bytes()]),
            parent: parent.hash,
            time: parent.time.max(now),
            base_fee: self.base_fee,
            receipts: Vec::new(),
            state: parent.state.clone(),
        };
        let mut gas = 0;
        // In the order of senders and nonces: one pass takes every run of nonces there is.
        for tx in self.pool.values() {
            let next = block.state.nonces.get(&tx.sender).copied().unwrap_or_default();
            if tx.nonce != next || tx.max_fee < block.base_fee || gas + tx.gas_limit > GAS_LIMIT || !lucky(tx) {
                continue;
            }
            let receipt = execute(&mut block.state, &mut self.signers, Env { number: block.number, time: block.time }, tx, block.base_fee);
            gas += receipt.gas_used;
            block.receipts.push(receipt);
        }
        block
    }

    /// Takes the last blocks away; what was in them is in the pool again, as far as it is lucky.
    pub fn unwind(&mut self, now: u64, depth: usize, mut lucky: impl FnMut(&Tx) -> bool) {
        for _ in 0..depth.min(self.blocks.len() - 1) {
            let Some(block) = self.blocks.pop() else { return };
            for paid in paid_in(&block) {
                self.reorged_out.insert(paid.nonce, block.number);
            }
            for receipt in block.receipts {
                self.taken_back.insert((receipt.tx.sender, receipt.tx.nonce), now);
                if lucky(&receipt.tx) {
                    self.pool.entry((receipt.tx.sender, receipt.tx.nonce)).or_insert(receipt.tx);
                }
            }
        }
    }

    /// Tries a call on the latest block, or on what the next one would be.
    pub fn call(&mut self, height: usize, pending: bool, from: Address, to: Address, input: &[u8]) -> (Result<Vec<u8>, Reverted>, u64) {
        let block = if pending { self.build(self.head().time + 1, |_| true) } else { self.blocks[height - 1].clone() };
        let mut state = block.state;
        let env = Env { number: block.number, time: block.time };
        let mut machine = Machine { state: &mut state, signers: &mut self.signers, env, gas: intrinsic(input), logs: Vec::new() };
        let outcome = machine.call(from, to, input);
        (outcome, machine.gas)
    }

    /// The authorized transfers of the chain as it stands.
    pub fn paid(&self) -> Vec<Paid> {
        self.blocks.iter().flat_map(paid_in).collect()
    }

    pub fn has_code(address: Address) -> bool {
        address == TOKEN || address == MULTICALL3
    }
}

fn intrinsic(input: &[u8]) -> u64 {
    INTRINSIC + input.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum::<u64>()
}

fn execute(state: &mut State, signers: &mut Signers, env: Env, tx: &Tx, base_fee: u128) -> Receipt {
    let price = tx.max_fee.min(base_fee + tx.tip);
    *state.nonces.entry(tx.sender).or_default() += 1;
    let mut after = state.clone();
    let mut machine = Machine { state: &mut after, signers, env, gas: intrinsic(&tx.input), logs: Vec::new() };
    let outcome = match tx.cancels {
        Some(nonce) => {
            machine.cancel(tx.sender, nonce);
            Ok(Vec::new())
        }
        None => machine.call(tx.sender, tx.to, &tx.input),
    };
    let (gas, logs) = (machine.gas, machine.logs);
    let success = outcome.is_ok() && gas <= tx.gas_limit;
    let gas_used = gas.min(tx.gas_limit);
    if success {
        *state = after;
    }
    let cost = U256::from(gas_used) * U256::from(price);
    let wei = state.wei.entry(tx.sender).or_default();
    *wei = wei.saturating_sub(cost);
    Receipt { tx: tx.clone(), success, gas_used, price, logs: if success { logs } else { Vec::new() } }
}

/// A raw transaction, read by alloy.
fn decode(hash: B256, raw: &[u8]) -> Option<Tx> {
    let envelope = TxEnvelope::decode_2718_exact(raw).ok()?;
    Some(Tx {
        hash,
        sender: envelope.recover_signer().ok()?,
        nonce: envelope.nonce(),
        to: envelope.to()?,
        input: envelope.input().clone(),
        gas_limit: envelope.gas_limit(),
        max_fee: envelope.max_fee_per_gas(),
        tip: envelope.max_priority_fee_per_gas().unwrap_or(envelope.max_fee_per_gas()),
        cancels: None,
    })
}

impl Tx {
    pub fn authorizations(&self) -> Vec<Nonce> {
        authorizations(self.to, &self.input)
    }
}

/// What the logs of a block show: each authorization with the transfer that follows it.
fn paid_in(block: &Block) -> Vec<Paid> {
    let mut paid = Vec::new();
    for receipt in &block.receipts {
        let mut used = None;
        for log in &receipt.logs {
            if let Ok(event) = AuthorizationUsed::decode_log(log) {
                used = Some((event.authorizer, event.nonce));
            } else if let Ok(event) = Transfer::decode_log(log)
                && let Some(nonce) = used.take().filter(|(authorizer, _)| *authorizer == event.from)
            {
                let (carrier, sender, block) = (receipt.tx.hash, receipt.tx.sender, block.number);
                paid.push(Paid { nonce, to: event.to, value: event.value, carrier, sender, block });
            }
        }
    }
    paid
}
