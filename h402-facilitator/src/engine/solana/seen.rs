//! What verifies have read: a settlement that follows at once need not read it again.

use crate::solana::SolanaRead;
use h402_core::{PaymentKey, UnixMillis};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// For how long a read is as good as a new one: a dozen blocks of the 150 that a payment lives.
const FRESH: Duration = Duration::from_secs(5);
/// Beyond this many, those that are not fresh are forgotten first, and then nothing is kept.
const MANY: usize = 1024;

#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<PaymentKey, (SolanaRead, UnixMillis)>>);

impl Seen {
    /// Keeps what was read of a payment that was accepted.
    pub(super) fn keep(&self, key: PaymentKey, read: SolanaRead, now: UnixMillis) {
        let mut all = self.all();
        if all.len() >= MANY {
            all.retain(|_, (_, at)| now.since(*at) < FRESH);
        }
        if all.len() < MANY {
            all.insert(key, (read, now));
        }
    }

    /// Takes what was read a moment ago.
    pub(super) fn take(&self, key: &PaymentKey, now: UnixMillis) -> Option<SolanaRead> {
        self.all().remove(key).filter(|(_, at)| now.since(*at) < FRESH).map(|(read, _)| read)
    }

    /// Forgets what is not fresh any more.
    pub(super) fn sweep(&self, now: UnixMillis) {
        self.all().retain(|_, (_, at)| now.since(*at) < FRESH);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PaymentKey, (SolanaRead, UnixMillis)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
