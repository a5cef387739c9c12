//! The lease of a network, as one process sees it: whether it may drive settlements there now, as a pure machine.
//!
//! The store says who holds the lease. What this machine adds is when to stop believing its last answer: before anybody
//! else can have got the lease, counted from before the question was sent, whenever the answer came.

use core::time::Duration;

/// How a process stands to the lease of one network.
///
/// Times are the process's own: how long ago something was that it measured itself, by a clock that is never set. Two
/// processes, or a process and its store, need not agree on them; only the rates of their clocks must be close enough for
/// [`LeaseTerms::margin`].
///
/// ```
/// use core::time::Duration;
/// use h402_core::{Lease, LeaseEffect, LeaseEvent, LeaseTerms};
///
/// let seconds = Duration::from_secs;
/// let terms = LeaseTerms::DEFAULT;
/// // Asked at 10, told at 12 that it is held for 6 s more: that counts from 10, and ends a margin earlier.
/// let held = LeaseEvent::Held { asked: seconds(10), epoch: 7, left: seconds(6) };
/// let (lease, effect) = Lease::Follows.step(held, seconds(12), terms);
/// assert_eq!(effect, LeaseEffect::Begin { epoch: 7 });
/// assert_eq!(lease.epoch_at(seconds(14)), Some(7));
/// assert_eq!(lease.epoch_at(seconds(15)), None);
/// let (lease, effect) = lease.step(LeaseEvent::Tick, seconds(15), terms);
/// assert_eq!((lease, effect), (Lease::Follows, LeaseEffect::End { epoch: 7 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Somebody else drives, or nobody.
    Follows,
    /// This process drives.
    Drives {
        /// The store's count of changes of holder; every write of the driver carries it.
        epoch: u64,
        /// When it is lost unless it has been renewed.
        until: Duration,
    },
    /// The process stops: it drives nothing any more.
    Ended,
}

/// For how long a lease is taken, and how much earlier its holder stops to rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long it lasts in the store after it was taken or renewed.
    pub ttl: Duration,
    /// How much earlier than that its holder considers it lost: room for clocks that run slow, as a share of `ttl`.
    pub margin: Duration,
}

impl LeaseTerms {
    /// Six seconds, lost one second earlier: clocks may differ in rate by a sixth.
    pub const DEFAULT: Self = Self { ttl: Duration::from_secs(6), margin: Duration::from_secs(1) };

    /// How often a holder renews: often enough for two renewals to fail.
    #[must_use]
    pub fn renew_every(self) -> Duration {
        self.ttl / 3
    }
}

/// What happened to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEvent {
    /// The store says that this process has it.
    Held {
        /// When the question was sent.
        asked: Duration,
        /// The epoch.
        epoch: u64,
        /// For how long, counted from when the store answered, so at the least from `asked`.
        left: Duration,
    },
    /// The store says that somebody else has it.
    Other,
    /// Time has passed; also what a question says that was not answered.
    Tick,
    /// The store refused a write of this epoch: somebody else has the lease.
    Fenced {
        /// The epoch that was refused.
        epoch: u64,
    },
    /// The process stops.
    Stop,
}

/// What a process has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEffect {
    /// Nothing.
    None,
    /// Start to drive: the ledger's open rows first.
    Begin {
        /// Under this epoch.
        epoch: u64,
    },
    /// Stop to drive at once.
    End {
        /// What was driven under this epoch.
        epoch: u64,
    },
}

impl Lease {
    /// Applies one event at the process's own time `now`. Every event is answered in every state.
    #[must_use]
    pub fn step(self, event: LeaseEvent, now: Duration, terms: LeaseTerms) -> (Self, LeaseEffect) {
        use Lease as L;
        use LeaseEffect as F;
        use LeaseEvent as E;
        match (self, event) {
            (L::Ended, _) => (L::Ended, F::None),
            (L::Follows, E::Stop) => (L::Ended, F::None),
            (L::Drives { epoch, .. }, E::Stop) => (L::Ended, F::End { epoch }),
            (L::Follows, E::Held { asked, epoch, left }) => match lost_at(asked, left, terms) {
                until if now < until => (L::Drives { epoch, until }, F::Begin { epoch }),
                // An answer that came too late says nothing about now.
                _ => (L::Follows, F::None),
            },
            (L::Follows, E::Other | E::Tick | E::Fenced { .. }) => (L::Follows, F::None),
            // A renewal that comes after the end comes too late, too: whatever was driven has to stop first.
            (L::Drives { epoch, until }, _) if now >= until => (L::Follows, F::End { epoch }),
            (L::Drives { epoch, until }, E::Held { asked, epoch: told, left }) if told == epoch => {
                (L::Drives { epoch, until: until.max(lost_at(asked, left, terms)) }, F::None)
            }
            (L::Drives { epoch, .. }, E::Held { .. } | E::Other) => (L::Follows, F::End { epoch }),
            (L::Drives { epoch, .. }, E::Fenced { epoch: refused }) if refused == epoch => (L::Follows, F::End { epoch }),
            // Time that has not run out, or news of an epoch that is over for this process already.
            (driving @ L::Drives { .. }, E::Tick | E::Fenced { .. }) => (driving, F::None),
        }
    }

    /// The epoch under which this process drives at `now`, if it does.
    #[must_use]
    pub fn epoch_at(self, now: Duration) -> Option<u64> {
        match self {
            Self::Drives { epoch, until } if now < until => Some(epoch),
            Self::Drives { .. } | Self::Follows | Self::Ended => None,
        }
    }
}

fn lost_at(asked: Duration, left: Duration, terms: LeaseTerms) -> Duration {
    asked.saturating_add(left.min(terms.ttl)).saturating_sub(terms.margin)
}

#[cfg(test)]
mod tests;
