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

/// Checks that run at once: many wait for a chain more than they work.
const THREADS: usize = 3;

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
    ("failure.charged", Scene(|| Box::pin(scenes::doors::a_failing_handler_is_not_run_for_ever()))),
    ("lifetime.short", Scene(|| Box::pin(scenes::a_payment_outlasts_its_handler()))),
    ("pending.asks_again", Seeds(8)),
    ("pending.refused", Scene(|| Box::pin(scenes::an_unknown_outcome_is_waited_for()))),
    ("unsettled.served", Scene(|| Box::pin(scenes::an_unknown_outcome_is_waited_for()))),
    ("store.early", Scene(|| Box::pin(scenes::a_payment_is_claimed_once()))),
    ("expiry.margin", Scene(|| Box::pin(scenes::an_expired_payment_is_waited_for()))),
    ("claim.conflict", Scene(|| Box::pin(scenes::chain::a_lost_claim_is_no_success()))),
    ("verify.alias", Scene(|| Box::pin(scenes::chain::a_transaction_of_ours_is_nobodys_payment()))),
    ("reorg.ignore", Scene(|| Box::pin(scenes::chain::what_is_final_is_on_the_chain()))),
    ("expiry.unproven", Scene(|| Box::pin(scenes::chain::an_expired_payment_that_was_paid_is_a_success()))),
    ("transfer.twice", Scene(|| Box::pin(scenes::chain::a_transfer_pays_once()))),
    ("bump.unstored", Scene(|| Box::pin(scenes::chain::a_raised_fee_is_in_the_ledger()))),
    ("resend.anew", Scene(|| Box::pin(scenes::chain::what_is_dropped_is_sent_again_as_it_was()))),
    ("fence.skip", Scene(|| Box::pin(scenes::chain::a_driver_without_its_lease_writes_nothing()))),
    ("runs.ignore", Scene(|| Box::pin(scenes::doors::a_failing_handler_is_not_run_for_ever()))),
    ("grant.alias", Scene(|| Box::pin(scenes::doors::a_transaction_is_known_by_its_hash()))),
    ("strikes.forget", Scene(|| Box::pin(scenes::doors::who_could_not_pay_pays_first()))),
    ("unsettled.ignore", Scene(|| Box::pin(scenes::doors::a_payer_has_so_much_open_and_no_more()))),
    ("busy.ignore", Scene(|| Box::pin(scenes::doors::what_one_gate_works_on_another_leaves_alone()))),
    ("caller.shared", Scene(|| Box::pin(scenes::doors::a_payment_is_settled_for_one_gate()))),
    ("cap.ignore", Scene(|| Box::pin(scenes::payers::a_price_above_the_cap_is_not_paid()))),
    ("budget.ignore", Scene(|| Box::pin(scenes::payers::a_budget_is_spent_once()))),
    ("journal.skip", Scene(|| Box::pin(scenes::payers::a_call_made_again_sends_the_same_payment()))),
    ("origin.ignore", Scene(|| Box::pin(scenes::payers::a_payment_is_shown_where_it_belongs()))),
    ("unknown.final", Scene(|| Box::pin(scenes::payers::a_failing_server_is_asked_again()))),
];

/// Every bug that there is has a check.
#[test]
fn the_list_of_sabotages_is_complete() {
    let mut listed: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
    let mut known: Vec<&str> = engine::SABOTAGES.iter().chain(gate::SABOTAGES).copied().collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
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
        for _ in 0..THREADS {
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
