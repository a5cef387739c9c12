//! A chain of either kind, every kind of payment on it, and what it says of them without asking anybody else.

use crate::{
    cluster::{self, Cluster, network},
    rig::{self, GAS, PAYEE, PAYER, Wallets, now},
    transactions::sign,
};
use alloy_primitives::{U256, hex};
use h402_core::{
    Address, Amount, Asset, Authorization, Dialect, Matched, Network, Offer, Offers, Payload, PaymentPayload, Requirements, Resource,
    Scheme, SentEvmTransaction, SentSolanaTransaction, SignedEvmTransaction, SolanaClaim, solana::SolanaTransaction,
};
use h402_devnet::{
    evm::{BlockTime, Chain, account},
    solana::{self, Delivery, Signature, SolanaChain, SolanaConfig},
};
use std::{collections::HashSet, sync::Arc};

/// What everything costs here.
pub const PRICE: u128 = 10_000;

/// By how many seconds the chain's clock is ahead when payers send: facilitators take only what was mined since they started, and
/// here they start again.
const AHEAD: u64 = 300;

/// The kinds of proof that a payment comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Authorization,
    EvmSigned,
    EvmSent,
    SolanaSigned,
    SolanaSponsored,
    SolanaSent,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Authorization, Self::EvmSigned, Self::EvmSent, Self::SolanaSigned, Self::SolanaSponsored, Self::SolanaSent];

    /// Whether the payer has moved the money before anybody is asked.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::EvmSent | Self::SolanaSent)
    }

    fn is_evm(self) -> bool {
        matches!(self, Self::Authorization | Self::EvmSigned | Self::EvmSent)
    }
}

/// A chain, and its payee's balance at the beginning.
pub enum Market {
    Evm { wallets: Wallets, before: U256 },
    Solana { cluster: Cluster, before: u64 },
}

impl Market {
    /// Starts a chain on which there are payments of this kind.
    pub async fn of(kind: Kind) -> Self {
        if kind.is_evm() {
            let wallets = Wallets::new(&Chain::builder().chain_id(84532).start().await.unwrap());
            let before = wallets.received();
            Self::Evm { wallets, before }
        } else {
            let cluster = Cluster::new(&SolanaChain::start(SolanaConfig::default()).await.unwrap());
            let before = cluster.received(&cluster.usdc);
            Self::Solana { cluster, before }
        }
    }

    pub fn asset(&self) -> &Arc<Asset> {
        match self {
            Self::Evm { wallets, .. } => &wallets.asset,
            Self::Solana { cluster, .. } => &cluster.usdc,
        }
    }

    pub fn payee(&self) -> Address {
        match self {
            Self::Evm { .. } => account(PAYEE).address.into(),
            Self::Solana { .. } => Address::Solana(cluster::address(cluster::PAYEE)),
        }
    }

    /// Network, node and key of a facilitator.
    pub fn place(&self) -> (String, String, String) {
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

    /// A fresh payment for a resource; `payer` counts from 0. One that is sent is on the chain, as deep as it gets.
    pub async fn payment(&self, kind: Kind, payer: usize, resource: &str) -> PaymentPayload {
        let payload = match self {
            Self::Evm { wallets, .. } => evm_payment(wallets, kind, PAYER + payer, resource).await,
            Self::Solana { cluster, .. } => solana_payment(cluster, kind, cluster::PAYER + payer, resource),
        };
        let network = self.asset().id.network;
        let named = !matches!(kind, Kind::Authorization | Kind::SolanaSigned | Kind::SolanaSponsored);
        let resource = named.then(|| resource.to_owned());
        PaymentPayload { dialect: Dialect::H402V1, scheme: Scheme::Exact, network, resource, payload }
    }

    /// What a facilitator is told is asked for.
    pub fn requirements(&self, resource: &str) -> Requirements {
        let offer = Offer::new(self.asset().clone(), Amount::from_atomic(PRICE), self.payee()).unwrap();
        let resource = Arc::new(Resource { url: resource.into(), description: None, mime_type: None });
        Requirements { offer: Arc::new(offer), resource, lifetime_seconds: Some(70), solana: None, facilitator: None }
    }

    /// The key of a payment that is not sent, in hex.
    pub fn key(&self, payment: &PaymentPayload) -> String {
        let Requirements { offer, resource, .. } = self.requirements(payment.resource.as_deref().unwrap_or_default());
        Matched::new(payment.clone(), &Offers::new(vec![offer]).unwrap(), &resource, None).unwrap().key().to_string()
    }

    /// Whether the chain has used a payment by authorization; of others, whether it has this transaction.
    pub fn is_paid(&self, payment: &PaymentPayload, transaction: Option<&str>) -> bool {
        match (self, &payment.payload) {
            (Self::Evm { wallets, .. }, Payload::Authorization(signed)) => {
                wallets.chain.authorization_used(wallets.chain.usdc(), signed.authorization.from, signed.authorization.nonce)
            }
            _ => transaction.is_some_and(|id| self.carriers().contains(id)),
        }
    }

    /// How many payments have reached the payee, by its balance.
    pub fn received(&self) -> u128 {
        match self {
            Self::Evm { wallets, before } => u128::try_from(wallets.received() - before).unwrap() / PRICE,
            Self::Solana { cluster, before } => u128::from(cluster.received(&cluster.usdc) - before) / PRICE,
        }
    }

    /// The transactions that have moved money to the payee.
    pub fn carriers(&self) -> HashSet<String> {
        match self {
            Self::Evm { wallets, .. } => {
                let transfers = wallets.chain.transfers(wallets.chain.usdc()).into_iter();
                transfers.filter(|transfer| transfer.to == account(PAYEE).address).map(|transfer| transfer.tx_hash.to_string()).collect()
            }
            Self::Solana { cluster, .. } => cluster.chain.landed().iter().map(ToString::to_string).collect(),
        }
    }

    /// Transactions in blocks, and on their way there, of whoever sends payments of this kind when they are settled.
    pub fn broadcasts(&self, kind: Kind) -> u64 {
        match self {
            Self::Evm { wallets, .. } => {
                let sender = match kind {
                    Kind::Authorization => GAS,
                    _ => PAYER,
                };
                let sent = if kind.is_sent() { 1 } else { 0 };
                wallets.chain.nonce(account(sender).address) + wallets.chain.pending().len() as u64 - sent
            }
            Self::Solana { cluster, .. } => cluster.chain.landed().len() as u64 - u64::from(kind.is_sent()),
        }
    }

    /// Lets nothing into a block that is sent from now on.
    pub fn hold(&self) {
        match self {
            Self::Evm { wallets, .. } => wallets.chain.set_block_time(BlockTime::Manual),
            Self::Solana { cluster, .. } => cluster.chain.set_delivery(Delivery::Hold),
        }
    }

    /// Ends [`Market::hold`], with a block of what was sent meanwhile.
    pub async fn let_go(&self) {
        match self {
            Self::Evm { wallets, .. } => {
                wallets.chain.set_block_time(BlockTime::Auto);
                wallets.chain.mine().await;
            }
            Self::Solana { cluster, .. } => {
                cluster.chain.set_delivery(Delivery::Land);
                cluster.chain.release();
            }
        }
    }

    /// Makes what is in a block as final as it gets.
    pub async fn deepen(&self) {
        match self {
            Self::Evm { wallets, .. } => {
                for _ in 0..12 {
                    wallets.chain.mine().await;
                }
            }
            Self::Solana { cluster, .. } => cluster.chain.finalize(),
        }
    }
}

async fn evm_payment(wallets: &Wallets, kind: Kind, payer: usize, resource: &str) -> Payload {
    let signed_message = || rig::key(payer).sign_message(resource).unwrap();
    let transfer = || sign(payer, wallets.token_transfer(payer, account(PAYEE).address, PRICE));
    match kind {
        Kind::Authorization => {
            let times = Authorization { valid_before: U256::from(now() + 590), ..wallets.authorization(payer, PRICE) };
            wallets.signed(payer, times).payload
        }
        Kind::EvmSigned => Payload::EvmTransaction(SignedEvmTransaction { raw: transfer().raw, signed_message: signed_message() }),
        Kind::EvmSent => {
            let transaction = transfer();
            wallets.chain.advance_time(AHEAD);
            wallets.submit(&transaction.raw).await.unwrap();
            Payload::EvmSent(SentEvmTransaction { hash: transaction.hash, signed_message: signed_message() })
        }
        Kind::SolanaSigned | Kind::SolanaSponsored | Kind::SolanaSent => panic!("{kind:?} on an EVM chain"),
    }
}

fn solana_payment(cluster: &Cluster, kind: Kind, payer: usize, resource: &str) -> Payload {
    let sponsor = (kind == Kind::SolanaSponsored).then_some(cluster::SPONSOR);
    let payload = cluster.payment(payer, &cluster.usdc, PRICE, sponsor).payload;
    if kind != Kind::SolanaSent {
        return payload;
    }
    let Payload::SolanaTransaction(signed) = &payload else { panic!("not signed") };
    let signature = SolanaTransaction::decode(&signed.transaction).unwrap().signatures[0];
    cluster.chain.advance_time(AHEAD);
    cluster.chain.advance_slots(1);
    cluster.chain.send(bincode::deserialize(&signed.transaction).unwrap());
    assert!(cluster.chain.landed().contains(&Signature::from(signature)));
    cluster.chain.finalize();
    let key = cluster::key(payer);
    let claim = SolanaClaim { signer: key.address(), signed_message: key.sign(resource.as_bytes()) };
    Payload::SolanaSent(SentSolanaTransaction { signature, claim: Some(claim) })
}
