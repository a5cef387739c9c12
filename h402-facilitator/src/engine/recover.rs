//! Start of a term: what the ledger holds unfinished is entered, then what others claim.

use super::{Shared, crash_point, network::NetworkEngine, open::OpenPayments};
use crate::chaos::sabotaged;
use h402_core::{Clock, PaymentKey, PaymentRow, Store, Undecided};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

const PAGE: u32 = 1000;
/// How often the ledger is asked for what other processes have claimed.
const FRESH: Duration = Duration::from_millis(100);
/// How often it is asked for everything unfinished, should anything have been missed.
const WHOLE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(500);

/// Drives a network for one term, until this is dropped: recovers, and then runs all that looks and sends.
pub(super) async fn drive<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, engine: NetworkEngine) {
    let mut tasks = JoinSet::new();
    let begun = match &engine {
        #[cfg(feature = "evm")]
        NetworkEngine::Evm(evm) => super::evm::begin(&shared, evm, &mut tasks).await,
        #[cfg(feature = "solana")]
        NetworkEngine::Solana(solana) => super::solana::begin(&shared, solana, &mut tasks).await,
    };
    if begun.is_none() {
        return;
    }
    engine.payments().set_recovered();
    if shared.store.is_shared() {
        tasks.spawn(take_over_claims(shared, engine));
    }
    // They end with the term, when this is dropped and they with it, or with the engine.
    while tasks.join_next().await.is_some() {}
}

/// Drives on what other processes have claimed, as long as this one drives.
async fn take_over_claims<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, engine: NetworkEngine) {
    let payments = engine.payments();
    let mut whole = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            () = tokio::time::sleep(FRESH) => {}
        }
        if let Err(error) = fresh(&shared, &engine).await {
            tracing::warn!(network = %payments.network(), %error, "could not look for what others have claimed");
        }
        if whole.elapsed() >= WHOLE {
            whole = Instant::now();
            // Those that are not held are come by anyhow.
            if payments.is_whole() {
                payments.read_anew();
            }
            if let Err(error) = enter_some(&shared, payments, |row| engine.resume(row)).await {
                tracing::warn!(network = %payments.network(), %error, "could not look for what was missed");
            }
        }
    }
}

/// Takes on what was claimed and nobody has driven yet. One query of an index, unless there is something.
async fn fresh<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, engine: &NetworkEngine) -> Result<(), Undecided> {
    let payments = engine.payments();
    let mut after = None;
    loop {
        let page = shared.store.untouched(payments.network(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        for key in page.iter().filter(|key| payments.find(key).is_none()) {
            // Those that there is no room for are come by with all others.
            if !payments.is_whole() && payments.wanted().1 == 0 {
                return Ok(());
            }
            let Some(row) = shared.store.payment(key).await?.filter(|row| row.state.is_open()) else { continue };
            let Some((open, true)) = payments.enter(row) else { continue };
            tracing::debug!(payment.id = %key, "claimed by another process");
            // In a task: one node that is slow must not hold up what else was claimed.
            let start = engine.start_of(&open.news.borrow());
            let (shared, engine) = (shared.clone(), engine.clone());
            tokio::spawn(async move { shared.begin(&engine, &open, start).await });
        }
        if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Says why a network is not recovered yet and waits before the next try; `false` if the engine stops.
pub(super) async fn wait<S: Store, C: Clock>(shared: &Shared<S, C>, payments: &OpenPayments, error: &Undecided) -> bool {
    tracing::warn!(network = %payments.network(), %error, "not recovered yet");
    tokio::select! {
        biased;
        () = shared.stopped() => false,
        () = tokio::time::sleep(RETRY) => true,
    }
}

/// Hands open payments of the ledger to `resume`, where it was left off, as many as there is room for; and says which. Done
/// again and again it comes by all of them.
pub(super) async fn enter_some<S: Store, C: Clock>(
    shared: &Shared<S, C>,
    payments: &OpenPayments,
    resume: impl Fn(PaymentRow),
) -> Result<Vec<PaymentKey>, Undecided> {
    let mut entered = Vec::new();
    loop {
        let (after, wanted) = payments.wanted();
        let limit = PAGE.min(u32::try_from(wanted).unwrap_or(PAGE));
        if limit == 0 {
            return Ok(entered);
        }
        let page = shared.store.unfinished(payments.network(), after, limit).await?;
        let is_last = page.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let last = page.last().map(|row| row.key);
        for row in page {
            if sabotaged("recover.skip") || payments.find(&row.key).is_some() {
                continue;
            }
            entered.push(row.key);
            resume(row);
            crash_point("recover.mid");
        }
        payments.read_to(last.filter(|_| !is_last));
        if is_last {
            return Ok(entered);
        }
    }
}

/// Takes into memory those of these payments that are open and not held.
#[cfg(feature = "evm")]
pub(super) async fn enter_these<S: Store, C: Clock>(
    shared: &Shared<S, C>,
    payments: &OpenPayments,
    keys: Vec<PaymentKey>,
    resume: impl Fn(PaymentRow),
) -> Result<(), Undecided> {
    if payments.is_whole() {
        return Ok(());
    }
    for key in keys {
        if payments.find(&key).is_none()
            && let Some(row) = shared.store.payment(&key).await?.filter(|row| row.state.is_open())
        {
            resume(row);
        }
    }
    Ok(())
}
