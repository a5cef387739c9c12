//! Who goes together in one transaction, and with how much gas.

use super::queue::Job;
use h402_core::UnixSeconds;

/// Payments in one transaction at the most.
pub(super) const MEMBERS: usize = 50;
/// Seconds that an authorization must have left to go with others: if their transaction fails, it goes alone after it.
const LEFT: u64 = 30;
/// What Multicall3 uses for itself and for each call, the greater size of its call data included.
const OVERHEAD: u64 = 30_000;
const OVERHEAD_EACH: u64 = 5_000;
/// The most gas that a transaction may have on Ethereum and the chains that follow it (EIP-7825).
const TRANSACTION_GAS: u64 = 1 << 24;

/// The limits of one transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Payments in one transaction; where there is no Multicall3, every one goes alone.
    members: usize,
    /// Half of what a block has.
    gas: u64,
    now: UnixSeconds,
}

impl Limits {
    pub(super) fn new(members: usize, block_gas: Option<u64>, now: UnixSeconds) -> Self {
        Self { members, gas: (block_gas.unwrap_or(u64::MAX) / 2).min(TRANSACTION_GAS), now }
    }

    fn takes(&self, job: &Job) -> bool {
        let lasts = job.open.news.borrow().expires.is_none_or(|expires| expires.0 > self.now.0.saturating_add(LEFT));
        self.members > 1 && job.company && job.after.is_none() && lasts
    }
}

/// The gas limit of a transaction that carries these: for one alone a third more than its simulation used, since storage
/// that others touch meanwhile may cost more; for several three tenths more than theirs together, and what carrying costs.
pub(super) fn gas_limit(jobs: &[Job]) -> u64 {
    let alone: u64 = jobs.iter().fold(0, |sum, job| sum.saturating_add(job.gas));
    let count = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
    match jobs {
        [_] => alone.saturating_add(alone / 3),
        _ => alone.saturating_add(alone / 10 * 3).saturating_add(OVERHEAD).saturating_add(OVERHEAD_EACH.saturating_mul(count)),
    }
}

/// Puts those together that may share a transaction, in the order they came; the others stay alone.
pub(super) fn portions(jobs: Vec<Job>, limits: Limits) -> Vec<Vec<Job>> {
    let mut portions: Vec<Vec<Job>> = Vec::new();
    let mut open: Vec<Job> = Vec::new();
    for job in jobs {
        if !limits.takes(&job) {
            portions.push(vec![job]);
            continue;
        }
        open.push(job);
        if open.len() > 1 && (open.len() > limits.members || gas_limit(&open) > limits.gas) {
            let last = open.pop();
            portions.push(std::mem::take(&mut open));
            open.extend(last);
        }
    }
    if !open.is_empty() {
        portions.push(open);
    }
    portions
}

/// As many of these, from the first on, as `most` gas carries; and the rest.
pub(super) fn split_at_gas(mut jobs: Vec<Job>, most: u64) -> (Vec<Job>, Vec<Job>) {
    let mut rest = Vec::new();
    while !jobs.is_empty() && gas_limit(&jobs) > most {
        rest.extend(jobs.pop());
    }
    rest.reverse();
    (jobs, rest)
}

#[cfg(test)]
mod tests;
