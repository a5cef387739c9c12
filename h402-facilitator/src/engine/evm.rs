//! Settling on EVM chains: a lane of nonces for the facilitator's own key, and a watcher that looks block by block.

mod gas;
mod judge;
mod landed;
mod lane;
mod recover;
mod settle;
mod signer;
mod watch;

pub(super) use recover::run;
pub use signer::{SignError, Signer};

use super::{
    network::{Compared, on},
    open::OpenPayments,
};
use crate::{StartError, evm::EvmChain};
use gas::GasTank;
use h402_core::{Amount, Assets, Network, Undecided};
use lane::LaneQueue;
use std::time::Duration;
use tokio::sync::Notify;

/// How payments are settled on one EVM chain.
#[derive(Debug)]
pub struct EvmNetwork {
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

impl EvmNetwork {
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

/// What settles payments on one EVM chain.
pub(super) struct EvmEngine {
    pub(super) config: EvmNetwork,
    pub(super) payments: OpenPayments,
    lane: LaneQueue,
    gas: GasTank,
    /// Wakes the watcher right after a send.
    sent: Notify,
    compared: Compared,
}

impl EvmEngine {
    pub(super) async fn check(config: EvmNetwork, assets: &Assets) -> Result<Self, StartError> {
        let network = config.chain.network();
        let compared = Compared::at_start(config.chain.check(&on(network, assets)).await)?;
        Ok(Self {
            config,
            payments: OpenPayments::new(network),
            lane: LaneQueue::default(),
            gas: GasTank::default(),
            sent: Notify::new(),
            compared,
        })
    }

    fn network(&self) -> Network {
        self.payments.network()
    }

    /// Compares the assets with the chain, if that has not succeeded yet.
    async fn ensure_checked(&self, assets: &Assets) -> Result<(), Undecided> {
        self.compared.ensure(self.config.chain.check(&on(self.network(), assets))).await
    }

    pub(super) async fn ready(&self, assets: &Assets) -> Result<(), Undecided> {
        self.ensure_checked(assets).await?;
        let Network::Evm(configured) = self.network() else { return Err(Undecided::WrongChain) };
        if self.config.chain.chain_id().await? != configured {
            return Err(Undecided::WrongChain);
        }
        if !self.payments.is_recovered() {
            return Err(Undecided::Starting);
        }
        self.gas.refresh(self).await
    }
}
