//! What an engine and its ledger never do, whatever becomes of blocks and transactions.

use super::{settle, slow_chain, until};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, Bytes, TxKind, hex, keccak256};
use h402_core::{
    Applied, Assets, CallerKey, Change, Fence, LeaseAnswer, LeaseAsk, Matched, Network, PaymentPayload, PaymentUpdate, SettleError,
    Store as _, TransactionId, wire::h402,
};
use h402_devnet::{
    Orphans,
    evm::{BlockTime, Chain, account},
};
use h402_facilitator::{
    Engine, EngineConfig,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
};
use h402_tests::{
    holds::Holds,
    replica::Replica,
    rig::{self, GAS, PAYEE, PAYER, Rig, RigOptions},
    shop::PRICE,
    transactions::GWEI,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// A payment that no block has is not final, however deep the block was that had it (T057).
pub(in super::super) async fn what_is_final_is_on_the_chain() {
    let rig = slow_chain(|config| rig::evm(config).final_depth = 3).await;
    let payment = rig.payment(PAYER, PRICE);
    settle(&rig, &payment, PRICE, Some("shop")).await;
    until(|| !rig.chain.pending().is_empty()).await;
    rig.chain.mine().await;
    let id = matched(&rig, &payment).key().to_string();
    until_state(&rig, &id, "included").await;
    assert_eq!(rig.chain.reorg(1, Orphans::Drop), 1);
    for _ in 0..2000 {
        rig.chain.mine().await;
        if state(&rig, &id).await == "final" {
            assert_eq!(rig.transfers(), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never final");
}

/// An authorization that a stranger has brought to the chain has paid, though ours never got there (T010).
pub(in super::super) async fn an_expired_payment_that_was_paid_is_a_success() {
    let rig = slow_chain(|_| ()).await;
    let payment = rig.payment(PAYER, PRICE);
    settle(&rig, &payment, PRICE, Some("shop")).await;
    until(|| !rig.chain.pending().is_empty()).await;
    let copied = TxEip1559 {
        to: TxKind::Call(rig.chain.usdc()),
        input: EvmChain::settlement_call(&matched(&rig, &payment)).unwrap().1,
        gas_limit: 200_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: 50 * GWEI,
        ..rig.native_transfer(5, rig.chain.usdc(), 0)
    };
    assert!(rig.chain.drop_pending(rig.chain.pending()[0]));
    rig.send(5, copied).await;
    rig.chain.mine().await;
    assert_eq!(rig.transfers(), 1);
    rig.chain.advance_time(300);
    rig.chain.mine().await;
    assert_eq!(ended(&rig, &payment, "shop").await["success"], true);
}

/// What moves one payment's money is not counted for two (T069).
pub(in super::super) async fn a_transfer_pays_once() {
    let rig = patient(BlockTime::Manual, |config| config.answer_within = Duration::from_millis(500)).await;
    let gate = rig.chain.faults().hold_answer("eth_sendRawTransaction");
    settle(&rig, &rig.payment(PAYER, PRICE), PRICE, Some("shop-0")).await;
    gate.reached(1).await;
    rig.chain.mine().await;
    // These queue behind the send, and go together.
    let equals = [rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE)];
    for payment in &equals {
        settle(&rig, payment, PRICE, Some("shop")).await;
    }
    gate.open();
    until(|| rig.chain.pending().len() == 1).await;
    rig.chain.set_code(rig.chain.usdc(), pays_once()).unwrap();
    rig.chain.mine().await;
    let mut paid = 0;
    for _ in 0..500 {
        paid = 0;
        for payment in &equals {
            paid += usize::from(settle(&rig, payment, PRICE, Some("shop")).await["success"] == true);
        }
        if paid > 0 {
            break;
        }
    }
    assert_eq!(paid, 1);
}

/// A token that marks every authorization as used, and moves money for the first alone.
fn pays_once() -> Bytes {
    let topic = |event: &str| hex::encode(keccak256(event));
    let used = topic("AuthorizationUsed(address,bytes32)");
    let transfer = topic("Transfer(address,address,uint256)");
    // AuthorizationUsed(from, nonce); unless storage[0xfeed]: storage[0xfeed] = 1; Transfer(from, to, value).
    let marks = format!("60a4356004357f{used}60006000a3");
    let asks = "61feed54";
    let moves = format!("600161feed556044356000526024356004357f{transfer}60206000a3");
    let end = (marks.len() + asks.len() + moves.len()) / 2 + 3;
    hex::decode(format!("{marks}{asks}60{end:02x}57{moves}5b00")).unwrap().into()
}

/// What raises a fee is in the ledger before the chain has it (T144).
pub(in super::super) async fn a_raised_fee_is_in_the_ledger() {
    let rig = slow_chain(|_| ()).await;
    let first = until_sent(&rig).await;
    rig.chain.set_next_base_fee(30_000_000_000);
    rig.chain.mine().await;
    // Signatures are this old before anything is raised.
    rig.clock.advance(Duration::from_secs(3));
    until(|| rig.chain.pending().first().is_some_and(|hash| *hash != first)).await;
    let raised = TransactionId::Evm(rig.chain.pending()[0]);
    assert!(rig.store.transaction(Network::Evm(rig.chain.chain_id()), &raised).await.unwrap().is_some());
}

/// What was sent and is in no block is sent again as it is (T144).
pub(in super::super) async fn what_is_dropped_is_sent_again_as_it_was() {
    let rig = slow_chain(|_| ()).await;
    let first = until_sent(&rig).await;
    assert!(rig.chain.drop_pending(first));
    until(|| !rig.chain.pending().is_empty()).await;
    assert_eq!(rig.chain.pending(), [first]);
}

/// Who has lost its lease changes nothing any more (G31).
pub(in super::super) async fn a_driver_without_its_lease_writes_nothing() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let id = matched(&rig, &payment).key();
    assert_eq!(settle(&rig, &payment, PRICE, Some("shop")).await["success"], true);
    // Of a network that nobody else drives.
    let network = Network::Evm(1);
    let ask = |holder| LeaseAsk { network, holder: [holder; 16], ttl: Duration::from_secs(60) };
    let LeaseAnswer::Held { epoch: old, .. } = rig.store.lease(ask(1)).await.unwrap() else { panic!("somebody has it") };
    rig.store.release(network, [1; 16]).await.unwrap();
    let LeaseAnswer::Held { epoch: new, .. } = rig.store.lease(ask(2)).await.unwrap() else { panic!("somebody has it") };
    for (epoch, applied) in [(old, Applied::Fenced), (new, Applied::Applied)] {
        let mut row = rig.engine.payment(&id).await.unwrap().expect("it is in the ledger");
        row.version += 1;
        let change = Change { updates: vec![PaymentUpdate { row }], fence: Some(Fence { network, epoch }), ..Change::default() };
        assert_eq!(rig.store.apply(change).await, Ok(applied));
    }
}

/// A transaction of the facilitator's own is nobody's payment, whatever it moves (T173).
pub(in super::super) async fn a_transaction_of_ours_is_nobodys_payment() {
    let rig = Rig::with(RigOptions { engine: Box::new(|config| config.accept_sent = true), ..RigOptions::default() }).await;
    let settled = settle(&rig, &rig.payment(PAYER, PRICE), PRICE, Some("shop-1")).await;
    let hash = settled["transaction"].as_str().unwrap().parse().unwrap();
    let (_, told) = rig.post("/verify", &rig.by_hash(GAS, hash), PRICE, Some("shop-2")).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["errorMessage"].as_str().is_some_and(|text| text.starts_with("payment_already_used")), "{told}");
}

/// Of two facilitators that settle one payment at once, for two callers, one has success (T011).
pub(in super::super) async fn a_lost_claim_is_no_success() {
    let rig = patient(BlockTime::Auto, |config| config.accept_sent = true).await;
    let mut config = EngineConfig::new(Assets::none().with((*rig.asset).clone()), vec![rig::network(&rig.chain).into()]);
    config.accept_sent = true;
    let ledger = Replica::of(rig.store.clone(), Arc::new(Holds::default()));
    let other = Engine::start(config, ledger, rig.clock.clone()).await.unwrap();
    let sent = rig.send(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE)).await;
    let payment = rig.by_hash(PAYER, sent);
    let gate = rig.chain.faults().hold("eth_getTransactionReceipt");
    let (told, first) = tokio::join!(settle(&rig, &payment, PRICE, Some("shop-1")), async {
        // It has seen that nobody has the payment, and is held up.
        gate.reached(1).await;
        let mut first = other.settle(matched(&rig, &payment), Some(CallerKey::from_bytes([2; 32]))).await;
        for _ in 0..1000 {
            if !matches!(first, Err(SettleError::Undecided(_))) {
                break;
            }
            // It has just started.
            tokio::time::sleep(Duration::from_millis(10)).await;
            first = other.settle(matched(&rig, &payment), Some(CallerKey::from_bytes([2; 32]))).await;
        }
        gate.open();
        first
    });
    other.shutdown(Duration::ZERO).await;
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(told["success"], false, "{told}");
}

fn matched(rig: &Rig, payment: &PaymentPayload) -> Matched {
    let body = h402::encode_request(payment, &rig.requirements(PRICE)).unwrap();
    h402::decode_request(&body, rig.engine.assets()).unwrap().matched().unwrap()
}

/// A facilitator whose client waits long for a node that is held up.
async fn patient(block_time: BlockTime, configure: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Rig {
    let chain = Chain::builder().block_time(block_time).start().await.unwrap();
    let (url, chain_id, multicall3) = (chain.url(), chain.chain_id(), Some(chain.multicall3()));
    let engine = Box::new(move |config: &mut EngineConfig| {
        let rpc = Rpc::new(RpcConfig { timeout: Duration::from_secs(60), ..RpcConfig::new(vec![url.parse().unwrap()]) });
        rig::evm(config).chain = EvmChain::new(EvmConfig { chain_id, multicall3, simulate_from: account(GAS).address, rpc });
        configure(config);
    });
    Rig::with(RigOptions { engine, chain: Some(chain), ..RigOptions::default() }).await
}

/// Settles a payment that no block comes for; the transaction that was sent.
async fn until_sent(rig: &Rig) -> B256 {
    settle(rig, &rig.payment(PAYER, PRICE), PRICE, Some("shop")).await;
    until(|| !rig.chain.pending().is_empty()).await;
    rig.chain.pending()[0]
}

/// Asks until the settlement is not pending any more.
async fn ended(rig: &Rig, payment: &PaymentPayload, caller: &str) -> Value {
    for _ in 0..500 {
        let told = settle(rig, payment, PRICE, Some(caller)).await;
        if !told["error"].as_str().is_some_and(|error| error.starts_with("settlement_pending")) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("pending for ever");
}

async fn state(rig: &Rig, id: &str) -> String {
    let (_, told) = rig.get(&format!("/payments/{id}")).await;
    serde_json::from_str::<Value>(&told).unwrap()["state"].as_str().unwrap_or_default().to_owned()
}

async fn until_state(rig: &Rig, id: &str, wanted: &str) {
    for _ in 0..2000 {
        if state(rig, id).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {wanted}");
}
