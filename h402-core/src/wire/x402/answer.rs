//! What a facilitator answers, and the receipt that a server passes on. The versions differ in how they spell networks.

use super::{Version, name, refusal};
use crate::{
    Address, Amount, Dialect, Network, Receipt, Reject, SettleError, SignedReceipt, TransactionId, Verified, VerifyError,
    wire::{
        WireError,
        h402::{belongs, is_of, payer, shorten, transaction},
        header, json,
    },
    words::{self, PENDING},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A facilitator's answer to `POST /verify`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyAnswer {
    /// Whether the payment is good.
    pub valid: bool,
    /// Who pays.
    pub payer: Option<Address>,
    /// Why not, as a word.
    pub reason: Option<String>,
    /// Why not, as text.
    pub message: Option<String>,
}

impl VerifyAnswer {
    /// The answer for a verified payment.
    #[must_use]
    pub fn verified(verified: &Verified) -> Self {
        Self { valid: true, payer: Some(verified.attestation().payer), ..Self::default() }
    }

    /// The answer for any other, in the words of `dialect`.
    ///
    /// ```
    /// use h402_core::{Dialect, Network, Reject, VerifyError, wire::x402::VerifyAnswer};
    /// let error = VerifyError::from(Reject::AuthorizationUsed);
    /// let answer = VerifyAnswer::failed(&error, Dialect::X402V2, Some(Network::Evm(8453)), None);
    /// assert_eq!(answer.reason.as_deref(), Some("invalid_exact_evm_nonce_already_used"));
    /// assert_eq!(answer.verdict(), Err(error));
    /// ```
    #[must_use]
    pub fn failed(error: &VerifyError, dialect: Dialect, network: Option<Network>, payer: Option<Address>) -> Self {
        let reason = match error {
            VerifyError::Rejected(reject) => reject.word_in(dialect, network),
            VerifyError::Undecided(undecided) => undecided.verify_word(),
        };
        Self { valid: false, payer, reason: Some(reason.to_owned()), message: Some(error.to_string()) }
    }

    /// What the answer means.
    ///
    /// # Errors
    /// What was answered; [`crate::Undecided::Facilitator`] for words that are nobody's verdict.
    pub fn verdict(&self) -> Result<(), VerifyError> {
        if self.valid { Ok(()) } else { Err(refusal::verify_error(self.reason.as_deref(), self.message.as_deref())) }
    }
}

/// A facilitator's answer to `POST /settle`, and the content of the receipt header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettleAnswer {
    /// Whether the payee has the money.
    pub success: bool,
    /// The transaction that carries it; while settlement is pending, the one that may.
    pub transaction: Option<TransactionId>,
    /// The network.
    pub network: Option<Network>,
    /// Who paid.
    pub payer: Option<Address>,
    /// What moved, where it may be less than the price.
    pub amount: Option<Amount>,
    /// Why not, as a word.
    pub reason: Option<String>,
    /// Why not, as text.
    pub message: Option<String>,
    /// The facilitator's signed receipt: our own addition, `extensions.h402.receipt`. Nothing of it is proved yet.
    pub signed: Option<SignedReceipt>,
    /// What the server owes instead of an answer: our own addition, `extensions.h402.credit`. Nothing of it is proved yet.
    pub credit: Option<SignedReceipt>,
}

impl SettleAnswer {
    /// The answer with a receipt.
    ///
    /// ```
    /// use h402_core::{Network, Receipt, TransactionId, wire::x402::SettleAnswer};
    /// let payer = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?;
    /// let receipt = Receipt { network: Network::Evm(8453), transaction: TransactionId::Evm([7; 32].into()), payer, signed: None };
    /// assert_eq!(SettleAnswer::settled(&receipt).receipt(Network::Evm(8453), payer), Ok(receipt));
    /// # Ok::<(), h402_core::BadAddress>(())
    /// ```
    #[must_use]
    pub fn settled(receipt: &Receipt) -> Self {
        let Receipt { network, transaction, payer, signed } = receipt.clone();
        Self { success: true, transaction: Some(transaction), network: Some(network), payer: Some(payer), signed, ..Self::default() }
    }

    /// The answer without one, in the words of `dialect`.
    #[must_use]
    pub fn failed(error: &SettleError, dialect: Dialect, network: Option<Network>, payer: Option<Address>) -> Self {
        let (reason, transaction) = match error {
            SettleError::Rejected { reject: Reject::Reverts(_), transaction: Some(sent) } => (words::failed_on_chain(network), Some(*sent)),
            SettleError::Rejected { reject, transaction } => {
                let named = if let Reject::DuplicateSettlement { transaction } = reject { *transaction } else { None };
                (reject.word_in(dialect, network), transaction.or(named))
            }
            SettleError::Pending { transaction } => (PENDING, *transaction),
            SettleError::Undecided(undecided) => (undecided.settle_word(), None),
        };
        let (reason, message) = (Some(reason.to_owned()), Some(error.to_string()));
        Self { success: false, transaction, network, payer, reason, message, ..Self::default() }
    }

    /// What the answer means for a payment of `payer` on `network`.
    ///
    /// # Errors
    /// What was answered. A success without a transaction, or on another network, is [`SettleError::Pending`]: it
    /// proves nothing, and the payment may have been sent.
    pub fn receipt(&self, network: Network, payer: Address) -> Result<Receipt, SettleError> {
        if !self.success {
            return Err(refusal::settle_error(self.reason.as_deref(), self.message.as_deref(), self.transaction));
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

pub(super) fn encode_verify(answer: &VerifyAnswer) -> Result<Vec<u8>, WireError> {
    json::write(&VerifyOut {
        is_valid: answer.valid,
        invalid_reason: answer.reason.as_deref(),
        invalid_message: answer.message.as_deref(),
        payer: answer.payer.map(|payer| payer.to_string()),
    })
}

pub(super) fn decode_verify(body: &[u8]) -> Result<VerifyAnswer, WireError> {
    let wire: VerifyIn<'_> = json::read_bytes(body)?;
    Ok(VerifyAnswer {
        valid: wire.is_valid,
        payer: payer(wire.payer.map(Cow::into_owned)),
        reason: wire.invalid_reason.as_deref().map(shorten),
        message: wire.invalid_message.as_deref().map(shorten),
    })
}

pub(super) fn encode_settle(answer: &SettleAnswer, version: Version) -> Result<Vec<u8>, WireError> {
    let network = answer.network.map(|network| name::write(network, version).unwrap_or_else(|| network.to_string()));
    json::write(&SettleOut {
        success: answer.success,
        error_reason: answer.reason.as_deref(),
        error_message: answer.message.as_deref().filter(|_| version == Version::V2),
        payer: answer.payer.map(|payer| payer.to_string()),
        transaction: answer.transaction.map(|transaction| transaction.to_string()).unwrap_or_default(),
        network: network.unwrap_or_default(),
        amount: answer.amount.map(|amount| amount.to_string()),
        extensions: ExtensionsOut::new(answer),
    })
}

pub(super) fn decode_settle(text: &str, version: Version) -> Result<SettleAnswer, WireError> {
    let wire: SettleIn<'_> = json::read(text)?;
    let amount = wire.amount.and_then(json::decimal).and_then(|text| Amount::from_atomic_text(&text).ok());
    // What others call by this name is no signed receipt; that is no reason not to know what became of the money.
    let ours = wire.extensions.and_then(|raw| json::read::<ExtensionsIn<'_>>(raw.get()).ok()).and_then(|extensions| extensions.h402);
    let signed = |text: Option<&Cow<'_, str>>| text?.parse().ok();
    Ok(SettleAnswer {
        signed: signed(ours.as_ref().and_then(|ours| ours.receipt.as_ref())),
        credit: signed(ours.as_ref().and_then(|ours| ours.credit.as_ref())),
        success: wire.success,
        transaction: transaction(wire.transaction.map(Cow::into_owned))?,
        // Some answer in the other version's spelling.
        network: wire.network.and_then(|text| name::read(&text, version).or_else(|| text.parse().ok())),
        payer: payer(wire.payer.map(Cow::into_owned)),
        amount,
        reason: wire.error_reason.as_deref().map(shorten),
        message: wire.error_message.as_deref().map(shorten),
    })
}

pub(super) fn encode_receipt(answer: &SettleAnswer, version: Version) -> Result<String, WireError> {
    header::encode(&encode_settle(answer, version)?)
}

pub(super) fn decode_receipt(header: &[u8], version: Version) -> Result<SettleAnswer, WireError> {
    decode_settle(&header::decode(header)?, version)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerifyOut<'a> {
    is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifyIn<'a> {
    is_valid: bool,
    #[serde(borrow)]
    invalid_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    invalid_message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payer: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SettleOut<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
    transaction: String,
    network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<ExtensionsOut>,
}

/// Our own additions, where x402 has room for such.
#[derive(Serialize)]
struct ExtensionsOut {
    h402: SignedOut,
}

#[derive(Serialize)]
struct SignedOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit: Option<String>,
}

impl ExtensionsOut {
    fn new(answer: &SettleAnswer) -> Option<Self> {
        let SettleAnswer { signed, credit, .. } = answer;
        let text = |signed: &Option<SignedReceipt>| signed.as_ref().map(ToString::to_string);
        (signed.is_some() || credit.is_some()).then(|| Self { h402: SignedOut { receipt: text(signed), credit: text(credit) } })
    }
}

#[derive(Deserialize)]
struct ExtensionsIn<'a> {
    #[serde(borrow)]
    h402: Option<SignedIn<'a>>,
}

#[derive(Deserialize)]
struct SignedIn<'a> {
    #[serde(borrow)]
    receipt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credit: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettleIn<'a> {
    success: bool,
    #[serde(borrow)]
    error_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error_message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transaction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    extensions: Option<&'a RawValue>,
}
