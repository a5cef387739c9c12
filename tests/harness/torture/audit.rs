//! Ledger, chain, handlers and payers, compared when all is over.

use super::{Bought, Street, Tally};
use crate::{process::Process, raw::Reply};
use h402_core::wire::h402;
use std::{collections::HashSet, time::Duration};

/// Runs of a handler that one payment may have: three before it is charged, three after.
const MOST_RUNS: u64 = 6;
/// How often the ledger is asked whether a payment is over, and how long in between.
const LOOKS: usize = 1500;
const PAUSE: Duration = Duration::from_millis(20);

/// Compares everything that was bought.
pub(super) async fn audit(street: &Street, facilitator: &Process, bought: &[Bought]) -> Tally {
    let mut tally = Tally { payments: bought.len(), ..Tally::default() };
    let network = street.market.asset().id.network;
    let mut paid_in_all = 0;
    let mut known = HashSet::new();
    for Bought { purchase, told } in bought {
        let end = street.until_decided(&purchase.ask).await;
        let (state, transaction) = ledger(facilitator, &purchase.key).await;
        let paid = street.market.is_paid(&purchase.payment, transaction.as_deref());
        let runs = street.counter.runs(&purchase.key);
        let find = |what: &str| {
            format!("{}, {}: {what}; {state}, paid: {paid}, {runs} runs, told {told:?}, at last {end:?}", network, purchase.key)
        };
        let settled = matches!(&*state, "included" | "final");
        let Some(end) = &end else {
            tally.lost += 1;
            tally.findings.push(find("never decided"));
            continue;
        };
        match outcome(end, paid) {
            Some(Outcome::Served) => {}
            Some(Outcome::Credit) => tally.credits += 1,
            Some(Outcome::Unpaid) => tally.unpaid += 1,
            None => {
                tally.lost += 1;
                tally.findings.push(find("the last answer is not what the chain says"));
            }
        }
        if paid != settled {
            tally.contradicted += 1;
            tally.findings.push(find("the ledger is not what the chain says"));
        }
        // A payer who is told that nothing was paid pays again; so money must not have moved by then, nor ever after.
        let taken_back = told.iter().any(|told| if is_refusal(told) { paid } else { told.content() != end.content() });
        if taken_back {
            tally.contradicted += 1;
            tally.findings.push(find("an answer was taken back"));
        }
        if runs > MOST_RUNS || (end.status == 200 && runs == 0) {
            tally.double += 1;
            tally.findings.push(find("the handler did not run as it should"));
        }
        paid_in_all += u128::from(paid);
        known.extend(transaction.filter(|_| settled));
    }
    let received = street.market.received();
    if received != paid_in_all {
        let wrong = usize::try_from(received.abs_diff(paid_in_all)).unwrap_or(usize::MAX);
        *(if received > paid_in_all { &mut tally.double } else { &mut tally.lost }) += wrong;
        tally.findings.push(format!("{}: {received} payments received, {paid_in_all} were made", network));
    }
    let carriers = street.market.carriers();
    for unknown in carriers.symmetric_difference(&known) {
        tally.contradicted += 1;
        tally.findings.push(format!("{}: {unknown} is known to one of ledger and chain", network));
    }
    tally
}

enum Outcome {
    Served,
    Credit,
    Unpaid,
}

/// What an answer that is right means; `None` if the chain denies it.
fn outcome(end: &Reply, paid: bool) -> Option<Outcome> {
    match (end.status, paid) {
        (200, true) => Some(Outcome::Served),
        // Three processes in a row died over it.
        (409, true) if end.word() == "payment_credited" && end.has("x-payment-response") => Some(Outcome::Credit),
        (409, false) if matches!(&*end.word(), "payment_runs_exhausted" | "payment_refused") => Some(Outcome::Unpaid),
        // It has lapsed before anything was sent.
        (402, false) => Some(Outcome::Unpaid),
        _ => None,
    }
}

/// Whether an answer says that the payment is not good: unsent, or sent and failed, which is told where a receipt would stand. The next
/// answer may say so in fewer words.
fn is_refusal(told: &Reply) -> bool {
    let receipt = told.header("x-payment-response").and_then(|header| h402::decode_receipt(header.as_bytes()).ok());
    told.status == 402 || told.status == 409 && receipt.is_some_and(|receipt| !receipt.success)
}

/// State and transaction of a payment in the ledger, once it is over or has never been there.
async fn ledger(facilitator: &Process, key: &str) -> (String, Option<String>) {
    let mut last = (String::from("unknown"), None);
    for _ in 0..LOOKS {
        let (status, body) = facilitator.get(&format!("/payments/{key}")).await.expect("an answer");
        if status == 404 {
            return last;
        }
        let told: serde_json::Value = serde_json::from_str(&body).unwrap();
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        last = (text("state").unwrap_or_default(), text("transaction"));
        if !matches!(&*last.0, "claimed" | "signed" | "broadcast" | "reorged") {
            return last;
        }
        tokio::time::sleep(PAUSE).await;
    }
    last
}
