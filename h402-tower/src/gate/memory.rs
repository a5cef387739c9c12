//! Grants in memory, for tests and demos.

use crate::clock::SystemClock;
use h402_core::{
    Address, AssetId, Claim, Claimed, Clock, Exposure, Flow, Grant, GrantState, Grants, NewGrant, PaymentKey, StoreUnavailable,
    StoredAnswer, UnixMillis, Verified,
};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// All kept answers together take at most this many bytes; the oldest go first.
const ANSWER_BUDGET: usize = 64 * 1024 * 1024;
/// How often rows are looked through for those that may go.
const SWEEP: Duration = Duration::from_secs(60);

/// Remembers grants in this process only, and forgets them when it ends: for tests and demos.
///
/// After a restart every payment that has not lapsed could be presented again; the facilitator's ledger and the
/// chain still keep it from being settled twice. Clones are the same store.
///
/// ```
/// use h402_tower::gate::MemoryGrants;
/// let grants = MemoryGrants::new()?;
/// # drop(grants);
/// # Ok::<(), h402_core::StoreUnavailable>(())
/// ```
#[derive(Clone)]
pub struct MemoryGrants {
    identity: [u8; 32],
    clock: Arc<dyn Clock>,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Default)]
struct Rows {
    grants: HashMap<PaymentKey, Grant>,
    /// Every name of a payment but its key.
    aliases: HashMap<PaymentKey, PaymentKey>,
    answers: HashMap<PaymentKey, StoredAnswer>,
    /// When each answer was stored, oldest first.
    stored: VecDeque<(UnixMillis, PaymentKey)>,
    answer_bytes: usize,
    next_sweep: UnixMillis,
}

impl MemoryGrants {
    /// An empty store.
    ///
    /// # Errors
    /// [`StoreUnavailable`] if the operating system has no randomness for its identity.
    pub fn new() -> Result<Self, StoreUnavailable> {
        Self::with_clock(SystemClock)
    }

    /// An empty store that takes the time from `clock`.
    ///
    /// # Errors
    /// As [`MemoryGrants::new`].
    pub fn with_clock(clock: impl Clock) -> Result<Self, StoreUnavailable> {
        let mut identity = [0; 32];
        getrandom::fill(&mut identity).map_err(|_| StoreUnavailable("no randomness".to_owned()))?;
        Ok(Self { identity, clock: Arc::new(clock), rows: Arc::default() })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryGrants({} payments)", self.rows().grants.len())
    }
}

impl Grants for MemoryGrants {
    fn identity(&self) -> [u8; 32] {
        self.identity
    }

    async fn claim(&self, new: NewGrant, verified: Verified) -> Result<Claim, StoreUnavailable> {
        let now = self.clock.now();
        let mut rows = self.rows();
        rows.sweep(now);
        let names = [new.grant.key].into_iter().chain(new.aliases.iter().copied());
        if let Some(known) = names.filter_map(|name| rows.find(&name)).next() {
            return Ok(Claim::Known(Box::new(known.clone())));
        }
        let open = rows.of(&new.grant.payer, &new.grant.asset).filter(|grant| is_unsettled(grant)).count();
        if u32::try_from(open).unwrap_or(u32::MAX) >= new.max_unsettled {
            return Ok(Claim::TooManyUnsettled);
        }
        for alias in new.aliases {
            rows.aliases.insert(alias, new.grant.key);
        }
        rows.grants.insert(new.grant.key, new.grant.clone());
        Ok(Claim::New(Claimed::assertion(verified.matched().clone(), new.grant)))
    }

    async fn load(&self, key: &PaymentKey) -> Result<Option<(Grant, Option<StoredAnswer>)>, StoreUnavailable> {
        let now = self.clock.now();
        let mut rows = self.rows();
        rows.forget_answers(now);
        Ok(rows.find(key).map(|grant| (grant.clone(), rows.answers.get(&grant.key).cloned())))
    }

    async fn update(&self, grant: &Grant, answer: Option<StoredAnswer>) -> Result<bool, StoreUnavailable> {
        let now = self.clock.now();
        let mut rows = self.rows();
        match rows.grants.get_mut(&grant.key) {
            Some(stored) if stored.version.checked_add(1) == Some(grant.version) => *stored = grant.clone(),
            _ => return Ok(false),
        }
        if let Some(answer) = answer.filter(is_kept) {
            rows.keep(grant.key, answer, now);
        }
        Ok(true)
    }

    async fn owing(&self, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> Result<Vec<Grant>, StoreUnavailable> {
        let place = |grant: &Grant| (grant.claimed_at, grant.key);
        let rows = self.rows();
        let owing = rows.grants.values().filter(|grant| grant.state.is_owing() && after.is_none_or(|after| place(grant) > after));
        let mut page: Vec<Grant> = owing.cloned().collect();
        page.sort_unstable_by_key(place);
        page.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(page)
    }

    async fn exposure(&self, payer: &Address, asset: &AssetId, failed_since: UnixMillis) -> Result<Exposure, StoreUnavailable> {
        let rows = self.rows();
        let mut exposure = Exposure::default();
        for grant in rows.of(payer, asset) {
            exposure.unsettled += u32::from(is_unsettled(grant));
            let failed = grant.state == GrantState::Refused && grant.flow == Flow::Capture && grant.updated_at >= failed_since;
            exposure.failed += u32::from(failed);
        }
        Ok(exposure)
    }
}

impl Rows {
    fn find(&self, name: &PaymentKey) -> Option<&Grant> {
        self.grants.get(name).or_else(|| self.grants.get(self.aliases.get(name)?))
    }

    fn of<'a>(&'a self, payer: &'a Address, asset: &'a AssetId) -> impl Iterator<Item = &'a Grant> {
        self.grants.values().filter(move |grant| grant.payer == *payer && grant.asset == *asset)
    }

    fn keep(&mut self, key: PaymentKey, answer: StoredAnswer, now: UnixMillis) {
        self.answer_bytes += size(&answer);
        if let Some(old) = self.answers.insert(key, answer) {
            self.answer_bytes = self.answer_bytes.saturating_sub(size(&old));
            // Or the new answer would go when the old one's time is up.
            self.stored.retain(|(_, stored)| *stored != key);
        }
        self.stored.push_back((now, key));
        while self.answer_bytes > ANSWER_BUDGET && self.forget_oldest() {}
    }

    fn forget_answers(&mut self, now: UnixMillis) {
        let kept = Duration::from_secs(StoredAnswer::KEPT_SECONDS);
        while self.stored.front().is_some_and(|(stored, _)| now >= stored.plus(kept)) && self.forget_oldest() {}
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.stored.pop_front() else { return false };
        if let Some(answer) = self.answers.remove(&key) {
            self.answer_bytes = self.answer_bytes.saturating_sub(size(&answer));
        }
        true
    }

    /// Lets go of rows whose payments cannot be presented any more, unless something is owed.
    fn sweep(&mut self, now: UnixMillis) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now.plus(SWEEP);
        self.grants.retain(|_, grant| grant.expires_at > now || grant.state.is_owing());
        let Self { grants, aliases, .. } = self;
        aliases.retain(|_, key| grants.contains_key(key));
        self.forget_answers(now);
    }
}

fn is_unsettled(grant: &Grant) -> bool {
    matches!(grant.state, GrantState::Running | GrantState::Settling)
}

/// Whether an answer is short enough to be kept, whatever the caller made sure of.
fn is_kept(answer: &StoredAnswer) -> bool {
    answer.body.len() <= StoredAnswer::MAX_BODY && headers_size(answer) <= StoredAnswer::MAX_BODY
}

fn size(answer: &StoredAnswer) -> usize {
    answer.body.len() + headers_size(answer)
}

fn headers_size(answer: &StoredAnswer) -> usize {
    answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

#[cfg(test)]
mod tests;
