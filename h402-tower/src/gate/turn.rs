//! Whose turn it is: what a presented payment opens, by what is on record about it.

use super::{
    answer::Refusal,
    crash_point,
    flight::Flight,
    hold::{Hold, Work, expires_at},
    present::Presented,
    service::Admission,
    settle::settle,
    stored::give_again,
};
use crate::chaos::sabotaged;
use bytes::Bytes;
use h402_core::{
    CallerKey, Claim, Facilitator, Flow, Grant, GrantEvent, GrantState, Grants, NewGrant, Receipt, Reject, StoreUnavailable, StoredAnswer,
    Undecided, UnixMillis, Verified, VerifyError,
};
use http::Response;
use std::time::Duration;
use tokio::time::timeout_at;

/// Settlements refused after the handler ran, from which on a payer pays first.
const STRIKES: u32 = 2;
/// How long a strike counts.
const STRIKE_LASTS: Duration = Duration::from_secs(3600);
/// Upfront payments run no handler before the money has moved; this many may be open at once.
const UPFRONT_OPEN: u32 = 16;

/// What a payment opens now.
pub(super) enum Turn<F: Facilitator, G: Grants> {
    /// The handler; it is settled afterwards.
    Capture(Hold<F, G>),
    /// The handler, once it is settled.
    SettleFirst(Hold<F, G>),
    /// The handler; it is charged already.
    Charged(Hold<F, G>),
    /// The answer it got before.
    Answered(Response<Bytes>),
}

impl<F: Facilitator, G: Grants> Admission<F, G> {
    /// Finds out, and claims the payment if it was never seen.
    pub(super) async fn turn(&self, presented: Presented) -> Result<Turn<F, G>, Refusal> {
        let (key, payer) = (presented.matched.key(), presented.matched.payer());
        let flight = self.gate.flights.enter(key, payer).ok_or(Refusal::InProgress)?;
        match self.gate.grants.load(&key).await.map_err(store)? {
            Some((grant, stored)) => self.again(presented, grant, stored, flight).await,
            None => self.first(presented, flight).await,
        }
    }

    /// A payment nobody has seen: checked, verified by the facilitator, claimed by one durable insert.
    async fn first(&self, presented: Presented, flight: Flight) -> Result<Turn<F, G>, Refusal> {
        let verified = self.verify(&presented).await?;
        let key = verified.attestation().key;
        let flow = self.flow(&presented).await?;
        match self.claim(verified, flow, flight).await? {
            Claiming::Ours(hold) if flow == Flow::Capture => Ok(Turn::Capture(hold)),
            Claiming::Ours(hold) => Ok(Turn::SettleFirst(hold)),
            Claiming::TooMany => Err(Refusal::Rejected { reject: Reject::TooManyOpen, payer: Some(presented.matched.payer()) }),
            // Another replica was first, or the same payment came as another kind of proof (T173).
            Claiming::Known(known, flight) => match self.gate.grants.load(&known.key).await.map_err(store)? {
                Some((grant, stored)) => self.again(presented, grant, stored, flight).await,
                None => {
                    tracing::error!(payment.id = %key, "a claimed payment is not on record");
                    Err(Undecided::Store.into())
                }
            },
        }
    }

    /// The same payment again: it opens the request it was claimed for, and no other (T002).
    async fn again(&self, presented: Presented, grant: Grant, stored: Option<StoredAnswer>, flight: Flight) -> Result<Turn<F, G>, Refusal> {
        let payer = presented.matched.payer();
        if grant.payer != payer {
            // Whoever finds the hash of somebody's transaction learns nothing about it (T015).
            let reject = Reject::Signature("the resource is not signed by the sender of the transaction");
            return Err(Refusal::Rejected { reject, payer: None });
        }
        if grant.fingerprint != self.visit.fingerprint && !sabotaged("fingerprint.ignore") {
            return Err(Refusal::UsedElsewhere);
        }
        let charged = grant.receipt.clone().ok_or(Refusal::Undecided(Undecided::Store));
        match (grant.state, stored) {
            (GrantState::Refused, _) => Err(Refusal::RefusedBefore),
            (GrantState::Credited, _) => Err(self.gate.credited(&presented.matched, &grant)),
            (GrantState::Refunded, _) => Err(Refusal::Refunded(charged?)),
            (GrantState::Served, Some(stored)) => answered(stored, &charged?),
            (GrantState::Served, None) if grant.runs > self.gate.limits.redeliveries => Err(Refusal::ServedBefore(charged?)),
            _ if grant.busy_until > self.gate.now() && !sabotaged("busy.ignore") => Err(Refusal::InProgress),
            (_, stored) => self.resume(presented, grant, stored, flight).await,
        }
    }

    /// A payment that nobody works on, though it is not finished: somebody went away, or crashed (T014).
    async fn resume(
        &self,
        presented: Presented,
        grant: Grant,
        stored: Option<StoredAnswer>,
        flight: Flight,
    ) -> Result<Turn<F, G>, Refusal> {
        // What is charged runs the handler without being verified again. The price may depend on more than the
        // fingerprint holds, a header say: then something dearer is not what was paid for (T016). A price that was
        // forgotten is believed to have been paid.
        let charged = matches!(grant.state, GrantState::Settling | GrantState::Owed | GrantState::Served);
        if charged && grant.amount < presented.least && grant.claimed_at >= self.gate.remembers_since() {
            return Err(Refusal::UsedElsewhere);
        }
        let mut hold = Hold::found(
            self.gate.clone(),
            presented.matched_for(&grant, self.gate.limits.contract_payers),
            grant,
            flight,
            self.runtime.clone(),
        );
        match (hold.grant().state, hold.grant().flow) {
            (GrantState::Running, Flow::Upfront) => {
                self.verify(&presented).await?;
                hold.take_up().await?;
                Ok(Turn::SettleFirst(hold))
            }
            (GrantState::Running, Flow::Capture) => {
                // Whoever ran the handler is gone; its run counts.
                hold.advance(GrantEvent::NotDelivered, Work::Ends, None).await?;
                self.run_again(&presented, hold).await
            }
            (GrantState::Released, _) => self.run_again(&presented, hold).await,
            (GrantState::Settling, flow) => {
                let hold = settle(hold, None, stored.is_some(), self.deadline).await?;
                match (hold.grant().state, stored, hold.receipt()) {
                    (GrantState::Served, Some(stored), Some(receipt)) => {
                        hold.finish();
                        answered(stored, &receipt)
                    }
                    // Upfront the handler has not run yet.
                    _ if flow == Flow::Upfront => Ok(Turn::Charged(hold)),
                    _ => self.deliver_again(hold).await,
                }
            }
            (GrantState::Owed, _) => self.deliver_again(hold).await,
            (GrantState::Served, _) => {
                hold.advance(GrantEvent::Redeliver { limit: self.gate.limits.redeliveries.saturating_add(1) }, Work::GoesOn, None).await?;
                Ok(Turn::Charged(hold))
            }
            (GrantState::Credited | GrantState::Refunded | GrantState::Refused, _) => Err(Undecided::Store.into()),
        }
    }

    /// The handler did not deliver and nothing was charged: it may run again, if the payment is still good.
    async fn run_again(&self, presented: &Presented, mut hold: Hold<F, G>) -> Result<Turn<F, G>, Refusal> {
        if (hold.grant().runs >= Grant::MAX_RUNS && !sabotaged("runs.ignore")) || hold.grant().flow == Flow::Upfront {
            return Err(Refusal::TooManyRuns);
        }
        self.verify(presented).await?;
        hold.advance(GrantEvent::RunAgain, Work::GoesOn, None).await?;
        Ok(Turn::Capture(hold))
    }

    /// Charged and not delivered: the handler runs again for free, a few times (T006, T101).
    async fn deliver_again(&self, mut hold: Hold<F, G>) -> Result<Turn<F, G>, Refusal> {
        if !hold.grant().may_deliver(self.gate.now()) {
            hold.advance(GrantEvent::NotDelivered, Work::Ends, None).await?;
            return Err(self.gate.credited(hold.matched(), hold.grant()));
        }
        hold.advance(GrantEvent::RunAgain, Work::GoesOn, None).await?;
        Ok(Turn::Charged(hold))
    }

    /// Checks what can be checked here, then asks the facilitator. No row is written before it says yes.
    async fn verify(&self, presented: &Presented) -> Result<Verified, Refusal> {
        let payer = presented.matched.payer();
        let rejected = |reject| Refusal::Rejected { reject, payer: Some(payer) };
        if let Some(stale) = &presented.stale {
            return Err(rejected(stale.clone()));
        }
        let checked = presented.matched.clone().check(&self.gate.limits.check_policy(self.gate.now())).map_err(rejected)?;
        let caller = CallerKey::of_gate(&self.gate.grants.identity(), &self.visit.fingerprint);
        let until = self.deadline.checked_sub(self.gate.limits.after_verify()).unwrap_or(self.deadline);
        let verified = match timeout_at(until, self.gate.facilitator.verify(checked, caller)).await {
            Ok(Ok(verified)) => verified,
            Ok(Err(VerifyError::Rejected(reject))) => return Err(rejected(reject)),
            Ok(Err(VerifyError::Undecided(undecided))) => return Err(undecided.into()),
            Err(_) => return Err(Undecided::Deadline.into()),
        };
        let known = presented.matched.id();
        if verified.attestation().payer != payer || known.is_some_and(|id| id.key() != verified.attestation().key) {
            tracing::error!(payment.id = %presented.matched.key(), "facilitator vouches for another payment than it was asked about");
            return Err(Undecided::Facilitator.into());
        }
        Ok(verified)
    }

    /// When the money moves. A payer whose settlements were refused after the handler had run pays first (T004).
    async fn flow(&self, presented: &Presented) -> Result<Flow, Refusal> {
        if presented.flow == Flow::Upfront {
            return Ok(Flow::Upfront);
        }
        let since = UnixMillis(self.gate.now().0.saturating_sub(u64::try_from(STRIKE_LASTS.as_millis()).unwrap_or(u64::MAX)));
        let matched = &presented.matched;
        let asset = &matched.requirements().offer.asset.id;
        let exposure = self.gate.grants.exposure(&matched.payer(), asset, since).await.map_err(store)?;
        Ok(if exposure.failed >= STRIKES && !sabotaged("strikes.forget") { Flow::Upfront } else { Flow::Capture })
    }

    /// One durable insert, unique over the payment's key and its other names. Its outcome is never lost: the
    /// insert runs in a task, and a payment that nobody waits for any more is put back.
    async fn claim(&self, verified: Verified, flow: Flow, flight: Flight) -> Result<Claiming<F, G>, Refusal> {
        let most = self.gate.max_unsettled().await;
        let max_unsettled = if sabotaged("unsettled.ignore") {
            u32::MAX
        } else if flow == Flow::Upfront {
            most.max(UPFRONT_OPEN)
        } else {
            most
        };
        let new = NewGrant { max_unsettled, ..self.new_grant(&verified, flow) };
        let (gate, runtime) = (self.gate.clone(), self.runtime.clone());
        let task = self.runtime.spawn(async move {
            crash_point("claim.pre");
            Ok(match gate.grants.claim(new, verified).await? {
                Claim::New(claimed) => {
                    crash_point("grant.reserve");
                    Claiming::Ours(Hold::new(gate, &claimed, flight, runtime))
                }
                Claim::Known(grant) => Claiming::Known(grant, flight),
                Claim::TooManyUnsettled => Claiming::TooMany,
            })
        });
        task.await.unwrap_or_else(|error| Err(StoreUnavailable(error.to_string()))).map_err(store)
    }

    fn new_grant(&self, verified: &Verified, flow: Flow) -> NewGrant {
        let (matched, attestation) = (verified.matched(), verified.attestation());
        let now = self.gate.now();
        let mut aliases = matched.aliases();
        aliases.extend(attestation.aliases.iter().copied().chain([matched.key()]));
        aliases.sort_unstable();
        aliases.dedup();
        aliases.retain(|alias| *alias != attestation.key && !sabotaged("grant.alias"));
        let grant = Grant {
            key: attestation.key,
            fingerprint: self.visit.fingerprint,
            flow,
            payer: matched.payer(),
            asset: matched.requirements().offer.asset.id,
            amount: matched.amount(),
            state: GrantState::Running,
            runs: 1,
            busy_until: now.plus(self.gate.limits.deadline),
            receipt: None,
            claimed_at: now,
            updated_at: now,
            expires_at: expires_at(matched, GrantState::Running, now),
            version: 1,
        };
        NewGrant { grant, aliases, max_unsettled: 1 }
    }
}

/// What came of a claim.
enum Claiming<F: Facilitator, G: Grants> {
    Ours(Hold<F, G>),
    Known(Box<Grant>, Flight),
    TooMany,
}

fn answered<F: Facilitator, G: Grants>(stored: StoredAnswer, receipt: &Receipt) -> Result<Turn<F, G>, Refusal> {
    give_again(stored, receipt).map(Turn::Answered).ok_or(Refusal::Undecided(Undecided::Store))
}

fn store(error: StoreUnavailable) -> Refusal {
    tracing::warn!(%error, "grant store does not answer");
    Refusal::Undecided(Undecided::Store)
}
