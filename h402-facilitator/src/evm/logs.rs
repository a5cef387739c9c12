//! Logs of a token, looked for backwards from the latest block.

use super::{
    Answer, EvmChain,
    blocks::{Head, block_call},
    quantity::{number, read},
    receipts::WireLog,
    span::Span,
};
use crate::rpc::Call;
use alloy_primitives::B256;
use h402_core::{BlockRef, EvmAddress, Undecided, UnixSeconds};
use serde::Serialize;

/// Which logs of a contract.
pub(super) struct Wanted {
    pub(super) contract: EvmAddress,
    pub(super) topics: [B256; 3],
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
    /// Looks through the logs from the newest on, until `enough` has what it looks for: in all blocks that are not older than
    /// `since`, and in as many before them as one request reaches. What is not there was not there at `block`, or is newer.
    ///
    /// One HTTP request or more, in ranges that the node takes. Logs of one block may be shown twice.
    ///
    /// # Errors
    /// [`Undecided`] if a node that has the block does not answer for all of them.
    pub(super) async fn logs_back(
        &self,
        wanted: &Wanted,
        block: BlockRef,
        since: UnixSeconds,
        mut enough: impl FnMut(&[WireLog]) -> Result<bool, Undecided>,
    ) -> Result<(), Undecided> {
        let mut last = None;
        loop {
            let span = self.inner.log_span.now();
            let ranges = ranges(last, block.number, span);
            let Some((first, _)) = ranges.last().copied() else { return Ok(()) };
            let mut calls = Vec::with_capacity(ranges.len() + 1);
            for (first, last) in &ranges {
                calls.push(Call::new("eth_getLogs", &[wanted.filter(*first, *last)]));
            }
            calls.push(block_call(first));
            let (mut answers, answerer) = self.inner.ask_with(block, calls).await?;
            let oldest: Option<Head> = self.inner.read_answer(answers.pop(), answerer)?;
            let mut all = true;
            for answer in answers {
                match logs(answer) {
                    Ok(logs) if enough(&logs)? => return Ok(()),
                    Ok(_) => {}
                    // Many nodes take no more than so many blocks at once.
                    Err(Refused::Range) if self.inner.log_span.is_too_much(span) => {
                        all = false;
                        break;
                    }
                    Err(_) => return Err(Undecided::Chain),
                }
            }
            if !all {
                continue;
            }
            // Some chains do not begin with zero.
            if first == 0 || oldest.ok_or(Undecided::Chain)?.time < since {
                return Ok(());
            }
            last = Some(first - 1);
        }
    }
}

/// Ranges of blocks to ask for in one request, the newest first; that without an end goes to the latest block, which is
/// `newest` or later. More than one where a node takes few blocks at once.
fn ranges(last: Option<u64>, newest: u64, span: u64) -> Vec<(u64, Option<u64>)> {
    let count = if span < Span::LOGS { 8 } else { 1 };
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

fn logs(answer: Answer) -> Result<Vec<WireLog>, Refused> {
    read(&answer.map_err(|_| Refused::Range)?).map_err(|_| Refused::Answer)
}

impl Wanted {
    fn filter(&self, first: u64, last: Option<u64>) -> Filter {
        Filter {
            address: self.contract.to_string(),
            topics: self.topics.map(|topic| topic.to_string()),
            from_block: number(first),
            to_block: last.map_or_else(|| "latest".to_owned(), number),
        }
    }
}
