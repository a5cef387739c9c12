//! The processes of a simulation: facilitators and gates, how they start, and how they start again.

use super::{
    grants::SimGrants,
    handler::Handler,
    ledger::SimStore,
    node::SimNode,
    oracle::{self, MAX_FEE, MAX_GAS},
    scenario::{Fault, Route},
    token::{self, CHAIN_ID, Nonce},
    world::{Life, Process, World, lock},
};
use h402_core::{
    Amount, Asset, Assets, CallerKey, Checked, Claimed, EvmKey, Facilitator, Lookup, Network, Offer, PaymentKey, Peg, Receipt, Reject,
    SettleError, Supported, Undecided, Verified, VerifyError, asset_id,
};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, Signer, StartError,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
};
use h402_tower::gate::{Gate, GateService, Origin, Price};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};
use tower::Layer as _;

pub const ORIGIN: &str = "http://shop.test";
pub const PRICE: u128 = 10_000;
/// How long gates wait for a facilitator, as `remote` does.
const VERIFY_WITHIN: Duration = Duration::from_secs(10);
const SETTLE_WITHIN: Duration = Duration::from_secs(28);

pub type Shop = GateService<Handler, Way, SimGrants>;
type Facility = Engine<SimStore, Life>;
/// A gate that is up, with a service for each route.
type Open = (Life, [Shop; 2]);

pub struct Town {
    pub world: Arc<World>,
    facilitators: Vec<Mutex<Option<(Life, Facility)>>>,
    gates: Vec<Mutex<Option<Open>>>,
    lives: AtomicU64,
    /// Gates reach their facilitators through it, and belong to it.
    this: Weak<Self>,
    /// What the payers' journals keep.
    pub journal: Mutex<BTreeMap<String, h402_tower::pay::SignedPayment>>,
}

/// The key of somebody, always the same; remembered, since finding its address takes long.
pub fn account(name: &'static str, index: usize) -> EvmKey {
    static KNOWN: Mutex<BTreeMap<(&str, usize), EvmKey>> = Mutex::new(BTreeMap::new());
    let new = || EvmKey::from_bytes(&token::hash_of(&[name.as_bytes(), &index.to_be_bytes()]).0).expect("a key");
    lock(&KNOWN).entry((name, index)).or_insert_with(new).clone()
}

pub fn payee() -> h402_core::EvmAddress {
    account("payee", 0).address()
}

pub fn usdc() -> Asset {
    let id = asset_id(Network::Evm(CHAIN_ID), &token::TOKEN.to_string()).expect("an address");
    Asset::new(id, 6, "USDC").with_eip3009("USDC", "2").with_peg(Peg::Usd)
}

impl Town {
    pub fn new(world: Arc<World>) -> Arc<Self> {
        let facilitators = (0..world.scenario.facilitators).map(|_| Mutex::default()).collect();
        let gates = world.scenario.gates.iter().map(|_| Mutex::default()).collect();
        lock(&world.oracle).wallets.insert(account("gas", 0).address());
        Arc::new_cyclic(|this| Self { world, facilitators, gates, lives: AtomicU64::new(1), this: this.clone(), journal: Mutex::default() })
    }

    fn life(&self, process: Process) -> Life {
        Life::new(&self.world, process, self.lives.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts everything, and again what has crashed.
    pub async fn run(self: Arc<Self>, mut crashed: mpsc::UnboundedReceiver<Process>) {
        for index in 0..self.facilitators.len() {
            self.start(Process::Facilitator(index)).await;
        }
        for index in 0..self.gates.len() {
            self.start(Process::Gate(index)).await;
        }
        while let Some(process) = crashed.recv().await {
            let town = self.clone();
            tokio::spawn(async move {
                town.bury(process).await;
                town.world.pause(3_000).await;
                town.start(process).await;
            });
        }
    }

    /// Lets what is left of a dead process end; it can do nothing any more.
    async fn bury(&self, process: Process) {
        match process {
            Process::Facilitator(index) => {
                let dead = lock(&self.facilitators[index]).take();
                if let Some((_, engine)) = dead {
                    engine.shutdown(Duration::ZERO).await;
                }
            }
            Process::Gate(index) => drop(lock(&self.gates[index]).take()),
        }
    }

    async fn start(&self, process: Process) {
        let life = self.life(process);
        self.world.tell(format_args!("{process:?} starts"));
        match process {
            Process::Facilitator(index) => {
                if self.facilitators.len() == 1 {
                    lock(&self.world.ledger).end_leases();
                }
                let starting = facility(&life);
                tokio::select! {
                    biased;
                    () = life.died() => {}
                    started = starting => match started {
                        Ok(engine) => *lock(&self.facilitators[index]) = Some((life.clone(), engine)),
                        Err(error) => self.world.violate("start", format_args!("{error}")),
                    },
                }
            }
            Process::Gate(index) => {
                let shop = self.world.scenario.gates[index];
                let gates = Route::ALL.map(|route| gate(self, &life, shop, route));
                *lock(&self.gates[index]) = Some((life, gates));
            }
        }
    }

    /// A gate of a shop that is up, if the one that chance names is.
    pub fn gate(&self, shop: usize, route: Route) -> Option<(Life, Shop)> {
        let gates: Vec<usize> = (0..self.gates.len()).filter(|gate| self.world.scenario.gates[*gate] == shop).collect();
        let chosen = gates[super::scenario::size_of(&self.world, gates.len())];
        let gate = lock(&self.gates[chosen]);
        let (life, services) = gate.as_ref().filter(|(life, _)| !life.is_dead())?;
        Some((life.clone(), services[route as usize].clone()))
    }

    fn facility(&self) -> Option<(Life, Facility)> {
        let chosen = super::scenario::size_of(&self.world, self.facilitators.len());
        lock(&self.facilitators[chosen]).clone().filter(|(life, _)| !life.is_dead())
    }

    /// Ends a process where it stands, now and then.
    pub async fn kill_now_and_then(self: Arc<Self>) {
        loop {
            self.world.pause(16_000).await;
            if self.world.has(Fault::FacilitatorKill)
                && let Some((life, _)) = self.facility()
            {
                life.die("some point");
            }
            if self.world.has(Fault::GateKill) {
                let shop = super::scenario::size_of(&self.world, self.world.scenario.shops);
                if let Some((life, _)) = self.gate(shop, Route::Capture) {
                    life.die("some point");
                }
            }
        }
    }
}

async fn facility(life: &Life) -> Result<Facility, StartError> {
    let scenario = &life.world().scenario;
    let endpoint = "http://node.invalid".parse().expect("an endpoint");
    let signer = Signer::Local(account("gas", 0));
    let chain = EvmChain::new(EvmConfig {
        chain_id: CHAIN_ID,
        multicall3: scenario.multicall.then_some(token::MULTICALL3),
        simulate_from: signer.address(),
        rpc: Rpc::over(RpcConfig::new(vec![endpoint]), Arc::new(SimNode(life.clone()))),
    });
    let mut network = EvmNetwork::new(chain, signer);
    network.accept_depth = scenario.accept_depth;
    network.final_depth = scenario.final_depth;
    network.max_gas = MAX_GAS;
    network.poll = Duration::from_secs(1);
    network.max_fee_per_gas = MAX_FEE;
    let config = EngineConfig::new(Assets::none().with(usdc()), vec![network.into()]);
    Engine::start(config, SimStore(life.clone()), life.clone()).await
}

fn gate(town: &Town, life: &Life, shop: usize, route: Route) -> Shop {
    let offer = Offer::new(Arc::new(usdc()), Amount::from_atomic(PRICE), payee().into()).expect("an offer");
    let price = Price::offers([offer]).expect("a price");
    let price = if route == Route::Upfront { price.upfront() } else { price };
    let facilities = Way { life: life.clone(), town: town.this.clone() };
    let grants = SimGrants { life: life.clone(), shop };
    let gate = Gate::new(facilities, grants, Origin::parse(ORIGIN).expect("an origin"), price).with_clock(life.clone());
    gate.build().expect("a gate").layer(Handler { life: life.clone(), shop, route })
}

/// The way from one life of a gate to the facilitators.
#[derive(Clone)]
pub struct Way {
    life: Life,
    town: Weak<Town>,
}

/// No answer came; it may have been done all the same.
struct NoAnswer {
    sent: bool,
}

impl Way {
    /// Asks a facilitator something, over a network that loses, delays and repeats.
    async fn ask<T, F>(&self, within: Duration, ask: impl Fn(Facility) -> F) -> Result<T, NoAnswer>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.life.step("before asking").await;
        let world = self.life.world();
        let slow = if world.has(Fault::FacilitatorNetSlow) { [5, 300, 12_000][super::scenario::size_of(world, 3)] } else { 3 };
        world.pause(slow).await;
        let town = self.town.upgrade().ok_or(NoAnswer { sent: false })?;
        let Some((facilitator, engine)) = town.facility() else { return Err(NoAnswer { sent: false }) };
        if world.chance(Fault::FacilitatorNetDrop, 40) {
            return Err(NoAnswer { sent: false });
        }
        if world.chance(Fault::FacilitatorNetDuplicate, 60) {
            tokio::spawn(ask(engine.clone()));
        }
        let task = tokio::spawn(ask(engine));
        let answered = tokio::select! {
            biased;
            () = facilitator.died() => None,
            answer = timeout(within, task) => answer.ok().and_then(Result::ok),
        };
        self.life.step("after asking").await;
        world.pause(slow).await;
        match answered {
            Some(answer) if !world.chance(Fault::FacilitatorNetDrop, 40) => Ok(answer),
            _ => Err(NoAnswer { sent: true }),
        }
    }
}

fn nonce(payment: &h402_core::Matched) -> Option<Nonce> {
    match payment.proof() {
        h402_core::Proof::Authorization { authorization, .. } => Some((authorization.from, authorization.nonce)),
        _ => None,
    }
}

/// A request to settle, as long as a facilitator is at work on it.
struct OnTheWay {
    life: Life,
    nonce: Nonce,
}

impl OnTheWay {
    fn new(life: Life, nonce: Nonce) -> Self {
        lock(&life.world().oracle).on_the_way(nonce, true);
        Self { life, nonce }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        lock(&self.life.world().oracle).on_the_way(self.nonce, false);
    }
}

impl Facilitator for Way {
    async fn supported(&self) -> Result<Supported, Undecided> {
        let answer = self.ask(VERIFY_WITHIN, |engine| async move { engine.supported().await }).await;
        answer.map_err(|_| Undecided::Facilitator)
    }

    async fn verify(&self, payment: Checked, caller: CallerKey) -> Result<Verified, VerifyError> {
        let matched = payment.into_matched();
        let id = nonce(&matched);
        let answer = self.ask(VERIFY_WITHIN, |engine| {
            let matched = matched.clone();
            async move { engine.verify(matched, Some(caller)).await }
        });
        let answer = answer.await.map_err(|_| Undecided::Facilitator)?;
        if let (Ok(_), Some(id)) = (&answer, id) {
            lock(&self.life.world().oracle).verified(id);
        }
        answer
    }

    async fn settle(&self, payment: &Claimed, caller: CallerKey) -> Result<Receipt, SettleError> {
        let matched = payment.matched();
        let answer = self.ask(SETTLE_WITHIN, |engine| {
            let on_the_way = nonce(matched).map(|nonce| OnTheWay::new(self.life.clone(), nonce));
            let matched = matched.clone();
            async move {
                let settled = engine.settle(matched, Some(caller)).await;
                drop(on_the_way);
                settled
            }
        });
        match answer.await {
            Ok(answer) => {
                if let (Err(SettleError::Rejected { reject, .. }), Some(id)) = (&answer, nonce(matched))
                    && !matches!(reject, Reject::DuplicateSettlement { .. })
                {
                    oracle::settle_refused(self.life.world(), id, reject.word());
                }
                answer
            }
            Err(NoAnswer { sent: false }) => Err(Undecided::Facilitator.into()),
            Err(NoAnswer { sent: true }) => Err(SettleError::Pending { transaction: None }),
        }
    }

    async fn lookup(&self, payment: &PaymentKey) -> Result<Lookup, Undecided> {
        let key = *payment;
        let answer = self.ask(VERIFY_WITHIN, |engine| async move { engine.payment(&key).await }).await;
        let row = answer.map_err(|_| Undecided::Facilitator)??;
        Ok(row.map_or(Lookup::Unknown, |row| Lookup::Known(row.state)))
    }
}
