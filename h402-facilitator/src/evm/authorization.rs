//! What became of an authorization, whoever carried it.

use super::{
    Answer, EvmChain,
    abi::{call_at_latest, is_true, word},
    blocks::{Head, block_call},
    quantity::{Data, number, read},
    receipts::WireLog,
    span::Span,
};
use crate::rpc::Call;
use alloy_primitives::B256;
use alloy_sol_types::{SolCall, SolEvent};
use h402_core::{BlockRef, EvmAddress, ReceiptFacts, Undecided, UnixSeconds, evm::Erc20};
use serde::Serialize;

/// What the chain says of one authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationTrace {
    /// Whether its nonce is used or cancelled at the latest block.
    pub used: bool,
    /// The transaction that used it; none if it is unused, was cancelled, was used before the asked time, or in
    /// one so new that the node has not indexed it: only the same answer some blocks later means that no log comes.
    pub log: Option<AuthorizationLog>,
}

/// The transaction that an authorization was used in, ours or somebody else's (T010).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationLog {
    /// Its hash.
    pub transaction: B256,
    /// Its receipt, with its block.
    pub receipt: ReceiptFacts,
}

/// Which authorization.
struct Asked {
    token: EvmAddress,
    from: EvmAddress,
    nonce: B256,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    address: String,
    topics: [String; 3],
    from_block: String,
    to_block: String,
}

impl EvmChain {
    /// Looks for the transaction that used an authorization, in the blocks that are not older than `since`. What is not there
    /// was not there at `block`, or is newer.
    ///
    /// One HTTP request if it is not used; one or more for the logs, from the newest on, in ranges that the node takes; up to
    /// two for the receipt.
    ///
    /// # Errors
    /// [`Undecided`] if a node that has the block does not answer for both the state and the logs, or contradicts itself.
    pub async fn authorization(
        &self,
        token: EvmAddress,
        from: EvmAddress,
        nonce: B256,
        block: BlockRef,
        since: UnixSeconds,
    ) -> Result<AuthorizationTrace, Undecided> {
        let asked = Asked { token, from, nonce };
        let state = Erc20::authorizationStateCall { authorizer: from, nonce }.abi_encode();
        // The state first, and then the logs: a node never shows a use and hides its log.
        let (mut answers, _) = self.inner.ask_with(block, [call_at_latest(token, &state)]).await?;
        let state = answers.pop().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain)?;
        let used = is_true(word(&read::<Data>(&state)?.0)?)?;
        let carrier = if used { self.carrier(&asked, block, since).await? } else { None };
        let Some(transaction) = carrier else { return Ok(AuthorizationTrace { used, log: None }) };
        let receipt = self.receipts(&[transaction]).await?.pop().flatten();
        // A log without a receipt is of a block that is just going: nothing is certain now.
        let receipt = receipt.filter(|receipt| receipt.authorizations.contains(&(token, from, nonce))).ok_or(Undecided::Chain)?;
        Ok(AuthorizationTrace { used, log: Some(AuthorizationLog { transaction, receipt }) })
    }

    /// The transaction whose log shows a use, looked for backwards from the latest block.
    async fn carrier(&self, asked: &Asked, block: BlockRef, since: UnixSeconds) -> Result<Option<B256>, Undecided> {
        let mut last = None;
        loop {
            let span = self.inner.log_span.now();
            let ranges = ranges(last, block.number, span);
            let Some((first, _)) = ranges.last().copied() else { return Ok(None) };
            let mut calls = Vec::with_capacity(ranges.len() + 1);
            for (first, last) in &ranges {
                calls.push(Call::new("eth_getLogs", &[asked.filter(*first, *last)]));
            }
            calls.push(block_call(first));
            let (mut answers, answerer) = self.inner.ask_with(block, calls).await?;
            let oldest: Option<Head> = self.inner.read_answer(answers.pop(), answerer)?;
            for answer in answers {
                match asked.found(answer) {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    // Many nodes take no more than so many blocks at once.
                    Err(Refused::Range) if self.inner.log_span.is_too_much(span) => break,
                    Err(_) => return Err(Undecided::Chain),
                }
            }
            if self.inner.log_span.now() < span {
                continue;
            }
            // Some chains do not begin with zero.
            if first == 0 || oldest.ok_or(Undecided::Chain)?.time < since {
                return Ok(None);
            }
            last = Some(first - 1);
        }
    }
}

/// Ranges of blocks to ask for in one request, the newest first; that without an end goes to the latest block, which is
/// `newest` or later. More than one where a node takes few blocks at once.
fn ranges(last: Option<u64>, newest: u64, span: u64) -> Vec<(u64, Option<u64>)> {
    let count = if span < Span::MOST { 8 } else { 1 };
    let mut ranges = Vec::with_capacity(count);
    let mut end = last;
    while ranges.len() < count {
        let first = end.unwrap_or(newest).saturating_sub(span.saturating_sub(1));
        ranges.push((first, end));
        let Some(before) = first.checked_sub(1) else { break };
        end = Some(before);
    }
    ranges
}

/// Why a node gave no logs.
enum Refused {
    /// It does not want to look at so many blocks, as far as can be told: nodes have many words for that.
    Range,
    /// What it said makes no sense.
    Answer,
}

impl Asked {
    fn filter(&self, first: u64, last: Option<u64>) -> Filter {
        Filter {
            address: self.token.to_string(),
            topics: [Erc20::AuthorizationUsed::SIGNATURE_HASH.to_string(), self.from.into_word().to_string(), self.nonce.to_string()],
            from_block: number(first),
            to_block: last.map_or_else(|| "latest".to_owned(), number),
        }
    }

    /// The transaction whose log it is, in the answer to a filter.
    fn found(&self, answer: Answer) -> Result<Option<B256>, Refused> {
        let logs: Vec<WireLog> = read(&answer.map_err(|_| Refused::Range)?).map_err(|_| Refused::Answer)?;
        let used = (self.token, self.from, self.nonce);
        match logs.iter().rev().find(|log| !log.removed && log.authorization() == Some(used)) {
            Some(log) => Ok(Some(log.transaction_hash.ok_or(Refused::Answer)?.0)),
            None => Ok(None),
        }
    }
}
