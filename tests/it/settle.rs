//! Verifying and settling over the facilitator's own sockets.

use alloy_primitives::U256;
use futures_util::future::join_all;
use h402_tests::rig::{PAYER, Rig};

const PRICE: u128 = 10_000;

fn paid(units: u128) -> U256 {
    U256::from(units)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_payment_is_verified_and_settled() {
    let mut rig = Rig::start().await;
    let before = rig.received();
    let payment = rig.payment(PAYER, PRICE);
    let (status, body) = rig.post("/verify", &payment, PRICE, Some("shop-1")).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""isValid":true"#) && body.contains(r#""type":"payload""#), "{body}");
    let (status, body) = rig.post("/settle", &payment, PRICE, Some("shop-1")).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""success":true"#), "{body}");
    assert_eq!(rig.received() - before, paid(PRICE));
    rig.stop().await;
}

/// T009, T072: the same caller gets the same bytes again; another one is told that it is a duplicate.
#[tokio::test(flavor = "multi_thread")]
async fn t009_settle_is_repeated_to_its_caller_only() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let first = rig.post("/settle", &payment, PRICE, Some("shop-1")).await;
    assert!(first.1.contains(r#""success":true"#), "{}", first.1);
    for _ in 0..5 {
        assert_eq!(rig.post("/settle", &payment, PRICE, Some("shop-1")).await, first);
    }
    for other in [Some("shop-2"), None] {
        let (status, body) = rig.post("/settle", &payment, PRICE, other).await;
        assert_eq!(status, 200);
        assert!(body.contains(r#""success":false"#) && body.contains("duplicate_settlement"), "{body}");
    }
    assert_eq!(rig.chain.transaction_count_seen(), 1);
}

/// T003, T011: 64 copies through servers without memory: one success, one broadcast, one transfer.
#[tokio::test(flavor = "multi_thread")]
async fn t003_of_many_copies_without_a_key_one_succeeds() {
    let rig = Rig::start().await;
    for _ in 0..5 {
        let before = rig.received();
        let sent = rig.chain.transaction_count_seen();
        let payment = rig.payment(PAYER, PRICE);
        let answers = join_all((0..64).map(|_| rig.post("/settle", &payment, PRICE, None))).await;
        let successes = answers.iter().filter(|(_, body)| body.contains(r#""success":true"#)).count();
        assert_eq!(successes, 1, "{answers:?}");
        assert_eq!(rig.chain.transaction_count_seen() - sent, 1);
        assert_eq!(rig.received() - before, paid(PRICE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_payments_settle_through_one_key() {
    let rig = Rig::start().await;
    let before = rig.received();
    let payments: Vec<_> = (0..64).map(|index| rig.payment(2 + index % 4, PRICE)).collect();
    let answers = join_all(payments.iter().enumerate().map(|(index, payment)| {
        let caller = format!("shop-{index}");
        let rig = &rig;
        async move { rig.post("/settle", payment, PRICE, Some(&caller)).await }
    }))
    .await;
    for (_, body) in &answers {
        assert!(body.contains(r#""success":true"#), "{body}");
    }
    assert_eq!(rig.received() - before, paid(64 * PRICE));
    assert_eq!(rig.chain.transfers(rig.chain.usdc()).len(), 64);
    assert!(rig.chain.transaction_count_seen() <= 64, "nothing is sent twice, and some go together");
}
