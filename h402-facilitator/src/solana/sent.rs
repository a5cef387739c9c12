//! Transactions that payers have sent, as the cluster knows them.

use super::{
    Answer, SolanaChain,
    answer::{Answered, Base58, Encoded, InBase64, base58, read},
    facts::is_null,
    status::{Commitment, Search, WireStatus},
};
use crate::rpc::Call;
use h402_core::{NativeChange, SolanaAddress, SolanaSentFacts, TokenChange, Undecided, UnixSeconds, solana::SolanaTransaction};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    #[serde(flatten)]
    format: InBase64,
    max_supported_transaction_version: u8,
}

/// How many calls ask about one transaction.
const CALLS: usize = 2;

/// What is asked about a sent transaction.
pub(super) fn calls(signature: &str) -> [Call; CALLS] {
    let options = Options { format: InBase64::CONFIRMED, max_supported_transaction_version: 0 };
    [
        Call::new("getTransaction", &(signature, options)),
        Call::new("getSignatureStatuses", &([signature], Search { search_transaction_history: true })),
    ]
}

impl SolanaChain {
    /// What the cluster shows of transactions, however old, in the order asked; none for one that it does not know as confirmed.
    /// In one HTTP request per 49, with a node that takes the usual 100 calls.
    ///
    /// # Errors
    /// [`Undecided`], also if the node's answers contradict each other.
    pub async fn transactions(&self, signatures: &[[u8; 64]]) -> Result<Vec<Option<SolanaSentFacts>>, Undecided> {
        let mut all = Vec::with_capacity(signatures.len());
        for chunk in signatures.chunks((self.inner.calls_beside_genesis() / CALLS).max(1)) {
            let (answers, _) = self.inner.ask(chunk.iter().flat_map(|signature| calls(&base58(signature)))).await?;
            for (signature, answers) in chunk.iter().zip(answers.chunks(CALLS)) {
                all.push(facts(signature, answers)?);
            }
        }
        Ok(all)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTransaction {
    slot: u64,
    block_time: Option<i64>,
    transaction: Encoded,
    meta: Option<WireMeta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    err: Option<Box<RawValue>>,
    pre_balances: Vec<u64>,
    post_balances: Vec<u64>,
    pre_token_balances: Option<Vec<WireTokens>>,
    post_token_balances: Option<Vec<WireTokens>>,
    loaded_addresses: Option<WireLoaded>,
}

#[derive(Deserialize)]
struct WireLoaded {
    writable: Vec<Base58<32>>,
    readonly: Vec<Base58<32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTokens {
    account_index: usize,
    mint: Base58<32>,
    owner: Option<Base58<32>>,
    ui_token_amount: WireAmount,
}

#[derive(Deserialize)]
struct WireAmount {
    amount: String,
}

/// Reads the answers to [`calls`]; none if the cluster does not know the transaction as confirmed.
pub(super) fn facts(signature: &[u8; 64], answers: &[Answer]) -> Result<Option<SolanaSentFacts>, Undecided> {
    let [Ok(transaction), Ok(status)] = answers else { return Err(Undecided::Chain) };
    if is_null(transaction) {
        return Ok(None);
    }
    let wire: WireTransaction = read(transaction).ok_or(Undecided::Chain)?;
    let status: Answered<Vec<Option<WireStatus>>> = read(status).ok_or(Undecided::Chain)?;
    let finalized = match status.value.as_slice() {
        [Some(status)] if status.slot == wire.slot => status.read()?.commitment == Some(Commitment::Finalized),
        [None] | [Some(_)] => false,
        _ => return Err(Undecided::Chain),
    };
    let transaction = SolanaTransaction::decode(&wire.transaction.0).map_err(|_| Undecided::Chain)?;
    // The node speaks of some other transaction.
    if transaction.signatures.first() != Some(signature) {
        return Err(Undecided::Chain);
    }
    let meta = wire.meta.ok_or(Undecided::Chain)?;
    let mut keys = transaction.message.keys().to_vec();
    if let Some(loaded) = &meta.loaded_addresses {
        // In this order they follow the message's own keys (T092).
        keys.extend(loaded.writable.iter().chain(&loaded.readonly).map(|key| SolanaAddress::from(*key)));
    }
    if keys.len() != meta.pre_balances.len() || keys.len() != meta.post_balances.len() {
        return Err(Undecided::Chain);
    }
    let balances = meta.pre_balances.iter().zip(&meta.post_balances);
    let lamports =
        keys.iter().zip(balances).map(|(account, (before, after))| NativeChange { account: *account, before: *before, after: *after });
    let lamports = lamports.collect();
    let tokens = token_changes(&keys, meta.pre_token_balances.unwrap_or_default(), meta.post_token_balances.unwrap_or_default())?;
    let time = wire.block_time.and_then(|time| u64::try_from(time).ok()).map(UnixSeconds);
    Ok(Some(SolanaSentFacts { transaction, success: meta.err.is_none(), finalized, slot: wire.slot, time, lamports, tokens }))
}

/// Token accounts before and after, whether they were there before, after, or both (T090).
fn token_changes(keys: &[SolanaAddress], before: Vec<WireTokens>, after: Vec<WireTokens>) -> Result<Vec<TokenChange>, Undecided> {
    let mut changes: Vec<TokenChange> = Vec::new();
    let all = before.into_iter().map(|tokens| (tokens, true)).chain(after.into_iter().map(|tokens| (tokens, false)));
    for (tokens, is_before) in all {
        let account = *keys.get(tokens.account_index).ok_or(Undecided::Chain)?;
        let (mint, owner) = (tokens.mint.into(), tokens.owner.ok_or(Undecided::Chain)?.into());
        let amount: u64 = tokens.ui_token_amount.amount.parse().map_err(|_| Undecided::Chain)?;
        let known = changes.iter_mut().find(|change| change.account == account && change.mint == mint && change.owner == owner);
        match (known, is_before) {
            (Some(change), false) => change.after = amount,
            (None, true) => changes.push(TokenChange { account, mint, owner, before: amount, after: 0 }),
            (None, false) => changes.push(TokenChange { account, mint, owner, before: 0, after: amount }),
            (Some(_), true) => return Err(Undecided::Chain),
        }
    }
    Ok(changes)
}
