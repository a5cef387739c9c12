//! One network of any kind: its configuration, its engine, and whether it can take payments.

#[cfg(feature = "evm")]
use super::evm::{EvmEngine, EvmNetwork};
#[cfg(feature = "solana")]
use super::solana::{SolanaEngine, SolanaNetwork};
use super::{Shared, open::OpenPayments, payees::Payees, settle::Start};
use crate::StartError;
use alloy_primitives::U256;
use h402_core::{
    Address, Amount, Asset, Assets, Clock, EvmAddress, Network, Offer, PaymentKey, PaymentRow, Reject, SolanaHints, Store, TransactionId,
    Undecided, UnixMillis, VerifyError,
};
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
    /// Whether this process settles there now. If not, it verifies and claims, and another one settles.
    pub drives: bool,
    /// The chain answers, is the configured one, its assets are as configured, and its fees can be paid.
    pub state: Result<(), Undecided>,
    /// Assets whose contract is not the pinned one any more: nothing is taken in them.
    pub changed: Vec<Address>,
    /// What transactions of ours that failed have cost since the start, in the coin's smallest unit. Only of EVM networks.
    pub burnt: U256,
}

impl Readiness {
    /// Whether everything is well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stopping && self.store.is_ok() && self.networks.iter().all(|network| network.state.is_ok() && network.changed.is_empty())
    }
}

/// What settles payments on one network.
#[derive(Clone)]
pub(super) enum NetworkEngine {
    #[cfg(feature = "evm")]
    Evm(Arc<EvmEngine>),
    #[cfg(feature = "solana")]
    Solana(Arc<SolanaEngine>),
}

impl NetworkEngine {
    pub(super) async fn check(config: NetworkConfig, assets: &Assets, room: usize) -> Result<Self, StartError> {
        Ok(match config {
            #[cfg(feature = "evm")]
            NetworkConfig::Evm(config) => Self::Evm(Arc::new(EvmEngine::check(config, assets, room).await?)),
            #[cfg(feature = "solana")]
            NetworkConfig::Solana(config) => Self::Solana(Arc::new(SolanaEngine::check(config, assets, room).await?)),
        })
    }

    /// Refuses to answer until chain and assets are checked and the ledger's open rows are driven again: before that nothing can be
    /// promised.
    pub(super) fn recovered(&self) -> Result<(), Undecided> {
        if self.payments().is_recovered() { Ok(()) } else { Err(Undecided::Starting) }
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

    /// Compares chain and assets with the configuration, if that has not succeeded yet.
    pub(super) async fn ensure_checked(&self, assets: &Assets) -> Result<(), Undecided> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.ensure_checked(assets).await,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.ensure_checked(assets).await,
        }
    }

    /// Drives on what the ledger holds unfinished, if this process drives the network.
    pub(super) fn resume(&self, row: PaymentRow) {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.resume(row),
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.resume(row),
        }
    }

    /// How a payment goes to its chain that another process has claimed.
    pub(super) fn start_of(&self, row: &PaymentRow) -> Start {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.start_of(row),
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.start_of(row),
        }
    }

    pub(super) async fn ready(&self, assets: &Assets) -> Result<(), Undecided> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.ready(assets).await,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.ready(assets).await,
        }
    }

    /// Starts what every process does, whoever drives.
    #[cfg_attr(not(feature = "evm"), expect(unused_variables, reason = "a cluster shares nothing with others"))]
    pub(super) fn accompany<S: Store, C: Clock>(&self, shared: &Arc<Shared<S, C>>) {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => drop(tokio::spawn(super::evm::watch_code(shared.clone(), evm.clone()))),
            // The first payer that asks should find a blockhash.
            #[cfg(feature = "solana")]
            Self::Solana(solana) => drop(solana.config.chain.hint()),
        }
    }

    /// Claimed payments that wait to be signed for.
    pub(super) fn waiting(&self) -> usize {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.waiting(),
            // There a settlement is signed when it is claimed.
            #[cfg(feature = "solana")]
            Self::Solana(_) => 0,
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

    /// The accounts that send transactions or pay for them.
    pub(super) fn signers(&self) -> Vec<Address> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.config.signers.iter().map(|signer| signer.address().into()).collect(),
            #[cfg(feature = "solana")]
            Self::Solana(solana) => solana.config.sponsor().map(Address::from).into_iter().collect(),
        }
    }

    /// Assets whose contract is not the pinned one any more.
    pub(super) fn changed(&self) -> Vec<Address> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.changed(),
            #[cfg(feature = "solana")]
            Self::Solana(_) => Vec::new(),
        }
    }

    /// Whether a new payment of an offer is taken, as far as that can be told without its chain.
    pub(super) fn takes(&self, offer: &Offer, amount: Amount) -> Result<(), VerifyError> {
        let asset = offer.asset.id.address;
        if !self.payees().allow(asset, offer.pay_to) {
            return Err(Reject::Payee.into());
        }
        let minimum = self.minimum(&offer.asset);
        if amount < minimum {
            return Err(Reject::BelowMinimum { minimum }.into());
        }
        if self.changed().contains(&asset) {
            return Err(Undecided::AssetChanged.into());
        }
        Ok(())
    }

    /// What failed transactions have cost since the start.
    pub(super) fn burnt(&self) -> U256 {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.burnt(),
            #[cfg(feature = "solana")]
            Self::Solana(_) => U256::ZERO,
        }
    }

    /// Whether payers may be contracts.
    pub(super) fn takes_contracts(&self) -> bool {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.config.contract_payers.is_some(),
            #[cfg(feature = "solana")]
            Self::Solana(_) => false,
        }
    }

    /// Who settles payments whose payers name their settler, if any are taken.
    pub(super) fn facilitator(&self) -> Option<EvmAddress> {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.facilitator(),
            #[cfg(feature = "solana")]
            Self::Solana(_) => None,
        }
    }

    /// Whether no other payment than this one waits for what becomes of a transaction.
    #[cfg_attr(not(feature = "evm"), expect(unused_variables, reason = "only on EVM chains one carries several"))]
    pub(super) fn is_last_of(&self, payment: &PaymentKey, transaction: &TransactionId) -> bool {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.is_last_of(payment, transaction),
            #[cfg(feature = "solana")]
            Self::Solana(_) => true,
        }
    }

    /// A settlement has failed on the chain, at our cost if a key of ours paid for it.
    #[cfg_attr(not(feature = "evm"), expect(unused_variables, reason = "only EVM chains need it"))]
    pub(super) fn wasted(&self, row: &PaymentRow, transaction: &TransactionId, now: UnixMillis) {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => evm.wasted(row, transaction, now),
            // Noted where it is known who has paid the fee.
            #[cfg(feature = "solana")]
            Self::Solana(_) => {}
        }
    }

    fn payees(&self) -> &Payees {
        match self {
            #[cfg(feature = "evm")]
            Self::Evm(evm) => &evm.config.payees,
            #[cfg(feature = "solana")]
            Self::Solana(solana) => &solana.config.payees,
        }
    }

    /// The least amount of an asset that is settled here.
    fn minimum(&self, asset: &Asset) -> Amount {
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
