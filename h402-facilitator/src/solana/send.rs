//! Sending: the same bytes, as often as it takes.

use super::{
    SolanaChain,
    answer::{Base58, base64, read},
};
use crate::rpc::{Call, Reach};
use alloy_primitives::Bytes;
use h402_core::TransactionId;
use serde::Serialize;

/// What became of a transaction that was handed to the node. Only a block proves anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SolanaSending {
    /// The node took it.
    Accepted,
    /// The node said why it did not take it now, in its own shortened words. It may have it from an earlier time.
    Refused(String),
    /// No answer, or one that is not understood: it may be on its way.
    Unknown,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    encoding: &'static str,
    skip_preflight: bool,
    max_retries: u8,
}

/// A payment was simulated when it was verified, and one that fails all the same is to fail in a block, where that is
/// proven, and not in a node that may be alone with it. Sending again is done here.
const OPTIONS: Options = Options { encoding: "base64", skip_preflight: true, max_retries: 0 };

impl SolanaChain {
    /// Hands signed transactions to the node, as many as it takes in one HTTP request, and on to the next endpoint if
    /// one does not answer: always the same bytes. One answer for each.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open what was sent: [`SolanaSending::Unknown`].
    pub async fn send(&self, transactions: &[(TransactionId, Bytes)]) -> Vec<SolanaSending> {
        let mut sent = Vec::with_capacity(transactions.len());
        for chunk in transactions.chunks(self.inner.rpc.max_calls().max(1)) {
            let calls: Vec<Call> = chunk.iter().map(|(_, raw)| Call::new("sendTransaction", &(base64(raw), OPTIONS))).collect();
            match self.inner.rpc.ask(&calls, Reach::UntilAnswered).await {
                Ok((answers, _)) => sent.extend(chunk.iter().zip(answers).map(|((id, _), answer)| match answer {
                    Ok(signature) => match read::<Base58<64>>(&signature) {
                        Some(Base58(signature)) if *id == TransactionId::Solana(signature) => SolanaSending::Accepted,
                        // The node speaks of some other transaction.
                        _ => SolanaSending::Unknown,
                    },
                    Err(error) => SolanaSending::Refused(error.message),
                })),
                Err(_) => sent.extend(chunk.iter().map(|_| SolanaSending::Unknown)),
            }
        }
        sent
    }
}
