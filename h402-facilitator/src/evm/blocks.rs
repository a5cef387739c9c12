//! Block headers.

use super::{
    EvmChain, Inner,
    quantity::{Fixed, Quantity, number},
};
use crate::rpc::{Answerer, Answers, Call};
use alloy_primitives::B256;
use h402_core::{BlockRef, Undecided, UnixSeconds};
use serde::Deserialize;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// A block's header, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Timestamp.
    pub time: UnixSeconds,
    /// Base fee in wei per gas; none before EIP-1559.
    pub base_fee: Option<u128>,
    /// The gas that its transactions may use together; none if the node does not say.
    pub gas_limit: Option<u64>,
}

impl Head {
    /// Its number and hash.
    #[must_use]
    pub const fn block(&self) -> BlockRef {
        BlockRef { number: self.number, hash: self.hash }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireHeader {
    number: Quantity<u64>,
    hash: Fixed<B256>,
    timestamp: Quantity<u64>,
    #[serde(default)]
    base_fee_per_gas: Option<Quantity<u128>>,
    #[serde(default)]
    gas_limit: Option<Quantity<u64>>,
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireHeader::deserialize(deserializer)?;
        Ok(Self {
            number: wire.number.0,
            hash: wire.hash.0,
            time: UnixSeconds(wire.timestamp.0),
            base_fee: wire.base_fee_per_gas.map(|fee| fee.0),
            gas_limit: wire.gas_limit.map(|gas| gas.0),
        })
    }
}

pub(super) fn latest_call() -> Call {
    Call::new("eth_getBlockByNumber", &("latest", false))
}

/// The call for the block at a height.
pub(super) fn block_call(height: u64) -> Call {
    Call::new("eth_getBlockByNumber", &(number(height), false))
}

impl EvmChain {
    /// The latest block.
    ///
    /// # Errors
    /// [`Undecided`], also if the node is more than three blocks behind what another endpoint has shown.
    pub async fn head(&self) -> Result<Head, Undecided> {
        let (mut answers, answerer) = self.inner.ask_whom([latest_call()]).await?;
        let head: Head = self.inner.read_answer(answers.pop(), answerer)?;
        self.inner.keeps_up(head.number, answerer)?;
        self.inner.times.put(head.hash, head.time);
        Ok(head)
    }

    /// A block that was dropped from the chain: no receipt of it counts any more, until the chain has it again.
    pub fn dropped(&self, block: &B256) {
        self.inner.times.forget(block);
    }

    /// The hash of the block that the chain has at this height now; none above the head of the node that answers, which
    /// may be behind.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn block_hash(&self, height: u64) -> Result<Option<B256>, Undecided> {
        let head: Option<Head> = self.inner.read_one(block_call(height)).await?;
        match head {
            Some(head) if head.number != height => Err(Undecided::Chain),
            head => Ok(head.map(|head| head.hash)),
        }
    }
}

/// The timestamps of blocks that were the chain's own when they were read, by their hash.
#[derive(Debug, Default)]
pub(super) struct BlockTimes(Mutex<VecDeque<(B256, UnixSeconds)>>);

/// Enough for every block that watched transactions are in.
const REMEMBERED: usize = 256;

impl BlockTimes {
    pub(super) fn get(&self, hash: &B256) -> Option<UnixSeconds> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().rev().find(|(known, _)| known == hash).map(|(_, time)| *time)
    }

    fn forget(&self, hash: &B256) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != hash);
    }

    pub(super) fn put(&self, hash: B256, time: UnixSeconds) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.iter().any(|(known, _)| *known == hash) {
            return;
        }
        if times.len() >= REMEMBERED {
            times.pop_front();
        }
        times.push_back((hash, time));
    }
}

/// Blocks by which endpoints of one chain differ without harm.
pub(super) const NEAR: u64 = 3;

impl Inner {
    /// Leaves an endpoint for another if it is behind what that one has shown (T147).
    pub(super) fn keeps_up(&self, block: u64, answerer: Answerer) -> Result<(), Undecided> {
        if self.highest.is_near(block) || self.rpc.endpoints() < 2 {
            return Ok(());
        }
        self.rpc.distrust(answerer);
        Err(Undecided::Chain)
    }

    /// As [`Inner::ask_whom`], of a node that has this block: what it does not show is not there, up to this block. In one
    /// request, for behind one address may be several nodes, and some of them behind the others.
    pub(super) async fn ask_with(&self, block: BlockRef, calls: impl IntoIterator<Item = Call>) -> Result<(Answers, Answerer), Undecided> {
        // The block comes first: what is read after it is of this block or a later one.
        let (mut answers, answerer) = self.ask_whom([block_call(block.number)].into_iter().chain(calls)).await?;
        let rest = answers.split_off(1);
        let shown: Option<Head> = self.read_answer(answers.pop(), answerer)?;
        match shown {
            Some(shown) if shown.hash == block.hash => return Ok((rest, answerer)),
            // Dropped, or not there any more where it was seen.
            Some(_) => {}
            None if self.rpc.endpoints() > 1 => self.rpc.distrust(answerer),
            None => {}
        }
        Err(Undecided::Chain)
    }

    /// Learns the timestamps of blocks that are not known yet. A block that is not the chain's own at its height stays
    /// unknown: it was dropped, or never was (T147).
    pub(super) async fn learn_times(&self, blocks: impl IntoIterator<Item = (u64, B256)>) -> Result<(), Undecided> {
        let mut unknown: Vec<(u64, B256)> = blocks.into_iter().filter(|(_, hash)| self.times.get(hash).is_none()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let mut learned = Ok(());
        for blocks in unknown.chunks(self.calls_beside_chain_id()) {
            let calls = blocks.iter().map(|(height, _)| block_call(*height));
            let (answers, answerer) = self.ask_whom(calls).await?;
            for ((height, hash), answer) in blocks.iter().zip(answers) {
                match self.read_answer::<Option<Head>>(Some(answer), answerer) {
                    Ok(Some(head)) if head.hash == *hash => self.times.put(*hash, head.time),
                    Ok(Some(head)) if head.number == *height => {}
                    Ok(None) => {}
                    // One bad answer does not keep the other blocks unknown.
                    Ok(Some(_)) | Err(_) => learned = Err(Undecided::Chain),
                }
            }
        }
        learned
    }
}
