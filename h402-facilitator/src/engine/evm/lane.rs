//! A lane: what one key settles. It gives nonces, and works on whatever queued while its last send was under way.

use super::{
    super::{Shared, budget::Spent},
    EvmEngine,
    carriers::Carrier,
    company::Company,
    gas::GasTank,
    queue::JobQueue,
    round,
    sign::RETRY,
    signer::Signer,
};
use crate::chaos::{crash_point, sabotaged};
use h402_core::{Clock, EvmAddress, Lane, Store};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Beyond this many nonces the lane asks which of them are mined.
const REMEMBERED: usize = 1024;

/// One key, its nonces, and what waits to be settled by it.
pub(super) struct KeyLane {
    pub signer: Signer,
    pub queue: JobQueue,
    pub gas: GasTank,
    /// How many it settles together.
    pub company: Company,
    /// What it has spent lately.
    pub spent: Spent,
    over_budget: AtomicBool,
    /// Empty until the lane is open.
    nonces: Mutex<Lane>,
}

impl KeyLane {
    pub(super) fn new(signer: Signer) -> Self {
        Self {
            signer,
            queue: JobQueue::default(),
            gas: GasTank::default(),
            company: Company::default(),
            spent: Spent::default(),
            over_budget: AtomicBool::new(false),
            nonces: Mutex::new(Lane::open(0, None, [])),
        }
    }

    pub(super) fn address(&self) -> EvmAddress {
        self.signer.address()
    }

    /// Notes whether it may spend no more for now.
    pub(super) fn set_over_budget(&self, over: bool) {
        self.over_budget.store(over, Ordering::Relaxed);
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// Goes on from where the chain and the ledger are.
    pub(super) fn open(&self, nonces: Lane) {
        *self.nonces() = nonces;
    }

    /// Gives out the next nonce.
    pub(super) fn assign(&self) -> u64 {
        let nonce = self.nonces().assign();
        crash_point("nonce.alloc");
        if sabotaged("nonce.reuse") {
            self.nonces().take_back(nonce);
        }
        nonce
    }

    /// Takes the last nonces back, nothing having been stored under them.
    pub(super) fn take_back(&self, nonces: impl DoubleEndedIterator<Item = u64>) {
        for nonce in nonces.rev() {
            self.nonces().take_back(nonce);
        }
    }

    /// Notes that all nonces below `mined` are.
    pub(super) fn mined(&self, mined: u64) {
        self.nonces().mined(mined);
    }

    /// Notes the transaction that is stored under its nonce.
    pub(super) fn stored(&self, carrier: &Carrier) {
        self.nonces().stored(carrier.nonce, carrier.hash);
        self.gas.draw(carrier.most);
    }

    /// Nonces that are given and not known to be mined.
    pub(super) fn depth(&self) -> usize {
        self.nonces().depth()
    }

    /// Everything below is mined.
    pub(super) fn floor(&self) -> u64 {
        self.nonces().floor()
    }

    fn nonces(&self) -> MutexGuard<'_, Lane> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works a lane's queue until the engine stops.
///
/// Nothing waits for company: what is there is sent, and what comes while the node takes it goes together after it.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>, lane: Arc<KeyLane>) {
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            () = lane.queue.some() => {}
        }
        if lane.depth() > REMEMBERED
            && let Ok(mined) = evm.config.chain.account_nonce(lane.address()).await
        {
            lane.mined(mined);
        }
        let pause = async {
            match round::work(&shared, &evm, &lane).await {
                Ok(stored) => {
                    let sending = stored.into_iter().map(|stored| tokio::spawn(shared.clone().send_carrier(evm.clone(), stored)));
                    // As long as the node's client has patience.
                    drop(futures_util::future::join_all(sending).await);
                }
                Err(round::Trouble) => tokio::time::sleep(RETRY).await,
            }
        };
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            () = pause => {}
        }
    }
}
