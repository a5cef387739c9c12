//! What was charged and not delivered: credits for payers, and a list for the merchant.

use super::{
    answer::Refusal,
    layer::{GateLayer, Shared},
};
use h402_core::{
    Facilitator, Grant, GrantEvent, GrantState, Grants, Matched, PaymentKey, ReceiptPurpose, SignedReceipt, Statement, StoreUnavailable,
    Undecided,
};

/// Why a refund is not noted.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// No such payment is on record.
    #[error("no such payment is on record")]
    Unknown,
    /// The payment owes nothing: it was served, was never charged, or is given back already.
    #[error("the payment owes nothing, it is {}", .0.as_str())]
    NotOwing(GrantState),
    /// Its request is being served at this moment; ask again when that is over.
    #[error("the payment's request is being served")]
    Busy,
    /// The store does not answer; perhaps the refund is noted.
    #[error(transparent)]
    Store(#[from] StoreUnavailable),
}

/// What a merchant owes to payers who were charged and not served.
///
/// ```
/// use h402_core::{Facilitator, Grants};
/// use h402_tower::gate::{GateLayer, RefundError};
///
/// /// Gives back what is owed, a payment at a time.
/// async fn refund_all<F: Facilitator, G: Grants>(gate: &GateLayer<F, G>) -> Result<(), RefundError> {
///     let mut after = None;
///     loop {
///         let page = gate.owing(after, 100).await?;
///         let Some(last) = page.last() else { return Ok(()) };
///         after = Some((last.claimed_at, last.key));
///         for debt in page {
///             // Noted first: a note without a transfer is found by looking, a second transfer is not taken back.
///             match gate.refunded(&debt.key).await {
///                 Ok(debt) => println!("send {} of {:?} to {}", debt.amount, debt.asset, debt.payer),
///                 Err(RefundError::Busy | RefundError::NotOwing(_)) => {} // being served, or served meanwhile
///                 Err(error) => return Err(error),
///             }
///         }
///     }
/// }
/// ```
impl<F: Facilitator, G: Grants, M> GateLayer<F, G, M> {
    /// The payments of all gates on this store that were charged and not served, oldest first, after `after`, at most `limit`.
    /// Those that are `owed` are served when they come again within a day; those that are `credited` never.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    pub async fn owing(&self, after: Option<(h402_core::UnixMillis, PaymentKey)>, limit: u32) -> Result<Vec<Grant>, StoreUnavailable> {
        self.gate().grants.owing(after, limit).await
    }

    /// Notes that a payment is given back: it is listed no more, and its request not served any more. Of any number of calls
    /// for one payment, in any number of processes, one succeeds: whoever gets the row sends the money.
    ///
    /// # Errors
    /// [`RefundError`].
    pub async fn refunded(&self, payment: &PaymentKey) -> Result<Grant, RefundError> {
        let gate = self.gate();
        let Some((grant, _)) = gate.grants.load(payment).await? else { return Err(RefundError::Unknown) };
        let now = gate.now();
        if grant.state.is_owing() && grant.busy_until > now {
            return Err(RefundError::Busy);
        }
        let refunded = grant.step(GrantEvent::Refunded, now).map_err(|refused| RefundError::NotOwing(refused.state))?;
        if gate.grants.update(&refunded, None).await? { Ok(refunded) } else { Err(RefundError::Busy) }
    }
}

impl<F, G> Shared<F, G> {
    /// What the payer of a credited payment is told: its receipt, and the credit, the same bytes every time.
    pub(super) fn credited(&self, matched: &Matched, grant: &Grant) -> Refusal {
        let Some(receipt) = grant.receipt.clone() else { return Undecided::Store.into() };
        let statement = Statement {
            purpose: ReceiptPurpose::Credit,
            payment: grant.key,
            fingerprint: Some(grant.fingerprint),
            transaction: receipt.transaction,
            block: receipt.signed.as_ref().and_then(|signed| signed.unverified().block),
            asset: grant.asset,
            amount: grant.amount,
            pay_to: matched.requirements().offer.pay_to,
            payer: grant.payer,
            time: grant.updated_at,
        };
        let credit = self.terms.credit_key.as_ref().map(|key| SignedReceipt::sign(statement, key));
        let credit = credit.and_then(|signed| signed.inspect_err(|error| tracing::error!(%error, "a credit cannot be signed")).ok());
        Refusal::Credited { receipt, credit }
    }
}
