//! Where transactions stand, all that are in flight in one HTTP request.

use super::{
    Inner, SolanaChain,
    answer::{Answered, Level, base58},
    question::failure,
};
use crate::rpc::Call;
use h402_core::{Undecided, UnixSeconds};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How sure it is that a block will not be undone.
///
/// ```
/// use h402_facilitator::solana::Commitment;
/// assert!(Commitment::Finalized > Commitment::Confirmed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Commitment {
    /// Two thirds of the stake have voted for it.
    Confirmed,
    /// It cannot be undone.
    Finalized,
}

/// Where a transaction stands that the cluster knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureStatus {
    /// The slot of its block.
    pub slot: u64,
    /// How sure its block is; none for a block that only this node has seen.
    pub commitment: Option<Commitment>,
    /// Why it failed, shortened; none if it succeeded.
    pub failure: Option<String>,
}

/// Where transactions stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// The slot up to which the node knew.
    pub slot: u64,
    /// The finalized block height.
    pub finalized_height: u64,
    /// The first slot that the node remembers; zero if it was not asked for.
    pub first_slot: u64,
    /// In the order asked; none for a transaction that the cluster does not know.
    pub statuses: Vec<Option<SignatureStatus>>,
}

/// Signatures that nodes take in one call.
const PER_CALL: usize = 256;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Search {
    pub(super) search_transaction_history: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireStatus {
    pub(super) slot: u64,
    err: Option<Box<RawValue>>,
    /// Nodes that are older than this field write none, and `confirmations` is null once it is final.
    confirmation_status: Option<String>,
}

impl WireStatus {
    pub(super) fn read(&self) -> Result<SignatureStatus, Undecided> {
        let commitment = match self.confirmation_status.as_deref() {
            Some("finalized") => Some(Commitment::Finalized),
            Some("confirmed") => Some(Commitment::Confirmed),
            Some("processed") => None,
            _ => return Err(Undecided::Chain),
        };
        // In a block no failure passes by itself.
        let failure = self.err.as_ref().map(|err| failure(err).unwrap_or_else(|| "failed".to_owned()));
        Ok(SignatureStatus { slot: self.slot, commitment, failure })
    }
}

impl SolanaChain {
    /// Where transactions stand that were sent within the last minutes, and the finalized block height.
    ///
    /// One HTTP request for up to 256 × 97 signatures, with a node that takes the usual 100 calls.
    ///
    /// # Errors
    /// [`Undecided`], also if the node is of another cluster or far behind another endpoint.
    pub async fn statuses(&self, signatures: &[[u8; 64]]) -> Result<Statuses, Undecided> {
        self.inner.statuses(signatures, false).await
    }

    /// As [`SolanaChain::statuses`], for transactions of any age.
    ///
    /// # Errors
    /// As [`SolanaChain::statuses`], also if the node keeps no history.
    pub async fn statuses_of_any_age(&self, signatures: &[[u8; 64]]) -> Result<Statuses, Undecided> {
        self.inner.statuses(signatures, true).await
    }

    /// When a block was made that the node remembers; the beginning of time for slot zero.
    ///
    /// # Errors
    /// [`Undecided`], also if the node does not know that block's time.
    pub async fn time_of(&self, slot: u64) -> Result<UnixSeconds, Undecided> {
        if slot == 0 {
            return Ok(UnixSeconds(0));
        }
        let (mut answers, answerer) = self.inner.ask([Call::new("getBlockTime", &[slot])]).await?;
        Ok(UnixSeconds(self.inner.read_answer(answers.pop(), answerer)?))
    }

    /// Whether transactions can still come, by their blockhash: `false` once it is too old in a finalized block. In
    /// one HTTP request per 99, with a node that takes the usual 100 calls.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn are_blockhashes_valid(&self, blockhashes: &[[u8; 32]]) -> Result<Vec<bool>, Undecided> {
        let inner = &self.inner;
        let mut valid = Vec::with_capacity(blockhashes.len());
        for chunk in blockhashes.chunks(inner.calls_beside_genesis()) {
            let calls = chunk.iter().map(|hash| Call::new("isBlockhashValid", &(base58(hash), Level::FINALIZED)));
            let (answers, answerer) = inner.ask(calls).await?;
            for answer in answers {
                // A finalized block is far behind the newest, and a node that is behind even more says valid.
                let answer: Answered<bool> = inner.read_answer(Some(answer), answerer)?;
                valid.push(answer.value);
            }
        }
        Ok(valid)
    }
}

impl Inner {
    async fn statuses(&self, signatures: &[[u8; 64]], search_transaction_history: bool) -> Result<Statuses, Undecided> {
        let mut all =
            Statuses { slot: u64::MAX, finalized_height: u64::MAX, first_slot: 0, statuses: Vec::with_capacity(signatures.len()) };
        // Beside the genesis hash there is the block height, and what the node remembers.
        let calls_left = self.calls_beside_genesis().saturating_sub(2).max(1);
        for request in signatures.chunks(PER_CALL.saturating_mul(calls_left)) {
            let height = Call::new("getBlockHeight", &[Level::FINALIZED]);
            let calls = request.chunks(PER_CALL).map(|chunk| {
                let named: Vec<String> = chunk.iter().map(|signature| base58(signature)).collect();
                Call::new("getSignatureStatuses", &(named, Search { search_transaction_history }))
            });
            let first = search_transaction_history.then(|| Call::new("getFirstAvailableBlock", &[(); 0]));
            let (answers, answerer) = self.ask([height].into_iter().chain(calls).chain(first)).await?;
            let mut answers = answers.into_iter();
            let height: u64 = self.read_answer(answers.next(), answerer)?;
            all.finalized_height = all.finalized_height.min(height);
            for chunk in request.chunks(PER_CALL) {
                let answer: Answered<Vec<Option<WireStatus>>> = self.read_answer(answers.next(), answerer)?;
                if answer.value.len() != chunk.len() {
                    self.rpc.distrust(answerer);
                    return Err(Undecided::Chain);
                }
                self.keeps_up(answer.context.slot, answerer)?;
                all.slot = all.slot.min(answer.context.slot);
                for status in answer.value {
                    all.statuses.push(status.as_ref().map(WireStatus::read).transpose()?);
                }
            }
            if search_transaction_history {
                let first: u64 = self.read_answer(answers.next(), answerer)?;
                all.first_slot = all.first_slot.max(first);
            }
        }
        Ok(all)
    }
}
