//! Settling on Solana: a payment's bytes are complete when it is claimed, so they are stored with the claim, sent, and
//! sent again until the cluster shows them or they have expired.

mod judge;
mod landed;
mod recover;
mod seen;
mod send;
mod settle;
mod wasted;
mod watch;

pub(super) use recover::begin;

use super::{
    budget::Spent,
    network::{Compared, on},
    open::OpenPayments,
    progress::Progress,
    strikes::Strikes,
};
use crate::{
    Payees, StartError,
    solana::{Commitment, SolanaChain},
};
use h402_core::{Address, AllowedExtensions, Amount, Assets, Network, SolanaAddress, SolanaHints, SolanaKey, SolanaPolicy, Undecided};
use seen::Seen;
use std::time::Duration;

/// How payments are settled on one Solana cluster.
///
/// ```
/// use h402_core::{GenesisPrefix, SolanaKey};
/// use h402_facilitator::{SolanaNetwork, rpc::{Rpc, RpcConfig}, solana::{Commitment, SolanaChain, SolanaConfig}};
/// let rpc = Rpc::new(RpcConfig::new(vec!["https://api.devnet.solana.com".parse()?]));
/// let chain = SolanaChain::new(SolanaConfig { genesis: GenesisPrefix::DEVNET, rpc });
/// let network = SolanaNetwork::new(chain).with_sponsor(SolanaKey::from_seed(&[7; 32]));
/// assert_eq!(network.accept, Commitment::Confirmed);
/// # Ok::<(), h402_facilitator::rpc::BadEndpoint>(())
/// ```
#[derive(Debug)]
pub struct SolanaNetwork {
    /// The cluster.
    pub chain: SolanaChain,
    /// Pays the fee of payers who ask for it; without one every payer pays its own.
    pub sponsor: Option<SolanaKey>,
    /// The most lamports that are paid for one payment of others.
    pub max_fee_lamports: u64,
    /// When a settlement is answered as settled.
    pub accept: Commitment,
    /// From which amount on it is answered as settled only once it is finalized, by asset address, in its smallest unit.
    pub large_amounts: Vec<(Address, Amount)>,
    /// Blocks that a payment must have left.
    pub min_blocks_left: u64,
    /// Extensions that mints of Token-2022 may have.
    pub extensions: AllowedExtensions,
    /// Least amount that is settled, by asset address, in its smallest unit; one unit for others.
    pub minimums: Vec<(Address, Amount)>,
    /// How long the cluster may make no block while payments wait for one, before new ones are turned away.
    pub max_block_age: Duration,
    /// How often open settlements are looked for, all of them at once.
    pub poll: Duration,
    /// Whom payments are settled to.
    pub payees: Payees,
    /// The most lamports of fees that are paid for others within a day, each counted as `max_fee_lamports`. It is looked at before
    /// a payment is taken on: several at the same moment, or several processes on one ledger, can exceed it by a fee each.
    pub daily_budget: Option<u64>,
}

impl SolanaNetwork {
    /// The safe defaults; payers pay their own fees.
    #[must_use]
    pub fn new(chain: SolanaChain) -> Self {
        Self {
            chain,
            sponsor: None,
            max_fee_lamports: SolanaPolicy::MAX_FEE_LAMPORTS,
            accept: Commitment::Confirmed,
            large_amounts: Vec::new(),
            min_blocks_left: SolanaPolicy::MIN_BLOCKS_LEFT,
            extensions: AllowedExtensions::default(),
            minimums: Vec::new(),
            max_block_age: super::MAX_BLOCK_AGE,
            poll: Duration::from_millis(400),
            payees: Payees::default(),
            daily_budget: None,
        }
    }

    /// Lets this key pay the fee of payers who ask for it.
    #[must_use]
    pub fn with_sponsor(mut self, key: SolanaKey) -> Self {
        self.sponsor = Some(key);
        self
    }

    pub(super) fn sponsor(&self) -> Option<SolanaAddress> {
        self.sponsor.as_ref().map(SolanaKey::address)
    }
}

/// Fees at the configured maximum that the sponsor must be able to pay beside that, so that a few at once can be taken.
const RESERVE: u64 = 16;

/// What settles payments on one Solana cluster.
pub(super) struct SolanaEngine {
    pub(super) config: SolanaNetwork,
    pub(super) payments: OpenPayments,
    progress: Progress,
    compared: Compared,
    /// What verifies have read lately.
    seen: Seen,
    /// Fees that were paid for nothing.
    wasted: Strikes,
    /// What was paid for others lately.
    spent: Spent,
}

impl SolanaEngine {
    pub(super) async fn check(config: SolanaNetwork, assets: &Assets, room: usize) -> Result<Self, StartError> {
        let network = config.chain.network();
        let compared = Compared::at_start(config.chain.check(&on(network, assets), &config.extensions).await)?;
        Ok(Self {
            config,
            payments: OpenPayments::new(network, room),
            progress: Progress::default(),
            compared,
            seen: Seen::default(),
            wasted: Strikes::two_an_hour(),
            spent: Spent::default(),
        })
    }

    fn network(&self) -> Network {
        self.payments.network()
    }

    /// Compares the mints with the cluster, if that has not succeeded yet.
    pub(super) async fn ensure_checked(&self, assets: &Assets) -> Result<(), Undecided> {
        let assets = on(self.network(), assets);
        self.compared.ensure(self.config.chain.check(&assets, &self.config.extensions)).await
    }

    pub(super) async fn ready(&self, assets: &Assets) -> Result<(), Undecided> {
        self.ensure_checked(assets).await?;
        if !self.payments.is_recovered() {
            return Err(Undecided::Starting);
        }
        self.progress.ensure(self.config.max_block_age)?;
        match self.config.sponsor() {
            None => self.config.chain.answers().await,
            Some(sponsor) => self.can_pay(self.config.chain.lamports(sponsor).await?),
        }
    }

    /// What payers may want to know. Waits half a second at most, for a blockhash if none is known.
    pub(super) async fn hints(&self) -> SolanaHints {
        let hint = self.config.chain.hint_soon().await;
        SolanaHints {
            fee_payer: self.config.sponsor(),
            blockhash: hint.map(|hint| hint.blockhash),
            last_valid_block_height: hint.map(|hint| hint.last_valid_block_height),
        }
    }

    /// Whether a sponsor with so many lamports can take on the fees of others.
    fn can_pay(&self, lamports: u64) -> Result<(), Undecided> {
        let needed = self.config.max_fee_lamports.saturating_mul(RESERVE).saturating_add(SolanaPolicy::RENT_FREE);
        if lamports < needed { Err(Undecided::Gas) } else { Ok(()) }
    }

    /// How sure a block must be before a payment of this amount is answered as settled.
    fn accepted_at(&self, asset: Address, amount: Amount) -> Commitment {
        let large = self.config.large_amounts.iter().any(|(address, least)| *address == asset && amount >= *least);
        if large { Commitment::Finalized } else { self.config.accept }
    }
}
