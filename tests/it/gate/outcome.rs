//! Settlements that fail, and settlements that nobody knows the outcome of.

use super::{
    Door, broadcasts,
    held::{Held, SECRET},
    sells_all,
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, TxKind, U256};
use axum::{
    Router,
    body::{Body, Bytes},
    http::HeaderMap,
    response::Response,
    routing::any,
};
use futures_util::stream;
use h402_core::{Authorization, Matched, Offers, PaymentPayload, wire::h402};
use h402_devnet::{
    evm::{BlockTime, account},
    fault::{Fault, Gate, Times},
};
use h402_facilitator::{EngineConfig, evm::EvmChain};
use h402_tests::{
    raw::{Line, Reply},
    rig::{self, PAYER, Rig, RigOptions},
    shop::{PRICE, Runs, Shop, gate, get, header, is_wait, local, price, remote},
    transactions::{GWEI, sign},
};
use h402_tower::gate::{self, MemoryGrants, Origin};
use http_body::Frame;
use http_body_util::StreamBody;
use std::{convert::Infallible, time::Duration};

/// How a payer comes to be unable to pay.
#[derive(Debug, Clone, Copy)]
enum Ruin {
    Drained,
    Blacklisted,
    Paused,
}

impl Ruin {
    async fn come(self, rig: &Rig, payer: usize) {
        let (token, me) = (rig.chain.usdc(), account(payer).address);
        match self {
            Self::Drained => {
                let all = rig.chain.balance_of(token, me);
                rig.send(payer, rig.token_transfer(payer, account(8).address, all.try_into().unwrap())).await;
            }
            Self::Blacklisted => rig.chain.blacklist(token, me, true).unwrap(),
            Self::Paused => rig.chain.set_paused(token, true).unwrap(),
        }
    }

    fn go(self, rig: &Rig, payer: usize) {
        let (token, me) = (rig.chain.usdc(), account(payer).address);
        rig.chain.blacklist(token, me, false).unwrap();
        rig.chain.set_paused(token, false).unwrap();
        rig.chain.mint(token, me, U256::from(1_000_000)).unwrap();
        // A balance that was too small is believed for a moment.
        rig.clock.advance(Duration::from_secs(5));
    }
}

/// T004: the payer becomes unable to pay while the handler works. Nothing of its answer leaves, nothing is sent to
/// the chain, and the payment stays refused.
#[tokio::test(flavor = "multi_thread")]
async fn t004_who_cannot_pay_after_the_handler_ran_gets_nothing() {
    let rig = Rig::start().await;
    let held = Held::new();
    let shop = held.shop(gate(&rig, price(&rig, PRICE)).build().unwrap()).await;
    for (payer, ruin) in [(2, Ruin::Drained), (3, Ruin::Blacklisted), (4, Ruin::Paused)] {
        let before = Door::look(&rig, &held.runs);
        let payment = rig.pay(payer);
        let mut sent = 0;
        let refused = held
            .meanwhile(&shop, &payment, async || {
                ruin.come(&rig, payer).await;
                sent = broadcasts(&rig);
            })
            .await;
        assert_eq!(refused.status, 402, "{ruin:?}: {refused:?}");
        assert!(!refused.text().contains(SECRET) && !refused.has("x-flow"), "{ruin:?}: {refused:?}");
        // What stands where a receipt would stand says that there is none.
        let told = h402::decode_receipt(refused.receipt().as_bytes()).unwrap();
        assert!(!told.success && told.transaction.is_none(), "{ruin:?}: {told:?}");
        assert_eq!(broadcasts(&rig), sent, "{ruin:?}");
        // Refused for good: the goods were on the table once.
        ruin.go(&rig, payer);
        let again = shop.ask(&get("/a").paying(&payment)).await;
        assert_eq!((again.status, again.word().as_str()), (409, "payment_refused"), "{ruin:?}");
        assert_eq!(before.since(&rig, &held.runs), Door { runs: 1, transfers: 0 }, "{ruin:?}");
        // Honest twin: nothing happens meanwhile.
        let sold = held.meanwhile(&shop, &rig.pay(payer), async || ()).await;
        assert_eq!((sold.status, sold.text().as_str()), (200, SECRET), "{ruin:?}");
        assert_eq!(before.since(&rig, &held.runs), Door { runs: 2, transfers: 1 }, "{ruin:?}");
    }
}

/// T004: where the money moves first, a payer that has become unable to pay meanwhile gets no run at all.
#[tokio::test(flavor = "multi_thread")]
async fn t004_upfront_no_handler_runs_for_a_settlement_that_fails() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE).upfront()).build().unwrap(), &runs)).await;
    for (payer, ruin) in [(2, Ruin::Drained), (3, Ruin::Blacklisted), (4, Ruin::Paused)] {
        let before = Door::look(&rig, &runs);
        // The first read is for the verdict, the second for the settlement.
        let settling = Gate::default();
        rig.chain.faults().add("eth_getCode", Fault::Hold(settling.clone()), Times::After(1));
        let ask = get("/a").paying(&rig.pay(payer));
        let deed = async {
            settling.reached(1).await;
            ruin.come(&rig, payer).await;
            settling.open();
        };
        let (refused, ()) = tokio::join!(shop.ask(&ask), deed);
        assert_eq!(refused.status, 402, "{ruin:?}: {refused:?}");
        assert_eq!(before.since(&rig, &runs), Door::SHUT, "{ruin:?}");
        ruin.go(&rig, payer);
        assert_eq!(shop.ask(&get("/a").paying(&rig.pay(payer))).await.status, 200, "{ruin:?}");
        assert_eq!(before.since(&rig, &runs), Door::OPENED, "{ruin:?}");
    }
}

/// T004: whoever could not pay twice pays first from then on, for an hour; nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn t004_after_two_strikes_a_payer_pays_first() {
    let rig = Rig::start().await;
    let held = Held::new();
    let shop = held.shop(gate(&rig, price(&rig, PRICE)).with_clock(rig.clock.clone()).build().unwrap()).await;
    let before = Door::look(&rig, &held.runs);
    let drain = async || Ruin::Drained.come(&rig, PAYER).await;
    for _ in 0..2 {
        assert_eq!(held.meanwhile(&shop, &rig.pay(PAYER), drain).await.status, 402);
        Ruin::Drained.go(&rig, PAYER);
    }
    // The third time the money moves first, and no deed takes it back.
    let upfront = held.meanwhile(&shop, &rig.pay(PAYER), drain).await;
    assert_eq!((upfront.status, upfront.header("x-flow")), (200, Some("upfront")), "{upfront:?}");
    assert_eq!(before.since(&rig, &held.runs), Door { runs: 3, transfers: 1 });
    // Without money there is no run any more.
    assert_eq!(shop.ask(&get("/a").paying(&rig.pay(PAYER))).await.status, 402);
    assert_eq!(before.since(&rig, &held.runs), Door { runs: 3, transfers: 1 });
    // Others are believed as before.
    let other = held.meanwhile(&shop, &rig.pay(3), async || ()).await;
    assert_eq!((other.status, other.header("x-flow")), (200, Some("capture")));
    // An hour later it is forgiven.
    rig.clock.advance(Duration::from_secs(3601));
    rig.chain.advance_time(3601);
    Ruin::Drained.go(&rig, PAYER);
    let later = Authorization { valid_before: U256::from(rig::now() + 3601 + 120), ..rig.authorization(PAYER, PRICE) };
    let later = PaymentPayload { resource: None, ..rig.signed(PAYER, later) };
    let forgiven = held.meanwhile(&shop, &header(&later), async || ()).await;
    assert_eq!((forgiven.status, forgiven.header("x-flow")), (200, Some("capture")), "{forgiven:?}");
}

/// T004, T008: the settlement was sent and then failed on chain: the answer is withheld, and it is no 402, with which
/// a client would sign again while it is asked about a transaction that has its nonce.
#[tokio::test(flavor = "multi_thread")]
async fn t004_t008_a_settlement_that_reverts_is_no_402() {
    let rig = manual().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let ask = get("/a").paying(&rig.pay(PAYER));
    let before = Door::look(&rig, &runs);
    let deed = async {
        until_pending(&rig, 1).await;
        // Mined first, since it pays more.
        let all = rig.chain.balance_of(rig.chain.usdc(), account(PAYER).address);
        let drain = rig.token_transfer(PAYER, account(8).address, all.try_into().unwrap());
        rig.send(PAYER, TxEip1559 { max_fee_per_gas: 200 * GWEI, max_priority_fee_per_gas: 100 * GWEI, ..drain }).await;
        rig.chain.mine().await;
    };
    let (reply, ()) = tokio::join!(shop.ask_until_decided(&ask), deed);
    assert_eq!(reply.status, 409, "{reply:?}");
    assert!(!reply.text().contains("goods"));
    assert_eq!(before.since(&rig, &runs), Door { runs: 1, transfers: 0 });
    // Whatever is asked after that: never a 402, never the goods.
    let again = shop.ask(&ask).await;
    assert_eq!((again.status, again.text().contains("goods")), (409, false), "{again:?}");
}

/// A body in pieces, of a length that nobody announces, with trailers.
async fn streamed() -> Response {
    let frames = ["the ", "secret ", "goods"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "secret".parse().unwrap());
    let frames = frames.into_iter().chain([Ok(Frame::trailers(trailers))]);
    Response::new(Body::new(StreamBody::new(stream::iter(frames))))
}

/// T005, T102: of an answer in pieces, not one byte is on the wire before the money has moved, nor if it never does.
#[tokio::test(flavor = "multi_thread")]
async fn t005_t102_no_byte_leaves_before_it_is_paid_for() {
    let rig = Rig::start().await;
    let held = Held::new();
    let work = held.clone();
    let handler = any(async move || {
        work.work().await;
        streamed().await
    });
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate(&rig, price(&rig, PRICE)).build().unwrap())).await;

    let mut line = Line::open(shop.address).await;
    line.send(&get("/a").with("Connection", "close").with("TE", "trailers").paying(&rig.pay(3)).bytes()).await;
    held.entered().await;
    Ruin::Drained.come(&rig, 3).await;
    held.go();
    let all = String::from_utf8_lossy(&line.rest().await).into_owned();
    assert!(all.starts_with("HTTP/1.1 402 ") && !all.contains("secret") && !all.contains(" 200 "), "{all}");

    // Honest twin, looked at while the money is on its way.
    let payment = rig.pay(PAYER);
    let sending = rig.chain.faults().hold("eth_sendRawTransaction");
    let mut line = Line::open(shop.address).await;
    line.send(&get("/a").with("Connection", "close").with("TE", "trailers").paying(&payment).bytes()).await;
    held.entered().await;
    held.go();
    sending.reached(1).await;
    assert_eq!(line.so_far(), b"");
    let (paid, received) = (rig.transfers(), rig.received());
    sending.open();
    assert!(line.until(b"HTTP/1.1 200 OK").await);
    assert_eq!((rig.transfers() - paid, rig.received() - received), (1, U256::from(PRICE)));
    let all = String::from_utf8_lossy(&line.rest().await).into_owned();
    assert!(all.contains("the ") && all.contains("goods") && all.contains("x-payment-response"), "{all}");
    // It was too long to be kept, as far as anybody could know: what is left is the receipt.
    let again = shop.ask(&get("/a").paying(&payment)).await;
    assert_eq!((again.status, again.word().as_str()), (409, "payment_already_used"));
    assert!(super::payer_of(&again).eq_ignore_ascii_case(&account(PAYER).address.to_string()));
}

/// T005: where the money moves first, a stream flows as it is made, and nothing of it before.
#[tokio::test(flavor = "multi_thread")]
async fn t005_upfront_a_stream_flows_once_it_is_paid_for() {
    let rig = Rig::start().await;
    let held = Held::new();
    let work = held.clone();
    let handler = any(async move || {
        let work = work.clone();
        let pieces = stream::unfold(0, move |piece| {
            let work = work.clone();
            async move {
                if piece == 1 {
                    work.work().await;
                }
                (piece < 2).then(|| (Ok::<_, Infallible>(Bytes::from(format!("piece {piece}"))), piece + 1))
            }
        });
        Response::new(Body::from_stream(pieces))
    });
    let gate = gate(&rig, price(&rig, PRICE).upfront()).build().unwrap();
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate)).await;
    let sending = rig.chain.faults().hold("eth_sendRawTransaction");
    let mut line = Line::open(shop.address).await;
    line.send(&get("/a").with("Connection", "close").paying(&rig.pay(PAYER)).bytes()).await;
    sending.reached(1).await;
    assert_eq!((line.so_far(), held.runs.count()), (b"".as_slice(), 0));
    sending.open();
    assert!(line.until(b"piece 0").await);
    held.entered().await;
    assert!(!String::from_utf8_lossy(line.so_far()).contains("piece 1"));
    held.go();
    assert!(line.until(b"piece 1").await);
    assert_eq!(rig.transfers(), 1);
}

/// A facilitator on a chain without blocks, that answers soon.
async fn manual() -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| config.answer_within = Duration::from_millis(300));
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

async fn until_pending(rig: &Rig, count: usize) {
    while rig.chain.pending().len() != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The transaction that a pending answer names.
fn named(reply: &Reply) -> B256 {
    let said = h402::decode_receipt(reply.receipt().as_bytes()).unwrap();
    assert!(!said.success, "{said:?}");
    said.transaction.expect("the hash of what was sent").to_string().parse().unwrap()
}

/// T007, T008: while nobody knows whether the money moved, the client is told to come back with the same payment,
/// which transaction to look at, and nothing that would make it sign again. Once there is a block it is served.
#[tokio::test(flavor = "multi_thread")]
async fn t007_t008_an_unknown_outcome_is_told_to_come_back_and_never_a_402() {
    let rig = manual().await;
    let runs = Runs::default();
    let origin = Origin::parse(h402_tests::shop::ORIGIN).unwrap();
    let memory = || MemoryGrants::new().unwrap();
    let in_process = |price| gate::Gate::new(local(&rig), memory(), origin.clone(), price).build().unwrap();
    let shops = [
        Shop::open(sells_all(in_process(price(&rig, PRICE)), &runs)).await,
        Shop::open(sells_all(in_process(price(&rig, PRICE).upfront()), &runs)).await,
        Shop::open(sells_all(gate::Gate::new(remote(&rig), memory(), origin.clone(), price(&rig, PRICE)).build().unwrap(), &runs)).await,
    ];
    for (index, shop) in shops.iter().enumerate() {
        let before = Door::look(&rig, &runs);
        let ask = get("/a").paying(&rig.pay(PAYER));
        let first = shop.ask(&ask).await;
        assert_eq!((first.status, first.word().as_str()), (503, "settlement_pending"), "{first:?}");
        assert!(is_wait(&first) && !first.text().contains("goods"));
        assert_eq!(rig.chain.pending(), [named(&first)]);
        for _ in 0..3 {
            let again = shop.ask(&ask).await;
            assert_eq!((again.status, named(&again)), (503, named(&first)), "{again:?}");
            assert!(is_wait(&again) && !again.text().contains("goods"));
        }
        rig.chain.mine().await;
        let served = shop.ask_until_decided(&ask).await;
        assert_eq!(served.status, 200, "{served:?}");
        let receipt = h402::decode_receipt(served.receipt().as_bytes()).unwrap();
        assert_eq!(receipt.transaction.unwrap().to_string(), named(&first).to_string());
        assert_eq!(shop.ask(&ask).await.content(), served.content());
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
        assert_eq!(rig.chain.blocks().iter().map(|block| block.transactions.len()).sum::<usize>(), index + 1);
    }
}

/// T007, T008: whatever the node does with what is sent to it, the client ends with what it paid for, once.
#[tokio::test(flavor = "multi_thread")]
async fn t007_t008_whatever_a_node_does_the_payer_is_served_once() {
    let faults =
        [Fault::DropAnswer, Fault::DropRequest, Fault::StatusAfter(502), Fault::Status(503), Fault::Truncated, Fault::WrongId, Fault::Html];
    for upfront in [false, true] {
        let served = faults.iter().map(async |fault| {
            let rig = Rig::start().await;
            let runs = Runs::default();
            let price = if upfront { price(&rig, PRICE).upfront() } else { price(&rig, PRICE) };
            let shop = Shop::open(sells_all(gate(&rig, price).build().unwrap(), &runs)).await;
            let before = Door::look(&rig, &runs);
            rig.chain.faults().add("eth_sendRawTransaction", fault.clone(), Times::Next(2));
            rig.chain.faults().add("eth_getTransactionReceipt", fault.clone(), Times::Next(2));
            let reply = shop.ask_until_decided(&get("/a").paying(&rig.pay(PAYER))).await;
            assert_eq!(reply.status, 200, "{fault:?}: {reply:?}");
            assert_eq!(before.since(&rig, &runs), Door::OPENED, "{fault:?}");
        });
        futures_util::future::join_all(served).await;
    }
}

/// T007: the chain is away when the payment comes, or goes away while the handler runs: the payer is told to come
/// back, nothing is lost, and nothing is charged twice.
#[tokio::test(flavor = "multi_thread")]
async fn t007_a_chain_that_is_away_charges_nobody_twice() {
    let rig = Rig::start().await;
    let held = Held::new();
    let shop = held.shop(gate(&rig, price(&rig, PRICE)).build().unwrap()).await;
    let before = Door::look(&rig, &held.runs);
    rig.chain.pause().await;
    let away = rig.pay(PAYER);
    let refused = shop.ask(&get("/a").paying(&away)).await;
    assert_eq!((refused.status, is_wait(&refused)), (503, true), "{refused:?}");
    rig.chain.resume().await;
    assert_eq!(before.since(&rig, &held.runs), Door::SHUT);
    held.go();
    assert_eq!(shop.ask_until_decided(&get("/a").paying(&away)).await.status, 200);
    held.entered().await;

    let payment = rig.pay(PAYER);
    let lost = held.meanwhile(&shop, &payment, async || rig.chain.pause().await).await;
    assert_eq!((lost.status, is_wait(&lost)), (503, true), "{lost:?}");
    assert!(!lost.text().contains(SECRET));
    rig.chain.resume().await;
    held.go_all();
    let served = shop.ask_until_decided(&get("/a").paying(&payment)).await;
    assert_eq!((served.status, served.text().as_str()), (200, SECRET));
    assert_eq!(before.since(&rig, &held.runs).transfers, 2);
}

/// T004, T022: the authorization is brought to the chain by somebody else while the handler runs. The payee has the
/// money, so the answer is given, once; nothing more is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t004_t022_an_authorization_that_is_used_up_meanwhile_buys_one_answer() {
    let rig = Rig::start().await;
    let held = Held::new();
    let shop = held.shop(gate(&rig, price(&rig, PRICE)).build().unwrap()).await;
    let before = Door::look(&rig, &held.runs);
    let payment = rig.bearer(PAYER, PRICE);
    let requirements = rig.requirements(PRICE);
    let offers = Offers::new(vec![requirements.offer.clone()]).unwrap();
    let matched = Matched::new(payment.clone(), &offers, &requirements.resource, None).unwrap();
    let (to, input) = EvmChain::settlement_call(&matched).unwrap();
    let elsewhere = TxEip1559 { to: TxKind::Call(to), input, ..rig.native_transfer(5, to, 0) };
    let answered = held.meanwhile(&shop, &header(&payment), async || rig.submit(&sign(5, elsewhere).raw).await.unwrap()).await;
    // The payee has the money, whoever brought it (T010).
    assert_eq!(answered.status, 200, "{answered:?}");
    assert!(answered.text().contains(SECRET));
    assert_eq!(before.since(&rig, &held.runs), Door::OPENED, "the transfer is the one from elsewhere");
    assert_eq!(broadcasts(&rig), 1);
    // Nor does it buy anything else afterwards: the same answer here, and nothing at another route.
    assert_eq!(shop.ask(&get("/a").paying(&header(&payment))).await.status, 200);
    assert_eq!(shop.ask(&get("/b").paying(&header(&payment))).await.status, 409);
    assert_eq!(before.since(&rig, &held.runs), Door::OPENED);
}
