//! Signed receipts of settled payments.

use super::{Engine, Shared};
use h402_core::{Clock, PaymentRow, ReceiptIssuer, ReceiptPurpose, SignedReceipt, Statement, Store};

impl<S: Store, C: Clock> Engine<S, C> {
    /// Who signs the receipts, if anybody does.
    #[must_use]
    pub fn receipt_issuer(&self) -> Option<ReceiptIssuer> {
        self.shared.receipt_key.as_ref().map(h402_core::ReceiptKey::issuer)
    }

    /// The signed receipt of a payment, the same bytes as long as its block stays; none if it is not settled, or without a key.
    #[must_use]
    pub fn receipt(&self, row: &PaymentRow) -> Option<SignedReceipt> {
        self.shared.signed_receipt(row)
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    pub(super) fn signed_receipt(&self, row: &PaymentRow) -> Option<SignedReceipt> {
        let transaction = row.state.transaction().filter(|_| row.state.is_settled())?;
        let statement = Statement {
            purpose: ReceiptPurpose::Settled,
            payment: row.key,
            fingerprint: None,
            transaction,
            block: row.state.block(),
            asset: row.asset,
            amount: row.amount,
            pay_to: row.pay_to,
            payer: row.payer,
            // When it last changed would make another receipt of it with every change.
            time: row.claimed_at,
        };
        match SignedReceipt::sign(statement, self.receipt_key.as_ref()?) {
            Ok(receipt) => Some(receipt),
            Err(error) => {
                tracing::error!(payment.id = %row.key, %error, "a receipt cannot be signed");
                None
            }
        }
    }
}
