//! Fees that were paid for others: for payments that failed (T077), and all of a day together (G11).

use super::{
    super::{Shared, budget::start_of_day, strikes::Strikes},
    SolanaEngine,
};
use alloy_primitives::U256;
use h402_core::{Address, Clock, PaymentRow, Settlement, Store, Undecided, UnixMillis, solana::SolanaTransaction};

/// Payments in a page of the ledger.
const PAGE: u32 = 1000;

impl SolanaEngine {
    /// Whether the fee of a stored payment is the sponsor's to pay.
    pub(super) fn pays_for(&self, row: &PaymentRow) -> bool {
        let fee_payer = row.raw.as_deref().and_then(|raw| SolanaTransaction::decode(raw).ok()).map(|known| known.message.fee_payer());
        fee_payer.is_some() && fee_payer == self.config.sponsor() && fee_payer.map(Address::Solana) != Some(row.payer)
    }

    /// Whether a transaction has used up its fee: it is in a block, whatever it did there.
    fn is_charged(row: &PaymentRow) -> bool {
        row.state.is_settled() || matches!(row.state, Settlement::Reverted { .. } | Settlement::Failed { .. })
    }

    /// Notes the fee of a payment that has landed. Each counts as the most that is paid for one.
    pub(super) fn note_fee(&self, at: UnixMillis) {
        self.spent.add(U256::from(self.config.max_fee_lamports), at);
    }

    /// Refuses to pay one more fee than the budget of a day has; what is under way counts.
    pub(super) fn within_budget(&self, now: UnixMillis) -> Result<(), Undecided> {
        let Some(budget) = self.config.daily_budget else { return Ok(()) };
        if !self.payments.is_whole() && self.payments.term().is_some() {
            tracing::error!(network = %self.network(), "more is under way than is held in memory: what that may cost is not known");
            return Err(Undecided::Budget);
        }
        let is_under_way = |row: &PaymentRow| !Self::is_charged(row) && self.pays_for(row);
        let under_way = self.payments.each().iter().filter(|open| is_under_way(&open.news.borrow())).count();
        let open = u64::try_from(under_way).unwrap_or(u64::MAX).saturating_add(1).saturating_mul(self.config.max_fee_lamports);
        if self.spent.within_a_day(now).saturating_add(U256::from(open)) <= U256::from(budget) {
            return Ok(());
        }
        tracing::error!(network = %self.network(), lamports = budget, "the daily budget for fees of others is spent: none is paid for now");
        Err(Undecided::Budget)
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Enters what the ledger says of fees: those of a day, if there is a budget, and of an hour those that were wasted.
    pub(super) async fn load_fees(&self, solana: &SolanaEngine) -> Result<(), Undecided> {
        if solana.config.sponsor().is_none() {
            return Ok(());
        }
        let now = self.clock.now();
        let hour = UnixMillis(now.0.saturating_sub(u64::try_from(Strikes::HOUR.as_millis()).unwrap_or(u64::MAX)));
        for row in self.store.failed(solana.network(), hour, PAGE.saturating_mul(10)).await? {
            if matches!(row.state, Settlement::Reverted { .. } | Settlement::Failed { .. }) && solana.pays_for(&row) {
                solana.wasted.note(row.payer, row.updated_at);
            }
        }
        if solana.config.daily_budget.is_none() {
            return Ok(());
        }
        solana.spent.clear();
        let (since, mut after) = (start_of_day(now), None);
        loop {
            let page = self.store.signed_since(solana.network(), since, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key);
            for row in page.iter().filter(|row| SolanaEngine::is_charged(row) && solana.pays_for(row)) {
                solana.note_fee(row.claimed_at);
            }
        }
    }
}
