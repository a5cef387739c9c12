//! Settling: stored, then asked for, then recorded, in a task that nothing but the end of the process stops.

use super::{
    answer::{Refusal, pending},
    crash_point,
    hold::{Hold, Work},
};
use crate::chaos::sabotaged;
use h402_core::{Facilitator, Flow, GrantEvent, GrantState, Grants, SettleError, StoredAnswer};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// A facilitator that has not answered after this long is asked again when the payment comes again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settles a held payment and waits for the outcome until `deadline`.
///
/// `answer_held` says whether the handler's answer is at hand, here or in the store. Dropping the future stops
/// nothing (T141).
pub(super) async fn settle<F: Facilitator, G: Grants>(
    hold: Hold<F, G>,
    answer: Option<StoredAnswer>,
    answer_held: bool,
    deadline: Instant,
) -> Result<Hold<F, G>, Refusal> {
    let (network, payer) = (hold.matched().network(), hold.grant().payer);
    let task = hold.runtime().clone().spawn(drive(hold, answer, answer_held));
    match timeout_at(deadline, task).await {
        Ok(Ok(outcome)) => outcome,
        // Late, or broken: the money may be on its way all the same.
        Ok(Err(_)) | Err(_) => Err(pending(network, payer, None)),
    }
}

async fn drive<F: Facilitator, G: Grants>(
    mut hold: Hold<F, G>,
    answer: Option<StoredAnswer>,
    answer_held: bool,
) -> Result<Hold<F, G>, Refusal> {
    let first_attempt = hold.grant().state == GrantState::Running;
    if first_attempt {
        hold.advance(GrantEvent::Settle, Work::GoesOn, answer).await?;
    }
    crash_point("send.pre");
    let (claimed, caller) = (hold.claimed(), hold.caller());
    let outcome = timeout(PATIENCE, hold.gate().facilitator.settle(&claimed, caller)).await;
    match outcome.unwrap_or(Err(SettleError::Pending { transaction: None })) {
        Ok(receipt) => {
            tracing::info!(
                payment.id = %hold.grant().key, payer = %receipt.payer, network = %receipt.network,
                amount_atomic = %hold.grant().amount, transaction = %receipt.transaction, "settled"
            );
            crash_point("receipt.pre");
            // Upfront, and where the answer is lost, the handler runs next.
            let work = if hold.grant().flow == Flow::Capture && answer_held { Work::Ends } else { Work::GoesOn };
            let event = GrantEvent::Settled { receipt: receipt.clone(), answer_held };
            match hold.record(event, work, None).await {
                Ok(()) => {
                    crash_point("receipt.post");
                    Ok(hold)
                }
                // Durable before visible: the answer waits until the store is back and the payment comes again.
                Err(_) => Err(Refusal::Unrecorded(receipt)),
            }
        }
        Err(error) => {
            // Who keeps no list of who asked may refuse what it has settled for us before: asked again, its no proves nothing.
            let error = match error {
                SettleError::Rejected { transaction, .. } if !first_attempt && !hold.gate().facts.is_known_to_reserve() => {
                    SettleError::Pending { transaction }
                }
                error => error,
            };
            tracing::warn!(payment.id = %hold.grant().key, network = %hold.matched().network(), %error, "not settled");
            let (network, payer) = (hold.matched().network(), hold.grant().payer);
            if matches!(error, SettleError::Rejected { .. }) || sabotaged("pending.refused") {
                // If this cannot be stored, the facilitator will say the same when it is asked again.
                if hold.record(GrantEvent::SettleRefused, Work::Ends, None).await.is_ok() {
                    hold.finish();
                }
            } else {
                hold.put_back().await;
            }
            Err(Refusal::Unsettled { error, network, payer, first_attempt })
        }
    }
}
