//! What accounts of ours have sent, block by block, whoever holds their keys.

use super::{
    EvmChain,
    quantity::{Fixed, Quantity, number},
};
use crate::rpc::Call;
use alloy_primitives::{B256, U256};
use h402_core::{EvmAddress, Undecided};
use serde::Deserialize;
use std::ops::RangeInclusive;

/// Blocks asked for in one request: with all their transactions they are large.
const CHUNK: usize = 8;

/// A transaction in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnTransaction {
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub from: EvmAddress,
    /// Whom it calls or pays; none if it makes a contract.
    pub to: Option<EvmAddress>,
    /// Coins it moves, in wei.
    pub value: U256,
}

#[derive(Deserialize)]
struct WireBlock {
    number: Quantity<u64>,
    transactions: Vec<WireTransaction>,
}

#[derive(Deserialize)]
struct WireTransaction {
    hash: Fixed<B256>,
    from: Fixed<EvmAddress>,
    #[serde(default)]
    to: Option<Fixed<EvmAddress>>,
    value: Quantity<U256>,
}

impl EvmChain {
    /// The transactions in these blocks that one of `senders` has signed. Reads the blocks whole.
    ///
    /// # Errors
    /// [`Undecided`], also if the node does not have one of the blocks.
    pub async fn sent_by(&self, senders: &[EvmAddress], blocks: RangeInclusive<u64>) -> Result<Vec<OwnTransaction>, Undecided> {
        let heights: Vec<u64> = blocks.collect();
        let mut own = Vec::new();
        for heights in heights.chunks(CHUNK.min(self.inner.calls_beside_chain_id())) {
            let calls = heights.iter().map(|height| Call::new("eth_getBlockByNumber", &(number(*height), true)));
            let (answers, answerer) = self.inner.ask_whom(calls).await?;
            for (height, answer) in heights.iter().zip(answers) {
                let block: WireBlock = self.inner.read_answer(Some(answer), answerer)?;
                if block.number.0 != *height {
                    return Err(Undecided::Chain);
                }
                let sent = block.transactions.into_iter().filter(|transaction| senders.contains(&transaction.from.0));
                own.extend(sent.map(|WireTransaction { hash, from, to, value }| OwnTransaction {
                    hash: hash.0,
                    from: from.0,
                    to: to.map(|to| to.0),
                    value: value.0,
                }));
            }
        }
        Ok(own)
    }
}
