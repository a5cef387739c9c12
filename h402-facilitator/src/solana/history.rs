//! Which transactions name an account, however many those are.

use super::{
    SolanaChain,
    answer::{Answered, Base58, Level, base58},
    status::{Search, WireStatus},
};
use crate::rpc::Call;
use h402_core::{SolanaAddress, Undecided};
use serde::{Deserialize, Serialize};

/// Transactions that nodes list in one answer.
const PAGE: usize = 1000;
/// Slots by which a node may list a transaction later than it calls its block finalized: about twelve seconds.
const LISTED_AFTER: u64 = 32;

/// The transactions that name an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The slot up to which these are all.
    pub upto: u64,
    /// Their first signatures, the newest first.
    pub signatures: Vec<[u8; 64]>,
}

#[derive(Serialize)]
struct Options {
    commitment: &'static str,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    signature: Base58<64>,
    slot: u64,
}

impl SolanaChain {
    /// The finalized transactions that name an account, in slots after this one: whoever signed them, and whether they succeeded
    /// or not. None of them where no slot is given, but still up to where that is. One HTTP request per thousand.
    ///
    /// # Errors
    /// [`Undecided`], also if the node forgets in between what it has just listed.
    pub async fn naming(&self, account: SolanaAddress, after: Option<u64>) -> Result<Naming, Undecided> {
        let inner = &self.inner;
        let mut all = Naming { upto: u64::MAX, signatures: Vec::new() };
        let mut listed: Vec<Listed> = Vec::new();
        loop {
            // Each page tells up to where its own node knows.
            let slot = Call::new("getSlot", &[Level::FINALIZED]);
            let before = listed.last().map(|last| base58(&last.signature.0));
            // A node that does not know the last page's end lists nothing after it.
            let known =
                before.as_ref().map(|last| Call::new("getSignatureStatuses", &([last], Search { search_transaction_history: true })));
            let options = Options { commitment: "finalized", limit: PAGE, before: before.clone() };
            let list = after.map(|_| Call::new("getSignaturesForAddress", &(account.to_string(), options)));
            let (answers, answerer) = inner.ask([slot].into_iter().chain(list).chain(known)).await?;
            let mut answers = answers.into_iter();
            let slot: u64 = inner.read_answer(answers.next(), answerer)?;
            all.upto = all.upto.min(slot.saturating_sub(LISTED_AFTER));
            let Some(after) = after else { return Ok(all) };
            listed = inner.read_answer(answers.next(), answerer)?;
            if before.is_some() {
                let known: Answered<Vec<Option<WireStatus>>> = inner.read_answer(answers.next(), answerer)?;
                if !matches!(known.value.as_slice(), [Some(_)]) {
                    inner.rpc.distrust(answerer);
                    return Err(Undecided::Chain);
                }
            }
            all.signatures.extend(listed.iter().filter(|one| one.slot > after).map(|one| one.signature.0));
            if listed.len() < PAGE || listed.last().is_none_or(|last| last.slot <= after) {
                return Ok(all);
            }
        }
    }
}
