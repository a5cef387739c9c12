//! Waiting for the end of a settlement: by news, where it is driven; by looking in the ledger, where another process does.

use super::{Shared, open::OpenPayment, settle::Taken};
use h402_core::{Clock, PaymentKey, PaymentRow, SettleError, Settlement, Store};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How soon the ledger is looked at first, and how often at the least.
const LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

impl<S: Store, C: Clock> Shared<S, C> {
    /// The row of a settlement once it has ended.
    ///
    /// # Errors
    /// [`SettleError::Pending`] if that takes too long.
    pub(super) async fn ended(&self, taken: Taken, deadline: Instant) -> Result<PaymentRow, SettleError> {
        let known = match taken {
            Taken::Ended(row) => return Ok(row),
            Taken::Open(open) => match timeout_at(deadline, told(&open)).await {
                Ok(Some(row)) => return Ok(row),
                Ok(None) | Err(_) => open.news.borrow().clone(),
            },
            Taken::Elsewhere(row) => *row,
        };
        let mut transaction = known.state.transaction();
        let ended = timeout_at(deadline, self.seen(&known.key, |state| transaction = state.transaction().or(transaction)));
        match ended.await {
            Ok(row) => Ok(row),
            Err(_) => Err(SettleError::Pending { transaction }),
        }
    }

    /// Looks in the ledger until a settlement has ended, at first often. How many do so at once is bounded by the places to
    /// work at. A store in trouble shows nothing, and is asked again.
    async fn seen(&self, key: &PaymentKey, mut note: impl FnMut(Settlement)) -> PaymentRow {
        let mut pause = LOOK;
        loop {
            sleep(pause).await;
            pause = (pause + pause / 4).min(LONGEST_LOOK);
            match self.store.payment(key).await {
                Ok(Some(row)) if row.state.is_decided() => return row,
                Ok(Some(row)) => note(row.state),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// The row once it has ended; `None` if this process drives it no longer.
async fn told(open: &OpenPayment) -> Option<PaymentRow> {
    tokio::select! {
        biased;
        row = open.news.wait_for(|row| row.state.is_decided()) => Some(row),
        () = open.term.over() => None,
    }
}
