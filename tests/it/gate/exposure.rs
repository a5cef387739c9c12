//! How much one payer may have open: what runs before it is paid for is bounded.

use super::{
    Door,
    facilitator::{Between, Does, says},
    held::{Held, SECRET},
    sells_all,
};
use alloy_primitives::U256;
use futures_util::future::join_all;
use h402_core::{Payload, PaymentPayload, SentEvmTransaction};
use h402_devnet::evm::{BlockTime, account};
use h402_tests::{
    raw::{Ask, Reply},
    rig::{PAYEE, PAYER, Rig, RigOptions, key},
    shop::{ORIGIN, PRICE, Runs, Shop, gate, get, header, is_wait, price, remote},
    transactions::sign,
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin},
    remote::RemoteFacilitator,
};

/// Sends payments of one payer while a handler holds all runs, and lets them go once everybody has an answer or runs.
async fn at_once(shop: &Shop, held: &Held, payments: &[String], let_in: usize) -> Vec<Reply> {
    let asks: Vec<Ask> = payments.iter().enumerate().map(|(route, payment)| get(&format!("/route/{route}")).paying(payment)).collect();
    let going = async {
        for _ in 0..let_in {
            held.entered().await;
        }
        held.go_all();
    };
    tokio::join!(join_all(asks.iter().map(|ask| shop.ask(ask))), going).0
}

/// T004, T166: of one payer at most 16 payments are open at a gate, whatever it could afford, and one only where the
/// facilitator does not reserve balances. Those that are turned away are good later.
#[tokio::test(flavor = "multi_thread")]
async fn t004_t166_what_a_payer_may_have_open_is_bounded() {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.max_open_per_payer = 100);
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    let unreserving = Between::open(&rig.url).await;
    let kinds = r#"{"kinds":[{"h402Version":1,"scheme":"exact","namespace":"evm","networkId":"84532"}]}"#;
    unreserving.does("/supported", Does::Wrong(says(200, kinds)));
    let origin = || Origin::parse(ORIGIN).unwrap();
    let with = |facilitator| Gate::new(facilitator, MemoryGrants::new().unwrap(), origin(), price(&rig, PRICE));
    let gates = [
        ("reserves", 16, with(remote(&rig))),
        ("does not reserve", 1, with(RemoteFacilitator::new(&unreserving.url).unwrap())),
        ("as configured", 3, with(remote(&rig)).with_max_unsettled(3)),
    ];
    for (name, bound, gate) in gates {
        let held = Held::new();
        let shop = held.shop(gate.build().unwrap()).await;
        let before = Door::look(&rig, &held.runs);
        let payments: Vec<String> = (0..24).map(|_| rig.pay(PAYER)).collect();
        let replies = at_once(&shop, &held, &payments, bound).await;
        let sold = replies.iter().filter(|reply| reply.status == 200).count();
        let turned_away: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
        assert!(turned_away.iter().all(|reply| is_wait(reply) && reply.word() == "too_many_open_payments"), "{name}: {turned_away:?}");
        assert!(sold >= bound, "{name}: {sold}");
        assert_eq!(before.since(&rig, &held.runs), Door { runs: sold as u64, transfers: sold }, "{name}");
        // They come back one by one.
        for (route, payment) in payments.iter().enumerate() {
            assert_eq!(shop.ask_until_decided(&get(&format!("/route/{route}")).paying(payment)).await.text(), SECRET, "{name}");
        }
        assert_eq!(before.since(&rig, &held.runs), Door { runs: 24, transfers: 24 }, "{name}");
    }
}

/// T004, T166: while that many are open, nobody of that payer's gets in, not one more.
#[tokio::test(flavor = "multi_thread")]
async fn t004_t166_the_bound_holds_while_handlers_run() {
    let rig = Rig::start().await;
    let held = Held::new();
    let shop = held.shop(gate(&rig, price(&rig, PRICE)).with_max_unsettled(4).build().unwrap()).await;
    let payments: Vec<String> = (0..12).map(|_| rig.pay(PAYER)).collect();
    let asks: Vec<Ask> = payments.iter().map(|payment| get("/a").paying(payment)).collect();
    let open = tokio::join!(join_all(asks[..4].iter().map(|ask| shop.ask(ask))), async {
        for _ in 0..4 {
            held.entered().await;
        }
        for ask in &asks[4..] {
            let refused = shop.ask(ask).await;
            assert_eq!((refused.status, refused.word().as_str()), (409, "too_many_open_payments"));
        }
        assert_eq!(held.runs.count(), 4);
        // Other payers are not concerned.
        held.go();
        held.go_all();
        assert_eq!(shop.ask(&get("/a").paying(&rig.pay(3))).await.status, 200);
    })
    .0;
    assert!(open.iter().all(|reply| reply.status == 200), "{open:?}");
}

/// T024: with money for three, fifty payments to fifty routes at once open three doors, and no handler runs for more.
#[tokio::test(flavor = "multi_thread")]
async fn t024_a_balance_is_not_promised_twice() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    // An account with nothing but what it is given here.
    let poor = 9;
    rig.chain.mint(rig.chain.usdc(), account(poor).address, U256::from(3 * PRICE)).unwrap();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let before = Door::look(&rig, &runs);
    let asks: Vec<Ask> = (0..50).map(|route| get(&format!("/route/{route}")).paying(&rig.pay(poor))).collect();
    let replies = join_all(asks.iter().map(|ask| shop.ask(ask))).await;
    let sold = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 3 }, "{replies:?}");
    assert_eq!(sold, 3);
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 402 | 409)), "{replies:?}");
}

/// T173, T002: one transaction is one payment at a gate, shown as itself or by its hash, in whatever order.
#[tokio::test(flavor = "multi_thread")]
async fn t173_one_transaction_opens_one_request_by_whatever_proof() {
    let rig = Rig::with(RigOptions { engine: Box::new(|engine| engine.accept_sent = true), ..RigOptions::default() }).await;
    let runs = Runs::default();
    let gate = gate(&rig, price(&rig, PRICE)).accept_sent_payments([7; 32]).build().unwrap();
    let shop = Shop::open(sells_all(gate, &runs)).await;
    let by_hash = async |payer: usize, hash, target: &str| {
        let resource = rig.offered(&shop.ask(&get(target)).await).url;
        let sent = SentEvmTransaction { hash, signed_message: key(payer).sign_message(&resource).unwrap() };
        header(&PaymentPayload { resource: Some(resource), ..rig.payload(Payload::EvmSent(sent)) })
    };
    let payee = account(PAYEE).address;

    // Signed and settled by the facilitator, then shown by its hash.
    let before = Door::look(&rig, &runs);
    let transaction = sign(3, rig.token_transfer(3, payee, PRICE));
    let signed = header(&rig.pay_by_transaction(3, &transaction, "/a"));
    assert_eq!(shop.ask(&get("/a").paying(&signed)).await.status, 200);
    for (target, status) in [("/a", 200), ("/b", 409)] {
        let again = shop.ask(&get(target).paying(&by_hash(3, transaction.hash, target).await)).await;
        assert_eq!(again.status, status, "{target}: {again:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::OPENED);

    // Sent by the payer and shown by its hash, then shown as itself.
    let transaction = sign(4, rig.token_transfer(4, payee, PRICE));
    rig.submit(&transaction.raw).await.unwrap();
    let before = Door::look(&rig, &runs);
    assert_eq!(shop.ask(&get("/a").paying(&by_hash(4, transaction.hash, "/a").await)).await.status, 200);
    for target in ["/b", "/c"] {
        let again = shop.ask(&get(target).paying(&header(&rig.pay_by_transaction(4, &transaction, target)))).await;
        assert_eq!(again.status, 409, "{target}: {again:?}");
        let again = shop.ask(&get(target).paying(&by_hash(4, transaction.hash, target).await)).await;
        assert_eq!(again.status, 409, "{target}: {again:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door { runs: 1, transfers: 0 });

    // Settled by authorization: the facilitator's own transaction is nobody's payment.
    let payment = rig.pay(PAYER);
    let served = shop.ask(&get("/a").paying(&payment)).await;
    let settled = h402_core::wire::h402::decode_receipt(served.receipt().as_bytes()).unwrap().transaction.unwrap();
    let before = Door::look(&rig, &runs);
    for claimant in [PAYER, h402_tests::rig::GAS] {
        let claimed = shop.ask(&get("/b").paying(&by_hash(claimant, settled.to_string().parse().unwrap(), "/b").await)).await;
        assert!(matches!(claimed.status, 402 | 409), "{claimant}: {claimed:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
}

/// T058: a payment that the payer has sent and no block has yet is waited for: answered 402, its payer would pay again.
#[tokio::test(flavor = "multi_thread")]
async fn t058_a_sent_payment_that_waits_for_its_block_is_not_asked_for_again() {
    let engine = Box::new(|engine: &mut h402_facilitator::EngineConfig| engine.accept_sent = true);
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let runs = Runs::default();
    let gate = gate(&rig, price(&rig, PRICE)).accept_sent_payments([7; 32]).build().unwrap();
    let shop = Shop::open(sells_all(gate, &runs)).await;
    let by_hash = async |payer: usize, units: u128| {
        let transaction = sign(payer, rig.token_transfer(payer, account(PAYEE).address, units));
        rig.submit(&transaction.raw).await.unwrap();
        let resource = rig.offered(&shop.ask(&get("/a")).await).url;
        let sent = SentEvmTransaction { hash: transaction.hash, signed_message: key(payer).sign_message(&resource).unwrap() };
        get("/a").paying(&header(&PaymentPayload { resource: Some(resource), ..rig.payload(Payload::EvmSent(sent)) }))
    };
    let (ask, short) = (by_hash(PAYER, PRICE).await, by_hash(3, PRICE - 1).await);
    let before = Door::look(&rig, &runs);
    let waits = shop.ask(&ask).await;
    assert_eq!(waits.status, 503, "{waits:?}");
    assert!(is_wait(&waits), "{waits:?}");
    assert_eq!(shop.ask(&short).await.status, 402, "what would not pay in any block is not waited for");
    assert_eq!(runs.count(), 0);
    rig.chain.mine().await;
    assert_eq!(shop.ask_until_decided(&ask).await.status, 200);
    assert_eq!(before.since(&rig, &runs), Door { runs: 1, transfers: 2 }, "one of them bought something");
}
