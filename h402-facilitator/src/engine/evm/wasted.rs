//! Gas that was burnt for payments which failed although they had been tried before (T169).

use super::{
    super::{Shared, strikes::Strikes},
    EvmEngine,
};
use alloy_primitives::{B256, U256};
use h402_core::{Clock, PaymentRow, Settlement, Store, TransactionId, Undecided, UnixMillis};
use std::sync::PoisonError;

/// Failures of an hour that are entered at a start. With more than these an hour somebody has stopped it before.
const ENTERED: u32 = 10_000;

impl EvmEngine {
    /// Notes that a settlement of ours has failed in a block.
    pub(in crate::engine) fn wasted(&self, row: &PaymentRow, transaction: &TransactionId, now: UnixMillis) {
        if !row.kind.is_carried() {
            return;
        }
        self.strikes.note(row.payer, now);
        self.contract_strikes.note(row.payer, now);
        self.burn(row, transaction);
    }

    /// Notes that a mined transaction of many has missed one of them, which may be settled yet. A payer who had code in that
    /// block, where it had none when it was tried out, may have done harm to all of them.
    pub(super) fn missed(&self, row: &PaymentRow, transaction: B256, has_code: bool, now: UnixMillis) {
        let Some(carrier) = self.carriers.find(&transaction) else { return };
        let Some(lane) = self.lane_of(carrier.sender) else { return };
        if !lane.company.note(transaction, carrier.payments.len(), row.key) {
            return;
        }
        if has_code {
            self.strikes.note(row.payer, now);
            self.contract_strikes.note(row.payer, now);
        }
        self.burn(row, &TransactionId::Evm(transaction));
    }

    /// Adds a payment's share of what its transaction has cost.
    fn burn(&self, row: &PaymentRow, transaction: &TransactionId) {
        let carrier = if let TransactionId::Evm(hash) = transaction { self.carriers.find(hash) } else { None };
        let members = carrier.map_or(1, |carrier| carrier.payments.len().max(1));
        let cost = self.payments.cost(transaction).unwrap_or_default() / U256::from(members);
        let mut burnt = self.burnt.lock().unwrap_or_else(PoisonError::into_inner);
        *burnt = burnt.saturating_add(cost);
        tracing::warn!(network = %self.network(), payer = %row.payer, wei = %cost, wei_since_start = %*burnt, "gas was burnt for nothing");
    }

    /// What was spent on payments that failed, in wei since the start.
    pub(in crate::engine) fn burnt(&self) -> U256 {
        *self.burnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Enters the failures of the last hour, so that a restart forgives nobody.
    pub(super) async fn load_strikes(&self, evm: &EvmEngine) -> Result<(), Undecided> {
        let lately = u64::try_from(Strikes::HOUR.as_millis()).unwrap_or(u64::MAX);
        let since = UnixMillis(self.clock.now().0.saturating_sub(lately));
        for row in self.store.failed(evm.network(), since, ENTERED).await? {
            if row.kind.is_carried() && matches!(row.state, Settlement::Reverted { .. } | Settlement::Failed { .. }) {
                evm.strikes.note(row.payer, row.updated_at);
                evm.contract_strikes.note(row.payer, row.updated_at);
            }
        }
        Ok(())
    }
}
