//! Transactions that payers sign themselves, and payments made of them.

use crate::rig::{Wallets, key};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use h402_core::{
    Dialect, Network, Payload, PaymentPayload, Scheme, SentEvmTransaction, SignedEvmTransaction, SignedTransaction, evm::Erc20Transfer,
};
use h402_devnet::evm::account;
use h402_facilitator::rpc::{Reach, Rpc, RpcConfig};

/// One gwei in wei.
pub const GWEI: u128 = 1_000_000_000;

/// The resource that [`Wallets::requirements`] names.
const RESOURCE: &str = "http://127.0.0.1/paid";

impl Wallets {
    /// A transfer of the chain's token in the payer's next transaction.
    pub fn token_transfer(&self, payer: usize, to: Address, units: u128) -> TxEip1559 {
        let data = Erc20Transfer { to, amount: h402_core::Amount::from_atomic(units) }.encode();
        TxEip1559 { to: TxKind::Call(self.chain.usdc()), input: data.into(), ..self.native_transfer(payer, to, 0) }
    }

    /// A transfer of the native coin in the payer's next transaction.
    pub fn native_transfer(&self, payer: usize, to: Address, wei: u128) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain.chain_id(),
            nonce: self.chain.nonce(account(payer).address),
            gas_limit: 100_000,
            max_fee_per_gas: 10 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: TxKind::Call(to),
            value: U256::from(wei),
            ..TxEip1559::default()
        }
    }

    /// A payment by a signed transaction, with the resource signed by the same account.
    pub fn by_transaction(&self, payer: usize, transaction: &SignedTransaction) -> PaymentPayload {
        self.payload(Payload::EvmTransaction(SignedEvmTransaction {
            raw: transaction.raw.clone(),
            signed_message: key(payer).sign_message(RESOURCE).unwrap(),
        }))
    }

    /// A payment by the hash of a transaction that was sent, with the resource signed by `claimant`.
    pub fn by_hash(&self, claimant: usize, hash: B256) -> PaymentPayload {
        self.payload(Payload::EvmSent(SentEvmTransaction { hash, signed_message: key(claimant).sign_message(RESOURCE).unwrap() }))
    }

    /// Any proof, as a payment on this chain for the resource.
    pub fn payload(&self, payload: Payload) -> PaymentPayload {
        PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: Scheme::Exact,
            network: Network::Evm(self.chain.chain_id()),
            resource: Some(RESOURCE.into()),
            payload,
        }
    }

    /// Hands a transaction to the chain as anybody can; the node's own words if it does not take it.
    pub async fn submit(&self, raw: &Bytes) -> Result<(), String> {
        let node = Rpc::new(RpcConfig::new(vec![self.chain.url().parse().unwrap()]));
        node.send_raw(raw, Reach::One).await.unwrap().map(drop).map_err(|error| error.message)
    }

    /// Signs and submits a transaction as an account's own doing; its hash.
    pub async fn send(&self, from: usize, transaction: TxEip1559) -> B256 {
        let signed = sign(from, transaction);
        self.submit(&signed.raw).await.unwrap();
        signed.hash
    }
}

/// Signs a transaction with the key of a development account.
pub fn sign(from: usize, transaction: TxEip1559) -> SignedTransaction {
    key(from).sign_eip1559(transaction).unwrap()
}
