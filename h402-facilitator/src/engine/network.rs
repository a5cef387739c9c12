//! One network of any kind: its configuration, its engine, and whether it can take payments.

#[cfg(feature = "evm")]
use super::evm::{EvmEngine, EvmNetwork};
use super::open::OpenPayments;
#[cfg(feature = "solana")]
use super::solana::{SolanaEngine, SolanaNetwork};
use crate::StartError;
use h402_core::{Amount, Asset, Assets, Network, SolanaHints, Undecided};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// How payments are settled on one network, by its kind.
#[non_exhaustive]
#[derive(Debug)]
pub enum NetworkConfig {
    /// An EVM chain.
    #[cfg(feature = "evm")]
    Evm(EvmNetwork),
    /// A Solana cluster.
    #[cfg(feature = "solana")]
    Solana(SolanaNetwork),
}

#[cfg(feature = "evm")]
impl From<EvmNetwork> for NetworkConfig {
    fn from(network: EvmNetwork) -> Self {
        Self::Evm(network)
    }
}

#[cfg(feature = "solana")]
impl From<SolanaNetwork> for NetworkConfig {
    fn from(network: SolanaNetwork) -> Self {
        Self::Solana(network)
    }
}

impl NetworkConfig {
    /// The network.
    #[must_use]
    pub fn network(&self) -> Network {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.chain.network(),
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.chain.network(),
        }
    }
}

/// Whether a facilitator can take payments now.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// It is going down.
    pub stopping: bool,
    /// The store can be written.
    pub store: Result<(), Undecided>,
    /// Each network.
    pub networks: Vec<NetworkReadiness>,
}

/// Whether payments can be taken on one network now.
#[derive(Debug, Clone)]
pub struct NetworkReadiness {
    /// Which.
    pub network: Network,
    /// The chain answers, is the configured one, its assets are as configured, and its fees can be paid.
    pub state: Result<(), Undecided>,
}

impl Readiness {
    /// Whether everything is well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stopping && self.store.is_ok() && self.networks.iter().all(|network| network.state.is_ok())
    }
}

/// What settles payments on one network.
pub(super) enum NetworkEngine {
    #[cfg(feature = "evm")]
    Evm(Arc<EvmEngine>),
    #[cfg(feature = "solana")]
    Solana(Arc<SolanaEngine>),
}

impl NetworkEngine {
    pub(super) async fn check(config: NetworkConfig, assets: &Assets) -> Result<Self, StartError> {
        Ok(match config {
            #[cfg(feature = "evm")]
            NetworkConfig::Evm(config) => Self::Evm(Arc::new(EvmEngine::check(config, assets).await?)),
            #[cfg(feature = "solana")]
            NetworkConfig::Solana(config) => Self::Solana(Arc::new(SolanaEngine::check(config, assets).await?)),
        })
    }

    pub(super) fn payments(&self) -> &OpenPayments {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => &evm.payments,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => &solana.payments,
        }
    }

    pub(super) fn network(&self) -> Network {
        self.payments().network()
    }

    pub(super) async fn ready(&self, assets: &Assets) -> Result<(), Undecided> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.ready(assets).await,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.ready(assets).await,
        }
    }

    /// What payers on Solana may want to know.
    pub(super) async fn hints(&self) -> Option<SolanaHints> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(_) => None,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => Some(solana.hints().await),
        }
    }

    /// The least amount of an asset that is settled here.
    pub(super) fn minimum(&self, asset: &Asset) -> Amount {
        let minimums = match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => &evm.config.minimums,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => &solana.config.minimums,
        };
        let configured = minimums.iter().find(|(address, _)| *address == asset.id.address);
        configured.map_or(Amount::from_atomic(1), |(_, minimum)| *minimum)
    }
}

/// Whether a chain and its assets have once been found to be as configured.
#[derive(Debug, Default)]
pub(super) struct Compared(AtomicBool);

impl Compared {
    /// Takes the outcome of the comparison at the start: an unreachable chain is compared later.
    pub(super) fn at_start(outcome: Result<(), StartError>) -> Result<Self, StartError> {
        match outcome {
            Ok(()) => Ok(Self(AtomicBool::new(true))),
            Err(StartError::Unreachable) => Ok(Self::default()),
            Err(mismatch) => Err(mismatch),
        }
    }

    /// Compares, if that has not succeeded yet.
    pub(super) async fn ensure(&self, compare: impl Future<Output = Result<(), StartError>>) -> Result<(), Undecided> {
        if self.0.load(Ordering::Acquire) {
            return Ok(());
        }
        match compare.await {
            Ok(()) => {
                self.0.store(true, Ordering::Release);
                Ok(())
            }
            Err(StartError::Unreachable) => Err(Undecided::Chain),
            Err(StartError::Mismatch { .. }) => Err(Undecided::WrongChain),
        }
    }
}

/// The assets of one network.
pub(super) fn on(network: Network, assets: &Assets) -> Vec<Arc<Asset>> {
    assets.iter().filter(|asset| asset.id.network == network).cloned().collect()
}
