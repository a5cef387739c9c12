//! The settlement engine: drives the pure machines of `h402-core` through the store and the chains.
//!
//! Nothing is decided here that the core could decide; nothing is sent that is not stored first.

mod answer;
mod drive;
#[cfg(feature = "evm")]
mod evm;
mod flight;
mod local;
mod network;
mod open;
mod recover;
mod reserve;
mod settle;
#[cfg(feature = "solana")]
mod solana;
mod verify;

#[cfg(feature = "evm")]
pub use evm::{EvmNetwork, SignError, Signer};
pub use local::LocalFacilitator;
pub use network::{NetworkConfig, NetworkReadiness, Readiness};
#[cfg(feature = "solana")]
pub use solana::SolanaNetwork;

use crate::StartError;
use futures_util::future::join_all;
use h402_core::{
    Assets, CheckPolicy, Clock, Network, PaymentKey, PaymentRow, Store, Supported, SupportedKind, TransactionId, Undecided, UnixSeconds,
};
use network::NetworkEngine;
use reserve::Reservations;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch as signal};

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
    /// Requests worked on at once; more are answered `busy`.
    pub max_concurrent: usize,
    /// Whether payments that the payer has already sent are accepted.
    pub accept_sent: bool,
    /// How long a settlement is waited for before it is answered as pending.
    pub answer_within: Duration,
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
            max_concurrent: 1024,
            accept_sent: false,
            answer_within: Duration::from_secs(25),
        }
    }
}

/// How long an accepted verify keeps the payer's balance reserved.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

pub(crate) struct Shared<S, C> {
    store: S,
    clock: C,
    assets: Assets,
    networks: BTreeMap<Network, NetworkEngine>,
    reservations: Reservations,
    flights: flight::Flights,
    callers: Callers,
    max_open_per_payer: usize,
    accept_sent: bool,
    answer_within: Duration,
    permits: Arc<Semaphore>,
    max_concurrent: usize,
    started: UnixSeconds,
    phase: signal::Sender<Phase>,
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
        Self { shared: self.shared.clone() }
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
        let mut networks = BTreeMap::new();
        for network in config.networks {
            let engine = NetworkEngine::check(network, &config.assets).await?;
            networks.insert(engine.network(), engine);
        }
        let started = clock.now().seconds();
        let shared = Arc::new(Shared {
            store,
            clock,
            assets: config.assets,
            networks,
            reservations: Reservations::default(),
            flights: flight::Flights::default(),
            callers: config.callers,
            max_open_per_payer: config.max_open_per_payer,
            accept_sent: config.accept_sent,
            answer_within: config.answer_within,
            permits: Arc::new(Semaphore::new(config.max_concurrent)),
            max_concurrent: config.max_concurrent,
            started,
            phase: signal::Sender::new(Phase::Open),
        });
        for engine in shared.networks.values() {
            match engine {
                #[cfg(feature = "evm")]
                NetworkEngine::Evm(evm) => tokio::spawn(evm::run(shared.clone(), evm.clone())),
                #[cfg(feature = "solana")]
                NetworkEngine::Solana(solana) => tokio::spawn(solana::run(shared.clone(), solana.clone())),
            };
        }
        Ok(Self { shared })
    }

    /// The assets that are accepted.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.shared.assets
    }

    /// The networks that payments are settled on.
    pub fn networks(&self) -> impl Iterator<Item = Network> {
        self.shared.networks.keys().copied()
    }

    /// What can be verified and settled here, with fresh hints for payers. Waits half a second at most, for what payers on
    /// Solana need if nobody has asked for it lately.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn supported(&self) -> Supported {
        let kinds = self.shared.networks.iter().map(async |(network, engine)| SupportedKind {
            dialect: h402_core::Dialect::H402V1,
            scheme: h402_core::Scheme::Exact,
            network: *network,
            solana: engine.hints().await,
        });
        Supported { kinds: join_all(kinds).await, reserves: true }
    }

    /// How a payment stands, by its key or one of its aliases.
    ///
    /// # Errors
    /// [`Undecided::Store`].
    pub async fn payment(&self, key: &PaymentKey) -> Result<Option<PaymentRow>, Undecided> {
        Ok(self.shared.store.payment(key).await?)
    }

    /// How the payment stands that a transaction of this network carries: a payer's own, or one of ours.
    ///
    /// # Errors
    /// [`Undecided::Store`].
    pub async fn payment_in(&self, network: Network, transaction: &TransactionId) -> Result<Option<PaymentRow>, Undecided> {
        if let Some(row) = self.payment(&PaymentKey::of_transaction(network, transaction)).await? {
            return Ok(Some(row));
        }
        let carrier = self.shared.store.transaction(network, transaction).await?;
        match carrier.and_then(|carrier| carrier.payments.first().copied()) {
            Some(key) => self.payment(&key).await,
            None => Ok(None),
        }
    }

    /// Whether payments can be taken now: store, chains, which chains they are, assets, and the coin for gas and fees.
    pub async fn ready(&self) -> Readiness {
        let stopping = *self.shared.phase.borrow() > Phase::Open;
        let store = self.shared.store.ready().await.map_err(|_| Undecided::Store);
        let mut networks = Vec::new();
        for (network, engine) in &self.shared.networks {
            networks.push(NetworkReadiness { network: *network, state: engine.ready(&self.shared.assets).await });
        }
        Readiness { stopping, store, networks }
    }

    /// Takes no new work, waits until running requests have their answers or `deadline` has passed, and stops.
    ///
    /// What is not finished stays in the ledger for the next start.
    pub async fn shutdown(&self, deadline: Duration) {
        self.shared.phase.send_replace(Phase::Draining);
        let all = u32::try_from(self.shared.max_concurrent).unwrap_or(u32::MAX);
        // Getting every permit means that nobody works any more; a deadline that passes is the other way to stop.
        drop(tokio::time::timeout(deadline, self.shared.permits.acquire_many(all)).await);
        self.shared.phase.send_replace(Phase::Stopped);
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    fn policy(&self) -> CheckPolicy {
        CheckPolicy::facilitator(self.clock.now())
    }

    fn network(&self, network: Network) -> Result<&NetworkEngine, h402_core::Reject> {
        self.networks.get(&network).ok_or(h402_core::Reject::Network(network))
    }

    /// Resolves once lanes and watchers are to end.
    async fn stopped(&self) {
        // A closed channel means the same: the engine is gone.
        drop(self.phase.subscribe().wait_for(|phase| *phase == Phase::Stopped).await);
    }

    /// One of the bounded places to work at.
    fn admit(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Undecided> {
        if *self.phase.borrow() > Phase::Open {
            return Err(Undecided::ShuttingDown);
        }
        self.permits.clone().try_acquire_owned().map_err(|_| Undecided::Busy)
    }
}

/// Named places where a crash test may end the process; nothing at all without feature `chaos`.
pub(crate) fn crash_point(name: &'static str) {
    #[cfg(feature = "chaos")]
    crate::chaos::reach(name);
    #[cfg(not(feature = "chaos"))]
    let _ = name;
}
