//! A chain of either kind, who pays on it, and what it says afterwards.

use crate::{
    cluster::{self, Cluster, network},
    raw::Ask,
    rig::{GAS, PAYEE, PAYER, Wallets, now},
    shop::{PRICE, header, process::buy},
};
use alloy_primitives::{B256, U256, hex};
use h402_core::{Address, Asset, Authorization, Matched, Network, Offers, PaymentPayload, Resource};
use h402_devnet::{
    evm::{Chain, account},
    solana::{self, SolanaChain, SolanaConfig},
};
use std::{collections::HashSet, sync::Arc};

/// Accounts that pay.
const PAYERS: usize = 6;

pub(super) enum Market {
    Evm {
        wallets: Wallets,
        /// What the payee had before.
        before: U256,
    },
    Solana {
        cluster: Cluster,
        /// What the payee had before.
        before: u64,
    },
}

/// A payment, and what it is known by.
#[derive(Clone)]
pub(super) struct Purchase {
    pub ask: Ask,
    /// Its key, in hex.
    pub key: String,
    /// Payer and nonce of an authorization.
    authorization: Option<(usize, B256)>,
}

impl Market {
    pub(super) async fn evm() -> Self {
        let wallets = Wallets::new(&Chain::builder().chain_id(84532).start().await.unwrap());
        let before = wallets.received();
        Self::Evm { wallets, before }
    }

    pub(super) async fn solana() -> Self {
        let cluster = Cluster::new(&SolanaChain::start(SolanaConfig::default()).await.unwrap());
        let before = cluster.received(&cluster.usdc);
        Self::Solana { cluster, before }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Evm { .. } => "EVM",
            Self::Solana { .. } => "Solana",
        }
    }

    pub(super) fn asset(&self) -> &Asset {
        match self {
            Self::Evm { wallets, .. } => &wallets.asset,
            Self::Solana { cluster, .. } => &cluster.usdc,
        }
    }

    pub(super) fn payee(&self) -> Address {
        match self {
            Self::Evm { .. } => account(PAYEE).address.into(),
            Self::Solana { .. } => Address::Solana(cluster::address(cluster::PAYEE)),
        }
    }

    /// Network, node and key of a facilitator.
    pub(super) fn place(&self) -> (String, String, String) {
        match self {
            Self::Evm { wallets, .. } => {
                let network = Network::Evm(wallets.chain.chain_id()).to_string();
                (network, wallets.chain.url(), hex::encode(account(GAS).secret_key))
            }
            Self::Solana { cluster, .. } => {
                let key = solana::account(cluster::SPONSOR).to_base58_string();
                (network(&cluster.chain).to_string(), cluster.chain.url(), key)
            }
        }
    }

    /// A fresh payment, settled before or after the handler in turn; on Solana, with a fee that is the payer's or ours.
    pub(super) fn purchase(&self, worker: usize, number: usize) -> Purchase {
        let payer = worker % PAYERS;
        let upfront = (worker + number).is_multiple_of(2);
        let (payment, offer, authorization) = match self {
            Self::Evm { wallets, .. } => {
                let payer = PAYER + payer;
                let times = Authorization { valid_before: U256::from(now() + 590), ..wallets.authorization(payer, PRICE) };
                let nonce = times.nonce;
                (wallets.signed(payer, times), wallets.offer(PRICE), Some((payer, nonce)))
            }
            Self::Solana { cluster, .. } => {
                let sponsor = number.is_multiple_of(3).then_some(cluster::SPONSOR);
                let payment = cluster.payment(cluster::PAYER + payer, &cluster.usdc, PRICE, sponsor);
                (payment, cluster.requirements(&cluster.usdc, PRICE).offer, None)
            }
        };
        let payment = PaymentPayload { resource: None, ..payment };
        let resource = Arc::new(Resource { url: String::new(), description: None, mime_type: None });
        let matched = Matched::new(payment.clone(), &Offers::new(vec![offer]).unwrap(), &resource, None).unwrap();
        Purchase { ask: buy(upfront, &header(&payment)), key: matched.key().to_string(), authorization }
    }

    /// Whether the chain has seen a payment that the ledger says this transaction carries.
    pub(super) fn is_paid(&self, purchase: &Purchase, transaction: Option<&str>) -> bool {
        match (self, purchase.authorization) {
            (Self::Evm { wallets, .. }, Some((payer, nonce))) => {
                wallets.chain.authorization_used(wallets.chain.usdc(), account(payer).address, nonce)
            }
            (Self::Solana { cluster, .. }, _) => {
                transaction.is_some_and(|id| cluster.chain.landed().iter().any(|landed| landed.to_string() == id))
            }
            (Self::Evm { .. }, None) => false,
        }
    }

    /// How many payments have reached the payee, by the chain alone.
    pub(super) fn received(&self) -> u128 {
        match self {
            Self::Evm { wallets, before } => u128::try_from(wallets.received() - before).unwrap() / PRICE,
            Self::Solana { cluster, before } => u128::from(cluster.received(&cluster.usdc) - before) / PRICE,
        }
    }

    /// Transactions that the chain says have moved money to the payee.
    pub(super) fn carriers(&self) -> HashSet<String> {
        match self {
            Self::Evm { wallets, .. } => {
                let transfers = wallets.chain.transfers(wallets.chain.usdc()).into_iter();
                transfers.filter(|transfer| transfer.to == account(PAYEE).address).map(|transfer| transfer.tx_hash.to_string()).collect()
            }
            Self::Solana { cluster, .. } => cluster.chain.landed().iter().map(ToString::to_string).collect(),
        }
    }
}
