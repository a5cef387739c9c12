//! Start: enter what the ledger holds unfinished, open the lane, and drive on.

use super::{
    Shared,
    evm::{
        lane::{self, Job},
        watch,
    },
    network::NetworkEngine,
    reserve::Claimant,
};
use h402_core::{Clock, Lane, Network, PaymentKind, PaymentRow, Settlement, Store, TransactionId, Undecided};
use std::{sync::Arc, time::Duration};

const PAGE: u32 = 1000;
const RETRY: Duration = Duration::from_millis(500);

/// Recovers a network and then runs its lane and its watcher. Tries until it succeeds or the engine stops.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, network: Network) {
    let Ok(engine) = shared.network(network) else { return };
    let lane = loop {
        match recover(&shared, engine).await {
            Ok(lane) => break lane,
            Err(error) => tracing::warn!(%network, %error, "not recovered yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shared.stopped() => return,
        }
    };
    engine.set_recovered();
    tokio::spawn(lane::run(shared.clone(), network, lane));
    watch::run(shared.clone(), network).await;
}

async fn recover<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, engine: &NetworkEngine) -> Result<Lane, Undecided> {
    engine.ensure_checked(&shared.assets).await?;
    let network = engine.network();
    let sender = engine.config.signer.address();
    let mined = engine.config.chain.account_nonce(sender).await?;
    let stored = shared.store.lane(network, &sender).await?;
    let mut open = Vec::new();
    for row in &stored.open {
        if let TransactionId::Evm(hash) = row.id {
            open.push((row.nonce, hash));
        }
    }
    let lane = Lane::open(mined, stored.greatest, open);
    let mut after = None;
    loop {
        let page = shared.store.unfinished(network, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        for row in page {
            enter(shared, engine, row);
        }
    }
    // A stored transaction keeps its nonce whatever became of its payment, so its bytes go out again.
    for row in stored.open {
        if row.nonce >= mined {
            engine.config.chain.send(&row.raw).await;
        }
    }
    Ok(lane)
}

fn enter<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, engine: &NetworkEngine, row: PaymentRow) {
    let claimant = Claimant { payer: row.payer, asset: row.asset, key: row.key, amount: row.amount };
    match row.state {
        Settlement::Included { block, .. } => {
            shared.reservations.settling(claimant);
            shared.reservations.included(row.payer, row.asset, &row.key, block.number, shared.clock.now());
        }
        _ if row.kind != PaymentKind::EvmSent => shared.reservations.settling(claimant),
        _ => {}
    }
    let claimed = row.state == Settlement::Claimed;
    let known = engine.find(&row.key).is_some();
    let open = engine.enter(row);
    if claimed && !known {
        engine.lane.put(Job { open, gas: engine.config.max_gas });
    }
}
