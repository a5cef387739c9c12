//! Whether a key can still pay for gas.

use super::{EvmEngine, lane::KeyLane, worth};
use crate::evm::Fees;
use h402_core::{EvmAddress, Undecided};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a read balance is believed.
const FRESH: Duration = Duration::from_secs(10);
/// Settlements at the configured maximum that a balance must cover before one more is taken on.
const LEAST: u128 = 2;
/// Settlements at the configured maximum below which an operator should hear of it (T145).
const READY: u128 = 20;

/// What a key has left for gas: its balance when it was read, without all that its transactions may cost since then.
#[derive(Debug, Default)]
pub(super) struct GasTank(Mutex<Option<Level>>);

#[derive(Debug, Clone, Copy)]
struct Level {
    read: Instant,
    left: u128,
    /// What one settlement could cost then.
    one: u128,
}

impl GasTank {
    /// Notes that a transaction may cost so much.
    pub(super) fn draw(&self, cost: u128) {
        if let Some(level) = self.level().as_mut() {
            level.left = level.left.saturating_sub(cost);
        }
    }

    /// What is left, if that is not old news.
    fn fresh(&self) -> Option<u128> {
        self.level().filter(|level| level.read.elapsed() < FRESH).map(|level| level.left)
    }

    /// Whether one more settlement can be paid for, as far as is known.
    pub(super) fn has_enough(&self) -> bool {
        self.level().is_some_and(|level| level.left >= level.one)
    }

    /// What is left as far as is known.
    fn left(&self) -> u128 {
        self.level().map_or(0, |level| level.left)
    }

    /// What one settlement could cost at most when that was last asked.
    pub(super) fn one(&self) -> u128 {
        self.level().map_or(0, |level| level.one)
    }

    fn level(&self) -> MutexGuard<'_, Option<Level>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EvmEngine {
    /// Refuses work while no key can pay for it, or not the one that its payer has named; asks the chain again when what is known
    /// is old, or says so.
    pub(super) async fn can_pay(&self, named: Option<EvmAddress>) -> Result<(), Undecided> {
        let needed = self.worth_of(LEAST, self.fees().await?);
        if self.lanes_for(named).any(|lane| lane.gas.fresh().is_some_and(|left| left >= needed)) {
            return Ok(());
        }
        self.fill_tanks().await?;
        self.any_has(named, needed)
    }

    /// The lanes that may settle: all, or that of the key that a payer has named.
    pub(super) fn lanes_for(&self, named: Option<EvmAddress>) -> impl Iterator<Item = &Arc<KeyLane>> {
        self.lanes.iter().filter(move |lane| named.is_none_or(|named| lane.address() == named))
    }

    /// Whether some key has enough for a while.
    pub(super) async fn is_fuelled(&self) -> Result<(), Undecided> {
        let needed = self.worth_of(READY, self.fees().await?);
        self.fill_tanks().await?;
        for lane in self.lanes.iter().filter(|lane| lane.gas.left() < needed) {
            tracing::warn!(network = %self.network(), account = %lane.address(), "key has little left for gas");
        }
        self.any_has(None, needed)
    }

    fn any_has(&self, named: Option<EvmAddress>, needed: u128) -> Result<(), Undecided> {
        if self.lanes_for(named).any(|lane| lane.gas.left() >= needed) { Ok(()) } else { Err(Undecided::Gas) }
    }

    /// The lane for one more settlement: of those whose key can pay for it, as far as is known, the one with the least to
    /// do, the first of equals.
    pub(super) fn lane_for_one(&self) -> Option<&Arc<KeyLane>> {
        let work = |lane: &KeyLane| lane.queue.len() + lane.depth();
        self.lanes.iter().min_by_key(|lane| (!lane.gas.has_enough() || lane.is_over_budget(), work(lane)))
    }

    /// What a key has left. Asks the chain if that seems to be less than `needed`, or is old news.
    pub(super) async fn left(&self, lane: &KeyLane, needed: u128) -> Result<u128, Undecided> {
        if let Some(left) = lane.gas.fresh().filter(|left| *left >= needed) {
            return Ok(left);
        }
        self.fill(lane).await?;
        Ok(lane.gas.left())
    }

    async fn fees(&self) -> Result<Fees, Undecided> {
        let fees = self.config.chain.fees().await?;
        // Settlements are of type 2; on a chain without a base fee they would be refused one by one. The fee that is bid
        // is about twice the base fee; a base fee above the cap would only strand the transaction.
        if fees.legacy || fees.max_fee_per_gas / 2 > self.config.max_fee_per_gas {
            return Err(Undecided::Gas);
        }
        Ok(fees)
    }

    /// What one settlement costs at most, the fee of the chain below included.
    pub(super) async fn one_settlement(&self) -> Result<u128, Undecided> {
        let gas = self.worth_of(1, self.fees().await?);
        if !self.config.l1_fee {
            return Ok(gas);
        }
        let below = self.config.chain.l1_fee(worth::USUAL).await?;
        Ok(gas.saturating_add(u128::try_from(below).unwrap_or(u128::MAX)))
    }

    /// What so many settlements cost at most.
    fn worth_of(&self, settlements: u128, fees: Fees) -> u128 {
        let price = fees.max_fee_per_gas.min(self.config.max_fee_per_gas);
        u128::from(self.config.max_gas).saturating_mul(price).saturating_mul(settlements)
    }

    async fn fill_tanks(&self) -> Result<(), Undecided> {
        let filled = futures_util::future::join_all(self.lanes.iter().map(|lane| self.fill(lane))).await;
        filled.into_iter().collect()
    }

    async fn fill(&self, lane: &KeyLane) -> Result<(), Undecided> {
        let read = Instant::now();
        let one = self.worth_of(1, self.fees().await?);
        let balance = self.config.chain.native_balance(lane.address()).await?;
        // Under the lock, and after a carrier is entered it is drawn: none is left out. What is open may be in that
        // balance already; as if it were not, nothing is spent twice.
        let mut level = lane.gas.level();
        let open = self.carriers.most_from(lane.address(), lane.floor());
        *level = Some(Level { read, left: u128::try_from(balance).unwrap_or(u128::MAX).saturating_sub(open), one });
        Ok(())
    }
}
