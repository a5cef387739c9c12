//! Gives lamports to whoever asks, by a transaction like any other.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use solana_commitment_config::CommitmentLevel;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction::versioned::VersionedTransaction;

use super::params::Params;
use crate::{
    RpcError,
    solana::{chain::Shared, edit::Edit},
};

const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

pub(super) struct Faucet {
    key: Keypair,
    given: AtomicU64,
}

impl Default for Faucet {
    fn default() -> Self {
        Self { key: Keypair::new(), given: AtomicU64::new(0) }
    }
}

impl Faucet {
    pub(super) fn request(&self, shared: &Shared, params: &Params<'_>) -> Result<Value, RpcError> {
        let to = params.pubkey(0)?;
        let lamports = params.required::<u64>(1)?;
        // Two gifts of the same size under one blockhash would be one transaction.
        let number = self.given.fetch_add(1, Ordering::Relaxed).to_string();
        let internal = |error: &dyn std::fmt::Display| RpcError::new(-32603, error.to_string());
        let from = self.key.pubkey();
        let mut ledger = shared.lock();
        ledger.edit(Edit::Lamports(from, lamports.saturating_add(1_000_000_000))).map_err(|error| internal(&error))?;
        let memo = Instruction { program_id: MEMO, accounts: Vec::new(), data: number.into_bytes() };
        let hash = ledger.newest(CommitmentLevel::Confirmed).hash;
        let message = Message::new_with_blockhash(&[transfer(&from, &to, lamports), memo], Some(&from), &hash);
        let transaction =
            VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[&self.key]).map_err(|error| internal(&error))?;
        let signature = transaction.signatures[0].to_string();
        ledger.land_now(transaction);
        Ok(json!(signature))
    }
}
