//! The JSON-RPC methods, in the words of agave 4.2.

mod accounts;
mod faucet;
mod params;
mod simulate;
mod submit;
mod subscriptions;
mod transactions;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_rpc_client_types::config::{RpcContextConfig, RpcEpochConfig};

use self::{faucet::Faucet, params::Params};
use super::{
    chain::Shared,
    ledger::{Block, Ledger, WINDOW},
    sysvars::SLOTS_IN_EPOCH,
};
use crate::{
    RpcError,
    serve::{Feed, Methods},
};

/// The version whose behaviour this is.
const VERSION: &str = "4.2.2";

/// The methods of the chain.
pub(super) struct Rpc {
    shared: Arc<Shared>,
    faucet: Faucet,
}

impl Rpc {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, faucet: Faucet::default() }
    }
}

impl Methods for Rpc {
    fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let params = Params::new(params)?;
        // Checking signatures takes longest and needs no lock.
        match method {
            "sendTransaction" => return submit::send_transaction(&self.shared, &params),
            "simulateTransaction" => return simulate::simulate_transaction(&self.shared, &params),
            "requestAirdrop" => return self.faucet.request(&self.shared, &params),
            _ => {}
        }
        let ledger = self.shared.lock();
        let ledger = &*ledger;
        match method {
            "getHealth" => Ok(json!("ok")),
            "getVersion" => Ok(json!({ "solana-core": VERSION, "feature-set": 0 })),
            "getGenesisHash" => Ok(json!(ledger.genesis.to_string())),
            "getSlot" => Ok(json!(ledger.at(&params.or_default::<RpcContextConfig>(0)?)?.slot)),
            "getBlockHeight" => Ok(json!(ledger.at(&params.or_default::<RpcContextConfig>(0)?)?.height)),
            // Nothing is ever forgotten.
            "getFirstAvailableBlock" => Ok(json!(0)),
            "getBlockTime" => {
                let slot = params.required::<u64>(0)?;
                let block = ledger.blocks().iter().rev().find(|block| block.slot == slot);
                block.map(|block| json!(block.time)).ok_or_else(|| RpcError::new(-32004, format!("Block not available for slot {slot}")))
            }
            "getEpochInfo" => {
                let config = params.or_default::<RpcEpochConfig>(0)?;
                let block = ledger.at_level(config.commitment, config.min_context_slot)?;
                Ok(json!({
                    "absoluteSlot": block.slot,
                    "blockHeight": block.height,
                    "epoch": block.slot / SLOTS_IN_EPOCH,
                    "slotIndex": block.slot % SLOTS_IN_EPOCH,
                    "slotsInEpoch": SLOTS_IN_EPOCH,
                    "transactionCount": ledger.landed.len(),
                }))
            }
            "getLatestBlockhash" => {
                let block = ledger.at(&params.or_default::<RpcContextConfig>(0)?)?;
                Ok(in_context(block, blockhash(block)))
            }
            "isBlockhashValid" => {
                let hash = params.hash(0)?;
                let block = ledger.at(&params.or_default::<RpcContextConfig>(1)?)?;
                Ok(in_context(block, ledger.last_valid(&hash, block.height).is_some()))
            }
            "getBalance" => {
                let key = params.pubkey(0)?;
                let block = ledger.at(&params.or_default::<RpcContextConfig>(1)?)?;
                Ok(in_context(block, ledger.account(&key, block.height).map_or(0, |account| account.lamports)))
            }
            "getMinimumBalanceForRentExemption" => Ok(json!(ledger.svm.minimum_balance_for_rent_exemption(params.required::<usize>(0)?))),
            "getAccountInfo" => accounts::get_account_info(ledger, &params),
            "getMultipleAccounts" => accounts::get_multiple_accounts(ledger, &params),
            "getTokenAccountBalance" => accounts::get_token_account_balance(ledger, &params),
            "getTokenAccountsByOwner" => accounts::get_token_accounts_by_owner(ledger, &params),
            "getFeeForMessage" => simulate::get_fee_for_message(ledger, &params),
            "getSignatureStatuses" => transactions::get_signature_statuses(ledger, &params),
            "getSignaturesForAddress" => transactions::get_signatures_for_address(ledger, &params),
            "getTransaction" => transactions::get_transaction(ledger, &params),
            _ => Err(RpcError::new(-32601, "Method not found")),
        }
    }

    fn subscribe(&self, method: &str, params: &Value) -> Result<Feed, RpcError> {
        subscriptions::subscribe(&self.shared, method, params)
    }
}

impl Ledger {
    /// The block that a commitment speaks of; finalized if none is given.
    fn at_level(&self, commitment: Option<CommitmentConfig>, min_context_slot: Option<u64>) -> Result<&Block, RpcError> {
        let block = self.newest(commitment.map_or(CommitmentLevel::Finalized, |config| config.commitment));
        match min_context_slot {
            Some(slot) if block.slot < slot => Err(RpcError {
                data: Some(json!({ "contextSlot": block.slot })),
                ..RpcError::new(-32016, "Minimum context slot has not been reached")
            }),
            _ => Ok(block),
        }
    }

    fn at(&self, config: &RpcContextConfig) -> Result<&Block, RpcError> {
        self.at_level(config.commitment, config.min_context_slot)
    }
}

/// A result with the slot that it speaks of.
fn in_context(block: &Block, value: impl Serialize) -> Value {
    json!({ "context": { "slot": block.slot, "apiVersion": VERSION }, "value": value })
}

fn blockhash(block: &Block) -> Value {
    json!({ "blockhash": block.hash.to_string(), "lastValidBlockHeight": block.height + WINDOW })
}
