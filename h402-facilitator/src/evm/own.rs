//! What accounts of ours have sent, block by block, whoever holds their keys.

use super::{
    EvmChain,
    blocks::block_call,
    quantity::{Fixed, Quantity, hash, number, read},
    span::Span,
};
use crate::rpc::Call;
use alloy_primitives::{B256, U256};
use h402_core::{EvmAddress, Undecided};
use serde::Deserialize;
use std::ops::RangeInclusive;

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

/// What accounts have sent, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTransactions {
    /// In the order of their blocks.
    pub transactions: Vec<OwnTransaction>,
    /// The last block that was read.
    pub upto: u64,
}

#[derive(Deserialize)]
struct WireBlock<T> {
    number: Quantity<u64>,
    transactions: Vec<T>,
}

#[derive(Deserialize)]
struct WireTransaction {
    hash: Fixed<B256>,
    from: Fixed<EvmAddress>,
    #[serde(default)]
    to: Option<Fixed<EvmAddress>>,
    value: Quantity<U256>,
}

impl WireTransaction {
    fn of(self, senders: &[EvmAddress]) -> Option<OwnTransaction> {
        let Self { hash, from, to, value } = self;
        let own = OwnTransaction { hash: hash.0, from: from.0, to: to.map(|to| to.0), value: value.0 };
        senders.contains(&own.from).then_some(own)
    }
}

impl EvmChain {
    /// The transactions that one of `senders` has signed in the blocks after `after`, up to `upto` or as far as they can be
    /// read. Reads only blocks whole in which the account nonce of one of them has changed, as far as the node still knows
    /// their nonces: several at once, fewer if that is too much for the node, and of a block that is too much alone each
    /// transaction for itself.
    ///
    /// # Errors
    /// [`Undecided`] if not even the first of these blocks can be read.
    pub async fn sent_by(&self, senders: &[EvmAddress], after: u64, upto: u64) -> Result<OwnTransactions, Undecided> {
        let mut own = OwnTransactions { transactions: Vec::new(), upto: after };
        let mut ends = vec![after];
        while let Some(last) = ends.last().copied().filter(|last| *last < upto) {
            ends.push(last.saturating_add(Span::BLOCKS).min(upto));
        }
        // A node forgets the state of old blocks, and never the blocks.
        let nonces = self.nonces_at(senders, &ends).await.ok();
        for (place, end) in ends.iter().copied().enumerate().skip(1) {
            let of = |place: usize| nonces.as_ref().and_then(|nonces| nonces.get(place));
            let still = of(place).is_some() && of(place) == of(place - 1);
            while !still && own.upto < end {
                let count = self.inner.block_span.now().min(end - own.upto);
                let heights = own.upto.saturating_add(1)..=own.upto.saturating_add(count);
                let last = *heights.end();
                let read = match self.whole(senders, heights).await {
                    Err(_) if self.inner.block_span.is_too_much(count) => continue,
                    Err(_) => self.in_pieces(senders, last).await,
                    read => read,
                };
                match read {
                    Ok(found) => own.transactions.extend(found),
                    Err(error) if own.upto == after => return Err(error),
                    Err(_) => return Ok(own),
                }
                own.upto = last;
            }
            own.upto = end;
        }
        Ok(own)
    }

    /// The account nonces of `senders` after each of these blocks.
    async fn nonces_at(&self, senders: &[EvmAddress], heights: &[u64]) -> Result<Vec<Vec<u64>>, Undecided> {
        let mut nonces = Vec::with_capacity(heights.len());
        for heights in heights.chunks((self.inner.calls_beside_chain_id() / senders.len().max(1)).max(1)) {
            let calls: Vec<Call> = heights.iter().flat_map(|height| senders.iter().map(|sender| nonce_call(*sender, *height))).collect();
            let (answers, answerer) = self.inner.ask_whom(calls).await?;
            for answers in answers.chunks(senders.len().max(1)) {
                let mut of_block = Vec::with_capacity(senders.len());
                for answer in answers {
                    let answer = answer.as_ref().map_err(|_| Undecided::Chain)?;
                    of_block.push(read::<Quantity<u64>>(answer).inspect_err(|_| self.inner.rpc.distrust(answerer))?.0);
                }
                nonces.push(of_block);
            }
        }
        Ok(nonces)
    }

    async fn whole(&self, senders: &[EvmAddress], heights: RangeInclusive<u64>) -> Result<Vec<OwnTransaction>, Undecided> {
        let calls: Vec<Call> = heights.clone().map(|height| Call::new("eth_getBlockByNumber", &(number(height), true))).collect();
        let (answers, answerer) = self.inner.ask_whom(calls).await?;
        let mut own = Vec::new();
        for (height, answer) in heights.zip(answers) {
            let block: WireBlock<WireTransaction> = self.inner.read_answer(Some(answer), answerer)?;
            if block.number.0 != height {
                return Err(Undecided::Chain);
            }
            own.extend(block.transactions.into_iter().filter_map(|transaction| transaction.of(senders)));
        }
        Ok(own)
    }

    /// The same of one block, whose transactions together are too long for an answer.
    async fn in_pieces(&self, senders: &[EvmAddress], height: u64) -> Result<Vec<OwnTransaction>, Undecided> {
        let (mut answers, answerer) = self.inner.ask_whom([block_call(height)]).await?;
        let block: WireBlock<Fixed<B256>> = self.inner.read_answer(answers.pop(), answerer)?;
        if block.number.0 != height {
            return Err(Undecided::Chain);
        }
        let mut own = Vec::new();
        let (mut left, mut count) = (block.transactions.as_slice(), self.inner.calls_beside_chain_id());
        while let Some((ids, later)) = left.split_at_checked(count.min(left.len())).filter(|(ids, _)| !ids.is_empty()) {
            match self.by_hash(senders, ids).await {
                Ok(found) => {
                    own.extend(found);
                    left = later;
                }
                Err(_) if ids.len() > 1 => count = ids.len() / 2,
                Err(error) => return Err(error),
            }
        }
        Ok(own)
    }

    async fn by_hash(&self, senders: &[EvmAddress], ids: &[Fixed<B256>]) -> Result<Vec<OwnTransaction>, Undecided> {
        let calls: Vec<Call> = ids.iter().map(|id| Call::new("eth_getTransactionByHash", &[hash(&id.0)])).collect();
        let (answers, answerer) = self.inner.ask_whom(calls).await?;
        let mut own = Vec::new();
        for (id, answer) in ids.iter().zip(answers) {
            let transaction: WireTransaction = self.inner.read_answer(Some(answer), answerer)?;
            if transaction.hash.0 != id.0 {
                return Err(Undecided::Chain);
            }
            own.extend(transaction.of(senders));
        }
        Ok(own)
    }
}

fn nonce_call(sender: EvmAddress, height: u64) -> Call {
    Call::new("eth_getTransactionCount", &[sender.to_string(), number(height)])
}
