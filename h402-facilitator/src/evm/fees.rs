//! What gas costs.

use super::{
    EvmChain, Inner,
    blocks::{Head, latest_call},
    quantity::{Quantity, read},
};
use crate::rpc::Call;
use h402_core::Undecided;
use serde::Deserialize;
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// What a transaction should offer to be mined soon, in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// The most it pays: twice the base fee and the tip.
    pub max_fee_per_gas: u128,
    /// The tip.
    pub max_priority_fee_per_gas: u128,
    /// The chain is older than EIP-1559: a legacy transaction with `max_fee_per_gas` as its gas price is needed.
    pub legacy: bool,
    /// The gas that the transactions of the latest block may use together; none if the node does not say.
    pub block_gas: Option<u64>,
}

impl Fees {
    /// What a unit of gas costs in a block like the last.
    #[must_use]
    pub fn price_now(&self) -> u128 {
        let tip = self.max_priority_fee_per_gas;
        if self.legacy { self.max_fee_per_gas } else { (self.max_fee_per_gas.saturating_sub(tip) / 2).saturating_add(tip) }
    }
}

/// The last fees and when they were read. Those who need them meanwhile wait for the one who asks.
pub(super) type Cache = Mutex<Option<(Instant, Fees)>>;

/// About the time of one block where blocks are fast; where they are slow the fee has room to rise.
const KEPT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct WireHistory {
    #[serde(default)]
    reward: Option<Vec<Vec<Quantity<u128>>>>,
}

impl EvmChain {
    /// What to offer for gas now. Read at most every two seconds, in one HTTP request.
    ///
    /// What the node says is believed: whoever signs sets the limit.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn fees(&self) -> Result<Fees, Undecided> {
        let mut kept = self.inner.fees.lock().await;
        if let Some((read_at, fees)) = *kept
            && read_at.elapsed() < KEPT
        {
            return Ok(fees);
        }
        let fees = self.inner.read_fees().await?;
        *kept = Some((Instant::now(), fees));
        Ok(fees)
    }
}

impl Inner {
    async fn read_fees(&self) -> Result<Fees, Undecided> {
        let none = &[(); 0];
        let calls = [
            latest_call(),
            Call::new("eth_maxPriorityFeePerGas", none),
            Call::new("eth_feeHistory", &("0x5", "latest", [50])),
            Call::new("eth_gasPrice", none),
        ];
        let mut answers = self.ask(calls).await?.into_iter();
        let mut next = || answers.next().and_then(Result::ok);
        let head: Head = read(&next().ok_or(Undecided::Chain)?)?;
        self.times.put(head.hash, head.time);
        let asked_tip = next().and_then(|tip| read::<Quantity<u128>>(&tip).ok()).map(|tip| tip.0);
        let paid_tip = next().and_then(|history| median_tip(read(&history).ok()?));
        let gas_price = next().and_then(|price| read::<Quantity<u128>>(&price).ok()).map(|price| price.0);
        let Some(base_fee) = head.base_fee else {
            let price = gas_price.ok_or(Undecided::Chain)?;
            return Ok(Fees { max_fee_per_gas: price, max_priority_fee_per_gas: price, legacy: true, block_gas: head.gas_limit });
        };
        let tip = asked_tip.or(paid_tip).or(gas_price.map(|price| price.saturating_sub(base_fee))).ok_or(Undecided::Chain)?;
        Ok(Fees {
            max_fee_per_gas: base_fee.saturating_mul(2).saturating_add(tip),
            max_priority_fee_per_gas: tip,
            legacy: false,
            block_gas: head.gas_limit,
        })
    }
}

/// The median over blocks of the median tip in each, blocks without transactions left out.
fn median_tip(history: WireHistory) -> Option<u128> {
    let mut tips: Vec<u128> = history.reward?.iter().filter_map(|block| block.first()).map(|tip| tip.0).filter(|tip| *tip > 0).collect();
    tips.sort_unstable();
    tips.get(tips.len() / 2).copied()
}
