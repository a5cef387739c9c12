//! What a facilitator's HTTP answers mean. Nothing but a well-formed answer of the right status is believed (T112).

use super::client::Answer;
use h402_core::{
    Attestation, Checked, Claimed, Lookup, Proof, Receipt, ReceiptIssuer, ReceiptPurpose, Reject, SettleError, SignedReceipt, Supported,
    TransactionId, Undecided, Verified, VerifyError,
    wire::h402::{self, VerifyAnswer},
};
use http::StatusCode;

pub(super) fn verify(payment: Checked, answer: &Answer) -> Result<Verified, VerifyError> {
    let read = h402::decode_verify(&answer.body);
    match (answer.status, read) {
        (StatusCode::OK, Ok(read)) => attest(payment, &read),
        (status, Ok(read)) if status.is_client_error() => match read.verdict() {
            // A yes with a status that says no.
            Ok(()) => Err(Undecided::Facilitator.into()),
            Err(error) => Err(error),
        },
        (StatusCode::BAD_REQUEST, Err(_)) => Err(reference_refusal(answer).map_or(Undecided::Facilitator.into(), VerifyError::Rejected)),
        _ => Err(Undecided::Facilitator.into()),
    }
}

/// The reference facilitator refuses with 400 and `{"error": text}` and nothing else.
///
/// Ours adds `errorMessage`, and answers so only to requests that it cannot read: our mistake, not the payer's.
fn reference_refusal(answer: &Answer) -> Option<Reject> {
    let error = h402::decode_error(&answer.body).ok()?;
    if error.message.is_some() { None } else { Some(h402::refusal(None, Some(&error.error))) }
}

/// A yes counts if it does not contradict what was signed.
fn attest(payment: Checked, answer: &VerifyAnswer) -> Result<Verified, VerifyError> {
    answer.verdict()?;
    let matched = payment.matched();
    let sent = match matched.proof() {
        Proof::EvmSent { hash, .. } => Some(TransactionId::Evm(*hash)),
        Proof::SolanaSent { signature, .. } => Some(TransactionId::Solana(*signature)),
        _ => None,
    };
    let contradicts = answer.payer.is_some_and(|payer| payer != matched.payer())
        || answer.class.is_some_and(|class| class != matched.class())
        || sent.is_some() && answer.transaction.is_some_and(|stated| Some(stated) != sent);
    if contradicts {
        return Err(Undecided::Facilitator.into());
    }
    let key = match answer.payment {
        // Only the chain knows which account nonce a transaction used.
        Some(key) if sent.is_some() => key,
        _ => matched.key(),
    };
    let attestation = Attestation { key, aliases: matched.aliases(), payer: matched.payer(), transaction: sent };
    Ok(Verified::attested(payment, attestation))
}

/// What became of a payment. Of a facilitator whose `issuer` is known, a success counts with its signature only (T137).
pub(super) fn settle(payment: &Claimed, answer: &Answer, issuer: Option<&ReceiptIssuer>) -> Result<Receipt, SettleError> {
    let mut receipt = said(payment, answer)?;
    receipt.signed = receipt.signed.filter(|signed| is_of(signed, payment) && signed.unverified().transaction == receipt.transaction);
    match (issuer, &receipt.signed) {
        (None, _) => Ok(receipt),
        (Some(issuer), Some(signed)) if signed.verify(&[*issuer]).is_ok() => Ok(receipt),
        (Some(_), _) => {
            tracing::error!(payment.id = %payment.grant().key, "facilitator reports a success without its signature");
            Err(SettleError::Pending { transaction: Some(receipt.transaction) })
        }
    }
}

/// Whether a receipt says that this payment was settled, and is signed by whoever it says.
fn is_of(signed: &SignedReceipt, payment: &Claimed) -> bool {
    let (matched, said) = (payment.matched(), signed.unverified());
    let offer = &matched.requirements().offer;
    let of_this = (said.payment, said.payer, said.asset, said.amount, said.pay_to)
        == (payment.grant().key, matched.payer(), offer.asset.id, matched.amount(), offer.pay_to);
    of_this && said.purpose == ReceiptPurpose::Settled && signed.verify(&[signed.issuer()]).is_ok()
}

fn said(payment: &Claimed, answer: &Answer) -> Result<Receipt, SettleError> {
    let unknown = SettleError::Pending { transaction: None };
    let Ok(read) = h402::decode_settle(&answer.body) else { return Err(unknown) };
    let payer = payment.matched().payer();
    if read.success && (!answer.status.is_success() || read.payer.is_some_and(|stated| stated != payer)) {
        return Err(SettleError::Pending { transaction: read.transaction });
    }
    match read.receipt(payment.matched().network(), payer) {
        Err(SettleError::Rejected { .. }) if !answer.status.is_success() && !answer.status.is_client_error() => {
            Err(SettleError::Pending { transaction: read.transaction })
        }
        receipt => receipt,
    }
}

pub(super) fn supported(answer: &Answer) -> Result<Supported, Undecided> {
    match answer.status {
        StatusCode::OK => h402::decode_supported(&answer.body).map_err(|_| Undecided::Facilitator),
        _ => Err(Undecided::Facilitator),
    }
}

pub(super) fn lookup(answer: &Answer) -> Result<Lookup, Undecided> {
    match answer.status {
        StatusCode::OK => h402::decode_payment_status(&answer.body).map(Lookup::Known).map_err(|_| Undecided::Facilitator),
        StatusCode::NOT_FOUND => match h402::decode_error(&answer.body) {
            Ok(error) if error.error == h402::UNKNOWN_PAYMENT => Ok(Lookup::Unknown),
            _ => Err(Undecided::Facilitator),
        },
        _ => Err(Undecided::Facilitator),
    }
}
