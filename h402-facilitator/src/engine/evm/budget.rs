//! What keys may spend on gas within a day (G11).

use super::{
    super::{
        Shared,
        budget::{DAY, start_of_day},
    },
    EvmEngine,
    lane::KeyLane,
};
use alloy_primitives::{B256, U256};
use h402_core::{Clock, EvmAddress, ReceiptFacts, Store, TransactionId, TransactionRow, Undecided, UnixMillis};

/// The parts of a day that the ledger is asked for at a start, so that what was spent early in it lapses early.
const PARTS: u32 = 24;

impl<S: Store, C: Clock> Shared<S, C> {
    /// Enters what a key has spent within the last day, as the ledger has it.
    pub(super) async fn load_spent(&self, evm: &EvmEngine, lane: &KeyLane) -> Result<(), Undecided> {
        if evm.config.daily_budget.is_none() {
            return Ok(());
        }
        let now = self.clock.now();
        let part = DAY / PARTS;
        lane.spent.clear();
        let mut later = U256::ZERO;
        for back in 1..=PARTS {
            let since = UnixMillis(now.0.saturating_sub(u64::try_from((part * back).as_millis()).unwrap_or(u64::MAX)));
            let spent = self.store.spent(evm.network(), &lane.address(), since).await?;
            // As late as it can have been.
            lane.spent.add(spent.saturating_sub(later), since.plus(part));
            later = spent;
        }
        tracing::info!(network = %evm.network(), account = %lane.address(), wei = %later, since = start_of_day(now).0, "spent within a day");
        Ok(())
    }

    /// Notes what a mined transaction of a key has cost, once.
    pub(super) fn note_cost(&self, evm: &EvmEngine, lane: &KeyLane, hash: B256, receipt: &ReceiptFacts) {
        if let Some(cost) = receipt.cost
            && evm.payments.note_cost(TransactionId::Evm(hash), cost)
        {
            lane.spent.add(cost, self.clock.now());
        }
    }

    /// Asks what mined transactions have cost that no payment waits for. Of two with one nonce one was not mined, and cost nothing.
    pub(super) async fn learn_costs(&self, evm: &EvmEngine, sender: EvmAddress, mined: &[&TransactionRow]) -> Result<(), Undecided> {
        let Some(lane) = evm.lane_of(sender) else { return Ok(()) };
        let unknown = mined.iter().filter(|row| row.cost.is_none() && evm.payments.cost(&row.id).is_none());
        let hashes: Vec<B256> = unknown.filter_map(|row| if let TransactionId::Evm(hash) = row.id { Some(hash) } else { None }).collect();
        for (hash, receipt) in hashes.iter().zip(evm.config.chain.receipts(&hashes).await?) {
            if let Some(receipt) = receipt {
                self.note_cost(evm, lane, *hash, &receipt);
            }
        }
        Ok(())
    }

    /// Refuses work while no key may spend what one more settlement can cost.
    pub(super) async fn within_budget(&self, evm: &EvmEngine, named: Option<EvmAddress>) -> Result<(), Undecided> {
        let Some(budget) = evm.config.daily_budget else { return Ok(()) };
        let one = U256::from(evm.one_settlement().await?);
        let now = self.clock.now();
        let mut fits = false;
        for lane in &evm.lanes {
            let over = evm.committed(lane, now).saturating_add(one) > budget;
            lane.set_over_budget(over);
            fits |= !over && named.is_none_or(|named| lane.address() == named);
        }
        if fits {
            return Ok(());
        }
        tracing::error!(network = %evm.network(), wei = %budget, "the daily budget for gas is spent: nothing more is settled for now");
        Err(Undecided::Budget)
    }

    /// Whether a key may sign transactions that can cost so much, each given by its nonce. What is signed holds to it, whatever
    /// was promised before.
    pub(super) fn may_sign(&self, evm: &EvmEngine, lane: &KeyLane, drafts: &[(u64, u128)]) -> bool {
        let Some(budget) = evm.config.daily_budget else { return true };
        let open = evm.carriers.most_with(lane.address(), lane.floor(), drafts.iter().copied());
        let total = lane.spent.within_a_day(self.clock.now()).saturating_add(U256::from(open));
        if total > budget {
            tracing::error!(network = %evm.network(), account = %lane.address(), wei = %budget, "the daily budget for gas does not cover what waits to be signed");
        }
        total <= budget
    }
}

impl EvmEngine {
    /// What a key has spent within a day, and what it may have to pay yet: for all that is signed and not known to be mined,
    /// and for all that waits.
    pub(super) fn committed(&self, lane: &KeyLane, now: UnixMillis) -> U256 {
        let waiting = u128::try_from(lane.queue.len()).unwrap_or(u128::MAX).saturating_mul(lane.gas.one());
        let open = self.carriers.most_from(lane.address(), lane.floor());
        lane.spent.within_a_day(now).saturating_add(U256::from(open.saturating_add(waiting)))
    }
}
