//! What a facilitator's words mean.

use crate::{
    ErrorReason, Reject, SettleError, TransactionId, Undecided, VerifyError,
    wire::h402::shorten,
    words::{PENDING, heard, is_before_sending, is_no_verdict},
};

/// A word of older programs for what was sent and not seen on chain in time.
const CONFIRMATION_LATE: &str = "settle_exact_svm_transaction_confirmation_timed_out";

/// Turns a word of x402, and the text with it, into a [`Reject`]. Words of programs that are not known here are refusals
/// as well, with nothing but their text.
///
/// ```
/// use h402_core::{ErrorReason, Reject, wire::x402::refusal};
/// assert_eq!(refusal(Some("invalid_exact_evm_nonce_already_used"), None), Reject::AuthorizationUsed);
/// assert_eq!(refusal(Some("invalid_exact_evm_signature"), None).reason(), ErrorReason::EvmSignature);
/// assert_eq!(refusal(Some("out_of_luck"), None).to_string(), "out_of_luck");
/// ```
#[must_use]
pub fn refusal(word: Option<&str>, text: Option<&str>) -> Reject {
    let spoken = text.or(word).unwrap_or("refused without a reason");
    match word {
        Some("invalid_exact_evm_nonce_already_used") => Reject::AuthorizationUsed,
        Some("duplicate_settlement") => Reject::DuplicateSettlement { transaction: None },
        Some("asset_not_deployed_contract") => Reject::Asset,
        Some("invalid_exact_evm_token_name_mismatch" | "invalid_exact_evm_token_version_mismatch") => Reject::Domain,
        Some("invalid_x402_version") => Reject::Version,
        Some(word) => match heard(word) {
            Some((word, reason)) => Reject::Other { reason, word, text: shorten(spoken) },
            None => other(spoken),
        },
        None => other(spoken),
    }
}

fn other(text: &str) -> Reject {
    let reason = ErrorReason::InvalidPayload;
    Reject::Other { reason, word: reason.as_str(), text: shorten(text) }
}

/// What a failed verification means. The words for "unexpected" are nobody's verdict.
pub(super) fn verify_error(word: Option<&str>, text: Option<&str>) -> VerifyError {
    if word.is_some_and(is_no_verdict) { Undecided::Facilitator.into() } else { refusal(word, text).into() }
}

/// What a failed settlement means. What may have been sent is not refused.
pub(super) fn settle_error(word: Option<&str>, text: Option<&str>, transaction: Option<TransactionId>) -> SettleError {
    let unknown = |word| word == PENDING || is_no_verdict(word) || word == CONFIRMATION_LATE;
    // Programs that lose their node after they have sent say that something failed, and name no transaction (T007).
    let sent = transaction.is_none() && !word.is_some_and(is_before_sending);
    if word.is_some_and(unknown) || sent {
        return SettleError::Pending { transaction };
    }
    match refusal(word, text) {
        Reject::DuplicateSettlement { .. } => Reject::DuplicateSettlement { transaction }.into(),
        reject => SettleError::Rejected { reject, transaction },
    }
}
