//! The settlement engine: drives the pure machines of `h402-core` through the store and the chains.
//!
//! Nothing is decided here that the core could decide; nothing is sent that is not stored first.

mod answer;
mod budget;
mod drive;
#[cfg(feature = "evm")]
mod evm;
mod flight;
mod holds;
#[cfg(feature = "evm")]
mod insolvent;
mod lease;
mod local;
mod network;
mod open;
mod payees;
mod probe;
#[cfg(any(feature = "evm", feature = "solana"))]
mod progress;
mod ready;
mod receipt;
mod reconcile;
mod recover;
mod reserve;
mod settle;
mod signal;
#[cfg(feature = "solana")]
mod solana;
mod strikes;
mod supported;
mod verify;
mod wait;

#[cfg(feature = "evm")]
pub use evm::{CostLimit, EvmNetwork, SignError, Signer};
pub use local::LocalFacilitator;
pub use network::{NetworkConfig, NetworkReadiness, Readiness};
pub use payees::Payees;
pub use reconcile::ReconcileConfig;
#[cfg(feature = "solana")]
pub use solana::SolanaNetwork;

pub(crate) use crate::chaos::crash_point;

use crate::{StartError, limit::Limiter, window::Share};
use futures_util::future::join_all;
use h402_core::{
    Address, Assets, CheckPolicy, Clock, Network, PaymentKey, PaymentRow, PaymentTotal, ReceiptKey, Store, TransactionId, Undecided,
    UnixSeconds,
};
use network::NetworkEngine;
use probe::Probe;
use reserve::Reservations;
use signal::Signal;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinHandle,
};

/// Verifies and settles payments on the configured networks. Cheap to clone.
///
/// The ledger is the truth: whatever is claimed survives a crash and is driven on by [`Engine::start`].
///
/// ```
/// # #[cfg(all(feature = "solana", feature = "sqlite"))]
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// use h402_core::{Assets, GenesisPrefix};
/// use h402_facilitator::{Engine, EngineConfig, LocalFacilitator, SolanaNetwork, SystemClock};
/// use h402_facilitator::{rpc::{Rpc, RpcConfig}, solana::{SolanaChain, SolanaConfig}, sqlite::{OpenOptions, SqliteStore}};
///
/// let rpc = Rpc::new(RpcConfig::new(vec!["https://api.devnet.solana.com".parse()?]));
/// let chain = SolanaChain::new(SolanaConfig { genesis: GenesisPrefix::DEVNET, rpc });
/// let config = EngineConfig::new(Assets::known(), vec![SolanaNetwork::new(chain).into()]);
/// let ledger = SqliteStore::open("ledger.sqlite", OpenOptions::default()).await?;
/// let engine = Engine::start(config, ledger, SystemClock).await?;
/// let facilitator = LocalFacilitator::new(engine); // for a gate in this process
/// # Ok(())
/// # }
/// ```
pub struct Engine<S, C> {
    shared: Arc<Shared<S, C>>,
    /// One for each network; they end when the engine stops.
    keepers: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// How an engine is set up. Every limit is on from the start.
#[derive(Debug)]
pub struct EngineConfig {
    /// The only assets that are accepted.
    pub assets: Assets,
    /// The networks, each with its chain and the key that pays for gas or fees.
    pub networks: Vec<NetworkConfig>,
    /// Whether callers without an `Idempotency-Key` exclude each other.
    pub callers: Callers,
    /// Payments that one payer may have open at once in one asset.
    pub max_open_per_payer: usize,
    /// Open payments of one network that are held in memory, about two KiB each. All others are in the ledger only and are
    /// looked at in turn, so that any number may be open; they end later than those that are held.
    pub open_in_memory: usize,
    /// Payments verified at once, and as many settled; more are answered `busy`.
    pub max_concurrent: usize,
    /// Times a second that the chains are asked about payments of one payer; more are answered `busy`. As often again about
    /// those that were verified a moment ago and are settled.
    pub reads_per_payer: u32,
    /// The same of all payers together.
    pub reads_overall: u32,
    /// Whether payments that the payer has already sent are accepted.
    pub accept_sent: bool,
    /// How long a settlement is waited for before it is answered as pending.
    pub answer_within: Duration,
    /// Signs the receipts of settled payments; without it they are not signed.
    pub receipt_key: Option<ReceiptKey>,
    /// How ledger and chain are compared.
    pub reconcile: ReconcileConfig,
}

/// Who calls a facilitator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Anybody: two callers without a key exclude each other.
    Guarded,
    /// Only servers that remember what they were paid with.
    Trusted,
}

impl EngineConfig {
    /// The safe defaults.
    #[must_use]
    pub fn new(assets: Assets, networks: Vec<NetworkConfig>) -> Self {
        Self {
            assets,
            networks,
            callers: Callers::Guarded,
            max_open_per_payer: 16,
            open_in_memory: 16_384,
            max_concurrent: 1024,
            reads_per_payer: 100,
            reads_overall: 2000,
            accept_sent: false,
            answer_within: Duration::from_secs(25),
            receipt_key: None,
            reconcile: ReconcileConfig::default(),
        }
    }
}

/// How long the leases may take to be given back when the engine stops.
const LEAVE: Duration = Duration::from_secs(3);

/// How long a chain may make no block while payments wait for one.
#[cfg(any(feature = "evm", feature = "solana"))]
const MAX_BLOCK_AGE: Duration = Duration::from_secs(30);

/// How long an accepted verify keeps the payer's balance reserved.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

pub(crate) struct Shared<S, C> {
    store: S,
    clock: C,
    assets: Assets,
    networks: BTreeMap<Network, NetworkEngine>,
    reservations: Reservations,
    #[cfg(feature = "evm")]
    insolvent: insolvent::Insolvent,
    reads: Limiter<Address>,
    /// As much again for what was verified a moment ago: strangers take nothing of it.
    promised_reads: Limiter<Address>,
    flights: flight::Flights,
    callers: Callers,
    max_open_per_payer: usize,
    accept_sent: bool,
    answer_within: Duration,
    receipt_key: Option<ReceiptKey>,
    reconcile: ReconcileConfig,
    /// How many differences of ledger and chain nobody has accepted, by network.
    differing: BTreeMap<Network, AtomicU64>,
    /// Places to verify at, and to settle at: settlements that wait for blocks take none from who wants to know.
    verifies: Arc<Semaphore>,
    settles: Arc<Semaphore>,
    max_concurrent: usize,
    started: UnixSeconds,
    phase: Signal<Phase>,
    readiness: Probe<Readiness>,
    totals: Probe<Result<Vec<PaymentTotal>, Undecided>>,
}

/// How far the engine is on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes work.
    Open,
    /// It takes none, and finishes what it has.
    Draining,
    /// Lanes and watchers end; what is unfinished waits in the ledger.
    Stopped,
}

impl<S, C> Clone for Engine<S, C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), keepers: self.keepers.clone() }
    }
}

impl<S, C> std::fmt::Debug for Engine<S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("networks", &self.shared.networks.keys()).finish_non_exhaustive()
    }
}

impl<S: Store, C: Clock> Engine<S, C> {
    /// Checks every network and asset against its chain, then starts driving what the ledger holds unfinished.
    ///
    /// An unreachable chain does not stop the start: the engine is not ready until it answers. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError::Mismatch`] if a chain contradicts the configuration.
    pub async fn start(config: EngineConfig, store: S, clock: C) -> Result<Self, StartError> {
        let shared = Shared::new(config, store, clock).await?;
        let mut keepers = Vec::new();
        for engine in shared.networks.values() {
            engine.accompany(&shared);
            tokio::spawn(reconcile::run(shared.clone(), engine.clone()));
            keepers.push(tokio::spawn(lease::keep(shared.clone(), engine.clone())));
        }
        Ok(Self { shared, keepers: Arc::new(Mutex::new(keepers)) })
    }

    /// The assets that are accepted.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.shared.assets
    }

    /// Whether payers on a network may be contracts.
    #[must_use]
    pub fn takes_contracts(&self, network: Network) -> bool {
        self.shared.networks.get(&network).is_some_and(NetworkEngine::takes_contracts)
    }

    /// The networks that payments are settled on.
    pub fn networks(&self) -> impl Iterator<Item = Network> {
        self.shared.networks.keys().copied()
    }

    /// How a payment stands, by its key or one of its aliases.
    ///
    /// # Errors
    /// [`Undecided::Store`].
    pub async fn payment(&self, key: &PaymentKey) -> Result<Option<PaymentRow>, Undecided> {
        Ok(self.shared.store.payment(key).await?)
    }

    /// How the payment stands that a transaction of this network carries: a payer's own, or one of ours. None if it
    /// carries several, which have to be asked for by their keys.
    ///
    /// # Errors
    /// [`Undecided::Store`].
    pub async fn payment_in(&self, network: Network, transaction: &TransactionId) -> Result<Option<PaymentRow>, Undecided> {
        if let Some(row) = self.payment(&PaymentKey::of_transaction(network, transaction)).await? {
            return Ok(Some(row));
        }
        let carrier = self.shared.store.transaction(network, transaction).await?;
        match carrier.as_ref().map(|carrier| carrier.payments.as_slice()) {
            Some([key]) => self.payment(key).await,
            Some(_) | None => Ok(None),
        }
    }

    /// Payments of a network that are claimed and wait to be signed for: more than a moment's worth means that its keys,
    /// its node or the ledger do not keep up.
    #[must_use]
    pub fn waiting(&self, network: Network) -> usize {
        self.shared.networks.get(&network).map_or(0, NetworkEngine::waiting)
    }

    /// Takes no new work, waits until running requests have their answers or `deadline` has passed, and stops.
    ///
    /// What is not finished stays in the ledger for the next start.
    pub async fn shutdown(&self, deadline: Duration) {
        self.shared.phase.set(Phase::Draining);
        crash_point("shutdown.drain");
        let all = u32::try_from(self.shared.max_concurrent).unwrap_or(u32::MAX);
        // Getting every permit means that nobody works any more; a deadline that passes is the other way to stop.
        let idle = async { tokio::join!(self.shared.verifies.acquire_many(all), self.shared.settles.acquire_many(all)) };
        drop(tokio::time::timeout(deadline, idle).await);
        self.shared.phase.set(Phase::Stopped);
        // They give their leases back, so that another process need not wait until these end.
        let mut keepers = self.keepers.lock().await;
        drop(tokio::time::timeout(LEAVE, join_all(keepers.drain(..))).await);
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Checks every network and asset against its chain; nothing runs yet.
    async fn new(config: EngineConfig, store: S, clock: C) -> Result<Arc<Self>, StartError> {
        let mut networks = BTreeMap::new();
        for network in config.networks {
            let engine = NetworkEngine::check(network, &config.assets, config.open_in_memory).await?;
            networks.insert(engine.network(), engine);
        }
        let started = clock.now().seconds();
        let differing = networks.keys().map(|network| (*network, AtomicU64::new(u64::MAX))).collect();
        let shared = Arc::new(Self {
            store,
            clock,
            assets: config.assets,
            networks,
            reservations: Reservations::default(),
            #[cfg(feature = "evm")]
            insolvent: insolvent::Insolvent::default(),
            reads: Limiter::new(config.reads_per_payer, config.reads_overall, 1),
            promised_reads: Limiter::new(config.reads_per_payer, config.reads_overall, 1),
            flights: flight::Flights::default(),
            callers: config.callers,
            max_open_per_payer: config.max_open_per_payer,
            accept_sent: config.accept_sent,
            answer_within: config.answer_within,
            receipt_key: config.receipt_key,
            reconcile: config.reconcile,
            differing,
            verifies: Arc::new(Semaphore::new(config.max_concurrent)),
            settles: Arc::new(Semaphore::new(config.max_concurrent)),
            max_concurrent: config.max_concurrent,
            started,
            phase: Signal::new(Phase::Open),
            readiness: Probe::default(),
            totals: Probe::default(),
        });
        for network in shared.networks.keys() {
            shared.look(*network).await;
        }
        shared.tell_what_nobody_drives().await;
        Ok(shared)
    }

    /// Payments of a network that was taken out of the configuration stay as they are: an operator has to know.
    async fn tell_what_nobody_drives(&self) {
        let totals = self.store.totals().await.unwrap_or_default();
        let is_open = |state: &str| h402_core::Settlement::OPEN_WORDS.contains(&state);
        for total in totals.iter().filter(|total| !self.networks.contains_key(&total.network) && is_open(total.state)) {
            tracing::error!(network = %total.network, state = total.state, payments = total.count, "network is not configured, and its payments are not over");
        }
    }

    fn policy(&self) -> CheckPolicy {
        CheckPolicy::facilitator(self.clock.now())
    }

    fn network(&self, network: Network) -> Result<&NetworkEngine, h402_core::Reject> {
        self.networks.get(&network).ok_or(h402_core::Reject::Network(network))
    }

    /// Resolves once lanes and watchers are to end.
    async fn stopped(&self) {
        self.phase.wait_for(|phase| *phase == Phase::Stopped).await;
    }

    /// Refuses to ask a chain about a payment for which that is too much, or known to be in vain (T161).
    fn may_ask(&self, payment: &h402_core::Matched, share: Share) -> Result<(), h402_core::VerifyError> {
        #[cfg(feature = "evm")]
        if payment.class() == h402_core::PaymentClass::Payload {
            let asset = payment.requirements().offer.asset.id;
            self.insolvent.refuse(payment.payer(), asset, payment.amount(), self.clock.now())?;
        }
        let reads = if share == Share::Promised { &self.promised_reads } else { &self.reads };
        if reads.take(Some(payment.payer()), 1) { Ok(()) } else { Err(Undecided::Busy.into()) }
    }

    /// One of the bounded places to work at.
    fn admit(&self, places: &Arc<Semaphore>) -> Result<tokio::sync::OwnedSemaphorePermit, Undecided> {
        if *self.phase.borrow() > Phase::Open {
            return Err(Undecided::ShuttingDown);
        }
        places.clone().try_acquire_owned().map_err(|_| Undecided::Busy)
    }
}
