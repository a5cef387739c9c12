//! What became of an authorization, whoever carried it.

use super::{
    EvmChain,
    abi::{call_at_latest, is_true, word},
    logs::Wanted,
    quantity::{Data, read},
};
use alloy_primitives::B256;
use alloy_sol_types::{SolCall, SolEvent};
use h402_core::{BlockRef, EvmAddress, ReceiptFacts, Undecided, UnixSeconds, evm::Erc20};

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

impl EvmChain {
    /// Looks for the transaction that used an authorization, in all blocks that are not older than `since`. What is not there
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
        let user = if used { self.user_of(&asked, block, since).await? } else { None };
        let Some(transaction) = user else { return Ok(AuthorizationTrace { used, log: None }) };
        let receipt = self.receipts(&[transaction]).await?.pop().flatten();
        // A log without a receipt is of a block that is just going: nothing is certain now.
        let receipt = receipt.filter(|receipt| receipt.authorizations.contains(&(token, from, nonce))).ok_or(Undecided::Chain)?;
        Ok(AuthorizationTrace { used, log: Some(AuthorizationLog { transaction, receipt }) })
    }

    /// The transaction whose log shows a use.
    async fn user_of(&self, asked: &Asked, block: BlockRef, since: UnixSeconds) -> Result<Option<B256>, Undecided> {
        let Asked { token, from, nonce } = *asked;
        let topics = [Erc20::AuthorizationUsed::SIGNATURE_HASH, from.into_word(), nonce];
        let mut user = None;
        self.logs_back(&Wanted { contract: token, topics }, block, since, |logs| {
            let used = logs.iter().rev().find(|log| !log.removed && log.authorization() == Some((token, from, nonce)));
            if let Some(log) = used {
                user = Some(log.transaction_hash.as_ref().ok_or(Undecided::Chain)?.0);
            }
            Ok(user.is_some())
        })
        .await?;
        Ok(user)
    }
}
