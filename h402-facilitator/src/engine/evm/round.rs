//! One round of a lane: what waits is put together, tried out, paid for, signed and stored.

use super::{
    super::Shared,
    EvmEngine,
    batch::{Limits, gas_limit, portions, split_at_gas},
    lane::KeyLane,
    queue::Job,
    sender_named,
    sign::{Carried, Draft, Stored},
};
use crate::evm::{DryBatch, Fees};
use alloy_primitives::Bytes;
use h402_core::{Clock, EvmAddress, Settlement, Store, TransactionId, Undecided};
use std::sync::Arc;

/// Jobs that are signed and stored together: two full transactions.
const TOGETHER: usize = 100;

/// The store, the chain or the signer did not do its part; the jobs are back in the queue and their nonces free.
pub(super) struct Trouble;

/// Takes what waits, and stores transactions for it.
pub(super) async fn work<S: Store, C: Clock>(
    shared: &Arc<Shared<S, C>>,
    evm: &Arc<EvmEngine>,
    lane: &KeyLane,
) -> Result<Vec<Stored>, Trouble> {
    let mut jobs = lane.queue.take(TOGETHER);
    jobs.retain(|job| is_wanted(shared, evm, job));
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(fees) = evm.config.chain.fees().await else {
        lane.queue.put_back(jobs);
        return Err(Trouble);
    };
    let members = if evm.config.chain.batch_call(&[]).is_some() { lane.company.now() } else { 1 };
    let limits = Limits::new(members, fees.block_gas, shared.clock.now().seconds());
    let mut ready = Vec::new();
    let mut untried = Vec::new();
    for portion in portions(jobs, limits) {
        if portion.len() == 1 {
            ready.push(portion);
            continue;
        }
        match tried(evm, lane, portion).await {
            Tried::Good { good, doubtful } => {
                ready.extend((!good.is_empty()).then_some(good));
                for job in doubtful {
                    tokio::spawn(shared.clone().look_alone(evm.clone(), job));
                }
            }
            Tried::Alone(jobs) => ready.extend(jobs.into_iter().map(|job| vec![job])),
            Tried::Unknown(jobs) => untried.extend(jobs),
        }
    }
    let trouble = !untried.is_empty();
    lane.queue.put_back(untried);
    let Ok(paid) = affordable(evm, lane, ready, fees).await else { return Err(Trouble) };
    let stored = store(shared, evm, lane, paid, fees).await?;
    if stored.is_empty() && trouble { Err(Trouble) } else { Ok(stored) }
}

/// Whether a payment still needs what it was queued for.
fn is_wanted<S: Store, C: Clock>(shared: &Shared<S, C>, evm: &EvmEngine, job: &Job) -> bool {
    if job.open.term.is_over() {
        return false;
    }
    let row = job.open.news.borrow();
    // What has expired before the next block would only burn gas; the watcher ends it once the chain's clock agrees.
    let next_block = shared.clock.now().seconds().plus(evm.interval.seconds());
    if row.expires.is_some_and(|expires| next_block >= expires) {
        return false;
    }
    match job.after {
        None => row.state == Settlement::Claimed,
        Some(after) => !row.state.is_decided() && row.state.transaction() == Some(TransactionId::Evm(after)),
    }
}

/// What trying out a transaction has shown.
enum Tried {
    /// These go; those would fail.
    Good { good: Vec<Job>, doubtful: Vec<Job> },
    /// All of it would fail: each goes alone.
    Alone(Vec<Job>),
    /// The node did not try.
    Unknown(Vec<Job>),
}

async fn tried(evm: &EvmEngine, lane: &KeyLane, jobs: Vec<Job>) -> Tried {
    let Some(batch) = calls(evm, &jobs).and_then(|calls| evm.config.chain.batch_call(&calls)) else { return Tried::Alone(jobs) };
    match evm.config.chain.dry_batch(lane.address(), &batch, jobs.len(), gas_limit(&jobs)).await {
        Ok(DryBatch::Runs(succeed)) => {
            let (mut good, mut doubtful) = (Vec::new(), Vec::new());
            for (job, succeeds) in jobs.into_iter().zip(succeed) {
                if succeeds { good.push(job) } else { doubtful.push(job) }
            }
            Tried::Good { good, doubtful }
        }
        Ok(DryBatch::Reverts) => Tried::Alone(jobs),
        Err(error) => {
            tracing::debug!(network = %evm.network(), %error, "could not try settlements out");
            Tried::Unknown(jobs)
        }
    }
}

fn calls(evm: &EvmEngine, jobs: &[Job]) -> Option<Vec<(EvmAddress, Bytes)>> {
    let call = |job: &Job| {
        let row = job.open.news.borrow();
        let input = row.raw.clone()?;
        Some((evm.config.chain.settles_at(row.asset.address.evm()?, &input)?, input))
    };
    jobs.iter().map(call).collect()
}

/// What the key can pay for, if it comes to the worst. The rest goes to another key that can, or waits here.
async fn affordable(evm: &EvmEngine, lane: &KeyLane, ready: Vec<Vec<Job>>, fees: Fees) -> Result<Vec<Vec<Job>>, Undecided> {
    if ready.is_empty() {
        return Ok(ready);
    }
    let price = fees.max_fee_per_gas.min(evm.config.max_fee_per_gas).max(1);
    let most = ready.iter().fold(0, |sum: u64, jobs| sum.saturating_add(gas_limit(jobs)));
    let left = match evm.left(lane, u128::from(most).saturating_mul(price)).await {
        Ok(left) => left,
        Err(error) => {
            lane.queue.put_back(ready.into_iter().flatten().collect());
            return Err(error);
        }
    };
    let mut gas = u64::try_from(left / price).unwrap_or(u64::MAX);
    let (mut paid, mut over) = (Vec::new(), Vec::new());
    for jobs in ready {
        let (carried, rest) = split_at_gas(jobs, gas);
        over.extend(rest);
        if !carried.is_empty() {
            gas = gas.saturating_sub(gas_limit(&carried));
            paid.push(carried);
        }
    }
    if over.is_empty() {
        return Ok(paid);
    }
    // What its payer wants settled by this key waits for it.
    let (bound, over): (Vec<Job>, Vec<Job>) = over.into_iter().partition(|job| sender_named(&job.open.news.borrow()).is_some());
    lane.queue.put_back(bound);
    let elsewhere = evm.lanes.iter().find(|other| other.address() != lane.address() && other.gas.has_enough());
    tracing::warn!(network = %evm.network(), account = %lane.address(), payments = over.len(), moved = elsewhere.is_some(), "key cannot pay for more");
    let moved = elsewhere.is_some() && !over.is_empty();
    match elsewhere {
        Some(other) => over.into_iter().for_each(|job| other.queue.put(job)),
        None => lane.queue.put_back(over),
    }
    // Where nothing has changed, the next turn waits.
    if paid.is_empty() && !moved { Err(Undecided::Gas) } else { Ok(paid) }
}

/// Gives each portion a nonce and stores what is signed for it.
async fn store<S: Store, C: Clock>(
    shared: &Shared<S, C>,
    evm: &EvmEngine,
    lane: &KeyLane,
    portions: Vec<Vec<Job>>,
    fees: Fees,
) -> Result<Vec<Stored>, Trouble> {
    let mut drafts = Vec::with_capacity(portions.len());
    for jobs in &portions {
        let call = match calls(evm, jobs).as_deref() {
            Some([(to, input)]) => Some((*to, input.clone())),
            Some(several) => evm.config.chain.batch_call(several),
            None => None,
        };
        // Rows of what we carry have their call.
        let Some((to, input)) = call else { continue };
        let payments = jobs.iter().map(|job| Carried::Open(job.open.clone())).collect();
        drafts.push(Draft { nonce: lane.assign(), to, input, gas_limit: gas_limit(jobs), fees, payments });
    }
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let nonces: Vec<u64> = drafts.iter().map(|draft| draft.nonce).collect();
    shared.sign_and_store(evm, lane, drafts).await.map_err(|_| {
        lane.take_back(nonces.into_iter());
        lane.queue.put_back(portions.into_iter().flatten().collect());
        Trouble
    })
}
