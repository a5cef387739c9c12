//! How much one may ask for, and all together: token buckets in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;

/// How many are told apart at once. Those beyond share one bucket.
pub(crate) const MAX_TOLD_APART: usize = 4096;
/// What a call costs: a bucket gets this much in as many microseconds as its rate says.
const CALL: u64 = 1_000_000;

/// What is left, as of when.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Instant,
}

/// How fast buckets fill, and how much they hold.
#[derive(Debug, Clone, Copy)]
struct Size {
    per_second: u64,
    most: u64,
}

impl Size {
    /// Two seconds' worth, but never less than what a single request may cost.
    fn new(per_second: u32, max_batch: u32) -> Self {
        let calls = u64::from(per_second).saturating_mul(2).max(u64::from(max_batch));
        Self { per_second: u64::from(per_second), most: calls.saturating_mul(CALL) }
    }

    fn filled(self, bucket: Bucket, now: Instant) -> Bucket {
        let micros = u64::try_from(now.saturating_duration_since(bucket.at).as_micros()).unwrap_or(u64::MAX);
        let left = bucket.left.saturating_add(micros.saturating_mul(self.per_second)).min(self.most);
        Bucket { left, at: now }
    }
}

#[derive(Debug)]
struct Buckets<K> {
    overall: Bucket,
    /// By who asks; under none are those who are not told apart.
    each: HashMap<Option<K>, Bucket>,
}

/// Buckets of calls for each who asks, and one for all.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    one: Size,
    overall: Size,
    buckets: Mutex<Buckets<K>>,
}

impl<K: Copy + Eq + Hash> Limiter<K> {
    /// With so many calls a second for each and for all; one request may be of up to `max_batch` calls.
    pub(crate) fn new(per_one: u32, overall: u32, max_batch: u32) -> Self {
        let (one, overall) = (Size::new(per_one, max_batch), Size::new(overall, max_batch));
        let full = Bucket { left: overall.most, at: Instant::now() };
        Self { one, overall, buckets: Mutex::new(Buckets { overall: full, each: HashMap::new() }) }
    }

    /// Takes this many calls from the bucket of one and from that of all, or from neither.
    pub(crate) fn take(&self, who: Option<K>, calls: u32) -> bool {
        let now = Instant::now();
        let cost = u64::from(calls).saturating_mul(CALL);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = who;
        if buckets.each.len() >= MAX_TOLD_APART && !buckets.each.contains_key(&who) {
            // Who has not asked for a while is as good as new.
            buckets.each.retain(|_, bucket| self.one.filled(*bucket, now).left < self.one.most);
            if buckets.each.len() >= MAX_TOLD_APART {
                who = None;
            }
        }
        let full = Bucket { left: self.one.most, at: now };
        let own = self.one.filled(buckets.each.get(&who).copied().unwrap_or(full), now);
        let all = self.overall.filled(buckets.overall, now);
        let (Some(own_left), Some(all_left)) = (own.left.checked_sub(cost), all.left.checked_sub(cost)) else { return false };
        buckets.each.insert(who, Bucket { left: own_left, ..own });
        buckets.overall = Bucket { left: all_left, ..all };
        true
    }

    #[cfg(test)]
    pub(crate) fn told_apart(&self) -> usize {
        self.buckets.lock().unwrap().each.len()
    }
}
