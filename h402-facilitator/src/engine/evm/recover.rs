//! Start of a term: open the lanes, enter what the ledger holds unfinished, and drive on.
//!
//! Until it is ready only the ledger is read, and of the chain the nonces of our keys: what that takes does not grow with how
//! slow the node is. What is open is sent again and looked for after that.

use super::{
    super::{Shared, recover},
    EvmEngine,
    carriers::Carrier,
    lane::{self, KeyLane},
    watch,
};
use alloy_primitives::Bytes;
use futures_util::future::join_all;
use h402_core::{Clock, EvmAddress, Lane, Store, Undecided};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Stored transactions that are on their way to the node at once. A node keeps only so many of a key whose nonces it cannot
/// mine yet, so they go in the order of their nonces.
const AT_ONCE: usize = 16;

/// A stored transaction that may not have reached the node.
struct Waiting {
    sender: EvmAddress,
    nonce: u64,
    raw: Bytes,
}

/// Recovers a chain and then runs its lanes and its watcher. Tries until it succeeds; `None` if the engine stops.
pub(in crate::engine) async fn begin<S: Store, C: Clock>(
    shared: &Arc<Shared<S, C>>,
    evm: &Arc<EvmEngine>,
    tasks: &mut JoinSet<()>,
) -> Option<()> {
    let waiting = loop {
        match recover(shared, evm).await {
            Ok(waiting) => break waiting,
            Err(error) if recover::wait(shared, &evm.payments, &error).await => {}
            Err(_) => return None,
        }
    };
    for lane in &evm.lanes {
        tasks.spawn(lane::run(shared.clone(), evm.clone(), lane.clone()));
    }
    tasks.spawn(watch::run(shared.clone(), evm.clone()));
    tasks.spawn(send_again(evm.clone(), waiting));
    Some(())
}

async fn recover<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, evm: &EvmEngine) -> Result<Vec<Waiting>, Undecided> {
    evm.ensure_checked(&shared.assets).await?;
    let mut waiting = Vec::new();
    for lane in &evm.lanes {
        waiting.extend(open_lane(shared, evm, lane).await?);
        shared.load_spent(evm, lane).await?;
    }
    shared.load_strikes(evm).await?;
    recover::enter_all(shared, &evm.payments, |row| evm.resume(row)).await?;
    Ok(waiting)
}

/// A stored transaction keeps its nonce whatever became of its payments, so its bytes go out again. What is mined meanwhile
/// is left out.
async fn send_again(evm: Arc<EvmEngine>, waiting: Vec<Waiting>) {
    for some in waiting.chunks(AT_ONCE) {
        let unmined = some.iter().filter(|sent| evm.lane_of(sent.sender).is_none_or(|lane| sent.nonce >= lane.floor()));
        join_all(unmined.map(|sent| evm.config.chain.send(&sent.raw))).await;
    }
}

/// Opens the lane of one key; what was signed with it goes on there. The stored transactions that are not mined.
async fn open_lane<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, evm: &EvmEngine, lane: &KeyLane) -> Result<Vec<Waiting>, Undecided> {
    let sender = lane.address();
    let mined = evm.config.chain.account_nonce(sender).await?;
    let stored = shared.store.lane(evm.network(), &sender).await?;
    let carriers: Vec<Carrier> = stored.open.iter().filter_map(Carrier::of).collect();
    lane.open(Lane::open(mined, stored.greatest, carriers.iter().map(|carrier| (carrier.nonce, carrier.hash))));
    for carrier in carriers {
        evm.carriers.enter(carrier);
    }
    let unmined = stored.open.into_iter().filter(|row| row.nonce >= mined);
    Ok(unmined.map(|row| Waiting { sender, nonce: row.nonce, raw: row.raw }).collect())
}
