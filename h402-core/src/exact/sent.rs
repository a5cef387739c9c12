//! An EVM transaction that the payer has sent already.

use super::Proof;
use crate::{Offer, Reject, Resource, SentEvmTransaction, evm};
use std::sync::Arc;

/// The hash says nothing about what was paid, so there must be one offer on its network: the chain is asked later.
pub(super) fn select(
    sent: &SentEvmTransaction,
    mut candidates: Vec<Arc<Offer>>,
    resource: &Resource,
) -> Result<(Arc<Offer>, Proof), Reject> {
    let claimant = evm::recover_message(&resource.url, &sent.signed_message)?;
    match (candidates.pop(), candidates.pop()) {
        (Some(offer), None) => Ok((offer, Proof::EvmSent { hash: sent.hash, claimant })),
        _ => Err(Reject::Ambiguous),
    }
}
