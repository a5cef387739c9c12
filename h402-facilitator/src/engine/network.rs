//! One network: its chain, the key that pays for gas, and the payments that are open on it.

use super::evm::{gas::GasTank, lane::LaneQueue, signer::Signer};
use crate::evm::{EvmChain, StartError};
use h402_core::{Amount, Asset, Assets, Network, PaymentKey, PaymentRow, Undecided};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch as signal};

/// How payments are settled on one network.
#[derive(Debug)]
pub struct NetworkConfig {
    /// The chain.
    pub chain: EvmChain,
    /// Signs settlements and pays for their gas.
    pub signer: Signer,
    /// Blocks, its own included, after which a settlement is answered as settled.
    pub accept_depth: u64,
    /// Blocks, its own included, after which a settlement is final.
    pub final_depth: u64,
    /// Greatest gas that a settlement's dry run may use; its gas limit is up to a third above.
    pub max_gas: u64,
    /// Greatest price per gas in wei that is paid.
    pub max_fee_per_gas: u128,
    /// Least amount that is settled, by asset address, in its smallest unit; one unit for others.
    pub minimums: Vec<(h402_core::Address, Amount)>,
    /// How often an open settlement is looked for besides right after it was sent.
    pub poll: Duration,
}

impl NetworkConfig {
    /// The safe defaults.
    #[must_use]
    pub fn new(chain: EvmChain, signer: Signer) -> Self {
        Self {
            chain,
            signer,
            accept_depth: 1,
            final_depth: 12,
            max_gas: h402_core::JudgePolicy::MAX_GAS,
            max_fee_per_gas: 500_000_000_000,
            minimums: Vec::new(),
            poll: Duration::from_millis(500),
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
    /// The chain answers, is the configured one, its assets are as configured, and there is gas.
    pub state: Result<(), Undecided>,
}

impl Readiness {
    /// Whether everything is well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stopping && self.store.is_ok() && self.networks.iter().all(|network| network.state.is_ok())
    }
}

/// A settlement that is not over, and whoever waits for it.
pub(super) struct OpenPayment {
    /// The row as stored; locked while it is changed.
    pub row: tokio::sync::Mutex<PaymentRow>,
    /// Shows every stored row.
    pub news: signal::Sender<PaymentRow>,
}

pub(super) struct NetworkEngine {
    pub config: NetworkConfig,
    pub lane: LaneQueue,
    pub gas: GasTank,
    /// Wakes the watcher right after a send.
    pub sent: Notify,
    checked: AtomicBool,
    recovered: AtomicBool,
    open: Mutex<HashMap<PaymentKey, Arc<OpenPayment>>>,
}

impl NetworkEngine {
    pub(super) async fn check(config: NetworkConfig, assets: &Assets) -> Result<Self, StartError> {
        let checked = match config.chain.check(&on(config.chain.network(), assets)).await {
            Ok(()) => true,
            Err(StartError::Unreachable) => false,
            Err(mismatch) => return Err(mismatch),
        };
        Ok(Self {
            config,
            lane: LaneQueue::default(),
            gas: GasTank::default(),
            sent: Notify::new(),
            checked: AtomicBool::new(checked),
            recovered: AtomicBool::new(false),
            open: Mutex::default(),
        })
    }

    pub(super) fn network(&self) -> Network {
        self.config.chain.network()
    }

    /// Compares the assets with the chain, if that has not succeeded yet.
    pub(super) async fn ensure_checked(&self, assets: &Assets) -> Result<(), Undecided> {
        if self.checked.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.config.chain.check(&on(self.network(), assets)).await {
            Ok(()) => {
                self.checked.store(true, Ordering::Release);
                Ok(())
            }
            Err(StartError::Unreachable) => Err(Undecided::Chain),
            Err(StartError::Mismatch { .. }) => Err(Undecided::WrongChain),
        }
    }

    /// Whether the ledger's open rows of this network are being driven.
    pub(super) fn is_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }

    pub(super) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    pub(super) async fn ready(&self, assets: &Assets) -> Result<(), Undecided> {
        self.ensure_checked(assets).await?;
        let Network::Evm(configured) = self.network() else { return Err(Undecided::WrongChain) };
        if self.config.chain.chain_id().await? != configured {
            return Err(Undecided::WrongChain);
        }
        if !self.is_recovered() {
            return Err(Undecided::Starting);
        }
        self.gas.refresh(self).await
    }

    /// Enters a row that is open; an entry that is there already stays.
    pub(super) fn enter(&self, row: PaymentRow) -> Arc<OpenPayment> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(row.key)
            .or_insert_with(|| Arc::new(OpenPayment { news: signal::Sender::new(row.clone()), row: tokio::sync::Mutex::new(row) }))
            .clone()
    }

    pub(super) fn find(&self, key: &PaymentKey) -> Option<Arc<OpenPayment>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn leave(&self, key: &PaymentKey) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    pub(super) fn all_open(&self) -> Vec<Arc<OpenPayment>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The least amount of an asset that is settled here.
    pub(super) fn minimum(&self, asset: &Asset) -> Amount {
        let configured = self.config.minimums.iter().find(|(address, _)| *address == asset.id.address);
        configured.map_or(Amount::from_atomic(1), |(_, minimum)| *minimum)
    }
}

fn on(network: Network, assets: &Assets) -> Vec<Arc<Asset>> {
    assets.iter().filter(|asset| asset.id.network == network).cloned().collect()
}
