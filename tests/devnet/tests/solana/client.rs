//! A chain, the client of the Solana project, and transactions to send.

use h402_devnet::solana::{Hash, Keypair, Pubkey, Signature, SolanaChain, SolanaConfig, account};
use serde_json::Value;
use solana_commitment_config::CommitmentConfig;
use solana_instruction::Instruction;
use solana_message::{Message, VersionedMessage, v0};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind as ClientErrorKind},
    request::{RpcError, RpcResponseErrorData},
    response::RpcSimulateTransactionResult,
};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction::versioned::VersionedTransaction;
use spl_token_2022_interface::instruction::transfer_checked;

pub(crate) const SOL: u64 = 1_000_000_000;

pub(crate) async fn chain() -> SolanaChain {
    SolanaChain::start(SolanaConfig::default()).await.unwrap()
}

/// The client, which asks for what is confirmed.
pub(crate) fn client(chain: &SolanaChain) -> RpcClient {
    RpcClient::new_with_commitment(chain.url(), CommitmentConfig::confirmed())
}

pub(crate) fn key(index: usize) -> Pubkey {
    account(index).pubkey()
}

/// Signs instructions; the first signer pays.
pub(crate) fn sign(instructions: &[Instruction], signers: &[&Keypair], blockhash: Hash) -> VersionedTransaction {
    let message = Message::new_with_blockhash(instructions, Some(&signers[0].pubkey()), &blockhash);
    VersionedTransaction::try_new(VersionedMessage::Legacy(message), signers).unwrap()
}

/// The same in a message of version 0.
pub(crate) fn sign_v0(instructions: &[Instruction], signers: &[&Keypair], blockhash: Hash) -> VersionedTransaction {
    let message = v0::Message::try_compile(&signers[0].pubkey(), instructions, &[], blockhash).unwrap();
    VersionedTransaction::try_new(VersionedMessage::V0(message), signers).unwrap()
}

/// A payment of lamports from one development account to another.
pub(crate) fn pay(chain: &SolanaChain, from: usize, to: usize, lamports: u64) -> VersionedTransaction {
    sign(&[transfer(&key(from), &key(to), lamports)], &[&account(from)], chain.latest_blockhash().0)
}

/// The instruction that moves the test token between development accounts.
pub(crate) fn usdc_transfer(chain: &SolanaChain, from: usize, to: Pubkey, amount: u64) -> Instruction {
    token_transfer(chain, chain.usdc(), from, to, amount)
}

/// The instruction that moves any token with 6 decimals.
pub(crate) fn token_transfer(chain: &SolanaChain, mint: Pubkey, from: usize, to: Pubkey, amount: u64) -> Instruction {
    let program = chain.account(mint).unwrap().owner;
    let source = chain.token_account(key(from), mint).unwrap();
    let destination = chain.token_account(to, mint).unwrap();
    let step = transfer_checked(&spl_token_2022_interface::ID, &source, &mint, &destination, &key(from), &[], amount, 6).unwrap();
    Instruction { program_id: program, ..step }
}

pub(crate) fn id(transaction: &VersionedTransaction) -> Signature {
    transaction.signatures[0]
}

/// The code, the text and, of a failed preflight, what the simulation said.
pub(crate) fn refusal(error: &ClientError) -> (i64, String, Option<RpcSimulateTransactionResult>) {
    let ClientErrorKind::RpcError(RpcError::RpcResponseError { code, message, data }) = error.kind() else {
        panic!("not an answer: {error:?}");
    };
    let result = match data {
        RpcResponseErrorData::SendTransactionPreflightFailure(result) => Some(result.clone()),
        _ => None,
    };
    (*code, message.clone(), result)
}

/// Posts a body and returns status and text, or nothing if the connection broke.
pub(crate) async fn post(chain: &SolanaChain, body: String) -> Option<(u16, String)> {
    use http_body_util::{BodyExt, Full};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<axum::body::Bytes>>();
    let request = http::Request::post(chain.url()).body(Full::from(body)).unwrap();
    let response = client.request(request).await.ok()?;
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(text.to_vec()).unwrap()))
}

/// One call by hand, with whatever is answered.
pub(crate) async fn call(chain: &SolanaChain, method: &str, params: Value) -> Value {
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let (status, text) = post(chain, body.to_string()).await.expect("an answer");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}
