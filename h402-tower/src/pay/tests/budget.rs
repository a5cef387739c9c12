//! What all calls together may cost (G28).

use super::*;
use crate::pay::Budget;
use futures_util::future::join_all;
use h402_core::AssetId;
use std::time::Duration;

fn usdc() -> AssetId {
    Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().id
}

fn budget(atomic: u128) -> Budget {
    Budget::per(Duration::from_secs(60)).allow(usdc(), Amount::from_atomic(atomic))
}

/// G28: of 64 calls at once, exactly as many are paid as the budget allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g28_concurrent_calls_do_not_overshoot() {
    let wallet = spy();
    let pay = Pay::new(wallet.clone(), cap()).with_budget(budget(79_999));
    let calls = (0..64).map(|_| {
        let pay = pay.clone();
        tokio::spawn(async move { call(&pay, &Shop::asking([answer(200, "bought")]), get()).await })
    });
    let outcomes: Vec<Outcome> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| matches!(error, PayError::OverBudget { .. })));
    assert_eq!(wallet.signatures(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_budget_slides_and_gives_nothing_back() {
    let pay = Pay::new(spy(), cap()).with_budget(budget(10_000));
    let refusing = Shop::asking([answer(402, challenge())]);
    assert!(call(&pay, &refusing, get()).await.is_ok());
    // Refused, and yet it may land.
    let twice = call(&pay, &Shop::asking([answer(200, "bought")]), get()).await;
    assert!(matches!(twice, Err(PayError::OverBudget { .. })), "{twice:?}");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(call(&pay, &Shop::asking([answer(200, "bought")]), get()).await.is_ok());
}

#[tokio::test]
async fn what_was_not_signed_is_not_counted() {
    struct Broken;
    impl Hints for Broken {
        async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
            Err(Undecided::Chain)
        }

        async fn blockhash(&self, _: Network) -> Result<[u8; 32], Undecided> {
            Err(Undecided::Chain)
        }
    }
    let shared = budget(10_000);
    let broken = EvmWallet::from_key(key()).with_transactions(Broken, Amount::from_atomic(1)).with_transactions_preferred();
    let outcome = call(&Pay::new(broken, cap()).with_budget(shared.clone()), &Shop::asking([]), get()).await;
    assert!(matches!(outcome, Err(PayError::Sign(SignError::Hints(Undecided::Chain)))), "{outcome:?}");
    assert!(call(&Pay::new(spy(), cap()).with_budget(shared), &Shop::asking([answer(200, "bought")]), get()).await.is_ok());
}

#[tokio::test]
async fn an_asset_outside_the_budget_is_not_paid_with() {
    let other = Budget::per(Duration::from_secs(60));
    let outcome = call(&Pay::new(spy(), cap()).with_budget(other), &Shop::asking([]), get()).await;
    assert!(matches!(outcome, Err(PayError::OverBudget { asset, .. }) if asset == usdc()), "{outcome:?}");
}
