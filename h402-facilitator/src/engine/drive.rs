//! The one way a settlement changes: step the machine, store the result, then tell.

use super::{
    Shared, crash_point,
    open::{OpenPayment, OpenPayments},
    reserve::Claimant,
    verify::is_sent_kind,
};
use h402_core::{
    Applied, Change, Clock, PaymentRow, Reject, SentState, Settlement, SettlementAnswer, SettlementEvent, Store, TransactionId, Undecided,
};
use tokio::sync::MutexGuard;

/// The payer-facing end of a failed settlement.
#[derive(Clone)]
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
        let known = row.version;
        match self.advance_row(payments, open, row, event, failure.as_ref()).await {
            // Another process has told a caller meanwhile, or the store had done what it failed to say: once more, from there.
            Err(Undecided::Store) => {
                let row = open.row.lock().await;
                if row.version == known {
                    return Err(Undecided::Store);
                }
                self.advance_row(payments, open, row, event, failure.as_ref()).await
            }
            done => done,
        }
    }

    async fn advance_row(
        &self,
        payments: &OpenPayments,
        open: &OpenPayment,
        row: MutexGuard<'_, PaymentRow>,
        event: SettlementEvent,
        failure: Option<&Failure>,
    ) -> Result<(), Undecided> {
        let Ok(state) = row.state.step(event) else {
            tracing::debug!(payment.id = %row.key, state = row.state.as_str(), "event came too late");
            return Ok(());
        };
        let mut next = changed(&row, state, self.clock.now());
        if let Some(failure) = failure {
            let Failure { word, text } = if is_owed(&row) { lost(&row, failure.clone()) } else { failure.clone() };
            next.answer = Some(SettlementAnswer::Refused { word: word.to_owned(), text });
        } else if state.is_settled() && matches!(row.answer, Some(SettlementAnswer::Refused { .. })) {
            tracing::error!(payment.id = %row.key, "a payment that was told as failed is in a block after all");
            next.answer = None;
        }
        let mined = |transaction: TransactionId, done| {
            let cost = payments.cost(&transaction);
            SentState { network: payments.network(), id: transaction, done, cost }
        };
        let sent = match event {
            SettlementEvent::Paid { transaction, .. } | SettlementEvent::Failed { transaction, .. } => {
                // While another payment waits for it, it is looked for beside its rivals.
                let over = self.network(payments.network()).is_ok_and(|network| network.is_last_of(&row.key, &transaction));
                vec![mined(transaction, over)]
            }
            // Its nonce is free again, and later ones wait for it.
            SettlementEvent::Vanished => state.transaction().map(|transaction| mined(transaction, false)).into_iter().collect(),
            _ => Vec::new(),
        };
        let around = points(event);
        if let Some((before, _)) = around {
            crash_point(before);
        }
        self.store_row(payments, open, row, next, Change { sent, fence: Some(open.term.fence()), ..Change::default() }).await?;
        if let Some((_, after)) = around {
            crash_point(after);
        }
        Ok(())
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
                tracing::warn!(payment.id = %row.key, "ledger row changed behind the engine");
                if let Some(stored) = self.store.payment(&row.key).await? {
                    let was = row.state;
                    *row = stored;
                    self.publish(payments, open, was, &row);
                }
                Err(Undecided::Store)
            }
            Applied::Fenced => {
                // Another process drives this network now, and knows how the payment stands.
                tracing::warn!(payment.id = %row.key, "another process drives this network");
                open.term.end();
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
            }
            Settlement::Rejected | Settlement::Abandoned { .. } | Settlement::Reverted { .. } | Settlement::Failed { .. } => {
                self.reservations.release(row.payer, row.asset, &row.key);
                if let (Settlement::Reverted { transaction, .. }, Ok(network)) = (row.state, self.network(payments.network())) {
                    network.wasted(row, &transaction, now);
                }
            }
            // The money is its payer's again, and promised again.
            Settlement::Reorged { .. } if !is_sent_kind(row.kind) => {
                let (payer, asset, key, amount) = (row.payer, row.asset, row.key, row.amount);
                self.reservations.settling(Claimant { payer, asset, key, amount });
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
        open.news.set(row.clone());
    }
}

/// Where a crash test may end the process around the storing of what the chain showed.
fn points(event: SettlementEvent) -> Option<(&'static str, &'static str)> {
    match event {
        SettlementEvent::Paid { .. } => Some(("receipt.pre", "receipt.post")),
        SettlementEvent::Deep => Some(("final.pre", "final.post")),
        _ => None,
    }
}

/// Whether a payment that is in no block had been settled: whoever asked for it has delivered.
fn is_owed(row: &PaymentRow) -> bool {
    let was_settled = match &row.answer {
        Some(SettlementAnswer::Refused { word, .. }) => word == Reject::Lost.word(),
        Some(SettlementAnswer::Settled) | None => true,
    };
    matches!(row.state, Settlement::Reorged { .. }) && was_settled
}

/// A payment that was settled and never will be again. The row says so for good; somebody has to see to it.
fn lost(row: &PaymentRow, failure: Failure) -> Failure {
    tracing::error!(
        payment.id = %row.key,
        payer = %row.payer,
        pay_to = %row.pay_to,
        asset = %row.asset.address,
        amount_atomic = %row.amount,
        why = failure.text,
        "a settled payment is lost: its block was dropped, and its payer owes it"
    );
    Failure { word: Reject::Lost.word(), text: format!("{}: {}", Reject::Lost, failure.text) }
}

/// The row after a change of state.
pub(super) fn changed(row: &PaymentRow, state: Settlement, now: h402_core::UnixMillis) -> PaymentRow {
    PaymentRow { state, updated_at: now, version: row.version + 1, ..row.clone() }
}
