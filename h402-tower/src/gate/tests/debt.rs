//! What was charged and not delivered: credits, and giving back.

use super::{
    flow::{scripted, status},
    kit::*,
};
use crate::gate::RefundError;
use h402_core::{Fingerprint, GrantState, ReceiptKey, ReceiptPurpose};
use std::sync::atomic::Ordering::SeqCst;

const DAY: u64 = 24 * 3600;

fn key() -> ReceiptKey {
    ReceiptKey::from_seed(&[9; 32])
}

/// T006, G05: who is charged and not served holds a credit that anybody can check: for this payment, this request, this
/// payee; the same bytes every time. A gate without a key gives the receipt alone.
#[tokio::test]
async fn t006_a_credit_is_signed_and_says_what_for() {
    for signs in [true, false] {
        let (shop, answering) = (Shop::new(), status(500));
        let gate = shop.gate_at(price().upfront());
        let service = shop.open(if signs { gate.with_credit_key(key()) } else { gate }, scripted(&answering));
        let header = Cheque::default().header();
        for _ in 0..3 {
            assert_eq!(send(&service, paid(&header)).await.status, 500);
        }
        answering.store(200, SeqCst);
        shop.clock.move_on(5);
        let told = send(&service, paid(&header)).await;
        assert_eq!((told.status, told.error().as_str()), (409, "payment_credited"));
        shop.clock.move_on(5);
        assert_eq!(send(&service, paid(&header)).await, told, "the same bytes later");
        let answer = told.receipt().unwrap();
        assert!(answer.success);
        let Some(credit) = answer.credit else {
            assert!(!signs);
            continue;
        };
        assert!(signs);
        let said = credit.verify(&[key().issuer()]).unwrap();
        assert_eq!((said.purpose, said.payment), (ReceiptPurpose::Credit, Cheque::default().key()));
        assert_eq!(said.fingerprint, Some(Fingerprint::new("GET", "https://api.example", "/item", None)));
        assert_eq!((said.payer, said.pay_to), (payer().address().into(), PAYEE.parse().unwrap()));
        assert_eq!((said.asset, said.amount.to_string()), (usdc().id, PRICE.to_string()));
        assert_eq!(Some(said.transaction), answer.transaction);
        assert_eq!(said.time.0, NOW, "when it became one");
        assert_eq!(shop.runs(), 3);
    }
}

/// G05: what is owed is served for a day, and is a credit after that without another run; a moment before it is served.
#[tokio::test]
async fn t006_what_is_owed_for_a_day_is_a_credit() {
    for (later, served) in [(DAY - 1, true), (DAY, false)] {
        let (shop, answering) = (Shop::new(), status(500));
        let service = shop.open(shop.gate_at(price().upfront()).with_credit_key(key()), scripted(&answering));
        let header = Cheque::default().header();
        assert_eq!(send(&service, paid(&header)).await.status, 500);
        answering.store(200, SeqCst);
        shop.clock.move_on(later);
        let answer = send(&service, paid(&header)).await;
        let (code, state, runs) = if served { (200, GrantState::Served, 2) } else { (409, GrantState::Credited, 1) };
        assert_eq!((answer.status, shop.grants.state(&Cheque::default().key()).await, shop.runs()), (code, Some(state), runs));
        assert_eq!(answer.receipt().unwrap().credit.is_some(), !served);
        assert_eq!(shop.bank.settle_calls(), 1);
    }
}

/// G05: a merchant finds what is owed, gives it back once, and is not asked for it again; what is served cannot be given back.
#[tokio::test]
async fn t006_what_is_given_back_is_given_back_once() {
    let (shop, answering) = (Shop::new(), status(500));
    let layer = shop.gate_at(price().upfront()).build().unwrap();
    let service = shop.open(shop.gate_at(price().upfront()), scripted(&answering));
    for (nonce, times) in [(1, 1), (2, 3)] {
        for _ in 0..times {
            send(&service, paid(&Cheque::nonce(nonce).header())).await;
        }
        shop.clock.move_on(1);
    }
    answering.store(200, SeqCst);
    send(&service, paid(&Cheque::nonce(3).header())).await;
    let listed = layer.owing(None, 10).await.unwrap();
    let found: Vec<_> = listed.iter().map(|grant| (grant.key, grant.state)).collect();
    assert_eq!(found, [(Cheque::nonce(1).key(), GrantState::Owed), (Cheque::nonce(2).key(), GrantState::Credited)]);
    for grant in &listed {
        let given = layer.refunded(&grant.key).await.unwrap();
        assert_eq!((given.state, given.amount, given.payer), (GrantState::Refunded, grant.amount, grant.payer));
        assert_eq!(layer.refunded(&grant.key).await, Err(RefundError::NotOwing(GrantState::Refunded)), "not twice");
    }
    assert_eq!(layer.owing(None, 10).await.unwrap(), []);
    let runs = shop.runs();
    for nonce in [1, 2] {
        let told = send(&service, paid(&Cheque::nonce(nonce).header())).await;
        assert_eq!((told.status, told.error().as_str()), (409, "payment_refunded"));
    }
    assert_eq!(shop.runs(), runs, "nothing runs for money that was given back");
    assert_eq!(layer.refunded(&Cheque::nonce(3).key()).await, Err(RefundError::NotOwing(GrantState::Served)));
    assert_eq!(layer.refunded(&Cheque::nonce(4).key()).await, Err(RefundError::Unknown));
}

/// G05: while the handler runs for what is owed, it is not given back; served or given back, never both.
#[tokio::test]
async fn t006_what_is_being_served_is_not_given_back() {
    let shop = Shop::new();
    let layer = shop.gate_at(price().upfront()).build().unwrap();
    let refunds = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (said, merchant) = (refunds.clone(), layer.clone());
    let service = shop.open(shop.gate_at(price().upfront()), move |_| {
        let (said, merchant) = (said.clone(), merchant.clone());
        async move {
            let refund = merchant.refunded(&Cheque::default().key()).await;
            said.lock().unwrap().push(refund);
            http::Response::new(full("goods"))
        }
    });
    assert_eq!(send(&service, paid(&Cheque::default().header())).await.status, 200);
    assert_eq!(*refunds.lock().unwrap(), [Err(RefundError::Busy)]);
    assert_eq!(layer.refunded(&Cheque::default().key()).await, Err(RefundError::NotOwing(GrantState::Served)));
}
