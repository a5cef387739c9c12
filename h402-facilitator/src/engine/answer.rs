//! What a caller is told about a settlement that somebody has begun before.

use super::{Shared, open::OpenPayments, settle::Taken, verify::is_same};
use h402_core::{
    Applied, CallerKey, Change, Clock, Matched, PaymentRow, PaymentUpdate, Receipt, Reject, SettleError, SettlementAnswer, SolanaReject,
    Store, Undecided,
};

impl<S: Store, C: Clock> Shared<S, C> {
    /// A second call for a payment that is in the ledger.
    pub(super) async fn again(
        &self,
        payments: &OpenPayments,
        payment: &Matched,
        row: PaymentRow,
        caller: Option<CallerKey>,
    ) -> Result<Taken, SettleError> {
        let transaction = row.state.transaction();
        if !is_same(&row, payment) {
            return Err(Reject::DuplicateSettlement { transaction }.into());
        }
        if row.state.is_settled() || !row.state.is_open() {
            return Ok(Taken::Ended(row));
        }
        match (row.caller, caller) {
            (Some(first), Some(now)) if first == now => match payments.find(&row.key) {
                Some(open) => Ok(Taken::Open(open)),
                // It has ended since the row was read.
                None => match self.store.payment(&row.key).await.map_err(Undecided::from)? {
                    Some(ended) if !ended.state.is_open() => Ok(Taken::Ended(ended)),
                    _ => Err(SettleError::Pending { transaction }),
                },
            },
            (Some(_), _) => Err(Reject::DuplicateSettlement { transaction }.into()),
            (None, _) => Err(SettleError::Pending { transaction }),
        }
    }

    /// Answers a settlement that has ended. A success is told to one caller only: to the one whose key began it,
    /// or, if it was begun without a key, to the first that is told at all.
    pub(super) async fn answer(&self, payments: &OpenPayments, row: PaymentRow, caller: Option<CallerKey>) -> Result<Receipt, SettleError> {
        let transaction = row.state.transaction();
        let duplicate = SettleError::from(Reject::DuplicateSettlement { transaction });
        let Some(carrier) = transaction.filter(|_| row.state.is_settled()) else {
            let reject = match &row.answer {
                Some(SettlementAnswer::Refused { word, text }) => stored_refusal(word, text),
                Some(SettlementAnswer::Settled) | None => Reject::TransferNotObserved,
            };
            return Err(SettleError::Rejected { reject, transaction });
        };
        let receipt = Receipt { network: payments.network(), transaction: carrier, payer: row.payer };
        match (row.caller, caller) {
            (Some(first), Some(now)) if first == now => Ok(receipt),
            (Some(_), _) => Err(duplicate),
            (None, _) => match self.first_to_be_told(payments, row).await? {
                true => Ok(receipt),
                false => Err(duplicate),
            },
        }
    }

    /// Stores that the success is being told; `false` if it was told before.
    async fn first_to_be_told(&self, payments: &OpenPayments, row: PaymentRow) -> Result<bool, Undecided> {
        let told = |row: &PaymentRow| PaymentRow { answer: Some(SettlementAnswer::Settled), version: row.version + 1, ..row.clone() };
        if let Some(open) = payments.find(&row.key) {
            let current = open.row.lock().await;
            if current.answer.is_some() {
                return Ok(false);
            }
            let next = told(&current);
            self.store_row(payments, &open, current, next, Change::default()).await?;
            return Ok(true);
        }
        let current = self.store.payment(&row.key).await?.unwrap_or(row);
        if current.answer.is_some() {
            return Ok(false);
        }
        let change = Change { updates: vec![PaymentUpdate { row: told(&current) }], ..Change::default() };
        Ok(self.store.apply(change).await? == Applied::Applied)
    }
}

/// The refusal that was stored, in the words it was stored with.
fn stored_refusal(word: &str, text: &str) -> Reject {
    let reverted = Reject::Reverts(String::new());
    // Everything that ends a settlement is one of these.
    let kinds = [
        Reject::TransferNotObserved,
        Reject::TransactionState(""),
        Reject::ExpiresTooSoon { left: 0, required: 0 },
        SolanaReject::Expires { left: 0, required: 0 }.into(),
        reverted.clone(),
    ];
    let kind = kinds.into_iter().find(|kind| kind.word() == word).unwrap_or(reverted);
    Reject::Other { reason: kind.reason(), word: kind.word(), text: text.to_owned() }
}
