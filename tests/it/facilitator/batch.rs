//! Several settlements in one transaction: each is paid once, and none waits for another's trouble.

use super::{PRICE, Reply, broadcasts, settle, settlement_call, transfers, transfers_to_payee, until};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent, SolStruct, sol};
use futures_util::future::join_all;
use h402_core::{PaymentPayload, Store};
use h402_devnet::{
    RpcError,
    evm::{BlockTime, Chain, account},
    fault::{Fault, Gate, Times},
};
use h402_facilitator::{
    EngineConfig,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
};
use h402_tests::{
    rig::{self, GAS, PAYER, Rig, RigOptions},
    transactions::{GWEI, sign},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

mod company;
mod pool;
mod raised;
mod reorg;
mod restarts;

sol! {
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;

    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }
}

/// The account that holds no tokens at first.
const POOR: usize = 9;
/// Long enough for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A facilitator on a chain without blocks. Its client waits long for a node that a test holds up.
async fn patient(multicall: bool) -> Arc<Rig> {
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    Arc::new(Rig::with(RigOptions { engine: patience(&chain, multicall), chain: Some(chain), ..RigOptions::default() }).await)
}

fn patience(chain: &Chain, multicall: bool) -> rig::Configure {
    let (url, chain_id, multicall3) = (chain.url(), chain.chain_id(), multicall.then_some(chain.multicall3()));
    Box::new(move |config: &mut EngineConfig| {
        config.max_open_per_payer = 1024;
        config.answer_within = PATIENCE;
        let rpc = Rpc::new(RpcConfig { timeout: PATIENCE, ..RpcConfig::new(vec![url.parse().unwrap()]) });
        rig::evm(config).chain = EvmChain::new(EvmConfig { chain_id, multicall3, simulate_from: account(GAS).address, rpc });
    })
}

/// Settlements under way.
struct Crowd {
    rig: Arc<Rig>,
    settling: Vec<JoinHandle<Reply>>,
}

impl Crowd {
    /// Settles one payment, whose transaction is mined while its send has no answer; what queues behind it goes together
    /// once the gate is opened.
    async fn behind(rig: &Arc<Rig>) -> (Self, Gate) {
        let gate = rig.chain.faults().hold_answer("eth_sendRawTransaction");
        let mut crowd = Self { rig: rig.clone(), settling: Vec::new() };
        crowd.settle(rig.payment(PAYER, PRICE));
        gate.reached(1).await;
        rig.chain.mine().await;
        let first = crowd.settling.pop().unwrap().await.unwrap();
        assert!(first.is_settled(), "{first:?}");
        (crowd, gate)
    }

    fn settle(&mut self, payment: PaymentPayload) {
        let rig = self.rig.clone();
        let caller = format!("shop-{}", self.settling.len());
        self.settling.push(tokio::spawn(async move { settle(&rig, &payment, Some(&caller)).await }));
    }

    /// Waits until so many payments are claimed and wait for the send before them.
    async fn until_claimed(&self, count: usize) {
        let network = h402_core::Network::Evm(self.rig.chain.chain_id());
        until("all are claimed", async || self.rig.engine.waiting(network) == count).await;
    }

    /// Waits until so many are sent and not mined.
    async fn until_sent(&self, count: usize) {
        until("all are sent", async || states(&self.rig).await.get("broadcast") == Some(&count)).await;
    }

    async fn ended(self) -> Vec<Reply> {
        join_all(self.settling).await.into_iter().map(Result::unwrap).collect()
    }
}

/// How many unfinished payments are in each state.
async fn states(rig: &Rig) -> BTreeMap<&'static str, usize> {
    let network = h402_core::Network::Evm(rig.chain.chain_id());
    let mut states = BTreeMap::new();
    for row in rig.store.unfinished(network, None, 1000).await.unwrap() {
        *states.entry(row.state.as_str()).or_default() += 1;
    }
    states
}

/// A payment from one of the accounts that nothing happens to.
fn lucky(rig: &Rig, index: usize) -> PaymentPayload {
    rig.payment(PAYER + index % 2, PRICE)
}

fn all_settled(replies: &[Reply]) {
    for reply in replies {
        assert!(reply.is_settled(), "{reply:?}");
    }
}

/// So many blocks that a log of a cancelled authorization would have come, were there one.
async fn later(rig: &Rig) {
    for _ in 0..8 {
        rig.chain.mine().await;
    }
}

/// Each success names the transaction of a transfer of its own.
fn each_has_its_transfer(rig: &Rig, replies: &[Reply]) {
    let sorted = |mut hashes: Vec<B256>| {
        hashes.sort_unstable();
        hashes
    };
    let told = replies.iter().filter(|reply| reply.is_settled()).map(|reply| reply.transaction().unwrap()).collect();
    // The first one is the payment that the others queued behind.
    let made = transfers_to_payee(&rig.chain).into_iter().skip(1).map(|transfer| transfer.tx_hash).collect();
    assert_eq!(sorted(told), sorted(made));
}

/// Anything of the node.
pub(super) async fn ask(rig: &Rig, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let request = http::Request::post(rig.chain.url()).header("content-type", "application/json").body(body.into()).unwrap();
    let (_, text) = h402_tests::http::send(request).await;
    serde_json::from_str::<Value>(&text).unwrap()["result"].take()
}

/// The payer's own transaction that cancels an authorization, with a great tip.
pub(super) fn cancelling(rig: &Rig, payer: usize, nonce: B256) -> TxEip1559 {
    let domain = rig.asset.eip712_domain().unwrap();
    let message = CancelAuthorization { authorizer: account(payer).address, nonce };
    let digest = message.eip712_signing_hash(&domain);
    let signature = rig::key(payer).sign_hash(&digest).unwrap().as_bytes().to_vec();
    let input = cancelAuthorizationCall { authorizer: message.authorizer, nonce, signature: signature.into() }.abi_encode();
    hasty(rig, payer, input.into())
}

/// A call of the token that comes before everything that waits.
pub(super) fn hasty(rig: &Rig, from: usize, input: Bytes) -> TxEip1559 {
    TxEip1559 {
        to: TxKind::Call(rig.chain.usdc()),
        input,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: 50 * GWEI,
        ..rig.native_transfer(from, rig.chain.usdc(), 0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_queued_behind_a_send_goes_together() {
    let rig = patient(true).await;
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    for index in 0..50 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(50).await;
    gate.open();
    crowd.until_sent(50).await;
    let block = rig.chain.mine().await;
    let replies = crowd.ended().await;
    all_settled(&replies);
    each_has_its_transfer(&rig, &replies);
    let transfers = transfers_to_payee(&rig.chain);
    assert!(transfers.iter().skip(1).all(|transfer| transfer.block == block), "in one block");
    assert_eq!(broadcasts(&rig), 2);
    let used = |hash| rig.chain.outcome(hash).unwrap().gas_used;
    let (alone, together) = (used(transfers[0].tx_hash), used(transfers[25].tx_hash));
    assert!(together / 50 < alone * 2 / 3, "{together} for fifty, {alone} for one");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_multicall3_each_goes_alone() {
    let rig = patient(false).await;
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    for index in 0..6 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(6).await;
    gate.open();
    crowd.until_sent(6).await;
    rig.chain.mine().await;
    let replies = crowd.ended().await;
    all_settled(&replies);
    each_has_its_transfer(&rig, &replies);
    assert_eq!(broadcasts(&rig), 7);
}

/// A lane with nothing to do sends one plain call at once: it waits for nobody and tries nothing out once more.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_lane_sends_a_plain_call() {
    let rig = Rig::start().await;
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await.is_settled());
    for _ in 0..3 {
        let (calls, sends) = (rig.chain.faults().calls("eth_call"), super::sends(&rig));
        let settled = settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await;
        assert!(settled.is_settled(), "{settled:?}");
        assert_eq!(rig.chain.faults().calls("eth_call") - calls, 1, "only the facts of the payment are read");
        assert_eq!(super::sends(&rig) - sends, 1);
        let sent = ask(&rig, "eth_getTransactionByHash", json!([settled.transaction().unwrap()])).await;
        let to = sent["to"].as_str().unwrap().parse::<alloy_primitives::Address>().unwrap();
        assert_eq!(to, rig.chain.usdc());
    }
}

/// T010, T022, T069: of fifty that are claimed, four go bad before they are signed for: blacklisted, cancelled, spent,
/// and brought to the chain by somebody else. The others settle in the next block. Nothing is sent for the four, and each
/// ends with its own word.
#[tokio::test(flavor = "multi_thread")]
async fn t010_t022_t069_what_goes_bad_before_it_is_signed_is_left_out() {
    let rig = patient(true).await;
    rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(PRICE)).unwrap();
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    let cancelled = rig.authorization(5, PRICE);
    let overtaken = rig.payment(6, PRICE);
    crowd.settle(rig.payment(4, PRICE));
    crowd.settle(rig.signed(5, cancelled.clone()));
    crowd.settle(rig.payment(POOR, PRICE));
    crowd.settle(overtaken.clone());
    for index in 4..50 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(50).await;
    rig.chain.blacklist(rig.chain.usdc(), account(4).address, true).unwrap();
    rig.submit(&sign(5, cancelling(&rig, 5, cancelled.nonce)).raw).await.unwrap();
    rig.submit(&sign(POOR, rig.token_transfer(POOR, account(7).address, PRICE)).raw).await.unwrap();
    let foreign = rig.send(7, hasty(&rig, 7, settlement_call(&rig, &overtaken))).await;
    rig.chain.mine().await;
    gate.open();
    until("46 are sent", async || states(&rig).await.get("broadcast") == Some(&46)).await;
    let block = rig.chain.mine().await;
    later(&rig).await;
    let replies = crowd.ended().await;
    let words: Vec<String> = replies[..3].iter().map(Reply::word).collect();
    assert_eq!(words, ["transfer_reverts", "authorization_used", "insufficient_funds"], "{:?}", &replies[..3]);
    assert!(replies[..3].iter().all(|reply| reply.transaction().is_none()), "nothing was sent for them");
    assert_eq!((replies[3].is_settled(), replies[3].transaction()), (true, Some(foreign)), "{:?}", replies[3]);
    all_settled(&replies[4..]);
    each_has_its_transfer(&rig, &replies);
    let ours = transfers_to_payee(&rig.chain).into_iter().skip(1).filter(|transfer| transfer.tx_hash != foreign);
    assert!(ours.into_iter().all(|transfer| transfer.block == block), "the others settle in the next block");
    assert_eq!(broadcasts(&rig), 2);
}

/// T010, T022, T069: of fifty in a transaction that waits for its block, three go bad. The others settle in that block,
/// each once; nothing is sent again for those that cannot be settled.
#[tokio::test(flavor = "multi_thread")]
async fn t010_t022_t069_what_goes_bad_under_way_spoils_nothing_else() {
    let rig = patient(true).await;
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    let cancelled = rig.authorization(5, PRICE);
    let overtaken = rig.payment(6, PRICE);
    crowd.settle(rig.payment(4, PRICE));
    crowd.settle(rig.signed(5, cancelled.clone()));
    crowd.settle(overtaken.clone());
    for index in 3..50 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(50).await;
    gate.open();
    crowd.until_sent(50).await;
    rig.chain.blacklist(rig.chain.usdc(), account(4).address, true).unwrap();
    rig.submit(&sign(5, cancelling(&rig, 5, cancelled.nonce)).raw).await.unwrap();
    let foreign = rig.send(7, hasty(&rig, 7, settlement_call(&rig, &overtaken))).await;
    let block = rig.chain.mine().await;
    later(&rig).await;
    let replies = crowd.ended().await;
    for reply in &replies[..2] {
        assert_eq!((reply.is_settled(), reply.word().as_str()), (false, "transfer_reverts"), "{reply:?}");
    }
    assert_eq!((replies[2].is_settled(), replies[2].transaction()), (true, Some(foreign)), "{:?}", replies[2]);
    all_settled(&replies[3..]);
    each_has_its_transfer(&rig, &replies);
    assert!(transfers_to_payee(&rig.chain).iter().skip(1).all(|transfer| transfer.block == block));
    assert_eq!(broadcasts(&rig), 2, "nothing went out again");
}

/// A member fails in the block and would not fail any more: it goes out alone at once, and is in the next block.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_missed_goes_alone_at_once() {
    let rig = patient(true).await;
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    crowd.settle(rig.payment(4, PRICE));
    for index in 1..50 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(50).await;
    gate.open();
    crowd.until_sent(50).await;
    let blind = Gate::new();
    rig.chain.faults().add("eth_getTransactionReceipt", Fault::Hold(blind.clone()), Times::Always);
    rig.chain.blacklist(rig.chain.usdc(), account(4).address, true).unwrap();
    let block = rig.chain.mine().await;
    rig.chain.blacklist(rig.chain.usdc(), account(4).address, false).unwrap();
    blind.open();
    until("it is sent again", async || rig.chain.pending().len() == 1).await;
    assert_eq!(rig.chain.mine().await, block + 1);
    let replies = crowd.ended().await;
    all_settled(&replies);
    each_has_its_transfer(&rig, &replies);
    let late: Vec<_> = transfers_to_payee(&rig.chain).into_iter().filter(|transfer| transfer.block > block).collect();
    assert_eq!(late.len(), 1, "the others were not held up");
    assert_eq!((late[0].from, Some(late[0].tx_hash)), (account(4).address, replies[0].transaction()));
}

/// The token burns all gas in the block, so that the whole transaction fails: all of its payments go out alone, and are in
/// the next block, each once.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_ran_out_of_gas_is_settled_one_by_one() {
    let rig = patient(true).await;
    let code: Bytes = ask(&rig, "eth_getCode", json!([rig.chain.usdc(), "latest"])).await.as_str().unwrap().parse().unwrap();
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    for index in 0..20 {
        crowd.settle(lucky(&rig, index));
    }
    crowd.until_claimed(20).await;
    gate.open();
    crowd.until_sent(20).await;
    let [together] = rig.chain.pending()[..] else { panic!("one transaction") };
    let blind = Gate::new();
    rig.chain.faults().add("eth_getTransactionReceipt", Fault::Hold(blind.clone()), Times::Always);
    // INVALID takes all that it is given.
    rig.chain.set_code(rig.chain.usdc(), Bytes::from_static(&[0xfe])).unwrap();
    let block = rig.chain.mine().await;
    rig.chain.set_code(rig.chain.usdc(), code).unwrap();
    assert!(!rig.chain.outcome(together).unwrap().success, "all of it failed");
    assert_eq!(transfers(&rig), 1);
    blind.open();
    until("they are sent again", async || rig.chain.pending().len() == 20).await;
    assert_eq!(rig.chain.mine().await, block + 1);
    let replies = crowd.ended().await;
    all_settled(&replies);
    each_has_its_transfer(&rig, &replies);
    assert!(transfers_to_payee(&rig.chain).iter().skip(1).all(|transfer| transfer.block == block + 1));
}

/// T061: two authorizations of one payer over the same amount in one transaction. With two transfers both are settled; of
/// a receipt with one, one.
#[tokio::test(flavor = "multi_thread")]
async fn t061_a_transfer_is_counted_for_one_payment() {
    for lost in [false, true] {
        let rig = patient(true).await;
        let (mut crowd, gate) = Crowd::behind(&rig).await;
        for payer in [PAYER, PAYER] {
            crowd.settle(rig.payment(payer, PRICE));
        }
        crowd.until_claimed(2).await;
        gate.open();
        crowd.until_sent(2).await;
        let deaf = Fault::Error(RpcError { code: -32000, message: "busy".into(), data: None });
        rig.chain.faults().add("eth_getTransactionReceipt", deaf, Times::Always);
        rig.chain.mine().await;
        let mut receipts = ask(&rig, "eth_getBlockReceipts", json!(["latest"])).await;
        let mut receipt = receipts[0].take();
        let logs = receipt["logs"].as_array_mut().unwrap();
        assert_eq!(logs.len(), 4, "two of each");
        if lost {
            let transfer = h402_core::evm::Erc20::Transfer::SIGNATURE_HASH.to_string();
            let at = logs.iter().position(|log| log["topics"][0] == json!(transfer)).unwrap();
            logs.remove(at);
        }
        rig.chain.pause().await;
        rig.chain.faults().clear();
        rig.chain.faults().add("eth_getTransactionReceipt", Fault::Answer(receipt), Times::Always);
        rig.chain.resume().await;
        let replies = crowd.ended().await;
        let settled = replies.iter().filter(|reply| reply.is_settled()).count();
        assert_eq!(settled, if lost { 1 } else { 2 }, "{replies:?}");
    }
}
