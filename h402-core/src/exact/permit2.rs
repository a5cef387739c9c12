//! A transfer through Permit2.

use super::{
    CheckPolicy, EvmFacts, JudgePolicy, Matched, Proof, authorization,
    judge::{enough, simulated},
    matching::narrow,
};
use crate::{Asset, Network, Offer, Permit2Authorization, Reject, Scheme, SignedPermit, SignedPermit2, Undecided, VerifyError, evm};
use alloy_primitives::U256;
use std::sync::Arc;

/// The payload names its token and is for one proxy, so that one offer is left: what was signed decides.
pub(super) fn select(signed: &SignedPermit2, mut candidates: Vec<Arc<Offer>>) -> Result<(Arc<Offer>, Proof), Reject> {
    let terms = &signed.authorization;
    // All candidates have the scheme that the payer named. With another proxy anybody could be paid (T032).
    narrow(&mut candidates, |offer| evm::permit2_proxy(offer.scheme) == terms.spender, || Reject::Spender)?;
    let named = terms.witness.facilitator.is_some();
    let same_form = |offer: &Offer| (offer.scheme == Scheme::Upto) == named;
    narrow(&mut candidates, same_form, || Reject::Malformed("witness.facilitator belongs to upto, and to nothing else"))?;
    narrow(&mut candidates, |offer| offer.asset.id.address == terms.token.into(), || Reject::Asset)?;
    narrow(&mut candidates, |offer| offer.pay_to == terms.witness.to.into(), || Reject::Recipient { paid: terms.witness.to.into() })?;
    let required = candidates.iter().map(|offer| offer.amount).min().unwrap_or_default();
    narrow(&mut candidates, |offer| offer.least() <= terms.amount, || Reject::Value { paid: terms.amount, required })?;
    let (Some(offer), None) = (candidates.pop(), candidates.pop()) else { return Err(Reject::Ambiguous) };
    let Network::Evm(chain_id) = offer.network() else { return Err(Reject::Network(offer.network())) };
    let signature = evm::parse_signature(&signed.signature)?;
    if evm::recover(&signature, &evm::permit2_hash(terms, chain_id))? != terms.from {
        return Err(Reject::Signature("not the payer's signature over a Permit2 transfer"));
    }
    Ok((offer, Proof::Permit2 { authorization: terms.clone(), signature, permit: signed.permit.clone() }))
}

pub(super) fn check(
    asset: &Asset,
    authorization: &Permit2Authorization,
    permit: Option<&SignedPermit>,
    policy: &CheckPolicy,
) -> Result<(), Reject> {
    if authorization.from == authorization.witness.to {
        return Err(Reject::Malformed("payer and payee are the same"));
    }
    authorization::check_times(authorization.witness.valid_after, authorization.deadline, policy)?;
    let Some(SignedPermit { permit, signature }) = permit else { return Ok(()) };
    if asset.permit2612.is_none() {
        return Err(Reject::PayloadType("the token has no permit"));
    }
    if permit.owner != authorization.from || permit.token != authorization.token || permit.spender != evm::PERMIT2 {
        return Err(Reject::Malformed("permit is not the payer's approval of Permit2"));
    }
    if permit.value != authorization.amount {
        return Err(Reject::Malformed("permit is not for the amount of the transfer"));
    }
    authorization::check_times(U256::ZERO, permit.deadline, &CheckPolicy { max_left: u64::MAX, ..*policy })?;
    evm::parse_signature(signature).map(drop)
}

pub(super) fn judge(
    matched: &Matched,
    authorization: &Permit2Authorization,
    approves: bool,
    facts: &EvmFacts,
    policy: &JudgePolicy,
) -> Result<(), VerifyError> {
    // Permit2 asks a contract whether the signature is its own; that may change with every call.
    if facts.payer_has_code {
        return Err(Reject::PayerHasCode.into());
    }
    let now = policy.times.now.max(facts.time.millis());
    let times = CheckPolicy { now, max_left: u64::MAX, ..policy.times };
    authorization::check_times(authorization.witness.valid_after, authorization.deadline, &times)?;
    let permit2 = facts.permit2.ok_or(Undecided::Chain)?;
    if permit2.nonce_used {
        return Err(Reject::AuthorizationUsed.into());
    }
    let amount = matched.amount();
    enough(facts.balance, policy.reserved, amount)?;
    // What the approval sent along is worth, the dry run shows.
    let left = permit2.allowance.saturating_sub(policy.reserved);
    if left < amount && !approves {
        return Err(Reject::Allowance { approved: left, required: amount }.into());
    }
    simulated(facts, policy.max_gas)?;
    Ok(())
}
