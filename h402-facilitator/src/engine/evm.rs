//! Settling on EVM chains: a lane of nonces for each of the facilitator's keys, and a watcher that looks block by block.

mod alone;
mod batch;
mod budget;
mod bump;
mod carriers;
mod code;
mod company;
mod gas;
mod interval;
mod judge;
mod landed;
mod lane;
mod queue;
mod recover;
mod round;
mod send;
mod settle;
mod shows;
mod sign;
mod signer;
mod wasted;
mod watch;
mod worth;

pub(super) use code::run as watch_code;
pub(super) use recover::begin;
pub use signer::{SignError, Signer};
pub use worth::CostLimit;

use super::{
    network::{Compared, on},
    open::OpenPayments,
    progress::Progress,
    strikes::Strikes,
};
use crate::{
    Payees, StartError,
    evm::{CodePin, ContractPayers, EvmChain, Permit2Payments, ProxyCall},
};
use alloy_primitives::U256;
use carriers::Carriers;
use code::Changed;
use h402_core::{Address, Amount, Assets, EvmAddress, Network, PaymentKey, PaymentRow, TransactionId, Undecided};
use interval::Interval;
use lane::KeyLane;
use queue::Job;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;

/// How payments are settled on one EVM chain.
#[derive(Debug)]
pub struct EvmNetwork {
    /// The chain.
    pub chain: EvmChain,
    /// The keys that sign settlements and pay for their gas, each with a lane of nonces of its own. One is enough; of
    /// several, the one with the least to do takes the next settlement, unless it has too little left for its gas.
    pub signers: Vec<Signer>,
    /// Blocks, its own included, after which a settlement is answered as settled.
    pub accept_depth: u64,
    /// Blocks, its own included, after which a settlement is final: the deepest reorganisation that is reckoned with.
    pub final_depth: u64,
    /// From which amount on it is answered as settled only once it is final, by asset address, in its smallest unit.
    pub large_amounts: Vec<(Address, Amount)>,
    /// Greatest gas that a settlement's dry run may use; its gas limit is up to a third above.
    pub max_gas: u64,
    /// Greatest price per gas in wei that is paid.
    pub max_fee_per_gas: u128,
    /// Least amount that is settled, by asset address, in its smallest unit; one unit for others.
    pub minimums: Vec<(Address, Amount)>,
    /// How long the chain may make no block while payments wait for one, before new ones are turned away.
    pub max_block_age: Duration,
    /// How often an open settlement is looked for besides right after it was sent.
    pub poll: Duration,
    /// The code that must stand behind tokens, by address. Another one at the start stops it; later nothing is taken in
    /// that asset.
    pub pins: Vec<(EvmAddress, CodePin)>,
    /// How often that is looked at after the start.
    pub check_code: Duration,
    /// Whom payments are settled to.
    pub payees: Payees,
    /// The most wei that each key spends on gas within a day. With more nothing is taken on, and nothing is signed.
    pub daily_budget: Option<U256>,
    /// How much of a payment settling it may cost. Of payments in assets that are pegged to the dollar.
    pub cost_limit: Option<CostLimit>,
    /// Whether payers may be contracts, and how far; none refuses them all.
    pub contract_payers: Option<ContractPayers>,
    /// Whether payments through Permit2 are taken, and how far; none refuses them all. Its contracts must be on the chain.
    pub permit2: Option<Permit2Payments>,
    /// Whether the chain below takes a fee for data, as on OP-stack chains: it is asked for and counted.
    pub l1_fee: bool,
}

impl EvmNetwork {
    /// The safe defaults, with one key.
    #[must_use]
    pub fn new(chain: EvmChain, signer: Signer) -> Self {
        Self {
            chain,
            signers: vec![signer],
            accept_depth: 1,
            final_depth: 12,
            large_amounts: Vec::new(),
            max_gas: h402_core::JudgePolicy::MAX_GAS,
            max_fee_per_gas: 500_000_000_000,
            minimums: Vec::new(),
            max_block_age: super::MAX_BLOCK_AGE,
            poll: Duration::from_millis(500),
            pins: Vec::new(),
            check_code: Duration::from_secs(60),
            payees: Payees::default(),
            daily_budget: None,
            cost_limit: None,
            contract_payers: None,
            permit2: None,
            l1_fee: false,
        }
    }
}

/// What settles payments on one EVM chain.
pub(super) struct EvmEngine {
    pub(super) config: EvmNetwork,
    pub(super) payments: OpenPayments,
    /// One for each key, in the order of the configuration.
    lanes: Vec<Arc<KeyLane>>,
    /// What the keys have signed.
    carriers: Carriers,
    /// Wakes the watcher right after a send.
    sent: Notify,
    progress: Progress,
    interval: Interval,
    compared: Compared,
    changed: Changed,
    /// Payers for whom gas was burnt.
    strikes: Strikes,
    /// Contracts for which it was.
    contract_strikes: Strikes,
    /// Wei that was spent on payments which failed, since the start.
    burnt: Mutex<U256>,
}

impl EvmEngine {
    pub(super) async fn check(config: EvmNetwork, assets: &Assets, room: usize) -> Result<Self, StartError> {
        let network = config.chain.network();
        let mut lanes: Vec<Arc<KeyLane>> = Vec::with_capacity(config.signers.len());
        for signer in &config.signers {
            // Two lanes would give the same nonces.
            if lanes.iter().any(|lane| lane.address() == signer.address()) {
                return Err(StartError::Mismatch { what: format!("the key of {} is given twice for {network}", signer.address()) });
            }
            lanes.push(Arc::new(KeyLane::new(signer.clone())));
        }
        if lanes.is_empty() {
            return Err(StartError::Mismatch { what: format!("no key is given for {network}") });
        }
        let compared = Compared::at_start(config.check(&on(network, assets)).await)?;
        Ok(Self {
            config,
            payments: OpenPayments::new(network, room),
            lanes,
            carriers: Carriers::default(),
            sent: Notify::new(),
            progress: Progress::default(),
            interval: Interval::default(),
            compared,
            changed: Changed::default(),
            strikes: Strikes::two_an_hour(),
            contract_strikes: Strikes::new(1, Duration::from_secs(600)),
            burnt: Mutex::default(),
        })
    }

    /// Blocks after which a payment of this amount is answered as settled, or as failed.
    fn depth_for(&self, asset: Address, amount: Amount) -> u64 {
        let large = self.config.large_amounts.iter().any(|(address, least)| *address == asset && amount >= *least);
        if large { self.config.final_depth.max(self.config.accept_depth) } else { self.config.accept_depth }
    }

    fn network(&self) -> Network {
        self.payments.network()
    }

    /// Assets whose contract is not the pinned one any more.
    pub(super) fn changed(&self) -> Vec<Address> {
        self.changed.each()
    }

    /// Compares the assets with the chain, if that has not succeeded yet.
    pub(super) async fn ensure_checked(&self, assets: &Assets) -> Result<(), Undecided> {
        self.compared.ensure(self.config.check(&on(self.network(), assets))).await
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
        self.progress.ensure(self.config.max_block_age)?;
        self.is_fuelled().await
    }

    /// Hands a payment to the lane that is to settle it. What waits in a queue already waits once.
    fn put(&self, job: Job) {
        let lane = self.lane_for(&job.open.news.borrow());
        self.put_in(lane, job);
    }

    /// Hands it to the key that it was tried from.
    fn put_where_tried(&self, job: Job) {
        let lane = self.lane_of(self.config.chain.tries_from()).or_else(|| self.lane_for(&job.open.news.borrow()));
        self.put_in(lane, job);
    }

    fn put_in(&self, lane: Option<&Arc<KeyLane>>, job: Job) {
        let key = job.key();
        if self.lanes.iter().any(|lane| lane.queue.has(&key)) {
            return;
        }
        if let Some(lane) = lane {
            lane.queue.put(job);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.len()).sum()
    }

    /// Whether a key has given nonces that are not known to be mined, whatever became of their payments.
    fn has_unmined(&self) -> bool {
        self.lanes.iter().any(|lane| lane.depth() > 0 || self.carriers.counts(lane.address()))
    }

    /// Whether all payments in a transaction are known to be decided but this one.
    pub(super) fn is_last_of(&self, payment: &PaymentKey, transaction: &TransactionId) -> bool {
        let TransactionId::Evm(hash) = transaction else { return true };
        // What is not held may wait, too, unless all that is open is held.
        let is_whole = self.payments.is_whole();
        let is_decided = |of: &PaymentKey| self.payments.find(of).map_or(is_whole, |open| open.news.borrow().state.is_decided());
        self.carriers.find(hash).map_or(is_whole, |carrier| carrier.payments.iter().all(|of| of == payment || is_decided(of)))
    }

    /// Forgets what is mined and carries no open payment, and what carries only payments that are not held.
    fn forget_carriers(&self) {
        let is_held = |carrier: &carriers::Carrier| carrier.payments.iter().any(|payment| self.payments.find(payment).is_some());
        self.carriers.forget(|carrier| {
            let mined = self.lane_of(carrier.sender).is_none_or(|lane| carrier.nonce < lane.floor());
            mined && !is_held(carrier)
        });
        for lane in &self.lanes {
            self.carriers.mined(lane.address(), lane.floor());
        }
        if !self.payments.is_whole() {
            self.carriers.put_aside(|carrier| !is_held(carrier));
        }
    }

    /// The lane to settle a payment with: any, unless its payer has named the account that must send it.
    fn lane_for(&self, row: &PaymentRow) -> Option<&Arc<KeyLane>> {
        match sender_named(row) {
            Some(sender) => self.lane_of(sender),
            None => self.lane_for_one(),
        }
    }

    /// Who settles payments that name their settler: the first key, the same for all processes and at every start.
    pub(super) fn facilitator(&self) -> Option<EvmAddress> {
        self.config.permit2.and(self.lanes.first().map(|lane| lane.address()))
    }

    /// The lane of a key; none for a key that is not in the configuration any more.
    fn lane_of(&self, sender: EvmAddress) -> Option<&Arc<KeyLane>> {
        self.lanes.iter().find(|lane| lane.address() == sender)
    }
}

/// The account that alone can settle a payment, if its payer has named one (scheme `upto`).
fn sender_named(row: &PaymentRow) -> Option<EvmAddress> {
    ProxyCall::read(row.raw.as_deref()?)?.sender
}
