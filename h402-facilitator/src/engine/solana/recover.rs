//! Start of a term: enter what the ledger holds unfinished, and drive on.

use super::{
    super::{Shared, recover},
    SolanaEngine, watch,
};
use h402_core::{Clock, Store, Undecided};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Recovers a cluster and then watches it. Tries until it succeeds; `None` if the engine stops.
pub(in crate::engine) async fn begin<S: Store, C: Clock>(
    shared: &Arc<Shared<S, C>>,
    solana: &Arc<SolanaEngine>,
    tasks: &mut JoinSet<()>,
) -> Option<()> {
    while let Err(error) = recover(shared, solana).await {
        if !recover::wait(shared, &solana.payments, &error).await {
            return None;
        }
    }
    tasks.spawn(watch::run(shared.clone(), solana.clone()));
    Some(())
}

async fn recover<S: Store, C: Clock>(shared: &Shared<S, C>, solana: &SolanaEngine) -> Result<(), Undecided> {
    solana.ensure_checked(&shared.assets).await?;
    shared.load_fees(solana).await?;
    // What is open has its bytes stored: the watcher looks for all of it, and sends again what is not there.
    recover::enter_some(shared, &solana.payments, |row| solana.resume(row)).await?;
    Ok(())
}
