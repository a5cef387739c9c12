//! The grant: what one payment opens at a gate, as a pure machine over a stored row.

use crate::{Address, Amount, AssetId, Fingerprint, PaymentKey, Receipt, UnixMillis};
use core::time::Duration;

/// When the money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Handler first, then settle; nothing of the response leaves before.
    Capture,
    /// Settle first, then the handler.
    Upfront,
}

/// A gate's durable record of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The payment.
    pub key: PaymentKey,
    /// The one request it opens.
    pub fingerprint: Fingerprint,
    /// When the money moves.
    pub flow: Flow,
    /// Who pays.
    pub payer: Address,
    /// With what.
    pub asset: AssetId,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
    /// Where it stands.
    pub state: GrantState,
    /// How often the handler was started for it.
    pub runs: u8,
    /// While in the future, somebody works on it.
    pub busy_until: UnixMillis,
    /// What was paid, once that is known.
    pub receipt: Option<Receipt>,
    /// When it was claimed.
    pub claimed_at: UnixMillis,
    /// When it last changed.
    pub updated_at: UnixMillis,
    /// When the payment can no longer be presented and the row may go.
    pub expires_at: UnixMillis,
    /// Counts changes; a writer that knows an older one conflicts.
    pub version: u64,
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantState {
    /// The handler may be running; nothing is charged.
    Running,
    /// The handler did not deliver and nothing was charged; it may run again.
    Released,
    /// Settlement was asked for; whether it happened may be unknown.
    Settling,
    /// Charged and delivered.
    Served,
    /// Charged and not delivered yet.
    Owed,
    /// Charged, not delivered within the limit: the payer has a credit.
    Credited,
    /// Charged, not delivered, and given back.
    Refunded,
    /// Settlement was refused. Should the chain have taken the payment after all, it is charged like any other.
    Refused,
}

impl GrantState {
    /// All states, for tests and stores.
    pub const ALL: [Self; 8] =
        [Self::Running, Self::Released, Self::Settling, Self::Served, Self::Owed, Self::Credited, Self::Refunded, Self::Refused];

    /// The word under which stores keep it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Released => "released",
            Self::Settling => "settling",
            Self::Served => "served",
            Self::Owed => "owed",
            Self::Credited => "credited",
            Self::Refunded => "refunded",
            Self::Refused => "refused",
        }
    }

    /// Whether the payer was charged and has nothing for it: [`crate::Grants::owing`] lists it, and no store forgets it.
    #[must_use]
    pub const fn is_owing(self) -> bool {
        matches!(self, Self::Owed | Self::Credited)
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What happened to a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantEvent {
    /// The same request came again and the handler is to run again.
    RunAgain,
    /// Settlement is about to be asked for.
    Settle,
    /// The handler delivered after the charge.
    Delivered,
    /// The handler did not deliver, or was dropped.
    NotDelivered,
    /// Settlement succeeded; `answer_held` says whether the handler's answer is still at hand.
    Settled {
        /// The receipt.
        receipt: Receipt,
        /// Whether the answer can be delivered without running the handler.
        answer_held: bool,
    },
    /// Settlement was refused for good.
    SettleRefused,
    /// The answer was served and is not kept; the route lets the handler run again.
    Redeliver {
        /// Most runs of the handler in all.
        limit: u8,
    },
    /// The merchant has given the money back.
    Refunded,
}

/// The event cannot follow the state: a bug or a lost race, never a payer's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot follow {state:?}")]
pub struct GrantOutOfOrder {
    /// The state.
    pub state: GrantState,
    /// The event.
    pub event: GrantEvent,
}

impl Grant {
    /// Handler runs per payment that end without a charge.
    pub const MAX_RUNS: u8 = 3;
    /// Handler runs per payment after which a charge without a delivery is a credit. In `capture` the run
    /// whose answer was charged for is the first, however many were released before.
    pub const MAX_OWED_RUNS: u8 = 3;
    /// How long after its claim a charge may still be delivered; after that it is a credit.
    pub const OWED_FOR: Duration = Duration::from_secs(24 * 3600);

    /// Applies one event; the caller stores the result before acting on it.
    ///
    /// # Errors
    /// [`GrantOutOfOrder`] if the event cannot follow.
    pub fn step(mut self, event: GrantEvent, now: UnixMillis) -> Result<Self, GrantOutOfOrder> {
        use GrantEvent as E;
        use GrantState as S;
        let may_deliver = self.may_deliver(now);
        self.state = match (self.state, self.flow, &event) {
            (S::Released, Flow::Capture, E::RunAgain) if self.runs < Self::MAX_RUNS => {
                self.runs += 1;
                S::Running
            }
            (S::Owed, _, E::RunAgain) if may_deliver => {
                self.runs += 1;
                S::Owed
            }
            (S::Running, _, E::Settle) => S::Settling,
            (S::Running, _, E::NotDelivered) => S::Released,
            // A refusal is as good as the block that showed it, and a reorganisation can take that away.
            (S::Settling | S::Refused, Flow::Capture, E::Settled { receipt, answer_held }) => {
                self.receipt = Some(receipt.clone());
                if *answer_held {
                    S::Served
                } else {
                    self.runs = 1;
                    S::Owed
                }
            }
            (S::Settling | S::Refused, Flow::Upfront, E::Settled { receipt, .. }) => {
                self.receipt = Some(receipt.clone());
                S::Owed
            }
            (S::Settling | S::Refused, _, E::SettleRefused) => S::Refused,
            (S::Owed, _, E::Delivered) => S::Served,
            (S::Served, _, E::Redeliver { limit }) if self.runs < *limit => {
                self.runs += 1;
                S::Served
            }
            (S::Owed, _, E::NotDelivered) if !may_deliver => S::Credited,
            (S::Owed, _, E::NotDelivered) => S::Owed,
            (S::Owed | S::Credited, _, E::Refunded) => S::Refunded,
            (state, _, _) => return Err(GrantOutOfOrder { state, event }),
        };
        self.updated_at = now;
        self.version += 1;
        Ok(self)
    }

    /// Whether what is owed may still be delivered by another run.
    #[must_use]
    pub fn may_deliver(&self, now: UnixMillis) -> bool {
        self.runs < Self::MAX_OWED_RUNS && now < self.claimed_at.plus(Self::OWED_FOR)
    }

    /// Marks the grant as worked on for `duration` from `now`.
    #[must_use]
    pub fn busy(mut self, now: UnixMillis, duration: Duration) -> Self {
        self.busy_until = now.plus(duration);
        self
    }

    /// Marks the grant as worked on by nobody.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.busy_until = UnixMillis(0);
        self
    }

    /// Whether the payer has been charged for it.
    #[must_use]
    pub fn is_charged(&self) -> bool {
        matches!(self.state, GrantState::Served | GrantState::Owed | GrantState::Credited | GrantState::Refunded)
    }
}

#[cfg(test)]
mod tests;
