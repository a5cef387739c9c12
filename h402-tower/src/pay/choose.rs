//! Which offer of a 402 is paid.

use super::{
    Cap, Means, Wallet,
    challenge::{Asked, Challenge, Form},
    error::{PayError, Unusable},
};
use crate::chaos::sabotaged;
use alloy_primitives::U512;
use core::cmp::Ordering;
use h402_core::{Address, Amount, AssetId, Dialect, Flow, Requirements};

/// Rules of choice beyond cap and wallet.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Whether offers that are not the first of their scheme and network may be taken.
    pub(super) any_offer: bool,
    /// The only payees, if they are limited (T128).
    pub(super) payees: Option<Vec<Address>>,
}

impl Choice {
    /// Takes the offer with the best means; among equals one whose money moves after the service, then the one that costs the
    /// least share of what its asset is allowed, then the server's first.
    pub(super) fn choose<E>(&self, challenge: Challenge, cap: &Cap, wallet: &impl Wallet) -> Result<(Requirements, Form), PayError<E>> {
        let mut over_cap = None;
        let mut unusable = Vec::new();
        for offers in [challenge.offers, challenge.otherwise] {
            let mut best: Option<Chosen> = None;
            for offer in offers {
                match self.judge(offer, cap, wallet) {
                    Ok(chosen) => {
                        if best.as_ref().is_none_or(|best| chosen.compare(best).is_lt()) {
                            best = Some(chosen);
                        }
                    }
                    Err(Refusal { why, price }) => {
                        over_cap = over_cap.or(price);
                        unusable.push(why);
                    }
                }
            }
            if let Some(Chosen { requirements, form, .. }) = best {
                return Ok((requirements, form));
            }
        }
        match over_cap {
            Some((asset, price, cap)) => Err(PayError::OverCap { asset, price, cap }),
            None => Err(PayError::NothingAffordable(unusable)),
        }
    }

    fn judge(&self, asked: Asked, cap: &Cap, wallet: &impl Wallet) -> Result<Chosen, Refusal> {
        let Asked { requirements, can_be_meant, flow, form } = asked;
        let requirements = requirements.map_err(Unusable::Skipped)?;
        if !can_be_meant && !self.any_offer {
            return Err(Unusable::NotFirst.into());
        }
        let terms = &requirements.offer;
        if self.payees.as_ref().is_some_and(|payees| !payees.contains(&terms.pay_to)) {
            return Err(Unusable::Payee.into());
        }
        let means = wallet.can_pay(&requirements).ok_or_else(|| wallet.why_not(&requirements))?;
        // Only h402 has payments that are EVM transactions.
        if means == Means::EvmTransaction && form.dialect() != Dialect::H402V1 {
            return Err(Unusable::Wallet.into());
        }
        // The assets of a 402 are read from the cap's own table, so there is a limit for each.
        let most = cap.of(&terms.asset.id).unwrap_or(Amount::ZERO);
        if terms.amount > most && !sabotaged("cap.ignore") {
            return Err(Refusal { why: Unusable::OverCap, price: Some((terms.asset.id, terms.amount, most)) });
        }
        Ok(Chosen { means, flow, most, requirements, form })
    }
}

/// An offer that could be paid.
struct Chosen {
    means: Means,
    flow: Flow,
    /// What its asset is allowed.
    most: Amount,
    requirements: Requirements,
    form: Form,
}

impl Chosen {
    fn compare(&self, other: &Self) -> Ordering {
        let later = |chosen: &Self| chosen.flow == Flow::Upfront;
        let product = |one: Amount, two: Amount| U512::from(one.to_u256()) * U512::from(two.to_u256());
        // amount / most < amount' / most', without fractions.
        let share = product(self.requirements.offer.amount, other.most).cmp(&product(other.requirements.offer.amount, self.most));
        self.means.cmp(&other.means).then(later(self).cmp(&later(other))).then(share)
    }
}

struct Refusal {
    why: Unusable,
    /// Asset, price and cap of an offer that only costs too much.
    price: Option<(AssetId, Amount, Amount)>,
}

impl From<Unusable> for Refusal {
    fn from(why: Unusable) -> Self {
        Self { why, price: None }
    }
}
