//! Who drives a network: the holder of its lease, for as long as it holds it (ADR 0006).
//!
//! Every process verifies and claims. Lanes, watchers and recovery run in one at a time, and everything they write carries
//! the epoch of the lease they run under: what comes from a lease that is over, the store refuses.

use super::{Shared, crash_point, network::NetworkEngine, recover, signal::Signal};
use h402_core::{Clock, Fence, Lease, LeaseAnswer, LeaseAsk, LeaseEffect, LeaseEvent, LeaseTerms, Network, Store, StoreUnavailable};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

const TERMS: LeaseTerms = LeaseTerms::DEFAULT;
/// How often a process that does not drive asks whether it could: a lease that is given back is taken this soon.
const FOLLOW: Duration = Duration::from_secs(1);
/// How soon a store in trouble is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// One term of driving a network, from gaining its lease to losing it.
pub(super) struct Term {
    fence: Fence,
    over: Signal<bool>,
}

impl Term {
    pub(super) fn new(fence: Fence) -> Self {
        Self { fence, over: Signal::new(false) }
    }

    /// What everything carries that is written in this term.
    pub(super) fn fence(&self) -> Fence {
        self.fence
    }

    /// Ends it: its lease is lost, or a write has shown that it is.
    pub(super) fn end(&self) {
        self.over.set(true);
    }

    /// Whether it has ended.
    #[cfg(feature = "evm")]
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Resolves once it has ended.
    pub(super) async fn over(&self) {
        self.over.wait_for(|over| *over).await;
    }
}

/// Seeks the lease of a network and drives while it is held, until the engine stops. Then it is given back.
pub(super) async fn keep<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, engine: NetworkEngine) {
    let network = engine.network();
    let birth = Instant::now();
    let mut holder = new_holder().await;
    let mut lease = Lease::Follows;
    let mut driving: Option<(Arc<Term>, JoinHandle<()>)> = None;
    let mut standing_by: Option<JoinHandle<()>> = None;
    let mut asking = Box::pin(ask(shared.clone(), network, holder, birth, Duration::ZERO));
    while lease != Lease::Ended {
        let event = tokio::select! {
            biased;
            () = shared.stopped() => LeaseEvent::Stop,
            epoch = refused(driving.as_ref()) => LeaseEvent::Fenced { epoch },
            () = lost(lease, birth) => LeaseEvent::Tick,
            (asked, answer) = &mut asking => {
                let (event, pause) = understood(network, asked, answer);
                asking = Box::pin(ask(shared.clone(), network, holder, birth, pause));
                event
            }
        };
        if event == LeaseEvent::Other && standing_by.is_none() {
            standing_by = Some(tokio::spawn(stand_by(shared.clone(), engine.clone())));
        }
        let (next, effect) = lease.step(event, birth.elapsed(), TERMS);
        lease = next;
        match effect {
            LeaseEffect::None => {}
            LeaseEffect::Begin { epoch } => {
                tracing::info!(%network, epoch, "drives");
                let term = engine.payments().begin(Fence { network, epoch });
                let tasks = tokio::spawn(recover::drive(shared.clone(), engine.clone()));
                driving = Some((term, tasks));
            }
            LeaseEffect::End { epoch } => {
                tracing::info!(%network, epoch, stopping = lease == Lease::Ended, "drives no more");
                engine.payments().end();
                if let Some((_, tasks)) = driving.take() {
                    // Wherever they are: after each step of theirs another process could go on, as after a crash.
                    tasks.abort();
                    drop(tasks.await);
                }
                give_back(&shared, network, holder).await;
                // Under the same name the same epoch could be had again, and with it writes that are still on their way.
                holder = new_holder().await;
                asking = Box::pin(ask(shared.clone(), network, holder, birth, Duration::ZERO));
            }
        }
    }
    if let Some(standing_by) = standing_by {
        standing_by.abort();
    }
    // A question that is dropped may have been answered all the same.
    give_back(&shared, network, holder).await;
}

/// Asks the store after a pause; with when the question was sent.
async fn ask<S: Store, C: Clock>(
    shared: Arc<Shared<S, C>>,
    network: Network,
    holder: [u8; 16],
    birth: Instant,
    pause: Duration,
) -> (Duration, Result<LeaseAnswer, StoreUnavailable>) {
    sleep(pause).await;
    if !pause.is_zero() {
        crash_point("lease.renew");
    }
    let asked = birth.elapsed();
    let question = shared.store.lease(LeaseAsk { network, holder, ttl: TERMS.ttl });
    let answer = timeout(TERMS.ttl, question).await;
    (asked, answer.unwrap_or_else(|_| Err(StoreUnavailable("no answer".to_owned()))))
}

/// What an answer says, and when to ask again.
fn understood(network: Network, asked: Duration, answer: Result<LeaseAnswer, StoreUnavailable>) -> (LeaseEvent, Duration) {
    match answer {
        Ok(LeaseAnswer::Held { epoch, left }) => (LeaseEvent::Held { asked, epoch, left }, TERMS.renew_every()),
        Ok(LeaseAnswer::Other { left }) => (LeaseEvent::Other, left.clamp(Duration::from_millis(20), FOLLOW)),
        Err(error) => {
            tracing::warn!(%network, %error, "could not ask for the lease");
            (LeaseEvent::Tick, RETRY)
        }
    }
}

/// Resolves once a write of the term was refused.
async fn refused(driving: Option<&(Arc<Term>, JoinHandle<()>)>) -> u64 {
    match driving {
        Some((term, _)) => {
            term.over().await;
            term.fence().epoch
        }
        None => std::future::pending().await,
    }
}

/// Resolves once a lease that was not renewed is lost.
async fn lost(lease: Lease, birth: Instant) {
    match lease {
        Lease::Drives { until, .. } => sleep_until(birth + until).await,
        Lease::Follows | Lease::Ended => std::future::pending().await,
    }
}

/// Makes ready to take payments while another process drives: chain and assets must be as configured here, too.
async fn stand_by<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, engine: NetworkEngine) {
    while let Err(error) = engine.ensure_checked(&shared.assets).await {
        if !recover::wait(&shared, engine.payments(), &error).await {
            return;
        }
    }
    engine.payments().set_recovered();
}

async fn give_back<S: Store, C: Clock>(shared: &Shared<S, C>, network: Network, holder: [u8; 16]) {
    match timeout(FOLLOW, shared.store.release(network, holder)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%network, %error, "could not give the lease back; it ends by itself"),
        Err(_) => tracing::warn!(%network, "could not give the lease back in time; it ends by itself"),
    }
}

/// A name that no other process has, and no earlier term of this one.
async fn new_holder() -> [u8; 16] {
    let mut holder = [0; 16];
    while let Err(error) = getrandom::fill(&mut holder) {
        // Without it nobody could be told apart.
        tracing::error!(%error, "the system gives no randomness");
        sleep(RETRY).await;
    }
    holder
}
