//! Gate, engine and paying client in one simulated world: one thread, one clock, one seed.
//!
//! The three run as they are, as tasks of one runtime whose time is simulated. What is behind their ports is made here: a
//! chain behind its node, stores that lose what was not synced, the networks in between. Processes die anywhere and start
//! again on what is on disk. The oracle looks at all of it from outside, after every event.

pub mod chain;
pub mod client;
pub mod grants;
pub mod handler;
pub mod ledger;
pub mod node;
pub mod oracle;
pub mod scenario;
pub mod token;
pub mod town;
pub mod world;

pub use scenario::Faults;

use crate::dice::Dice;
use alloy_primitives::U256;
use chain::Chain;
use scenario::{Fault, Scenario};
use std::{cell::RefCell, fmt, panic, sync::Arc, sync::Once, time::Duration};
use tokio::time::{sleep, timeout};
use town::{Town, account};
use world::{EPOCH, World, lock};

/// Longest a part of a simulation may take, in its own time.
const LONGEST_DAY: Duration = Duration::from_secs(420);
/// How long after the last fault everything must be over (I12).
const T_TERM: Duration = Duration::from_secs(420);

/// What a simulation was, in short: equal for equal seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Of everything that happened.
    pub hash: u64,
    pub events: u64,
    /// Payments that were brought to the chain.
    pub settled: usize,
    /// Simulated.
    pub time: Duration,
}

/// An invariant that did not hold.
#[derive(Clone)]
pub struct Violation {
    pub seed: u64,
    pub invariant: &'static str,
    pub what: String,
    pub faults: Faults,
    /// The end of the story.
    pub tail: Vec<String>,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.tail {
            writeln!(f, "{line}")?;
        }
        let Self { seed, invariant, what, faults, .. } = self;
        writeln!(f, "seed {seed} breaks {invariant}: {what}\nfaults: {faults:?}\nagain: just sim 1 {seed}")
    }
}

/// Simulates one seed.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run(seed: u64) -> Result<Trace, Violation> {
    watch_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let outcome = runtime.block_on(story(seed));
    // Whatever is left in it ends here.
    drop(runtime);
    outcome
}

async fn story(seed: u64) -> Result<Trace, Violation> {
    let mut dice = Dice::from_seed(seed);
    let scenario = Scenario::roll(&mut dice);
    let chain = genesis(&mut dice, &scenario);
    let (world, crashed) = World::new(seed, dice, scenario, chain);
    world.tell(format_args!("{:?}", world.scenario));
    let town = Town::new(world.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(town.clone().run(crashed));
    tasks.spawn(mine(world.clone()));
    tasks.spawn(town.clone().kill_now_and_then());
    tokio::select! {
        biased;
        () = world.broken.notified() => {}
        () = day(&town) => {}
    }
    if let Some(panic) = PANIC.take() {
        world.violate("panic", format_args!("{panic}"));
    }
    match world.violation() {
        Some(violation) => Err(violation),
        None => {
            let (hash, events) = world.hash();
            let settled = lock(&world.chain).paid().len();
            Ok(Trace { hash, events, settled, time: world.elapsed() })
        }
    }
}

/// The whole of it: calls while things go wrong, then calm, then the end.
async fn day(town: &Arc<Town>) {
    let world = &town.world;
    let mut calls = tokio::task::JoinSet::new();
    for (index, call) in world.scenario.calls.iter().enumerate() {
        calls.spawn(client::pay(town.clone(), index));
        for replay in &call.replays {
            calls.spawn(client::replay(town.clone(), index, replay.clone()));
        }
    }
    if timeout(LONGEST_DAY, async { while calls.join_next().await.is_some() {} }).await.is_err() {
        world.violate("I12", format_args!("calls that do not end"));
    }
    world.calm();
    lock(&world.oracle).calm();
    // Whoever was about to start again does.
    sleep(Duration::from_secs(10)).await;
    let mut calls: tokio::task::JoinSet<()> = (0..world.scenario.calls.len()).map(|call| client::finish(town.clone(), call)).collect();
    while calls.join_next().await.is_some() {}
    let over = timeout(T_TERM, async {
        while !oracle::unfinished(world).is_empty() {
            sleep(Duration::from_secs(2)).await;
        }
    });
    if over.await.is_err() {
        world.violate("I12", format_args!("not over after {T_TERM:?}: {:?}", oracle::unfinished(world)));
    }
    oracle::at_the_end(world);
}

/// Blocks, and what befalls them.
async fn mine(world: Arc<World>) {
    loop {
        sleep(world.scenario.block_time).await;
        let second = world.elapsed().as_secs();
        if world.has(Fault::Stall) && second % 45 >= 35 {
            continue;
        }
        // Long enough for authorizations to expire.
        if world.has(Fault::LongStall) && (12..100).contains(&second) {
            continue;
        }
        let mut chain = lock(&world.chain);
        chain.base_fee = if world.has(Fault::FeeSpike) && second % 30 >= 18 { 8_000_000_000 } else { 1_000_000_000 };
        if world.has(Fault::Evict) {
            chain.pool.retain(|_, tx| {
                let stays = world.roll(100) >= 8;
                if !stays {
                    world.tell(format_args!("{} is evicted", tx.hash));
                }
                stays
            });
        }
        if world.has(Fault::Frontrunner) {
            frontrun(&world, &mut chain);
        }
        let picky = world.has(Fault::PickyBlocks);
        let lucky = |_: &chain::Tx| !picky || world.roll(100) < 60;
        let now = world.now().seconds().0;
        let mut blocks = 1;
        if world.chance(Fault::Reorg, 60) {
            let depth = 1 + scenario::size_of(&world, 3);
            blocks += depth; // The other branch is longer.
            chain.unwind(now, depth, |_| world.roll(100) < 65);
            world.tell(format_args!("{depth} blocks are gone"));
        }
        for _ in 0..blocks {
            let block = chain.mine(now, lucky);
            let mined: Vec<String> = block.receipts.iter().map(|receipt| format!("{}:{}", receipt.tx.hash, receipt.success)).collect();
            if !mined.is_empty() {
                world.tell(format_args!("block {} has {}", block.number, mined.join(", ")));
            }
        }
        drop(chain);
        oracle::after_block(&world);
    }
}

/// Somebody who watches the pool brings an authorization from there to the chain first (T010).
fn frontrun(world: &World, chain: &mut Chain) {
    let stranger = account("stranger", 0).address();
    let seen: Vec<chain::Tx> = chain.pool.values().filter(|tx| tx.sender != stranger && tx.to == token::TOKEN).cloned().collect();
    for tx in seen {
        if tx.authorizations().is_empty() || world.roll(100) >= 15 {
            continue;
        }
        let next = chain.head().state.nonces.get(&stranger).copied().unwrap_or_default();
        let nonce = (next..).find(|nonce| !chain.pool.contains_key(&(stranger, *nonce))).unwrap_or(next);
        let hash = token::hash_of(&[b"stranger", tx.hash.as_slice(), &nonce.to_be_bytes()]);
        let outcome =
            chain.add(chain::Tx { hash, sender: stranger, nonce, gas_limit: 400_000, max_fee: tx.max_fee * 4, tip: tx.tip, ..tx });
        world.tell(format_args!("a stranger copies it as {hash}: {outcome:?}"));
    }
}

fn genesis(dice: &mut Dice, scenario: &Scenario) -> Chain {
    let mut state = token::State::default();
    state.wei.insert(account("gas", 0).address(), U256::from(10u64.pow(18)) * U256::from(100));
    state.wei.insert(account("stranger", 0).address(), U256::from(10u64.pow(18)) * U256::from(100));
    for index in 0..scenario.payers {
        let payer = account("payer", index).address();
        state.wei.insert(payer, U256::from(10u64.pow(18)));
        let poor = scenario.faults.has(Fault::PoorPayer) && dice.roll(2) == 0;
        state.tokens.insert(payer, U256::from(if poor { town::PRICE * 2 } else { town::PRICE * 1_000 }));
    }
    Chain::new(dice.roll(u64::MAX), EPOCH / 1_000, state)
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A task that panics tells nobody; here it does.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANIC.set(Some(info.to_string()));
            before(info);
        }));
    });
    PANIC.take();
}
