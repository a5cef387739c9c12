//! What happens in one simulation: who pays for what, and which faults there are. All of it follows from the seed.

use crate::dice::Dice;
use std::{fmt, time::Duration};

macro_rules! faults {
    ($($name:ident),* $(,)?) => {
        /// What can go wrong. Each seed switches a random part of the menu on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($name),* }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    // The node.
    RpcSlow, RpcDropRequest, RpcDropAnswer, RpcError, RpcStale, RpcWrongId, RpcOutage,
    // The chain.
    Reorg, Evict, FeeSpike, Stall, LongStall, PickyBlocks, Frontrunner,
    // Stores.
    LedgerSlow, LedgerFails, GrantsSlow, GrantsFail,
    // Processes and clocks.
    FacilitatorCrash, FacilitatorKill, GateCrash, GateKill, ClientCrash, Clocks,
    // The network between them.
    NetSlow, NetDropRequest, NetDropAnswer, NetDuplicate, Disconnect, FacilitatorNetSlow, FacilitatorNetDrop, FacilitatorNetDuplicate,
    // People.
    PayerCancels, PayerDrains, PoorPayer, HandlerFails, HandlerSlow, LongAnswers, Replays, Thieves,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Faults(u64);

impl Faults {
    pub const NONE: Self = Self(0);

    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u64) != 0
    }

    pub fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u64)
    }

    fn roll(dice: &mut Dice) -> Self {
        // How wild this seed is at all; one in sixteen has no fault.
        let wild = dice.roll(16) * 4;
        let all = Fault::ALL.iter().filter(|_| dice.roll(100) < wild);
        all.fold(Self::NONE, |faults, fault| faults.with(*fault))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(Fault::ALL.iter().filter(|fault| self.has(**fault))).finish()
    }
}

/// When the money moves on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Capture,
    Upfront,
}

impl Route {
    pub const ALL: [Self; 2] = [Self::Capture, Self::Upfront];

    pub fn path(self) -> &'static str {
        match self {
            Self::Capture => "/capture",
            Self::Upfront => "/upfront",
        }
    }
}

/// One call that a payer makes.
#[derive(Debug, Clone)]
pub struct Call {
    pub payer: usize,
    pub route: Route,
    /// The shop: gates of one shop share their grants.
    pub shop: usize,
    pub at: Duration,
    pub handler: HandlerPlan,
    /// What the payer does against its own payment, and how long after signing.
    pub treason: Option<(Treason, Duration)>,
    /// When the client dies and starts again, after it began.
    pub dies: Option<Duration>,
    /// How often, and when after the call, the same header is presented again by whoever has it.
    pub replays: Vec<Replay>,
}

#[derive(Debug, Clone)]
pub struct Replay {
    pub after: Duration,
    /// For the same request, or for another route.
    pub route: Route,
    pub shop: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treason {
    Cancel,
    Drain,
}

#[derive(Debug, Clone, Default)]
pub struct HandlerPlan {
    /// The first runs that fail.
    pub failures: u8,
    pub takes: Duration,
    pub long: bool,
}

/// A whole simulation.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub faults: Faults,
    pub block_time: Duration,
    pub accept_depth: u64,
    pub final_depth: u64,
    pub payers: usize,
    /// Gates by the shop that they belong to.
    pub gates: Vec<usize>,
    pub shops: usize,
    pub facilitators: usize,
    pub multicall: bool,
    pub calls: Vec<Call>,
}

impl Scenario {
    pub fn roll(dice: &mut Dice) -> Self {
        let faults = Faults::roll(dice);
        let shops = if faults.has(Fault::Thieves) { 2 } else { 1 };
        let mut gates: Vec<usize> = (0..shops).collect();
        if dice.roll(2) == 0 {
            gates.push(0);
        }
        let payers = 1 + size(dice, 3);
        let block_time = Duration::from_millis([500, 1_000, 2_000][size(dice, 3)]);
        let rush = dice.roll(3) == 0;
        let calls = (0..3 + size(dice, 8)).map(|_| call(dice, faults, payers, shops, rush)).collect();
        let facilitators = if dice.roll(4) == 0 { 2 } else { 1 };
        let accept_depth = if dice.roll(4) == 0 { 2 } else { 1 };
        Self { faults, block_time, accept_depth, final_depth: 5, payers, gates, shops, facilitators, multicall: dice.roll(5) > 0, calls }
    }
}

pub fn size(dice: &mut Dice, sides: usize) -> usize {
    usize::try_from(dice.roll(sides as u64)).expect("small")
}

fn millis(dice: &mut Dice, most: u64) -> Duration {
    Duration::from_millis(dice.roll(most))
}

fn call(dice: &mut Dice, faults: Faults, payers: usize, shops: usize, rush: bool) -> Call {
    let route = Route::ALL[size(dice, 2)];
    let shop = size(dice, shops);
    let mut handler = HandlerPlan { takes: millis(dice, 300), ..HandlerPlan::default() };
    if faults.has(Fault::HandlerFails) && dice.roll(3) == 0 {
        handler.failures = 1 + u8::try_from(dice.roll(4)).expect("small");
    }
    if faults.has(Fault::HandlerSlow) && dice.roll(3) == 0 {
        handler.takes = millis(dice, 12_000);
    }
    handler.long = faults.has(Fault::LongAnswers) && dice.roll(4) == 0;
    let mut treason = None;
    if faults.has(Fault::PayerCancels) && dice.roll(4) == 0 {
        treason = Some((Treason::Cancel, millis(dice, 3_000)));
    }
    if faults.has(Fault::PayerDrains) && dice.roll(4) == 0 {
        treason = Some((Treason::Drain, millis(dice, 3_000)));
    }
    let dies = (faults.has(Fault::ClientCrash) && dice.roll(3) == 0).then(|| millis(dice, 6_000));
    let replays = if faults.has(Fault::Replays) { size(dice, 3) } else { 0 };
    let mut replays: Vec<Replay> = (0..replays).map(|_| replay(dice, route, shop, shops)).collect();
    if faults.has(Fault::Thieves) && dice.roll(2) == 0 {
        replays.push(Replay { after: millis(dice, 3_000), route, shop: 1 - shop });
    }
    Call { payer: size(dice, payers), route, shop, at: millis(dice, if rush { 1_500 } else { 20_000 }), handler, treason, dies, replays }
}

fn replay(dice: &mut Dice, route: Route, shop: usize, shops: usize) -> Replay {
    let other = dice.roll(3) == 0;
    let most = [1_000, 10_000, 90_000][size(dice, 3)];
    Replay {
        after: millis(dice, most),
        route: if other { Route::ALL[size(dice, 2)] } else { route },
        shop: if dice.roll(8) == 0 { size(dice, shops) } else { shop },
    }
}

pub fn size_of(world: &super::world::World, sides: usize) -> usize {
    usize::try_from(world.roll(sides as u64)).expect("small")
}
