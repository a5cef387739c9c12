//! Start of a term: open the lanes, enter what the ledger holds unfinished, and drive on.
//!
//! Until it is ready only the ledger is read, and of the chain the nonces of our keys: what that takes does not grow with how
//! slow the node is. What is open is sent again and looked for after that.

use super::{
    super::{Shared, recover},
    EvmEngine,
    carriers::Carrier,
    lane::{self, KeyLane},
    sign::RETRY,
    watch,
};
use futures_util::future::join_all;
use h402_core::{Clock, EvmAddress, Lane, Store, TransactionRow, Undecided};
use std::{ops::RangeInclusive, sync::Arc};
use tokio::task::JoinSet;

/// Stored transactions that are on their way to the node at once. A node keeps only so many of a key whose nonces it cannot
/// mine yet, so they go in the order of their nonces.
const AT_ONCE: usize = 16;
/// Stored transactions that are read together.
const PAGE: u32 = 1000;

/// What of a key may not have reached the node: from the first nonce that is not mined to the last that is stored.
struct Waiting {
    sender: EvmAddress,
    nonces: RangeInclusive<u64>,
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
    tasks.spawn(send_again(shared.clone(), evm.clone(), waiting));
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
    recover::enter_some(shared, &evm.payments, |row| evm.resume(row)).await?;
    Ok(waiting)
}

/// A stored transaction keeps its nonce whatever became of its payments, so its bytes go out again. What is mined meanwhile
/// is left out.
async fn send_again<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>, waiting: Vec<Waiting>) {
    for Waiting { sender, nonces } in waiting {
        let mut from = Some(*nonces.start());
        while let Some(first) = from {
            let Ok(stored) = shared.store.lane(evm.network(), &sender, first, PAGE).await else {
                tokio::time::sleep(RETRY).await;
                continue;
            };
            let mut page = stored.open;
            from = whole_nonces(&mut page, PAGE).filter(|next| nonces.contains(next));
            for some in page.chunks(AT_ONCE) {
                let is_unmined = |row: &&TransactionRow| evm.lane_of(row.sender).is_none_or(|lane| row.nonce >= lane.floor());
                let unmined = some.iter().filter(|row| nonces.contains(&row.nonce)).filter(is_unmined);
                join_all(unmined.map(|row| evm.config.chain.send(&row.raw))).await;
            }
        }
    }
}

/// Cuts a page of stored transactions, in the order of their nonces, so that all rivals for its last nonce are in it; and
/// says from which nonce on there may be more.
pub(super) fn whole_nonces(page: &mut Vec<TransactionRow>, limit: u32) -> Option<u64> {
    if u32::try_from(page.len()).is_ok_and(|length| length < limit) {
        return None;
    }
    let last = page.last()?.nonce;
    let cut = page.partition_point(|row| row.nonce < last);
    if cut == 0 {
        // So many rivals for one nonce are never signed; whoever wrote them, it has to go on.
        return last.checked_add(1);
    }
    page.truncate(cut);
    Some(last)
}

/// Opens the lane of one key; what was signed with it goes on there. None if all that is stored is mined.
async fn open_lane<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, evm: &EvmEngine, lane: &KeyLane) -> Result<Option<Waiting>, Undecided> {
    let sender = lane.address();
    let mined = evm.config.chain.account_nonce(sender).await?;
    let (mut from, mut greatest) = (Some(0), None);
    let mut carriers: Vec<Carrier> = Vec::new();
    evm.carriers.open(sender);
    while let Some(first) = from {
        let mut stored = shared.store.lane(evm.network(), &sender, first, PAGE).await?;
        greatest = stored.greatest;
        from = whole_nonces(&mut stored.open, PAGE);
        for carrier in stored.open.iter().filter_map(Carrier::of) {
            if carriers.len() < evm.payments.room() {
                carriers.push(carrier);
            } else {
                evm.carriers.count(&carrier);
            }
        }
    }
    lane.open(Lane::open(mined, greatest, carriers.iter().map(|carrier| (carrier.nonce, carrier.hash))));
    for carrier in carriers {
        evm.carriers.enter(carrier);
    }
    Ok(greatest.filter(|greatest| *greatest >= mined).map(|greatest| Waiting { sender, nonces: mined..=greatest }))
}
