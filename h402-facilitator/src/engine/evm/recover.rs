//! Start: open the lane, enter what the ledger holds unfinished, and drive on.

use super::{
    super::{Shared, recover},
    EvmEngine, lane, watch,
};
use h402_core::{Clock, Lane, Store, TransactionId, Undecided};
use std::sync::Arc;

/// Recovers a chain and then runs its lane and its watcher. Tries until it succeeds or the engine stops.
pub(in crate::engine) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>) {
    let lane = loop {
        match recover(&shared, &evm).await {
            Ok(lane) => break lane,
            Err(error) => {
                if !recover::wait(&shared, &evm.payments, &error).await {
                    return;
                }
            }
        }
    };
    evm.payments.set_recovered();
    tokio::spawn(lane::run(shared.clone(), evm.clone(), lane));
    watch::run(shared, evm).await;
}

async fn recover<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, evm: &EvmEngine) -> Result<Lane, Undecided> {
    evm.ensure_checked(&shared.assets).await?;
    let sender = evm.config.signer.address();
    let mined = evm.config.chain.account_nonce(sender).await?;
    let stored = shared.store.lane(evm.network(), &sender).await?;
    let mut open = Vec::new();
    for row in &stored.open {
        if let TransactionId::Evm(hash) = row.id {
            open.push((row.nonce, hash));
        }
    }
    let lane = Lane::open(mined, stored.greatest, open);
    recover::enter_all(shared, &evm.payments, |row| evm.resume(row)).await?;
    // A stored transaction keeps its nonce whatever became of its payment, so its bytes go out again.
    for row in stored.open {
        if row.nonce >= mined {
            evm.config.chain.send(&row.raw).await;
        }
    }
    Ok(lane)
}
