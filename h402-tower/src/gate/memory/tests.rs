use super::*;
use crate::gate::tests::kit::{Cheque, PRICE, StoppedClock, payer, receipt_of, usdc};
use h402_core::{Amount, Attestation, CheckPolicy, Fingerprint, GrantEvent, Matched, Offer, Offers};

fn verified(nonce: u8) -> Verified {
    let offer = Offer::new(usdc(), Amount::from_atomic(PRICE), crate::gate::tests::kit::PAYEE.parse().unwrap()).unwrap();
    let offers = Offers::new(vec![Arc::new(offer)]).unwrap();
    let matched = Matched::new(Cheque::nonce(nonce).payload(), &offers, &Arc::default(), None).unwrap();
    let attestation = Attestation { key: matched.key(), aliases: vec![], payer: matched.payer(), transaction: None };
    let now = StoppedClock::new().now();
    Verified::attested(matched.check(&CheckPolicy::facilitator(now)).unwrap(), attestation)
}

fn new(nonce: u8, aliases: Vec<PaymentKey>, now: UnixMillis) -> NewGrant {
    let grant = Grant {
        key: Cheque::nonce(nonce).key(),
        fingerprint: Fingerprint::from_bytes([0; 32]),
        flow: Flow::Capture,
        payer: payer().address().into(),
        asset: usdc().id,
        amount: Amount::from_atomic(PRICE),
        state: GrantState::Running,
        runs: 1,
        busy_until: UnixMillis(0),
        receipt: None,
        claimed_at: now,
        updated_at: now,
        expires_at: now.plus(Duration::from_secs(900)),
        version: 1,
    };
    NewGrant { grant, aliases, max_unsettled: 3 }
}

fn answer(body: usize) -> StoredAnswer {
    StoredAnswer { status: 200, headers: vec![], body: vec![0; body].into() }
}

fn shop() -> (StoppedClock, MemoryGrants) {
    let clock = StoppedClock::new();
    (clock.clone(), MemoryGrants::with_clock(clock).unwrap())
}

#[tokio::test]
async fn a_payment_is_claimed_once_under_all_its_names() {
    let (clock, grants) = shop();
    let (alias, other) = (PaymentKey::from_bytes([1; 32]), PaymentKey::from_bytes([2; 32]));
    let now = clock.now();
    assert!(matches!(grants.claim(new(1, vec![alias], now), verified(1)).await, Ok(Claim::New(_))));
    // By key, by an alias that is a key, by an alias that is an alias.
    for (nonce, aliases) in [(1, vec![]), (2, vec![alias]), (2, vec![other, Cheque::nonce(1).key()])] {
        let claim = grants.claim(new(nonce, aliases.clone(), now), verified(nonce)).await.unwrap();
        assert!(matches!(&claim, Claim::Known(known) if known.key == Cheque::nonce(1).key()), "{nonce} {aliases:?} {claim:?}");
    }
    // Nothing of a refused claim is kept.
    assert!(grants.load(&other).await.unwrap().is_none());
    assert!(grants.load(&alias).await.unwrap().is_some_and(|(grant, _)| grant.key == Cheque::nonce(1).key()));
    assert!(matches!(grants.claim(new(2, vec![other], now), verified(2)).await, Ok(Claim::New(_))));
}

#[tokio::test]
async fn a_row_is_changed_from_the_version_before_only() {
    let (clock, grants) = shop();
    let first = new(1, vec![], clock.now());
    let row = first.grant.clone();
    assert!(!grants.update(&row.clone().step(GrantEvent::Settle, clock.now()).unwrap(), None).await.unwrap(), "no such row");
    grants.claim(first, verified(1)).await.unwrap();
    let settling = row.clone().step(GrantEvent::Settle, clock.now()).unwrap();
    let released = row.step(GrantEvent::NotDelivered, clock.now()).unwrap();
    assert!(grants.update(&settling, Some(answer(3))).await.unwrap());
    assert!(!grants.update(&released, None).await.unwrap(), "somebody else was faster");
    assert!(!grants.update(&settling, None).await.unwrap(), "twice");
    let receipt = receipt_of(&settling.key, settling.payer);
    let served = settling.clone().step(GrantEvent::Settled { receipt, answer_held: true }, clock.now()).unwrap();
    assert!(grants.update(&served, None).await.unwrap());
    let stored = grants.load(&served.key).await.unwrap();
    assert_eq!(stored, Some((served, Some(answer(3)))), "the answer stays when the row changes");
}

#[tokio::test]
async fn a_payers_open_rows_are_counted_and_bounded() {
    let (clock, grants) = shop();
    let now = clock.now();
    for nonce in 1..=3 {
        assert!(matches!(grants.claim(new(nonce, vec![], now), verified(nonce)).await, Ok(Claim::New(_))), "{nonce}");
    }
    assert!(matches!(grants.claim(new(4, vec![], now), verified(4)).await, Ok(Claim::TooManyUnsettled)));
    let count = async |since| grants.exposure(&payer().address().into(), &usdc().id, since).await.unwrap();
    assert_eq!(count(now).await, Exposure { unsettled: 3, failed: 0 });
    let settling = new(1, vec![], now).grant.step(GrantEvent::Settle, now).unwrap();
    assert!(grants.update(&settling, None).await.unwrap());
    assert_eq!(count(now).await, Exposure { unsettled: 3, failed: 0 });
    assert!(grants.update(&settling.step(GrantEvent::SettleRefused, now).unwrap(), None).await.unwrap());
    assert_eq!(count(now).await, Exposure { unsettled: 2, failed: 1 });
    assert_eq!(count(now.plus(Duration::from_millis(1))).await, Exposure { unsettled: 2, failed: 0 });
    assert_eq!(grants.exposure(&Address::Solana([1; 32].into()), &usdc().id, now).await.unwrap(), Exposure::default());
    assert!(matches!(grants.claim(new(4, vec![], now), verified(4)).await, Ok(Claim::New(_))));
}

#[tokio::test]
async fn answers_are_forgotten_by_age_and_rows_when_they_may_go() {
    let (clock, grants) = shop();
    let keep = async |nonce| {
        let mut row = new(nonce, vec![PaymentKey::from_bytes([nonce; 32])], clock.now());
        row.max_unsettled = 1000;
        let settling = row.grant.clone().step(GrantEvent::Settle, clock.now()).unwrap();
        grants.claim(row, verified(nonce)).await.unwrap();
        assert!(grants.update(&settling, Some(answer(1))).await.unwrap());
    };
    let kept = async |nonce| grants.load(&Cheque::nonce(nonce).key()).await.unwrap().map(|(_, answer)| answer.is_some());
    keep(1).await;
    clock.move_on(300);
    keep(2).await;
    assert_eq!((kept(1).await, kept(2).await), (Some(true), Some(true)));
    clock.move_on(300);
    assert_eq!((kept(1).await, kept(2).await), (Some(false), Some(true)));
    clock.move_on(300);
    assert_eq!(kept(2).await, Some(false));
    assert_eq!(kept(1).await, Some(false), "the row may go, and goes with the next claim");
    keep(4).await;
    assert_eq!((kept(1).await, kept(2).await, kept(4).await), (None, Some(false), Some(true)));
    assert!(grants.load(&PaymentKey::from_bytes([1; 32])).await.unwrap().is_none(), "its other names go with it");
}

#[tokio::test]
async fn an_answer_that_replaces_another_is_kept_for_its_own_time() {
    let (clock, grants) = shop();
    let row = new(1, vec![], clock.now());
    grants.claim(row.clone(), verified(1)).await.unwrap();
    let settling = row.grant.step(GrantEvent::Settle, clock.now()).unwrap();
    assert!(grants.update(&settling, Some(answer(1))).await.unwrap());
    clock.move_on(400);
    let receipt = receipt_of(&settling.key, settling.payer);
    let served = settling.step(GrantEvent::Settled { receipt, answer_held: true }, clock.now()).unwrap();
    assert!(grants.update(&served, Some(answer(2))).await.unwrap());
    let kept = async || grants.load(&served.key).await.unwrap().and_then(|(_, answer)| answer);
    clock.move_on(599);
    assert_eq!(kept().await, Some(answer(2)), "999 s after the first answer, 599 s after this one");
    clock.move_on(1);
    assert_eq!(kept().await, None);
    assert_eq!(grants.rows().answer_bytes, 0);
}

#[test]
fn the_oldest_answers_go_when_all_together_are_too_long() {
    let mut rows = Rows::default();
    let key = |n: usize| PaymentKey::from_bytes(std::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(0)));
    let (largest, count) = (answer(StoredAnswer::MAX_BODY), ANSWER_BUDGET / StoredAnswer::MAX_BODY);
    for n in 0..count {
        // One body, as often as it is counted.
        rows.keep(key(n), largest.clone(), UnixMillis(0));
    }
    assert_eq!((rows.answers.len(), rows.answer_bytes), (count, ANSWER_BUDGET));
    // In place of another it adds nothing; its turn to go is a new one.
    rows.keep(key(0), largest, UnixMillis(1));
    assert_eq!((rows.answers.len(), rows.answer_bytes), (count, ANSWER_BUDGET));
    rows.keep(key(count), answer(1), UnixMillis(2));
    assert_eq!((rows.answers.len(), rows.answer_bytes), (count, ANSWER_BUDGET - StoredAnswer::MAX_BODY + 1));
    let gone: Vec<usize> = (0..=count).filter(|n| !rows.answers.contains_key(&key(*n))).collect();
    assert_eq!(gone, [1]);
}

#[test]
fn every_store_is_another_caller() {
    let (one, two) = (MemoryGrants::new().unwrap(), MemoryGrants::new().unwrap());
    assert_ne!(one.identity(), two.identity());
    assert_eq!(one.identity(), one.clone().identity());
}
