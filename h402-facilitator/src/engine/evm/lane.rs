//! A lane: what one key settles. It gives nonces, and works on whatever queued while its last send was under way.

use super::{
    super::{Shared, budget::Spent, crash_point},
    EvmEngine,
    carriers::Carrier,
    gas::GasTank,
    queue::{Job, JobQueue},
    sign::{Carried, Draft, RETRY, Stored},
    signer::Signer,
};
use crate::chaos::sabotaged;
use h402_core::{Clock, EvmAddress, Lane, Settlement, Store};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Jobs that are signed and stored together.
const TOGETHER: usize = 64;
/// Beyond this many nonces the lane asks which of them are mined.
const REMEMBERED: usize = 1024;
/// How long a lane waits for the node to take what it has sent. It is on its way all the same.
const LONGEST_SEND: Duration = Duration::from_secs(2);

/// One key, its nonces, and what waits to be settled by it.
pub(super) struct KeyLane {
    pub signer: Signer,
    pub queue: JobQueue,
    pub gas: GasTank,
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
        let sending = match round(&shared, &evm, &lane).await {
            Ok(stored) => stored.into_iter().map(|stored| {
                let (shared, evm) = (shared.clone(), evm.clone());
                tokio::spawn(async move { shared.send_carrier(&evm, stored).await })
            }),
            Err(Trouble) => {
                tokio::select! {
                    biased;
                    () = shared.stopped() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
                continue;
            }
        };
        let sending = futures_util::future::join_all(sending);
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            // What queues meanwhile goes together.
            sent = tokio::time::timeout(LONGEST_SEND, sending) => drop(sent),
        }
    }
}

/// The store, the chain or the signer did not do its part; the jobs are back in the queue and their nonces free.
struct Trouble;

/// Takes what waits, and stores transactions for it.
async fn round<S: Store, C: Clock>(shared: &Arc<Shared<S, C>>, evm: &EvmEngine, lane: &KeyLane) -> Result<Vec<Stored>, Trouble> {
    let mut jobs = Vec::new();
    for job in lane.queue.take(TOGETHER) {
        if is_wanted(shared, &job) {
            jobs.push(job);
        }
    }
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(fees) = evm.config.chain.fees().await else {
        lane.queue.put_back(jobs);
        return Err(Trouble);
    };
    let mut drafts = Vec::with_capacity(jobs.len());
    let mut drafted = Vec::with_capacity(jobs.len());
    for job in jobs {
        let row = job.open.news.borrow().clone();
        let (Some(to), Some(input)) = (row.asset.address.evm(), row.raw) else { continue };
        let nonce = lane.nonces().assign();
        crash_point("nonce.alloc");
        if sabotaged("nonce.reuse") {
            lane.nonces().take_back(nonce);
        }
        // A third more than the simulation used: storage touched by others meanwhile may cost more.
        let gas_limit = job.gas.saturating_add(job.gas / 3);
        drafts.push(Draft { nonce, to, input, gas_limit, fees, payments: vec![Carried::Open(job.open.clone())] });
        drafted.push(job);
    }
    let nonces: Vec<u64> = drafts.iter().map(|draft| draft.nonce).collect();
    match shared.sign_and_store(evm, lane, drafts).await {
        Ok(stored) => Ok(stored),
        Err(_) => {
            for nonce in nonces.into_iter().rev() {
                lane.nonces().take_back(nonce);
            }
            lane.queue.put_back(drafted);
            Err(Trouble)
        }
    }
}

/// Whether a payment still needs what it was queued for.
fn is_wanted<S: Store, C: Clock>(shared: &Shared<S, C>, job: &Job) -> bool {
    if job.open.term.is_over() {
        return false;
    }
    let row = job.open.news.borrow();
    // What has expired would only burn gas; the watcher ends it once the chain's clock agrees.
    if row.expires.is_some_and(|expires| shared.clock.now().seconds() >= expires) {
        return false;
    }
    match (job.after, row.state) {
        (None, state) => state == Settlement::Claimed,
        (Some(after), state) => !state.is_decided() && state.transaction() == Some(h402_core::TransactionId::Evm(after)),
    }
}
