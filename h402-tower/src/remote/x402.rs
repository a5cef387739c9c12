//! What a facilitator of x402 is asked, and what its answers mean. Its programs answer with all kinds of statuses, so the JSON
//! says what is meant; but a yes counts with the status of a yes only.

use super::{answer::vouched, client::Answer};
use h402_core::{
    Checked, Claimed, Dialect, Matched, PaymentPayload, Proof, Receipt, Reject, Requirements, SettleError, SolanaHints, Undecided,
    Verified, VerifyError,
    wire::{
        WireError,
        x402::{Accepted, Extensions, SettleAnswer, Terms, v1, v2},
    },
};
use std::sync::Arc;

/// Writes the question about a payment, whatever dialect its payer speaks.
pub(super) fn question(payment: &Matched, dialect: Dialect) -> Result<Vec<u8>, WireError> {
    let terms = terms(payment);
    let payload = PaymentPayload { dialect, resource: None, ..payment.payload().clone() };
    if dialect == Dialect::X402V1 {
        return v1::encode_request(&payload, &terms);
    }
    let accepted = Accepted::of(&terms).map_err(|_| WireError::Field("x402 cannot say these terms"))?;
    let resource = Some((*terms.requirements.resource).clone());
    v2::encode_request(&v2::Payment { payload, accepted, resource, extensions: Extensions::default() }, &terms)
}

/// What is to be paid. Facilitators of x402 take what was signed and nothing else, so it is what they are told: that it is
/// enough was seen before. Who pays the fee of a Solana transaction, and who
/// settles `upto`, is theirs to recognize.
fn terms(payment: &Matched) -> Terms {
    let mut requirements: Requirements = payment.requirements().clone();
    Arc::make_mut(&mut requirements.offer).amount = payment.amount();
    match payment.proof() {
        Proof::SolanaTransaction { payment, .. } => {
            requirements.solana = Some(SolanaHints { fee_payer: Some(payment.fee_payer), ..SolanaHints::default() });
        }
        Proof::Permit2 { authorization, .. } => requirements.facilitator = authorization.witness.facilitator,
        _ => {}
    }
    requirements.into()
}

pub(super) fn verify(payment: Checked, answer: &Answer) -> Result<Verified, VerifyError> {
    // Both versions spell it alike.
    let Ok(read) = v2::decode_verify(&answer.body) else { return Err(Undecided::Facilitator.into()) };
    read.verdict()?;
    let payer = payment.matched().payer();
    if !answer.status.is_success() || read.payer.is_some_and(|stated| stated != payer) {
        return Err(Undecided::Facilitator.into());
    }
    let key = payment.matched().key();
    Ok(vouched(payment, key, None))
}

pub(super) fn settle(payment: &Claimed, answer: &Answer, dialect: Dialect) -> Result<Receipt, SettleError> {
    let read = if dialect == Dialect::X402V1 { v1::decode_settle(&answer.body) } else { v2::decode_settle(&answer.body) };
    let Ok(read) = read else { return Err(SettleError::Pending { transaction: None }) };
    let SettleAnswer { success, transaction, payer: stated, .. } = &read;
    let (payer, open) = (payment.matched().payer(), Err(SettleError::Pending { transaction: *transaction }));
    if *success && (!answer.status.is_success() || stated.is_some_and(|stated| stated != payer)) {
        return open;
    }
    match read.receipt(payment.matched().network(), payer) {
        // It keeps no list of who asked: the payment may have been settled for us, and the answer lost.
        Err(SettleError::Rejected { reject: Reject::AuthorizationUsed | Reject::DuplicateSettlement { .. }, .. }) => open,
        Err(SettleError::Rejected { .. }) if answer.status.is_server_error() => open,
        said => said,
    }
}
