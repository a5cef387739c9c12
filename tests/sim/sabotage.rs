//! Deliberate bugs, each noticed by a check that holds without it: a check that cannot fail is none.

mod scenes;

use h402_facilitator::chaos as engine;
use h402_tests::sim;
use h402_tower::chaos as gate;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What notices a bug.
#[derive(Clone, Copy)]
enum Check {
    /// One of the first so many seeds of the simulation.
    Seeds(u64),
    /// A scene on a local chain, with a real ledger and real sockets.
    Scene(fn() -> scenes::Scene),
}

use Check::{Scene, Seeds};

/// Each bug that is tried here, and what notices it.
const CHECKS: &[(&str, Check)] = &[
    ("send.unstored", Seeds(10)),
    ("send.failed", Seeds(10)),
    ("told.drop", Scene(|| Box::pin(scenes::a_success_is_told_once()))),
    ("caller.forget", Scene(|| Box::pin(scenes::a_success_is_told_to_its_caller()))),
    ("claim.skip", Scene(|| Box::pin(scenes::a_payment_is_in_the_ledger()))),
    ("claim.alias", Scene(|| Box::pin(scenes::a_payment_is_known_by_its_transaction()))),
    ("known.terms", Scene(|| Box::pin(scenes::a_nonce_signed_for_more_is_not_paid_yet()))),
    ("reserve.ignore", Scene(|| Box::pin(scenes::a_balance_is_promised_once()))),
    ("receipt.status", Scene(|| Box::pin(scenes::a_transaction_without_its_events_is_no_payment()))),
    ("nonce.reuse", Scene(|| Box::pin(scenes::two_payments_have_two_nonces()))),
    ("depth.ignore", Scene(|| Box::pin(scenes::a_shallow_block_does_not_count()))),
    ("recover.skip", Seeds(8)),
    ("fingerprint.ignore", Scene(|| Box::pin(scenes::a_payment_opens_one_request()))),
    ("answer.forget", Scene(|| Box::pin(scenes::the_same_answer_is_given_again()))),
    ("failure.charged", Seeds(8)),
    ("lifetime.short", Scene(|| Box::pin(scenes::a_payment_outlasts_its_handler()))),
    ("pending.asks_again", Seeds(8)),
    ("pending.refused", Seeds(8)),
    ("unsettled.served", Scene(|| Box::pin(scenes::an_unknown_outcome_is_waited_for()))),
    ("store.early", Scene(|| Box::pin(scenes::a_payment_is_claimed_once()))),
    ("expiry.margin", Scene(|| Box::pin(scenes::an_expired_payment_is_waited_for()))),
];

/// Bugs that have no check here, or that another line makes good: what they leave out is done twice.
const UNTRIED: &[&str] = &[
    "claim.conflict",
    "verify.alias",
    "reorg.ignore",
    "expiry.unproven",
    "runs.ignore",
    "grant.alias",
    "strikes.forget",
    "unsettled.ignore",
    "busy.ignore",
    "caller.shared",
    "cap.ignore",
    "budget.ignore",
    "journal.skip",
    "origin.ignore",
    "unknown.final",
];

/// Every bug that there is has a check, or is said to have none.
#[test]
fn the_list_of_sabotages_is_complete() {
    let mut listed: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).chain(UNTRIED.iter().copied()).collect();
    let mut known: Vec<&str> = engine::SABOTAGES.iter().chain(gate::SABOTAGES).copied().collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
    assert!(CHECKS.len() >= 20, "{}", CHECKS.len());
}

/// Switches a bug on in this thread, whichever crate it is in.
fn switch_on(name: &str) -> Box<dyn Any> {
    match (engine::sabotage(name), gate::sabotage(name)) {
        (Some(on), None) => Box::new(on),
        (None, Some(on)) => Box::new(on),
        _ => panic!("{name} is not the name of one bug"),
    }
}

impl Check {
    fn holds(self) -> bool {
        match self {
            Seeds(count) => (1..=count).all(|seed| sim::run(seed).is_ok()),
            Scene(scene) => catch_unwind(AssertUnwindSafe(|| {
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scene());
            }))
            .is_ok(),
        }
    }
}

/// G33: every deliberate bug in the table turns its check red, which is green without it.
#[test]
fn every_sabotage_is_noticed() {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some((name, check)) = CHECKS.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if !check.holds() {
                        failed.lock().unwrap().push(format!("{name}: the check fails without the bug"));
                    }
                    let _on = switch_on(name);
                    if check.holds() {
                        failed.lock().unwrap().push(format!("{name}: goes unnoticed"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}
