//! What became of an authorization, whoever carried it.

use super::{
    EvmChain,
    abi::{call_at_latest, is_true, word},
    quantity::{Data, number, read},
    receipts::WireLog,
};
use crate::rpc::Call;
use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolCall, SolEvent};
use h402_core::{EvmAddress, ReceiptFacts, Undecided, evm::Erc20};
use serde::Serialize;

/// What the chain says of one authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationTrace {
    /// Whether its nonce is used or cancelled at the latest block.
    pub used: bool,
    /// The transaction that used it; none if it is unused, was cancelled, was used before the asked block, or in
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    address: String,
    topics: [String; 3],
    from_block: String,
    to_block: &'static str,
}

impl EvmChain {
    /// One word of state at the latest block, and the logs of `token` with these topics since block `from_block`, asked at once.
    pub(super) async fn state_and_logs(
        &self,
        state: Call,
        token: EvmAddress,
        topics: [B256; 3],
        from_block: u64,
    ) -> Result<(U256, Vec<WireLog>), Undecided> {
        let topics = topics.map(|topic| topic.to_string());
        let filter = Filter { address: token.to_string(), topics, from_block: number(from_block), to_block: "latest" };
        // The state first: a node that answers in order then never shows a use and hides its log.
        let mut answers = self.inner.ask([state, Call::new("eth_getLogs", &[filter])]).await?.into_iter();
        let state = answers.next().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain)?;
        let logs = answers.next().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain)?;
        Ok((word(&read::<Data>(&state)?.0)?, read(&logs)?))
    }

    /// Looks for the transaction that used an authorization, from block `from_block` on.
    ///
    /// One HTTP request; up to two more for the receipt if there is such a transaction.
    ///
    /// # Errors
    /// [`Undecided`] if the node does not answer for both the state and the logs, or contradicts itself.
    pub async fn authorization(
        &self,
        token: EvmAddress,
        from: EvmAddress,
        nonce: B256,
        from_block: u64,
    ) -> Result<AuthorizationTrace, Undecided> {
        let state = Erc20::authorizationStateCall { authorizer: from, nonce }.abi_encode();
        let topics = [Erc20::AuthorizationUsed::SIGNATURE_HASH, from.into_word(), nonce];
        let (state, logs) = self.state_and_logs(call_at_latest(token, &state), token, topics, from_block).await?;
        let used = is_true(state)?;
        let carrier = logs.iter().rev().find(|log| !log.removed && log.authorization() == Some((token, from, nonce)));
        let Some(carrier) = carrier else { return Ok(AuthorizationTrace { used, log: None }) };
        let transaction = carrier.transaction_hash.ok_or(Undecided::Chain)?.0;
        let receipt = self.receipts(&[transaction]).await?.pop().flatten();
        // A log without a receipt is of a block that is just going: nothing is certain now.
        let receipt = receipt.filter(|receipt| receipt.authorizations.contains(&(token, from, nonce))).ok_or(Undecided::Chain)?;
        Ok(AuthorizationTrace { used, log: Some(AuthorizationLog { transaction, receipt }) })
    }
}
