//! How much a payer may have open, how long a payer may claim, and who has to pay first.

use super::{
    flow::{scripted, status},
    kit::*,
};
use h402_core::{GrantState, Reject};
use std::sync::atomic::Ordering::SeqCst;

/// T004: who makes settlements fail after the handler ran pays first for an hour.
#[tokio::test]
async fn t004_after_two_refused_settlements_the_payer_pays_first() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let cheque = |nonce, valid_before| Cheque { nonce, valid_before, ..Cheque::default() }.header();
    let soon = NOW / 1000 + 300;
    for nonce in [1, 2] {
        shop.bank.next_settle(Reject::AuthorizationUsed);
        assert_eq!(send(&service, paid(&cheque(nonce, soon))).await.status, 402);
        assert_eq!(shop.runs(), usize::from(nonce), "capture: the handler ran");
    }
    shop.bank.next_settle(Reject::AuthorizationUsed);
    assert_eq!(send(&service, paid(&cheque(3, soon))).await.status, 402);
    assert_eq!(shop.runs(), 2, "upfront: it did not");
    assert_eq!(send(&service, paid(&cheque(4, soon))).await.status, 200, "who pays is served");
    shop.clock.move_on(3601);
    shop.bank.next_settle(Reject::AuthorizationUsed);
    assert_eq!(send(&service, paid(&cheque(5, soon + 3600))).await.status, 402);
    assert_eq!(shop.runs(), 4, "an hour later the handler runs first again");
}

/// Exposure: one open payment per payer where balances are not reserved, sixteen where they are.
#[tokio::test]
async fn unsettled_payments_of_one_payer_are_bounded() {
    let cases = [(Bank::default(), None, 16), (Bank::without_reserves(), None, 1), (Bank::without_reserves(), Some(3), 3)];
    for (bank, configured, most) in cases {
        let shop = Shop::with_bank(bank);
        let gate = match configured {
            Some(most) => shop.gate().with_max_unsettled(most),
            None => shop.gate(),
        };
        let service = shop.open(gate, hello);
        let brake = shop.bank.brake_settle();
        let mut open = Vec::new();
        for nonce in 1..=most {
            let (service, request) = (service.clone(), paid(&Cheque::nonce(nonce).header()));
            open.push(tokio::spawn(async move { send(&service, request).await.status }));
            settle_down().await;
        }
        let over = send(&service, paid(&Cheque::nonce(100).header())).await;
        assert_eq!((over.status, over.error().as_str()), (409, "too_many_open_payments"), "{most}");
        assert_eq!((over.header("retry-after"), shop.runs()), (Some("1"), usize::from(most)));
        brake.add_permits(1000);
        for task in open {
            assert_eq!(task.await.unwrap(), 200);
        }
        assert_eq!(send(&service, paid(&Cheque::nonce(100).header())).await.status, 200, "{most}");
    }
}

/// What a payer has been charged for can be claimed for a day, long after the payment itself has lapsed.
#[tokio::test]
async fn what_is_owed_is_owed_for_a_day() {
    let (shop, answering) = (Shop::new(), status(500));
    let service = shop.open(shop.gate_at(price().upfront()), scripted(&answering));
    let header = Cheque::default().header();
    assert_eq!(send(&service, paid(&header)).await.status, 500);
    answering.store(200, SeqCst);
    let other = |nonce, at: u64| Cheque { nonce, valid_before: NOW / 1000 + at + 300, ..Cheque::default() }.header();
    let day = 24 * 3600;
    shop.clock.move_on(day - 1);
    // A new claim is when stores look for rows that may go.
    assert_eq!(send(&service, paid(&other(2, day))).await.status, 200);
    assert_eq!(shop.grants.state(&Cheque::default().key()).await, Some(GrantState::Owed));
    assert_eq!((send(&service, paid(&header)).await.status, shop.bank.settled()), (200, 2));
    shop.clock.move_on(601);
    assert_eq!(send(&service, paid(&other(3, day + 601))).await.status, 200);
    assert_eq!(shop.grants.row(&Cheque::default().key()).await, None, "served, and lapsed long ago");
    assert_eq!(send(&service, paid(&header)).await.status, 402);
}

/// Upfront no handler runs on credit, so a payer may have several payments open at any facilitator.
#[tokio::test]
async fn upfront_payments_do_not_wait_for_each_other() {
    for (upfront, status) in [(true, 200), (false, 409)] {
        let shop = Shop::with_bank(Bank::without_reserves());
        let service = shop.open(shop.gate_at(if upfront { price().upfront() } else { price() }), hello);
        let brake = shop.bank.brake_settle();
        let open: Vec<_> = (1..=2)
            .map(|nonce| {
                let (service, request) = (service.clone(), paid(&Cheque::nonce(nonce).header()));
                tokio::spawn(async move { send(&service, request).await.status })
            })
            .collect();
        settle_down().await;
        brake.add_permits(2);
        let mut answers: Vec<_> = futures_util::future::join_all(open).await.into_iter().map(Result::unwrap).collect();
        answers.sort_unstable();
        assert_eq!(answers, [200, status], "upfront {upfront}");
    }
}
