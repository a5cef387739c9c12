//! Which offer of a 402 is paid.

use super::{
    Cap, Means, Wallet,
    error::{PayError, Unusable},
};
use crate::chaos::sabotaged;
use h402_core::{
    Address, Amount, AssetId, Requirements,
    wire::h402::{ReadChallenge, ReadOffer},
};

/// Rules of choice beyond cap and wallet.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Whether offers that are not the first of their scheme and network may be taken.
    pub(super) any_offer: bool,
    /// The only payees, if they are limited (T128).
    pub(super) payees: Option<Vec<Address>>,
}

impl Choice {
    /// Takes the offer with the best means; among equals the server's first.
    pub(super) fn choose<E>(&self, challenge: ReadChallenge, cap: &Cap, wallet: &impl Wallet) -> Result<Requirements, PayError<E>> {
        let mut best: Option<(Means, Requirements)> = None;
        let mut over_cap = None;
        let mut unusable = Vec::new();
        for offer in challenge.offers {
            match self.judge(offer, cap, wallet) {
                Ok((means, requirements)) => {
                    if best.as_ref().is_none_or(|(least, _)| means < *least) {
                        best = Some((means, requirements));
                    }
                }
                Err(Refusal { why, price }) => {
                    over_cap = over_cap.or(price);
                    unusable.push(why);
                }
            }
        }
        match (best, over_cap) {
            (Some((_, requirements)), _) => Ok(requirements),
            (None, Some((asset, price, cap))) => Err(PayError::OverCap { asset, price, cap }),
            (None, None) => Err(PayError::NothingAffordable(unusable)),
        }
    }

    fn judge(&self, offer: ReadOffer, cap: &Cap, wallet: &impl Wallet) -> Result<(Means, Requirements), Refusal> {
        let requirements = offer.requirements.map_err(Unusable::Skipped)?;
        if !offer.first_of_network && !self.any_offer {
            return Err(Unusable::NotFirst.into());
        }
        let terms = &requirements.offer;
        if self.payees.as_ref().is_some_and(|payees| !payees.contains(&terms.pay_to)) {
            return Err(Unusable::Payee.into());
        }
        let means = wallet.can_pay(&requirements).ok_or_else(|| wallet.why_not(&requirements))?;
        // The assets of a 402 are read from the cap's own table, so there is a limit for each.
        let most = cap.of(&terms.asset.id).unwrap_or(Amount::ZERO);
        if terms.amount > most && !sabotaged("cap.ignore") {
            return Err(Refusal { why: Unusable::OverCap, price: Some((terms.asset.id, terms.amount, most)) });
        }
        Ok((means, requirements))
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
