//! What a caller is told about a settlement that somebody has begun before.

use super::{Shared, open::OpenPayments, settle::Taken, verify::is_same};
use crate::chaos::sabotaged;
use h402_core::{
    Amount, Applied, CallerKey, Change, Clock, Matched, PaymentRow, PaymentUpdate, Receipt, Reject, SettleError, SettlementAnswer,
    SolanaReject, Store, Undecided,
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
        if row.state.is_decided() {
            return Ok(Taken::Ended(row));
        }
        match (row.caller, caller) {
            (Some(first), Some(now)) if first == now => match payments.find(&row.key) {
                Some(open) => Ok(Taken::Open(open)),
                // Another process drives it, or it has ended since the row was read.
                None => Ok(Taken::Elsewhere(Box::new(row))),
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
        let receipt = Receipt { network: payments.network(), transaction: carrier, payer: row.payer, signed: self.signed_receipt(&row) };
        match (row.caller, caller) {
            (Some(first), Some(now)) if first == now || sabotaged("caller.forget") => Ok(receipt),
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
        if sabotaged("told.drop") {
            return Ok(true);
        }
        while let Some(open) = payments.find(&row.key) {
            let current = open.row.lock().await;
            if current.answer.is_some() {
                return Ok(false);
            }
            let (known, next) = (current.version, told(&current));
            match self.store_row(payments, &open, current, next, Change::default()).await {
                Ok(()) => return Ok(true),
                // Another process has changed it: perhaps it has told somebody.
                Err(Undecided::Store) if open.row.lock().await.version != known => {}
                Err(error) => return Err(error),
            }
        }
        loop {
            let current = self.store.payment(&row.key).await?.ok_or(Undecided::Store)?;
            if current.answer.is_some() {
                return Ok(false);
            }
            if !current.state.is_settled() {
                return Err(Undecided::Unconfirmed);
            }
            let change = Change { updates: vec![PaymentUpdate { row: told(&current) }], ..Change::default() };
            match self.store.apply(change).await? {
                Applied::Applied => return Ok(true),
                // Whoever drives it has seen something, or somebody else is told: the row says which.
                Applied::Conflict => {}
                Applied::Fenced => return Err(Undecided::Store),
            }
        }
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
        Reject::Lost,
        Reject::AuthorizationUsed,
        Reject::InsufficientFunds { held: Amount::ZERO, required: Amount::ZERO },
        Reject::Cost { cost: 0, limit: 0 },
        reverted.clone(),
    ];
    let kind = kinds.into_iter().find(|kind| kind.word() == word).unwrap_or(reverted);
    Reject::Other { reason: kind.reason(), word: kind.word(), text: text.to_owned() }
}
