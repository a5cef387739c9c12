//! A signed, unsent EVM transaction as a payment.

use super::{Proof, matching::narrow};
use crate::{
    Amount, Network, Offer, Reject, Resource, SignedEvmTransaction,
    evm::{self, Erc20Transfer, EvmTransaction},
};
use alloy_primitives::U256;
use std::sync::Arc;

pub(super) fn select(
    signed: &SignedEvmTransaction,
    mut candidates: Vec<Arc<Offer>>,
    resource: &Resource,
) -> Result<(Arc<Offer>, Proof), Reject> {
    let transaction = EvmTransaction::decode(&signed.raw)?;
    let chain = transaction.chain_id.ok_or(Reject::TransactionKind("no chain id: it could be replayed elsewhere"))?;
    narrow(&mut candidates, |offer| offer.network() == Network::Evm(chain), || Reject::Network(Network::Evm(chain)))?;
    let (offer, paid) = direct_transfer(&transaction.to.map(Into::into), transaction.value, &transaction.input, candidates)?;
    // A signed transaction is a bearer instrument: the resource signature ties it to its owner's request (T050).
    if evm::recover_message(&resource.url, &signed.signed_message)? != transaction.sender {
        return Err(Reject::Signature("the resource is not signed by the sender of the transaction"));
    }
    Ok((offer, Proof::EvmTransaction { transaction, raw: signed.raw.clone(), paid }))
}

/// The offer that a direct transfer pays: native value with empty data, or `transfer` on the token itself.
/// Routers, bundles and anything else that merely contains a transfer do not count (T054, T055, T060).
pub(super) fn direct_transfer(
    to: &Option<crate::Address>,
    value: U256,
    input: &[u8],
    mut candidates: Vec<Arc<Offer>>,
) -> Result<(Arc<Offer>, Amount), Reject> {
    let to = to.ok_or(Reject::TransactionKind("it creates a contract"))?;
    let paid = if input.is_empty() {
        narrow(&mut candidates, |offer| offer.asset.is_native(), || Reject::TransactionKind("no offer takes the native coin"))?;
        narrow(&mut candidates, |offer| offer.pay_to == to, || Reject::Recipient { paid: to })?;
        Amount::from(value)
    } else {
        narrow(&mut candidates, |offer| !offer.asset.is_native() && offer.asset.id.address == to, || Reject::Asset)?;
        let transfer = Erc20Transfer::decode(input)?;
        if !value.is_zero() {
            return Err(Reject::TransactionKind("a token transfer carries no native value"));
        }
        let payee = transfer.to.into();
        narrow(&mut candidates, |offer| offer.pay_to == payee, || Reject::Recipient { paid: payee })?;
        transfer.amount
    };
    let required = candidates.iter().map(|offer| offer.amount).min().unwrap_or_default();
    narrow(&mut candidates, |offer| offer.least() <= paid, || Reject::Value { paid, required })?;
    match (candidates.pop(), candidates.pop()) {
        (Some(offer), None) => Ok((offer, paid)),
        _ => Err(Reject::Ambiguous),
    }
}
