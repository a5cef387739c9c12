//! A payment in this process's hands.

use super::{answer::Refusal, crash_point, flight::Flight, layer::Shared, payment::Payment};
use crate::chaos::sabotaged;
use h402_core::{
    Amount, CallerKey, Claimed, Facilitator, Flow, Grant, GrantEvent, GrantState, Grants, Matched, Receipt, Scheme, StoredAnswer,
    Undecided, UnixMillis,
};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How often a change that must not be lost is tried.
const ATTEMPTS: u32 = 3;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a finished row is kept after its payment has lapsed.
const KEPT: Duration = Duration::from_secs(StoredAnswer::KEPT_SECONDS);
/// How long a row is kept that a payer has something to claim from.
const OPEN_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long the row of a payment that never lapses is kept: as good as for ever.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A claimed payment and its row, held by one request at a time.
///
/// Dropped unfinished (the client went away, the handler panicked), a spawned task puts it back, so that the same
/// payment can be presented again at once (T014).
pub(super) struct Hold<F: Facilitator, G: Grants> {
    gate: Arc<Shared<F, G>>,
    matched: Matched,
    grant: Grant,
    flight: Option<Flight>,
    runtime: Handle,
    /// Whether dropping it puts it back.
    ours: bool,
}

/// Whether somebody goes on working on a payment after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    GoesOn,
    Ends,
}

impl<F: Facilitator, G: Grants> Hold<F, G> {
    /// Takes a payment that was claimed just now.
    pub(super) fn new(gate: Arc<Shared<F, G>>, claimed: &Claimed, flight: Flight, runtime: Handle) -> Self {
        let (matched, grant) = (claimed.matched().clone(), claimed.grant().clone());
        Self { gate, matched, grant, flight: Some(flight), runtime, ours: true }
    }

    /// Takes a row that nobody works on. There is nothing to put back before it was changed.
    pub(super) fn found(gate: Arc<Shared<F, G>>, matched: Matched, grant: Grant, flight: Flight, runtime: Handle) -> Self {
        Self { gate, matched, grant, flight: Some(flight), runtime, ours: false }
    }

    pub(super) fn gate(&self) -> &Shared<F, G> {
        &self.gate
    }

    pub(super) fn matched(&self) -> &Matched {
        &self.matched
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(super) fn receipt(&self) -> Option<Receipt> {
        self.grant.receipt.clone()
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What the facilitator settles.
    pub(super) fn claimed(&self) -> Claimed {
        let matched = self.matched.charged(self.grant.amount).unwrap_or_else(|| self.matched.clone());
        Claimed::assertion(matched, self.grant.clone())
    }

    /// Under which key it is asked.
    pub(super) fn caller(&self) -> CallerKey {
        if sabotaged("caller.shared") {
            return CallerKey::of_gate(&[0; 32], &self.grant.fingerprint);
        }
        CallerKey::of_gate(&self.gate.grants.identity(), &self.grant.fingerprint)
    }

    /// Takes down what the handler says that it has cost, to be stored with the next change: of scheme `upto` never more than
    /// was agreed (T035), of others always the price. `false` if that is nothing, so that nothing is to be settled.
    pub(super) fn charge(&mut self, cost: Option<Amount>) -> bool {
        if self.matched.requirements().offer.scheme != Scheme::Upto {
            return true;
        }
        let most = self.matched.amount();
        let cost = cost.unwrap_or(most);
        if cost > most {
            tracing::warn!(payment.id = %self.grant.key, cost_atomic = %cost, most_atomic = %most, "costs more than the payer has agreed to");
        }
        if !cost.is_zero() {
            self.grant.amount = cost.min(most);
        }
        !cost.is_zero()
    }

    /// What the handler gets to know.
    pub(super) fn payment(&self) -> Payment {
        Payment {
            payer: self.grant.payer,
            amount: self.grant.amount,
            asset: self.matched.requirements().offer.asset.clone(),
            network: self.matched.network(),
            key: self.grant.key,
            transaction: self.grant.receipt.as_ref().map(|receipt| receipt.transaction),
            run: self.grant.runs,
        }
    }

    /// Applies one event and stores the row.
    pub(super) async fn advance(&mut self, event: GrantEvent, work: Work, answer: Option<StoredAnswer>) -> Result<(), Refusal> {
        let now = self.gate.now();
        let next = self.grant.clone().step(event, now).map_err(|error| {
            tracing::error!(payment.id = %self.grant.key, %error, "grant out of order");
            Refusal::Undecided(Undecided::Store)
        })?;
        self.store(self.timed(next, now, work), answer).await
    }

    /// Stores that somebody begins to work on it, in the state it is in.
    pub(super) async fn take_up(&mut self) -> Result<(), Refusal> {
        let now = self.gate.now();
        let next = self.timed(touched(self.grant.clone(), now), now, Work::GoesOn);
        self.store(next, None).await
    }

    /// As [`Hold::advance`], for what has happened and must be written down: tried again while the store is away.
    pub(super) async fn record(&mut self, event: GrantEvent, work: Work, answer: Option<StoredAnswer>) -> Result<(), Refusal> {
        let mut attempt = 1;
        loop {
            match self.advance(event.clone(), work, answer.clone()).await {
                Err(Refusal::Undecided(Undecided::Store)) if attempt < ATTEMPTS => tokio::time::sleep(PAUSE * attempt).await,
                result => return result,
            }
            attempt += 1;
        }
    }

    /// Records that a charged request was served. Goes on by itself if the caller is dropped.
    pub(super) async fn delivered(mut self, kept: Option<StoredAnswer>) -> Result<Self, Refusal> {
        let receipt = self.receipt();
        let task = self.runtime.clone().spawn(async move {
            match self.grant.state {
                // Served again: there is nothing new to say but that the work ends.
                GrantState::Served => self.write_back().await,
                _ => self.record(GrantEvent::Delivered, Work::Ends, kept).await?,
            }
            Ok(self)
        });
        match (task.await.unwrap_or(Err(Undecided::Store.into())), receipt) {
            // Durable before visible: an answer that is not on record would be given twice.
            (Err(_), Some(receipt)) => Err(Refusal::Unrecorded(receipt)),
            (result, _) => result,
        }
    }

    /// Lets go of a payment there is nothing left to do about.
    pub(super) fn finish(mut self) {
        self.ours = false;
    }

    /// Gives the payment up, so that it can be presented again.
    pub(super) async fn put_back(mut self) {
        self.write_back().await;
        if self.grant.state == GrantState::Credited {
            crash_point("credit.post");
        }
        self.ours = false;
    }

    async fn write_back(&mut self) {
        if let Some(next) = given_up(self.grant.clone(), self.gate.now()) {
            // If it fails, the row lapses by itself when `busy_until` has passed.
            let _lapses = self.store(next, None).await;
        }
    }

    async fn store(&mut self, next: Grant, answer: Option<StoredAnswer>) -> Result<(), Refusal> {
        match self.gate.grants.update(&next, answer).await {
            Ok(true) => {
                self.grant = next;
                self.ours = true;
                Ok(())
            }
            Ok(false) => {
                // Somebody else took the row up after we had seemed gone; it is theirs now.
                self.ours = false;
                Err(Refusal::InProgress)
            }
            Err(error) => {
                tracing::warn!(payment.id = %self.grant.key, %error, "grant is not stored");
                Err(Refusal::Undecided(Undecided::Store))
            }
        }
    }

    fn timed(&self, mut grant: Grant, now: UnixMillis, work: Work) -> Grant {
        grant.expires_at = expires_at(&self.matched, grant.state, now);
        match work {
            Work::GoesOn => grant.busy(now, self.gate.limits.deadline),
            Work::Ends => grant.idle(),
        }
    }
}

impl<F: Facilitator, G: Grants> Drop for Hold<F, G> {
    fn drop(&mut self) {
        let next = given_up(self.grant.clone(), self.gate.now());
        let (true, Some(next)) = (self.ours, next) else { return };
        let (gate, flight) = (self.gate.clone(), self.flight.take());
        self.runtime.spawn(async move {
            for attempt in 1..=ATTEMPTS {
                if gate.grants.update(&next, None).await.is_ok() {
                    break;
                }
                tokio::time::sleep(PAUSE * attempt).await;
            }
            drop(flight);
        });
    }
}

/// When the row may go: not before the payment is of no use any more, nor before what came of it is told.
pub(super) fn expires_at(matched: &Matched, state: GrantState, now: UnixMillis) -> UnixMillis {
    let unused = matched.lapses(now).map_or(now.plus(FOR_EVER), |lapsed| lapsed.plus(KEPT));
    let told = match state {
        GrantState::Settling | GrantState::Owed | GrantState::Credited => now.plus(OPEN_KEPT),
        GrantState::Running | GrantState::Released | GrantState::Served | GrantState::Refunded | GrantState::Refused => now.plus(KEPT),
    };
    unused.max(told)
}

/// The row of a payment that nobody works on any more; `None` if nothing has to be said.
fn given_up(grant: Grant, now: UnixMillis) -> Option<Grant> {
    let next = match (grant.state, grant.flow) {
        (GrantState::Running, Flow::Capture) | (GrantState::Owed, _) => grant.step(GrantEvent::NotDelivered, now).ok()?,
        (GrantState::Running, Flow::Upfront) | (GrantState::Settling | GrantState::Served, _) => touched(grant, now),
        (GrantState::Released | GrantState::Credited | GrantState::Refunded | GrantState::Refused, _) => return None,
    };
    if next.state == GrantState::Credited {
        tracing::error!(payment.id = %next.key, payer = %next.payer, amount_atomic = %next.amount, "charged and not delivered: a credit");
    }
    Some(next.idle())
}

/// A new version of the row in the same state.
fn touched(mut grant: Grant, now: UnixMillis) -> Grant {
    grant.version += 1;
    grant.updated_at = now;
    grant
}
