//! Whether a payment is worth what settling it costs (T172).

use super::EvmEngine;
use alloy_primitives::{U256, U512};
use h402_core::{Amount, Checked, Peg, Proof, Reject, Undecided, VerifyError};

/// How much of a payment may go into settling it. No oracle is asked: prices are the operator's.
///
/// ```
/// use h402_core::Amount;
/// use h402_facilitator::CostLimit;
/// // A coin of 2000 dollars, and half of a payment.
/// let limit = CostLimit { coin_usd: Amount::from_units("2000", 18)?, percent: 50 };
/// // 60 000 gas at 1 gwei are 12 cents; of a token with six decimals a payment must be 24.
/// assert_eq!(limit.least(60_000_000_000_000_u64.try_into()?, 6), Amount::from_atomic(240_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostLimit {
    /// What a coin of the network costs, in 10⁻¹⁸ United States dollars.
    pub coin_usd: Amount,
    /// Hundredths of a payment that settling it may cost, at least one.
    pub percent: u32,
}

impl CostLimit {
    /// The least amount of a token with so many decimals, pegged to the dollar, that is worth a cost in wei. Rounded up.
    #[must_use]
    pub fn least(&self, cost: U256, decimals: u8) -> Amount {
        // At most 256 + 256 + 7 + … bits would not fit; a cost beyond 2¹²⁸ wei is no cost.
        let cost = U512::from(cost.min(U256::from(u128::MAX)));
        let price = U512::from(self.coin_usd.to_u256().min(U256::from(u128::MAX)));
        let units = U512::from(10).pow(U512::from(decimals.min(60)));
        let per_unit = U512::from(10).pow(U512::from(36)) * U512::from(self.percent.max(1));
        let least = (cost * price * units * U512::from(100)).div_ceil(per_unit);
        Amount::from(U256::saturating_from(least))
    }
}

/// Bytes of a settlement of a plain account's authorization, unsigned.
pub(super) const USUAL: usize = 422;
/// What a settlement has besides its call data, in bytes.
const ENVELOPE: usize = 130;

impl EvmEngine {
    /// Refuses a payment that settling would eat up, if the operator has said what a coin costs.
    pub(super) async fn is_worth(&self, checked: &Checked, gas: u64) -> Result<(), VerifyError> {
        let Some(limit) = &self.config.cost_limit else { return Ok(()) };
        let payment = checked.matched();
        let asset = &payment.requirements().offer.asset;
        let (Proof::Authorization { .. } | Proof::Permit2 { .. }, Some(Peg::Usd)) = (payment.proof(), asset.peg) else { return Ok(()) };
        let minimum = limit.least(self.cost(checked, gas).await?, asset.decimals);
        if payment.amount() < minimum { Err(Reject::BelowMinimum { minimum }.into()) } else { Ok(()) }
    }

    /// What settling a payment costs at the price of now.
    async fn cost(&self, checked: &Checked, gas: u64) -> Result<U256, Undecided> {
        let fees = self.config.chain.fees().await?;
        let cost = U256::from(fees.price_now()).saturating_mul(U256::from(gas));
        if !self.config.l1_fee {
            return Ok(cost);
        }
        let input = self.config.chain.settling_call(checked.matched()).map_or(0, |(_, input)| input.len());
        Ok(cost.saturating_add(self.config.chain.l1_fee(input.saturating_add(ENVELOPE)).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: cost in coins times dollars, times a hundred by the share, in units of the token.
    #[test]
    fn the_least_amount_is_what_the_share_makes_it() {
        let dollars = |text| Amount::from_units(text, 18).unwrap();
        let cases = [
            // 0.0001 coins at 3500.25 dollars are 0.350025; at a share of a quarter 1.4001.
            ("3500.25", 25, 100_000_000_000_000_u128, 6, 1_400_100),
            // The same at eighteen decimals.
            ("3500.25", 25, 100_000_000_000_000, 18, 1_400_100_000_000_000_000),
            // One wei is something: it is rounded up.
            ("2000", 100, 1, 6, 1),
            ("2000", 100, 0, 6, 0),
            // A share of more than everything is the operator's to give.
            ("1", 200, 1_000_000_000_000_000_000, 6, 500_000),
        ];
        for (price, percent, cost, decimals, least) in cases {
            let limit = CostLimit { coin_usd: dollars(price), percent };
            assert_eq!(limit.least(U256::from(cost), decimals), Amount::from_atomic(least), "{price} {percent} {cost}");
        }
        let absurd = CostLimit { coin_usd: U256::MAX.into(), percent: 0 };
        assert_eq!(absurd.least(U256::MAX, u8::MAX), U256::MAX.into(), "and never less");
    }
}
