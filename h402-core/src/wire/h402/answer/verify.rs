//! `POST /verify`.

use super::{payer, reason, transaction};
use crate::{
    Address, ErrorReason, PaymentClass, PaymentKey, TransactionId, Verified, VerifyError,
    wire::{WireError, h402::refusal, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A facilitator's answer to `POST /verify`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyAnswer {
    /// Whether the payment is good.
    pub valid: bool,
    /// Whether something is left to settle. The reference sometimes does not say.
    pub class: Option<PaymentClass>,
    /// Who pays. The reference never says.
    pub payer: Option<Address>,
    /// The transaction, if the payment is one.
    pub transaction: Option<TransactionId>,
    /// The payment's key: our own addition, `paymentId`.
    pub payment: Option<PaymentKey>,
    /// Why not, as a word of h402.
    pub reason: Option<ErrorReason>,
    /// Why not, as text; ours starts with a finer word and a colon.
    pub message: Option<String>,
}

impl VerifyAnswer {
    /// The answer for a verified payment.
    #[must_use]
    pub fn verified(verified: &Verified) -> Self {
        let attestation = verified.attestation();
        Self {
            valid: true,
            class: Some(verified.matched().class()),
            payer: Some(attestation.payer),
            transaction: attestation.transaction,
            payment: Some(attestation.key),
            ..Self::default()
        }
    }

    /// The answer for any other.
    ///
    /// ```
    /// use h402_core::{ErrorReason, Reject, VerifyError, wire::h402::VerifyAnswer};
    /// let error = VerifyError::from(Reject::AlreadyUsed);
    /// let answer = VerifyAnswer::failed(&error, None);
    /// assert_eq!(answer.message.as_deref(), Some("payment_already_used: payment is used already"));
    /// assert_eq!(answer.verdict(), Err(error));
    /// ```
    #[must_use]
    pub fn failed(error: &VerifyError, payer: Option<Address>) -> Self {
        let (reason, text, transaction) = match error {
            VerifyError::Rejected(reject) => (reject.reason(), refusal::reject_text(reject), refusal::transaction(reject)),
            VerifyError::Undecided(undecided) => (ErrorReason::UnexpectedVerifyError, refusal::undecided_text(undecided), None),
        };
        Self { payer, transaction, reason: Some(reason), message: Some(text), ..Self::default() }
    }

    /// What the answer means.
    ///
    /// # Errors
    /// What was answered; [`crate::Undecided::Facilitator`] for the reference's "unexpected" word.
    pub fn verdict(&self) -> Result<(), VerifyError> {
        if self.valid { Ok(()) } else { Err(refusal::verify_error(self.reason, self.message.as_deref(), self.transaction)) }
    }
}

/// Writes the answer to `POST /verify`.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_verify(answer: &VerifyAnswer) -> Result<Vec<u8>, WireError> {
    json::write(&VerifyOut {
        is_valid: answer.valid,
        kind: answer.class.map(class_word),
        payer: answer.payer.map(|payer| payer.to_string()),
        tx_hash: answer.transaction.map(|transaction| transaction.to_string()),
        payment_id: answer.payment.map(|payment| payment.to_string()),
        invalid_reason: answer.reason.map(ErrorReason::as_str),
        error_message: answer.message.as_deref(),
    })
}

/// Reads the answer to `POST /verify`, also in the wrapper `{"data": {…}}` of old facilitators, also without a type.
///
/// # Errors
/// [`WireError`] if `isValid` is no JSON boolean or another field cannot be read.
pub fn decode_verify(body: &[u8]) -> Result<VerifyAnswer, WireError> {
    let wire: VerifyIn<'_> = json::read_bytes(body)?;
    let wire = match (wire.is_valid, wire.data) {
        (None, Some(data)) => json::read(data.get())?,
        _ => wire,
    };
    let class = match wire.kind.as_deref() {
        None => None,
        Some(word) => Some(class(word).ok_or(WireError::Field("type is neither payload nor transaction"))?),
    };
    let payment = match wire.payment_id {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| WireError::Field("paymentId cannot be read"))?),
    };
    let (reason, message) = reason(wire.invalid_reason, wire.error_message);
    let transaction = transaction(wire.tx_hash)?;
    Ok(VerifyAnswer {
        valid: wire.is_valid.ok_or(WireError::Shape)?,
        class,
        payer: payer(wire.payer),
        transaction,
        payment,
        reason,
        message,
    })
}

fn class_word(class: PaymentClass) -> &'static str {
    match class {
        PaymentClass::Payload => "payload",
        PaymentClass::Transaction => "transaction",
    }
}

fn class(word: &str) -> Option<PaymentClass> {
    [PaymentClass::Payload, PaymentClass::Transaction].into_iter().find(|class| class_word(*class) == word)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerifyOut<'a> {
    is_valid: bool,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifyIn<'a> {
    is_valid: Option<bool>,
    #[serde(rename = "type")]
    kind: Option<String>,
    payer: Option<String>,
    tx_hash: Option<String>,
    payment_id: Option<String>,
    invalid_reason: Option<String>,
    error_message: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}
