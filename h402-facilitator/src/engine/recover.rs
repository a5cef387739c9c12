//! Start: what the ledger holds unfinished is entered before anything new is taken.

use super::{Shared, open::OpenPayments, reserve::Claimant, verify::is_sent_kind};
use h402_core::{Clock, PaymentRow, Settlement, Store, Undecided};
use std::time::Duration;

const PAGE: u32 = 1000;
const RETRY: Duration = Duration::from_millis(500);

/// Says why a network is not recovered yet and waits before the next try; `false` if the engine stops.
pub(super) async fn wait<S: Store, C: Clock>(shared: &Shared<S, C>, payments: &OpenPayments, error: &Undecided) -> bool {
    tracing::warn!(network = %payments.network(), %error, "not recovered yet");
    tokio::select! {
        () = tokio::time::sleep(RETRY) => true,
        () = shared.stopped() => false,
    }
}

/// Reserves for every unfinished payment of a network and hands it to `resume`.
pub(super) async fn enter_all<S: Store, C: Clock>(
    shared: &Shared<S, C>,
    payments: &OpenPayments,
    resume: impl Fn(PaymentRow),
) -> Result<(), Undecided> {
    let mut after = None;
    loop {
        let page = shared.store.unfinished(payments.network(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key);
        for row in page {
            reserve(shared, &row);
            resume(row);
        }
    }
}

fn reserve<S: Store, C: Clock>(shared: &Shared<S, C>, row: &PaymentRow) {
    let claimant = Claimant { payer: row.payer, asset: row.asset, key: row.key, amount: row.amount };
    match row.state {
        Settlement::Included { block, .. } => {
            shared.reservations.settling(claimant);
            shared.reservations.included(row.payer, row.asset, &row.key, block.number, shared.clock.now());
        }
        _ if !is_sent_kind(row.kind) => shared.reservations.settling(claimant),
        _ => {}
    }
}
