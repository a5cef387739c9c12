//! Payments on Solana: which offer a transaction pays, and whether its payer signed it.

use super::{Proof, matching::narrow};
use crate::{
    Address, Amount, Offer, Reject, Resource, SentSolanaTransaction, SignedSolanaTransaction, SolanaAddress, SolanaReject,
    solana::{Found, SolanaMessage, SolanaPayment, SolanaTransaction, find_transfer},
};
use ed25519_dalek::{Signature, VerifyingKey};
use std::sync::Arc;

/// A signed transaction. Cheap rules first: one signature is checked, and only of what would be accepted.
pub(super) fn select(signed: &SignedSolanaTransaction, candidates: Vec<Arc<Offer>>) -> Result<(Arc<Offer>, Proof), Reject> {
    let transaction = SolanaTransaction::decode(&signed.transaction)?;
    let (offer, payment) = paid(&transaction.message, candidates)?;
    // The payer signs last: alone, or after a sponsor, whose slot is empty or filled with anything (T073, T074).
    let signature = transaction.signatures.last().ok_or(SolanaReject::Signature("there is none"))?;
    verify(&payment.payer, transaction.message.bytes(), signature)?;
    Ok((offer, Proof::SolanaTransaction { transaction, payment, raw: signed.transaction.clone() }))
}

/// A sent transaction: its signature says nothing about what was paid, so there must be one offer on its network.
pub(super) fn select_sent(
    sent: &SentSolanaTransaction,
    mut candidates: Vec<Arc<Offer>>,
    resource: &Resource,
) -> Result<(Arc<Offer>, Proof), Reject> {
    let claim = sent.claim.as_ref().ok_or(SolanaReject::Signature("the resource is not signed by the payer"))?;
    verify(&claim.signer, resource.url.as_bytes(), &claim.signed_message)?;
    match (candidates.pop(), candidates.pop()) {
        (Some(offer), None) => Ok((offer, Proof::SolanaSent { signature: sent.signature, claimant: claim.signer })),
        _ => Err(Reject::Ambiguous),
    }
}

/// The offer that the one transfer of a message pays.
pub(super) fn paid(message: &SolanaMessage, mut candidates: Vec<Arc<Offer>>) -> Result<(Arc<Offer>, SolanaPayment), Reject> {
    let Found { payment, token, creation } = find_transfer(message)?;
    narrow(
        &mut candidates,
        |offer| match token {
            None => offer.asset.is_native(),
            Some(token) => offer.asset.id.address == Address::from(token.mint) && offer.asset.token_program == Some(token.program),
        },
        || Reject::Asset,
    )?;
    if token.is_some_and(|token| candidates.iter().any(|offer| offer.asset.decimals != token.decimals)) {
        return Err(SolanaReject::Instruction("token: the decimals are not the mint's").into());
    }
    let recipient = SolanaReject::Recipient { paid: payment.destination };
    narrow(&mut candidates, |offer| place(offer) == Some(payment.destination), || recipient.clone().into())?;
    let owner = |offer: &Offer| offer.pay_to.solana();
    if candidates.iter().any(|offer| owner(offer) == Some(payment.payer)) {
        return Err(SolanaReject::Instruction("payer and payee are the same").into());
    }
    if let Some(creation) = creation {
        let right = |offer: &Offer| {
            owner(offer) == Some(creation.owner)
                && offer.asset.id.address == Address::from(creation.mint)
                && offer.asset.token_program == Some(creation.program)
        };
        narrow(&mut candidates, right, || SolanaReject::Instruction("the created account is not the payee's").into())?;
    }
    let amount = Amount::from_atomic(u128::from(payment.amount));
    let required = candidates.iter().map(|offer| offer.amount).min().unwrap_or_default();
    let value = SolanaReject::Value { paid: payment.amount, required };
    narrow(&mut candidates, |offer| offer.least() <= amount, || value.into())?;
    match (candidates.pop(), candidates.pop()) {
        (Some(offer), None) => Ok((offer, payment)),
        _ => Err(Reject::Ambiguous),
    }
}

/// Where an offer is paid: the payee's token account, or the payee.
fn place(offer: &Offer) -> Option<SolanaAddress> {
    if offer.asset.is_native() { offer.pay_to.solana() } else { offer.destination }
}

/// One signature, as strictly as the cluster checks it.
fn verify(signer: &SolanaAddress, message: &[u8], signature: &[u8; 64]) -> Result<(), Reject> {
    let key = VerifyingKey::from_bytes(signer.as_bytes()).map_err(|_| SolanaReject::Signature("the signer is no key"))?;
    let wrong = |_| SolanaReject::Signature("it is not the payer's").into();
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(wrong)
}
