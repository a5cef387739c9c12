//! Start: enter what the ledger holds unfinished, and drive on.

use super::{
    super::{Shared, recover},
    SolanaEngine, watch,
};
use h402_core::{Clock, Store, Undecided};
use std::sync::Arc;

/// Recovers a cluster and then watches it. Tries until it succeeds or the engine stops.
pub(in crate::engine) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, solana: Arc<SolanaEngine>) {
    // The first payer that asks should find a blockhash.
    let _first = solana.config.chain.hint();
    while let Err(error) = recover(&shared, &solana).await {
        if !recover::wait(&shared, &solana.payments, &error).await {
            return;
        }
    }
    solana.payments.set_recovered();
    watch::run(shared, solana).await;
}

async fn recover<S: Store, C: Clock>(shared: &Shared<S, C>, solana: &SolanaEngine) -> Result<(), Undecided> {
    solana.ensure_checked(&shared.assets).await?;
    // What is open has its bytes stored: the watcher looks for all of it, and sends again what is not there.
    recover::enter_all(shared, &solana.payments, |row| drop(solana.payments.enter(row))).await
}
