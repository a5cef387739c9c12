//! Transactions that wait for a block.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};

use super::block::Transaction;
use crate::RpcError;

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) tx: Arc<Transaction>,
    /// Of equal tips the first to arrive goes first.
    pub(super) arrival: u64,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    senders: HashMap<Address, BTreeMap<u64, Waiting>>,
    hashes: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

impl Pool {
    pub(super) fn get(&self, hash: &B256) -> Option<&Arc<Transaction>> {
        let (sender, nonce) = self.hashes.get(hash)?;
        self.at(*sender, *nonce).map(|waiting| &waiting.tx)
    }

    pub(super) fn at(&self, sender: Address, nonce: u64) -> Option<&Waiting> {
        self.senders.get(&sender)?.get(&nonce)
    }

    pub(super) fn senders(&self) -> impl Iterator<Item = Address> {
        self.senders.keys().copied()
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = B256> {
        self.hashes.keys().copied()
    }

    /// The nonce after the sender's run of waiting transactions that begins at `next`.
    pub(super) fn next_nonce(&self, sender: Address, mut next: u64) -> u64 {
        while self.at(sender, next).is_some() {
            next += 1;
        }
        next
    }

    /// Adds a transaction, in the place of one with the same nonce if it pays a tenth more.
    pub(super) fn add(&mut self, tx: Arc<Transaction>) -> Result<(), RpcError> {
        let (sender, nonce, hash) = (tx.sender, tx.envelope.nonce(), tx.hash());
        if self.hashes.contains_key(&hash) {
            return Err(RpcError::server("already known"));
        }
        if let Some(old) = self.at(sender, nonce) {
            let enough = |old: u128, new: u128| new >= old.saturating_add(old.div_ceil(10));
            let old = &old.tx.envelope;
            let new = &tx.envelope;
            if !enough(old.max_fee_per_gas(), new.max_fee_per_gas()) || !enough(tip_cap(old), tip_cap(new)) {
                return Err(RpcError::server("replacement transaction underpriced"));
            }
            let old = *old.tx_hash();
            self.hashes.remove(&old);
        }
        self.arrivals += 1;
        self.hashes.insert(hash, (sender, nonce));
        self.senders.entry(sender).or_default().insert(nonce, Waiting { tx, arrival: self.arrivals });
        Ok(())
    }

    pub(super) fn remove(&mut self, hash: &B256) -> Option<Arc<Transaction>> {
        let (sender, nonce) = self.hashes.remove(hash)?;
        let queue = self.senders.get_mut(&sender)?;
        let removed = queue.remove(&nonce).map(|waiting| waiting.tx);
        if queue.is_empty() {
            self.senders.remove(&sender);
        }
        removed
    }

    /// Removes what can never be mined because its nonce is used.
    pub(super) fn forget_below(&mut self, sender: Address, nonce: u64) {
        let Some(queue) = self.senders.get_mut(&sender) else { return };
        let rest = queue.split_off(&nonce);
        for waiting in std::mem::replace(queue, rest).into_values() {
            self.hashes.remove(&waiting.tx.hash());
        }
        if queue.is_empty() {
            self.senders.remove(&sender);
        }
    }
}

fn tip_cap(tx: &alloy_consensus::TxEnvelope) -> u128 {
    tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas())
}
