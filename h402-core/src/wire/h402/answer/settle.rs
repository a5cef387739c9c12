//! `POST /settle` and receipts.

use super::{payer, reason, transaction};
use crate::{
    Address, ErrorReason, Network, Receipt, ReceiptPurpose, SettleError, SignedReceipt, TransactionId,
    wire::{
        WireError,
        h402::{network, refusal},
        header, json,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A facilitator's answer to `POST /settle`, and the content of [`crate::wire::h402::RECEIPT_HEADER`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettleAnswer {
    /// Whether the payee has the money.
    pub success: bool,
    /// The transaction that carries it; while settlement is pending, the one that may.
    pub transaction: Option<TransactionId>,
    /// The network. Only our own facilitators say which.
    pub network: Option<Network>,
    /// Who paid.
    pub payer: Option<Address>,
    /// Why not, as a word of h402.
    pub reason: Option<ErrorReason>,
    /// Why not, as text; ours starts with a finer word and a colon.
    pub error: Option<String>,
    /// The facilitator's signed receipt: our own addition, `receipt`. Nothing of it is proved yet.
    pub signed: Option<SignedReceipt>,
    /// What the server owes instead of an answer: our own addition, `credit`. Nothing of it is proved yet.
    pub credit: Option<SignedReceipt>,
}

impl SettleAnswer {
    /// The answer with a receipt.
    ///
    /// ```
    /// use h402_core::{Network, Receipt, TransactionId, wire::h402::SettleAnswer};
    /// let payer = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?;
    /// let receipt = Receipt { network: Network::Evm(8453), transaction: TransactionId::Evm([7; 32].into()), payer, signed: None };
    /// let answer = SettleAnswer::settled(&receipt);
    /// assert_eq!(answer.receipt(Network::Evm(8453), payer), Ok(receipt));
    /// # Ok::<(), h402_core::BadAddress>(())
    /// ```
    #[must_use]
    pub fn settled(receipt: &Receipt) -> Self {
        Self {
            success: true,
            transaction: Some(receipt.transaction),
            network: Some(receipt.network),
            payer: Some(receipt.payer),
            signed: receipt.signed.clone(),
            ..Self::default()
        }
    }

    /// The answer without one.
    #[must_use]
    pub fn failed(error: &SettleError, network: impl Into<Option<Network>>, payer: Option<Address>) -> Self {
        let (reason, text, transaction) = match error {
            SettleError::Rejected { reject, transaction } => {
                (reject.reason(), refusal::reject_text(reject), transaction.or(refusal::transaction(reject)))
            }
            SettleError::Pending { transaction } => (ErrorReason::UnexpectedSettleError, refusal::pending_text(), *transaction),
            SettleError::Undecided(undecided) => (ErrorReason::UnexpectedSettleError, refusal::undecided_text(undecided), None),
        };
        Self { success: false, transaction, network: network.into(), payer, reason: Some(reason), error: Some(text), ..Self::default() }
    }

    /// What the answer means for a payment of `payer` on `network`. A signed receipt of something else is left out.
    ///
    /// # Errors
    /// What was answered. A success without a transaction, or on another network, is [`SettleError::Pending`]: it
    /// proves nothing, and the payment may have been sent.
    pub fn receipt(&self, network: Network, payer: Address) -> Result<Receipt, SettleError> {
        if !self.success {
            return Err(refusal::settle_error(self.reason, self.error.as_deref(), self.transaction));
        }
        let here = self.network.is_none_or(|stated| stated == network);
        match self.transaction.filter(|transaction| here && belongs(transaction, network)) {
            Some(transaction) => {
                let signed = self.signed.clone().filter(|signed| is_of(signed, network, transaction, payer));
                Ok(Receipt { network, transaction, payer, signed })
            }
            None => Err(SettleError::Pending { transaction: None }),
        }
    }
}

/// Writes a receipt header: padded standard base64 of JSON.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`crate::wire::h402::MAX_HEADER`].
pub fn encode_receipt(receipt: &SettleAnswer) -> Result<String, WireError> {
    header::encode(&encode_settle(receipt)?)
}

/// Reads a receipt header.
///
/// # Errors
/// [`WireError`].
pub fn decode_receipt(header: &[u8]) -> Result<SettleAnswer, WireError> {
    settle(&header::decode(header)?)
}

/// Writes the answer to `POST /settle`.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_settle(answer: &SettleAnswer) -> Result<Vec<u8>, WireError> {
    json::write(&SettleOut {
        success: answer.success,
        transaction: answer.transaction.map(|transaction| transaction.to_string()).unwrap_or_default(),
        namespace: answer.network.map(network::namespace),
        network_id: answer.network.map(network::network_id),
        payer: answer.payer.map(|payer| payer.to_string()),
        error_reason: answer.reason.map(ErrorReason::as_str),
        error: answer.error.as_deref(),
        receipt: answer.signed.as_ref().map(ToString::to_string),
        credit: answer.credit.as_ref().map(ToString::to_string),
    })
}

/// Reads the answer to `POST /settle`, also in the wrapper `{"data": {…}}` of old facilitators.
///
/// # Errors
/// [`WireError`] if `success` is no JSON boolean or the transaction cannot be read.
pub fn decode_settle(body: &[u8]) -> Result<SettleAnswer, WireError> {
    settle(core::str::from_utf8(body).map_err(|_| WireError::Json)?)
}

fn settle(text: &str) -> Result<SettleAnswer, WireError> {
    let wire: SettleIn<'_> = json::read(text)?;
    let wire = match (wire.success, wire.data) {
        (None, Some(data)) => json::read(data.get())?,
        _ => wire,
    };
    let network = match (wire.namespace, wire.network_id) {
        (Some(namespace), Some(id)) => network::parse(&namespace, &id).ok(),
        _ => None,
    };
    let (reason, error) = reason(wire.error_reason, wire.error);
    let transaction = transaction(wire.transaction.or(wire.tx_hash))?;
    // Whoever calls something else by these names has no signed receipts; that is no reason not to know what became of the money.
    let signed = |text: Option<&RawValue>| json::string(text?)?.parse().ok();
    Ok(SettleAnswer {
        success: wire.success.ok_or(WireError::Shape)?,
        transaction,
        network,
        payer: payer(wire.payer),
        reason,
        error,
        signed: signed(wire.receipt),
        credit: signed(wire.credit),
    })
}

/// Whether a signed receipt is about this transaction of this payer.
pub(in crate::wire) fn is_of(signed: &SignedReceipt, network: Network, transaction: TransactionId, payer: Address) -> bool {
    let said = signed.unverified();
    (said.purpose, said.asset.network, said.transaction, said.payer) == (ReceiptPurpose::Settled, network, transaction, payer)
}

pub(in crate::wire) fn belongs(transaction: &TransactionId, network: Network) -> bool {
    match (transaction, network) {
        (TransactionId::Evm(_), Network::Evm(_)) | (TransactionId::Solana(_), Network::Solana(_)) => true,
        (TransactionId::Evm(_), Network::Solana(_)) | (TransactionId::Solana(_), Network::Evm(_)) => false,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SettleOut<'a> {
    success: bool,
    transaction: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettleIn<'a> {
    success: Option<bool>,
    transaction: Option<String>,
    tx_hash: Option<String>,
    namespace: Option<String>,
    network_id: Option<String>,
    payer: Option<String>,
    error_reason: Option<String>,
    error: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    receipt: Option<&'a RawValue>,
    #[serde(borrow)]
    credit: Option<&'a RawValue>,
}
