//! Which offer a payload pays.

use super::{Matched, PayerSignature, Proof, permit2, sent, solana, transaction};
use crate::{
    Dialect, GenesisPrefix, Network, Offer, Offers, Payload, PaymentPayload, Reject, Requirements, Resource, SignedAuthorization,
    SolanaReject, TransferMethod, evm,
};
use std::sync::Arc;

/// Signatures are recovered against at most this many token domains.
const MAX_CANDIDATES: usize = 8;

/// The offer that is paid, with as much or more.
pub(super) fn find(
    payload: PaymentPayload,
    offers: &Offers,
    resource: &Arc<Resource>,
    lifetime_seconds: Option<u64>,
    contracts: bool,
) -> Result<Matched, Reject> {
    let tied = matches!(payload.payload, Payload::EvmTransaction(_) | Payload::EvmSent(_) | Payload::SolanaSent(_));
    if resource.url.is_empty() && tied {
        return Err(Reject::Requirements("resource is missing, and this payload type is tied to its payer by it"));
    }
    let mut candidates: Vec<Arc<Offer>> = offers.iter().cloned().collect();
    narrow(&mut candidates, |offer| offer.scheme == payload.scheme, || Reject::Scheme)?;
    let anywhere = names_any_cluster(&payload, &candidates);
    let here = |offer: &Offer| offer.network() == payload.network || anywhere && matches!(offer.network(), Network::Solana(_));
    narrow(&mut candidates, here, || Reject::Network(payload.network))?;
    let permit2 = matches!(payload.payload, Payload::Permit2(_));
    let by_permit2 = |offer: &Offer| (offer.method == TransferMethod::Permit2) == permit2;
    narrow(&mut candidates, by_permit2, || Reject::PayloadType(if permit2 { "no offer takes Permit2" } else { "only Permit2 is taken" }))?;
    let (offer, proof) = match &payload.payload {
        Payload::Authorization(signed) => authorization(signed, candidates, contracts)?,
        Payload::Permit2(signed) => permit2::select(signed, candidates)?,
        Payload::EvmTransaction(signed) => transaction::select(signed, candidates, resource)?,
        Payload::EvmSent(signed) => sent::select(signed, candidates, resource)?,
        Payload::SolanaTransaction(signed) => solana::select(signed, candidates)?,
        Payload::SolanaSent(sent) => solana::select_sent(sent, candidates, resource)?,
    };
    let requirements = Requirements { offer, resource: resource.clone(), lifetime_seconds, solana: None, facilitator: None };
    Ok(Matched { payload, requirements, proof })
}

/// As [`find`], and for the amount that the dialect takes.
pub(super) fn select(
    payload: PaymentPayload,
    offers: &Offers,
    resource: &Arc<Resource>,
    lifetime_seconds: Option<u64>,
    contracts: bool,
) -> Result<Matched, Reject> {
    let matched = find(payload, offers, resource, lifetime_seconds, contracts)?;
    if is_to_the_unit(&matched.payload) && matched.amount() != matched.requirements.offer.amount {
        return Err(overpaid(&matched));
    }
    Ok(matched)
}

/// Whether more than the price is refused as less is: x402 takes equality only, but for its first programs on EVM chains.
fn is_to_the_unit(payload: &PaymentPayload) -> bool {
    match payload.dialect {
        Dialect::H402V1 => false,
        Dialect::X402V1 => matches!(payload.network, Network::Solana(_)),
        Dialect::X402V2 => true,
    }
}

fn overpaid(matched: &Matched) -> Reject {
    let required = matched.requirements.offer.amount;
    match &matched.proof {
        Proof::SolanaTransaction { payment, .. } => SolanaReject::Value { paid: payment.amount, required }.into(),
        _ => Reject::Value { paid: matched.amount(), required },
    }
}

/// The reference client says `mainnet` whatever cluster the offer was of. Where none of mainnet is offered that may mean
/// another: a transaction lives by a blockhash of one cluster and by no other's.
fn names_any_cluster(payload: &PaymentPayload, candidates: &[Arc<Offer>]) -> bool {
    payload.dialect == Dialect::H402V1
        && payload.network == Network::Solana(GenesisPrefix::MAINNET)
        && candidates.iter().all(|offer| offer.network() != payload.network)
}

/// Keeps the offers that agree; if none does, says with what.
pub(super) fn narrow(
    candidates: &mut Vec<Arc<Offer>>,
    agrees: impl Fn(&Offer) -> bool,
    otherwise: impl FnOnce() -> Reject,
) -> Result<(), Reject> {
    candidates.retain(|offer| agrees(offer));
    if candidates.is_empty() { Err(otherwise()) } else { Ok(()) }
}

/// The payload names no token: the one whose domain the payer signed for is paid.
fn authorization(signed: &SignedAuthorization, mut candidates: Vec<Arc<Offer>>, contracts: bool) -> Result<(Arc<Offer>, Proof), Reject> {
    let terms = &signed.authorization;
    narrow(&mut candidates, |offer| offer.asset.eip3009.is_some(), || Reject::PayloadType("no offer takes an authorization"))?;
    narrow(&mut candidates, |offer| offer.pay_to == terms.to.into(), || Reject::Recipient { paid: terms.to.into() })?;
    let required = candidates.iter().map(|offer| offer.amount).min().unwrap_or_default();
    narrow(&mut candidates, |offer| offer.least() <= terms.value, || Reject::Value { paid: terms.value, required })?;
    let proof = |signature| Proof::Authorization { authorization: terms.clone(), signature };
    let of_contract = || match candidates.as_slice() {
        [offer] if contracts && signed.signature.len() <= PayerSignature::MAX_CONTRACT => {
            Some((offer.clone(), proof(PayerSignature::Contract(signed.signature.clone()))))
        }
        _ => None,
    };
    // An account's own key comes first; only what that has not signed is for a contract to judge.
    let contract = of_contract();
    let signature = match (evm::parse_signature(&signed.signature), contract.clone()) {
        (Ok(signature), _) => signature,
        (Err(_), Some(contract)) => return Ok(contract),
        (Err(refused), None) => return Err(refused),
    };
    let mut paid = Vec::new();
    for offer in candidates.into_iter().take(MAX_CANDIDATES) {
        let Some(domain) = offer.asset.eip712_domain() else { continue };
        let hash = evm::transfer_with_authorization_hash(terms, &domain);
        if evm::recover(&signature, &hash).is_ok_and(|signer| signer == terms.from) {
            paid.push(offer);
        }
    }
    match (paid.pop(), paid.pop()) {
        (Some(offer), None) => Ok((offer, proof(PayerSignature::Account(signature)))),
        (Some(_), Some(_)) => Err(Reject::Ambiguous),
        (None, _) => contract.ok_or(Reject::Signature("not the payer's signature over an offered token")),
    }
}
