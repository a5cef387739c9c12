//! Refusals as text: h402 has a reason word of 35 and free text; ours starts with a finer word.

use crate::{
    ErrorReason, Reject, SettleError, SolanaReject, TransactionId, Undecided, VerifyError,
    wire::{WireError, json},
    words::PENDING,
};
use serde::{Deserialize, Serialize};

/// Longest text of a peer that is repeated, in characters.
const MAX_TEXT: usize = 256;

/// Every refusal that is nothing but its word.
const PLAIN: [Reject; 31] = [
    Reject::Version,
    Reject::Scheme,
    Reject::Asset,
    Reject::NoOffer,
    Reject::Ambiguous,
    Reject::Domain,
    Reject::ValidAfter,
    Reject::PayerHasCode,
    Reject::Spender,
    Reject::Facilitator,
    Reject::AuthorizationUsed,
    Reject::TransferNotObserved,
    Reject::TooOld,
    Reject::GasWasted,
    Reject::Factory,
    Reject::Payee,
    Reject::Resource,
    Reject::InProgress,
    Reject::AlreadyUsed,
    Reject::DuplicateSettlement { transaction: None },
    Reject::TooManyOpen,
    Reject::Solana(SolanaReject::Signers),
    Reject::Solana(SolanaReject::LookupTables),
    Reject::Solana(SolanaReject::DurableNonce),
    Reject::Solana(SolanaReject::FeePayerUsed),
    Reject::Solana(SolanaReject::FeePayerUnknown),
    Reject::Solana(SolanaReject::FeePayerDiffers),
    Reject::Solana(SolanaReject::Memo),
    Reject::Solana(SolanaReject::FeeWasted),
    Reject::Solana(SolanaReject::NoTransfer),
    Reject::Solana(SolanaReject::TwoTransfers),
];

/// Words of ours that are neither in [`PLAIN`] nor h402's.
const FINER: [&str; 11] = [
    "unsupported_payload_type",
    "permit2_allowance_required",
    "transfer_reverts",
    "unsupported_transaction_type",
    "settlement_cost_exceeds_limit",
    "solana_undecodable",
    "solana_instruction",
    "solana_compute_budget",
    "solana_fee_exceeds_limit",
    "solana_token_account",
    "solana_token_extension",
];

/// Turns a facilitator's refusal back into a [`Reject`]: one of ours by its word, else [`Reject::Other`].
///
/// ```
/// use h402_core::{ErrorReason, Reject, wire::h402::refusal};
/// let text = "payment_in_progress: payment is in progress";
/// assert_eq!(refusal(Some(ErrorReason::InvalidTransactionState), Some(text)), Reject::InProgress);
/// assert_eq!(refusal(None, Some("Insufficient transfer amount")).reason(), ErrorReason::InvalidPayload);
/// ```
#[must_use]
pub fn refusal(reason: Option<ErrorReason>, text: Option<&str>) -> Reject {
    let (word, rest) = split(text.unwrap_or_default());
    if let Some(plain) = PLAIN.into_iter().find(|plain| plain.word() == word) {
        return plain;
    }
    let known = ErrorReason::from_word(word);
    let ours = known.map(ErrorReason::as_str).or_else(|| FINER.into_iter().find(|finer| *finer == word));
    let reason = reason.or(known).unwrap_or(ErrorReason::InvalidPayload);
    match ours {
        Some(word) => Reject::Other { reason, word, text: shorten(rest) },
        None => Reject::Other { reason, word: reason.as_str(), text: shorten(text.unwrap_or("refused without a reason")) },
    }
}

/// The text of a refusal: its word, a colon, its text.
pub(super) fn reject_text(reject: &Reject) -> String {
    format!("{}: {reject}", reject.word())
}

/// The transaction that a refusal names.
pub(super) fn transaction(reject: &Reject) -> Option<TransactionId> {
    match reject {
        Reject::DuplicateSettlement { transaction } => *transaction,
        _ => None,
    }
}

pub(super) fn undecided_text(undecided: &Undecided) -> String {
    format!("{}: {undecided}", undecided.word())
}

pub(super) fn pending_text() -> String {
    format!("{PENDING}: settlement is pending")
}

/// What a failed settlement's reason and text mean.
pub(super) fn settle_error(reason: Option<ErrorReason>, text: Option<&str>, transaction: Option<TransactionId>) -> SettleError {
    let (word, _) = split(text.unwrap_or_default());
    if word == PENDING {
        return SettleError::Pending { transaction };
    }
    if let Some(undecided) = undecided(word) {
        return undecided.into();
    }
    match refusal(reason, text) {
        // Others use this one for whatever went wrong, also after sending: nobody can tell, so it is not a refusal.
        Reject::Other { reason: ErrorReason::UnexpectedSettleError, .. } => SettleError::Pending { transaction },
        Reject::DuplicateSettlement { .. } => {
            SettleError::Rejected { reject: Reject::DuplicateSettlement { transaction }, transaction: None }
        }
        reject => SettleError::Rejected { reject, transaction },
    }
}

/// What a failed verification's reason and text mean.
pub(super) fn verify_error(reason: Option<ErrorReason>, text: Option<&str>, transaction: Option<TransactionId>) -> VerifyError {
    let (word, _) = split(text.unwrap_or_default());
    if let Some(undecided) = undecided(word) {
        return undecided.into();
    }
    match refusal(reason, text) {
        Reject::Other { reason: ErrorReason::UnexpectedVerifyError, .. } => Undecided::Facilitator.into(),
        Reject::DuplicateSettlement { .. } => Reject::DuplicateSettlement { transaction }.into(),
        reject => reject.into(),
    }
}

fn undecided(word: &str) -> Option<Undecided> {
    [Undecided::Busy, Undecided::Deadline, Undecided::Unconfirmed, Undecided::Facilitator]
        .into_iter()
        .find(|undecided| undecided.word() == word)
}

/// The word before the first colon and the text after it; a text without a word has an empty one.
fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(": ").unwrap_or((text, text));
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { (word, rest) } else { ("", text) }
}

/// The first line of a peer's text: further lines tend to be dumps of requests, with what does not belong to others.
pub(in crate::wire) fn shorten(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// An error answer that is neither of `/verify` nor of `/settle`.
///
/// ```
/// use h402_core::wire::h402::{UNKNOWN_PAYMENT, decode_error, encode_error};
/// let body = encode_error(UNKNOWN_PAYMENT, "no such payment");
/// assert_eq!(body, br#"{"error":"unknown_payment","errorMessage":"no such payment"}"#);
/// assert_eq!(decode_error(&body)?.error, UNKNOWN_PAYMENT);
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// A word of ours, or any text of others.
    pub error: String,
    /// Text.
    pub message: Option<String>,
}

/// The word of a facilitator that never took a payment on, with status 404. Any other 404 is a server that does not know
/// the question, and so not the answer.
pub const UNKNOWN_PAYMENT: &str = "unknown_payment";

/// Writes `{"error": word, "errorMessage": text}`.
#[must_use]
pub fn encode_error(word: &str, text: &str) -> Vec<u8> {
    // Two strings always can be written.
    json::write(&ErrorOut { error: word, error_message: text }).unwrap_or_default()
}

/// Reads an error answer, shortened and without control characters.
///
/// # Errors
/// [`WireError`] if there is no text in `error`.
pub fn decode_error(body: &[u8]) -> Result<ErrorAnswer, WireError> {
    let wire: ErrorIn = json::read_bytes(body)?;
    Ok(ErrorAnswer { error: shorten(&wire.error), message: wire.error_message.as_deref().map(shorten) })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorOut<'a> {
    error: &'a str,
    error_message: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorIn {
    error: String,
    error_message: Option<String>,
}
