//! The two chains, who has what on them, and what a transaction there did.

use super::parties::{Chain, Facilitator};
use crate::node::Node;
use alloy_primitives::{hex, keccak256};
use alloy_signer_local::PrivateKeySigner;
use h402_devnet::{
    BlockTime,
    evm::account as evm_account,
    solana::{Keypair, Signer as _, SolanaChain, SolanaConfig, account as solana_account},
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::Mutex;

/// What each payer has: enough for a few payments.
const FUNDS: u64 = 1_000_000;

/// Anvil and a Solana cluster, both under the names of the test networks that every package knows.
pub(super) struct Chains {
    pub(super) evm: Node,
    pub(super) solana: SolanaChain,
    /// Held by whoever mints on anvil, which takes one transaction of an account after the other.
    minting: Mutex<()>,
}

/// Somebody with a key of both kinds, made of a name.
pub(super) struct Person {
    evm: PrivateKeySigner,
    solana: Keypair,
}

impl Person {
    pub(super) fn named(name: &str) -> Self {
        let seed = keccak256(format!("h402 interop {name}"));
        Self { evm: PrivateKeySigner::from_bytes(&seed).unwrap(), solana: Keypair::new_from_array(seed.0) }
    }

    /// The address on a chain.
    pub(super) fn address(&self, chain: Chain) -> String {
        match chain {
            Chain::Evm => self.evm.address().to_string(),
            Chain::Solana => self.solana.pubkey().to_string(),
        }
    }

    /// The key as the programs take it: hex, or base58 of its 64 bytes.
    pub(super) fn key(&self, chain: Chain) -> String {
        match chain {
            Chain::Evm => hex::encode_prefixed(self.evm.to_bytes()),
            Chain::Solana => self.solana.to_base58_string(),
        }
    }
}

/// The keys that pay a facilitator's gas and fees.
pub(super) fn operator(facilitator: Facilitator) -> (String, String) {
    let index = facilitator.account();
    (hex::encode_prefixed(evm_account(index).secret_key), solana_account(index).to_base58_string())
}

impl Chains {
    pub(super) async fn start() -> Self {
        // Slots pass faster than on the real cluster, and blockhashes live for half a minute.
        let config = SolanaConfig::default().slot_time(BlockTime::Every(Duration::from_millis(200)));
        Self { evm: Node::anvil().await, solana: SolanaChain::start(config).await.unwrap(), minting: Mutex::default() }
    }

    /// What the programs are told of the chains.
    pub(super) fn env(&self) -> [(&'static str, String); 2] {
        [("EVM_RPC", self.evm.url.clone()), ("SVM_RPC", self.solana.url())]
    }

    /// Lets somebody hold the token.
    pub(super) async fn fund(&self, chain: Chain, who: &Person) {
        match chain {
            Chain::Evm => {
                let _one = self.minting.lock().await;
                self.evm.mint(who.evm.address(), FUNDS).await;
            }
            Chain::Solana => drop(self.solana.mint_to(who.solana.pubkey(), self.solana.usdc(), FUNDS).unwrap()),
        }
    }

    /// What somebody holds of the token.
    pub(super) async fn balance(&self, chain: Chain, who: &Person) -> u64 {
        match chain {
            Chain::Evm => self.evm.balance(who.evm.address()).await.to(),
            Chain::Solana => self.solana.token_balance(who.solana.pubkey(), self.solana.usdc()),
        }
    }

    /// Whether a transaction is on the chain and succeeded.
    pub(super) async fn succeeded(&self, chain: Chain, transaction: &str) -> bool {
        match chain {
            Chain::Evm => self.evm.rpc("eth_getTransactionReceipt", json!([transaction])).await["status"] == "0x1",
            Chain::Solana => {
                transaction.parse().is_ok_and(|signature| self.solana.outcome(&signature).is_some_and(|outcome| outcome.error.is_none()))
            }
        }
    }
}
