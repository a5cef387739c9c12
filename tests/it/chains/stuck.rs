//! Transactions of ours that a chain of either make does not mine.

use super::CENT;
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, TxKind, U256};
use h402_core::{
    Assets, CallerKey, Matched, Network, PaymentKey, PaymentRow, Receipt, SettleError, Store, TransactionId, evm::EvmTransaction,
};
use h402_devnet::evm::{MULTICALL3, account};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, Signer, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::{
    node::{CHAIN_ID, Node},
    rig::{Folder, GAS, PAYEE, PAYER, key},
    transactions::{GWEI, sign},
};
use std::{future::Future, time::Duration};

/// A chain that makes blocks when it is told to, and a facilitator on it.
struct Stuck {
    node: Node,
    engine: Engine<SqliteStore, SystemClock>,
    store: SqliteStore,
    had: U256,
    _folder: Folder,
}

impl Stuck {
    async fn start(configure: impl FnOnce(&mut EvmNetwork)) -> Self {
        let node = Node::start().await;
        let signer = Signer::Local(key(GAS));
        let rpc = Rpc::new(RpcConfig::new(vec![node.url.parse().unwrap()]));
        let chain = EvmChain::new(EvmConfig { chain_id: CHAIN_ID, multicall3: Some(MULTICALL3), simulate_from: signer.address(), rpc });
        let mut network = EvmNetwork { poll: Duration::from_millis(50), ..EvmNetwork::new(chain, signer) };
        configure(&mut network);
        let folder = Folder::new();
        let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
        let assets = Assets::none().with(node.usdc());
        let config = EngineConfig { answer_within: Duration::from_secs(1), ..EngineConfig::new(assets, vec![network.into()]) };
        let engine = Engine::start(config, store.clone(), SystemClock).await.unwrap();
        until("it is ready", async || engine.ready().await.is_ready()).await;
        node.set_automine(false).await;
        let had = node.balance(account(PAYEE).address).await;
        Self { node, engine, store, had, _folder: folder }
    }

    async fn settle(&self, payment: &Matched) -> Result<Receipt, SettleError> {
        self.engine.settle(payment.clone(), Some(CallerKey::from_bytes([7; 32]))).await
    }

    /// Settles a payment that no block comes for; the transaction that was sent.
    async fn pending(&self, payment: &Matched) -> B256 {
        // On a busy machine the time for an answer may be over before anything is signed.
        for _ in 0..60 {
            match self.settle(payment).await {
                Err(SettleError::Pending { transaction: Some(TransactionId::Evm(hash)) }) => return hash,
                Err(SettleError::Pending { transaction: None }) => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("nothing is sent");
    }

    async fn row(&self, key: PaymentKey) -> PaymentRow {
        self.engine.payment(&key).await.unwrap().unwrap()
    }

    /// Waits until exactly this one waits for a block.
    async fn until_alone(&self, hash: B256) {
        until("it alone waits", async || self.node.waiting().await == [hash]).await;
    }

    /// The last transaction that was signed for a payment, once it is another than `before`.
    async fn until_another(&self, payment: &Matched, before: B256) -> B256 {
        let last = async || self.row(payment.key()).await.state.transaction();
        until("another is signed", async || last().await != Some(TransactionId::Evm(before))).await;
        match last().await {
            Some(TransactionId::Evm(hash)) => hash,
            other => panic!("{other:?}"),
        }
    }

    async fn stored(&self, hash: B256) -> EvmTransaction {
        let row = self.store.transaction(Network::Evm(CHAIN_ID), &TransactionId::Evm(hash)).await.unwrap().unwrap();
        EvmTransaction::decode(&row.raw).unwrap()
    }

    async fn received(&self) -> u128 {
        (self.node.balance(account(PAYEE).address).await - self.had).try_into().unwrap()
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    for _ in 0..2000 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// T144: the base fee is ten times what it was when the transaction was signed. The fee is raised on the same nonce, by an
/// eighth at least, and the payment is settled in the dearer one; it is found by either hash.
#[tokio::test(flavor = "multi_thread")]
async fn t144_a_gas_spike_is_followed_on_the_same_nonce() {
    let stuck = Stuck::start(|_| ()).await;
    let payment = stuck.node.payment(PAYER, CENT);
    let first = stuck.pending(&payment).await;
    stuck.until_alone(first).await;
    let old = stuck.stored(first).await;
    // What cannot pay for the next block stays in one pool, and is dropped from the other.
    let spike = u64::try_from(10 * old.max_fee_per_gas).unwrap();
    stuck.node.set_next_base_fee(spike).await;
    stuck.node.mine().await;
    let second = stuck.until_another(&payment, first).await;
    let new = stuck.stored(second).await;
    assert_eq!((new.nonce, &new.input, new.to), (old.nonce, &old.input, old.to), "the same call");
    for (old, new) in [(old.max_fee_per_gas, new.max_fee_per_gas), (old.max_priority_fee_per_gas, new.max_priority_fee_per_gas)] {
        assert!(8 * new >= 9 * old, "{old} {new}");
    }
    assert!(new.max_fee_per_gas > u128::from(spike));
    until("the dearer one waits", async || stuck.node.waiting().await.contains(&second)).await;
    stuck.node.mine().await;
    let receipt = {
        until("it is settled", async || stuck.settle(&payment).await.is_ok()).await;
        stuck.settle(&payment).await.unwrap()
    };
    assert_eq!(receipt.transaction, TransactionId::Evm(second));
    for hash in [first, second] {
        let row = stuck.engine.payment_in(Network::Evm(CHAIN_ID), &TransactionId::Evm(hash)).await.unwrap().unwrap();
        assert_eq!(row.key, payment.key(), "{hash}");
    }
    assert_eq!(stuck.received().await, CENT);
    assert_eq!(stuck.node.transactions(account(GAS).address).await, U256::from(1));
}

/// T144: the node forgets a transaction: the same bytes go out again.
#[tokio::test(flavor = "multi_thread")]
async fn t144_a_dropped_transaction_is_sent_again_as_it_was() {
    let stuck = Stuck::start(|_| ()).await;
    let payment = stuck.node.payment(PAYER, CENT);
    let first = stuck.pending(&payment).await;
    stuck.until_alone(first).await;
    stuck.node.forget(first).await;
    stuck.until_alone(first).await;
    stuck.node.mine().await;
    until("it is settled", async || stuck.settle(&payment).await.is_ok()).await;
    assert_eq!(stuck.settle(&payment).await.unwrap().transaction, TransactionId::Evm(first));
    assert_eq!(stuck.received().await, CENT);
}

/// T144, G09: somebody who has the key and not the ledger uses the nonce. The payment is signed once more on a nonce of its
/// own when the chain has shown that the first can never be mined, and the payer is charged once.
#[tokio::test(flavor = "multi_thread")]
async fn t144_a_nonce_that_a_stranger_used_is_left_to_him() {
    let stuck = Stuck::start(|_| ()).await;
    let payment = stuck.node.payment(PAYER, CENT);
    let first = stuck.pending(&payment).await;
    stuck.until_alone(first).await;
    let old = stuck.stored(first).await;
    let stranger = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: old.nonce,
        gas_limit: 21_000,
        max_fee_per_gas: old.max_fee_per_gas + 200 * GWEI,
        max_priority_fee_per_gas: 100 * GWEI,
        to: TxKind::Call(account(5).address),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let stranger = sign(GAS, stranger);
    stuck.node.submit(&stranger.raw).await;
    stuck.until_alone(stranger.hash).await;
    stuck.node.mine().await;
    // One block proves too little.
    stuck.node.mine().await;
    let second = stuck.until_another(&payment, first).await;
    assert_eq!(stuck.stored(second).await.nonce, old.nonce + 1);
    until("it waits", async || stuck.node.waiting().await.contains(&second)).await;
    stuck.node.mine().await;
    until("it is settled", async || stuck.settle(&payment).await.is_ok()).await;
    assert_eq!(stuck.settle(&payment).await.unwrap().transaction, TransactionId::Evm(second));
    assert_eq!(stuck.received().await, CENT);
    // The lane goes on.
    let next = stuck.node.payment(PAYER + 1, CENT);
    let third = stuck.pending(&next).await;
    assert_eq!(stuck.stored(third).await.nonce, old.nonce + 2);
    until("it waits", async || stuck.node.waiting().await.contains(&third)).await;
    stuck.node.mine().await;
    until("it is settled", async || stuck.settle(&next).await.is_ok()).await;
    assert_eq!(stuck.received().await, 2 * CENT);
}

/// T156: no block for a while, though payments wait for one: new payments are told to come again, and what waits goes on
/// waiting. With the next block all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn t156_a_chain_that_stands_still_takes_no_new_payments() {
    let stuck = Stuck::start(|network| network.max_block_age = Duration::from_secs(2)).await;
    let (waiting, late) = (stuck.node.payment(PAYER, CENT), stuck.node.payment(PAYER + 1, CENT));
    let first = stuck.pending(&waiting).await;
    let shop = Some(CallerKey::from_bytes([8; 32]));
    until("it is noticed", async || stuck.engine.verify(late.clone(), shop).await.is_err()).await;
    let halted = h402_core::Undecided::Halted;
    assert_eq!(stuck.engine.verify(late.clone(), shop).await.map(drop), Err(halted.clone().into()));
    assert_eq!(stuck.settle(&late).await, Err(halted.into()));
    assert!(!stuck.engine.ready().await.is_ready());
    assert_eq!(stuck.pending(&waiting).await, first, "what waits is pending still");
    stuck.node.set_automine(true).await;
    stuck.node.mine().await;
    until("it is settled", async || stuck.settle(&waiting).await.is_ok()).await;
    until("new ones are taken", async || stuck.settle(&late).await.is_ok()).await;
    assert_eq!(stuck.received().await, 2 * CENT);
}
