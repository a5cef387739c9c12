//! The one way a settlement changes: step the machine, store the result, then tell.

use super::{
    Shared, crash_point,
    open::{OpenPayment, OpenPayments},
};
use h402_core::{
    Applied, Change, Clock, PaymentRow, SentState, Settlement, SettlementAnswer, SettlementEvent, Store, TransactionId, Undecided,
};
use tokio::sync::MutexGuard;

/// The payer-facing end of a failed settlement.
pub(super) struct Failure {
    pub word: &'static str,
    pub text: String,
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Applies an event to an open payment. An event that cannot follow any more changes nothing: somebody was
    /// faster, and the row says how it ended.
    pub(super) async fn advance(
        &self,
        payments: &OpenPayments,
        open: &OpenPayment,
        event: SettlementEvent,
        failure: Option<Failure>,
    ) -> Result<(), Undecided> {
        let row = open.row.lock().await;
        let Ok(state) = row.state.step(event) else {
            tracing::debug!(payment.id = %row.key, state = row.state.as_str(), "event came too late");
            return Ok(());
        };
        let mut next = changed(&row, state, self.clock.now());
        if let Some(failure) = failure {
            next.answer = Some(SettlementAnswer::Refused { word: failure.word.to_owned(), text: failure.text });
        }
        let mined = |transaction: TransactionId| SentState { network: payments.network(), id: transaction, done: true };
        let sent = match event {
            SettlementEvent::Paid { transaction, .. } | SettlementEvent::Failed { transaction, .. } => vec![mined(transaction)],
            _ => Vec::new(),
        };
        self.store_row(payments, open, row, next, Change { sent, ..Change::default() }).await
    }

    /// Stores a changed row together with `change`, then publishes it.
    pub(super) async fn store_row(
        &self,
        payments: &OpenPayments,
        open: &OpenPayment,
        mut row: MutexGuard<'_, PaymentRow>,
        next: PaymentRow,
        mut change: Change,
    ) -> Result<(), Undecided> {
        change.updates.push(h402_core::PaymentUpdate { row: next.clone() });
        match self.store.apply(change).await? {
            Applied::Applied => {
                let was = row.state;
                *row = next;
                self.publish(payments, open, was, &row);
                Ok(())
            }
            Applied::Conflict => {
                // The ledger knows better than this process's memory; take its word and let the next look decide.
                tracing::error!(payment.id = %row.key, "ledger row changed behind the engine");
                if let Some(stored) = self.store.payment(&row.key).await? {
                    let was = row.state;
                    *row = stored;
                    self.publish(payments, open, was, &row);
                }
                Err(Undecided::Store)
            }
        }
    }

    /// Follows a stored row with everything that lives in memory.
    pub(super) fn publish(&self, payments: &OpenPayments, open: &OpenPayment, was: Settlement, row: &PaymentRow) {
        let now = self.clock.now();
        match row.state {
            Settlement::Included { block, .. } => {
                self.reservations.included(row.payer, row.asset, &row.key, block.number, now);
                if !was.is_settled() {
                    crash_point("included");
                }
            }
            Settlement::Rejected | Settlement::Abandoned { .. } | Settlement::Reverted { .. } => {
                self.reservations.release(row.payer, row.asset, &row.key);
            }
            Settlement::Claimed
            | Settlement::Signed { .. }
            | Settlement::Broadcast { .. }
            | Settlement::Reorged { .. }
            | Settlement::Final { .. } => {}
        }
        if !row.state.is_open() {
            payments.leave(&row.key);
        }
        tracing::info!(
            payment.id = %row.key,
            network = %payments.network(),
            payer = %row.payer,
            amount_atomic = %row.amount,
            from = was.as_str(),
            to = row.state.as_str(),
            "settlement"
        );
        open.news.send_replace(row.clone());
    }
}

/// The row after a change of state.
pub(super) fn changed(row: &PaymentRow, state: Settlement, now: h402_core::UnixMillis) -> PaymentRow {
    PaymentRow { state, updated_at: now, version: row.version + 1, ..row.clone() }
}
