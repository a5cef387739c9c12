//! Start of a term: open the lanes, enter what the ledger holds unfinished, and drive on.

use super::{
    super::{Shared, recover},
    EvmEngine,
    carriers::Carrier,
    lane::{self, KeyLane},
    watch,
};
use h402_core::{Clock, Lane, Store, TransactionRow, Undecided};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Recovers a chain and then runs its lanes and its watcher. Tries until it succeeds; `None` if the engine stops.
pub(in crate::engine) async fn begin<S: Store, C: Clock>(
    shared: &Arc<Shared<S, C>>,
    evm: &Arc<EvmEngine>,
    tasks: &mut JoinSet<()>,
) -> Option<()> {
    while let Err(error) = recover(shared, evm).await {
        if !recover::wait(shared, &evm.payments, &error).await {
            return None;
        }
    }
    for lane in &evm.lanes {
        tasks.spawn(lane::run(shared.clone(), evm.clone(), lane.clone()));
    }
    tasks.spawn(watch::run(shared.clone(), evm.clone()));
    Some(())
}

async fn recover<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, evm: &EvmEngine) -> Result<(), Undecided> {
    evm.ensure_checked(&shared.assets).await?;
    let mut waiting = Vec::new();
    for lane in &evm.lanes {
        waiting.extend(open_lane(shared, evm, lane).await?);
        shared.load_spent(evm, lane).await?;
    }
    shared.load_strikes(evm).await?;
    recover::enter_all(shared, &evm.payments, |row| evm.resume(row)).await?;
    // A stored transaction keeps its nonce whatever became of its payments, so its bytes go out again.
    for row in waiting {
        evm.config.chain.send(&row.raw).await;
    }
    Ok(())
}

/// Opens the lane of one key; what was signed with it goes on there. The stored transactions that are not mined.
async fn open_lane<S: Store, C: Clock>(
    shared: &Arc<Shared<S, C>>,
    evm: &EvmEngine,
    lane: &KeyLane,
) -> Result<Vec<TransactionRow>, Undecided> {
    let sender = lane.address();
    let mined = evm.config.chain.account_nonce(sender).await?;
    let mut stored = shared.store.lane(evm.network(), &sender).await?;
    let carriers: Vec<Carrier> = stored.open.iter().filter_map(Carrier::of).collect();
    lane.open(Lane::open(mined, stored.greatest, carriers.iter().map(|carrier| (carrier.nonce, carrier.hash))));
    for carrier in carriers {
        evm.carriers.enter(carrier);
    }
    stored.open.retain(|row| row.nonce >= mined);
    Ok(stored.open)
}
