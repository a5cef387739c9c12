//! What everything in a simulation shares: time, chance, the trace, and who is alive.

use super::{
    Violation,
    chain::Chain,
    grants::Books,
    ledger::Ledger,
    oracle::Oracle,
    scenario::{Fault, Faults, Scenario},
};
use crate::dice::Dice;
use h402_core::{Clock, UnixMillis};
use std::{
    collections::VecDeque,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

/// When every simulation begins.
pub const EPOCH: u64 = 1_800_000_000_000;
/// How much of a story is told when it goes wrong.
const TAIL: usize = 120;

pub struct World {
    pub seed: u64,
    pub scenario: Scenario,
    faults: Mutex<Faults>,
    start: Instant,
    dice: Mutex<Dice>,
    story: Mutex<Story>,
    violation: Mutex<Option<Violation>>,
    pub broken: Notify,
    pub chain: Mutex<Chain>,
    pub ledger: Mutex<Ledger>,
    pub books: Vec<Mutex<Books>>,
    pub oracle: Mutex<Oracle>,
    crashes: mpsc::UnboundedSender<Process>,
    /// The whole story is printed as it happens.
    aloud: bool,
}

/// What is told, and the hash of all of it.
#[derive(Default)]
struct Story {
    tail: VecDeque<String>,
    hash: u64,
    events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    Facilitator(usize),
    Gate(usize),
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub fn new(seed: u64, mut dice: Dice, scenario: Scenario, chain: Chain) -> (Arc<Self>, mpsc::UnboundedReceiver<Process>) {
        let (crashes, crashed) = mpsc::unbounded_channel();
        let books = (0..scenario.shops).map(|shop| Mutex::new(Books::new(shop))).collect();
        let world = Self {
            seed,
            faults: Mutex::new(scenario.faults),
            scenario,
            start: Instant::now(),
            dice: Mutex::new(dice.split()),
            story: Mutex::default(),
            violation: Mutex::default(),
            broken: Notify::new(),
            chain: Mutex::new(chain),
            ledger: Mutex::default(),
            books,
            oracle: Mutex::default(),
            crashes,
            aloud: std::env::var_os("H402_SIM_STORY").is_some(),
        };
        (Arc::new(world), crashed)
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn now(&self) -> UnixMillis {
        UnixMillis(EPOCH).plus(self.elapsed())
    }

    pub fn roll(&self, sides: u64) -> u64 {
        lock(&self.dice).roll(sides)
    }

    /// Whether something happens that does so `per_mille` times out of a thousand while this fault is on.
    pub fn chance(&self, fault: Fault, per_mille: u64) -> bool {
        lock(&self.faults).has(fault) && self.roll(1000) < per_mille
    }

    pub fn has(&self, fault: Fault) -> bool {
        lock(&self.faults).has(fault)
    }

    /// From here on nothing goes wrong any more.
    pub fn calm(&self) {
        *lock(&self.faults) = Faults::NONE;
        self.tell(format_args!("calm"));
    }

    pub async fn pause(&self, most: u64) {
        sleep(Duration::from_millis(self.roll(most + 1))).await;
    }

    /// Adds to the story.
    pub fn tell(&self, event: fmt::Arguments<'_>) {
        let line = format!("{:>9.3} {event}", self.elapsed().as_secs_f64());
        if self.aloud {
            println!("{line}");
        }
        let mut story = lock(&self.story);
        // FNV-1a: two stories that differ anywhere have different hashes, as good as always.
        let mut hash = if story.events == 0 { 0xcbf2_9ce4_8422_2325 } else { story.hash };
        for byte in line.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (story.hash, story.events) = (hash, story.events + 1);
        story.tail.push_back(line);
        if story.tail.len() > TAIL {
            story.tail.pop_front();
        }
    }

    pub fn hash(&self) -> (u64, u64) {
        let story = lock(&self.story);
        (story.hash, story.events)
    }

    /// Says what must never be; the first of it counts.
    pub fn violate(&self, invariant: &'static str, what: fmt::Arguments<'_>) {
        self.tell(format_args!("VIOLATION {invariant}: {what}"));
        let tail = lock(&self.story).tail.iter().cloned().collect();
        let faults = self.scenario.faults;
        let what = what.to_string();
        lock(&self.violation).get_or_insert(Violation { seed: self.seed, invariant, what, faults, tail });
        self.broken.notify_one();
    }

    pub fn violation(&self) -> Option<Violation> {
        lock(&self.violation).clone()
    }

    pub fn crashed(&self, process: Process) {
        // Whoever starts processes again may be gone: then the simulation is over.
        let _over = self.crashes.send(process);
    }
}

/// One life of a process. Dead, it cannot do anything: whoever wants to act first asks here, and then never goes on.
#[derive(Clone)]
pub struct Life {
    pub process: Process,
    pub id: u64,
    dead: Arc<Death>,
    world: Arc<World>,
    /// What its clock is ahead, in milliseconds; or behind.
    ahead: i64,
}

/// Whether a process is dead, and whoever waits for that: they wake in the order they came, unlike those of a `watch`.
#[derive(Default)]
struct Death {
    has_come: AtomicBool,
    comes: Notify,
}

impl Life {
    pub fn new(world: &Arc<World>, process: Process, id: u64) -> Self {
        let ahead = if world.has(Fault::Clocks) { i64::try_from(world.roll(4_001)).expect("small") - 2_000 } else { 0 };
        Self { process, id, dead: Arc::default(), world: world.clone(), ahead }
    }

    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub fn is_dead(&self) -> bool {
        self.dead.has_come.load(Ordering::Relaxed)
    }

    /// Where a process does something that the world can see: alive it goes on, dead it never does. Some die here.
    pub async fn step(&self, at: &'static str) {
        let fault = match self.process {
            Process::Facilitator(_) => Fault::FacilitatorCrash,
            Process::Gate(_) => Fault::GateCrash,
        };
        if !self.is_dead() && self.world.chance(fault, 6) {
            self.die(at);
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    pub fn die(&self, at: &str) {
        if self.dead.has_come.swap(true, Ordering::Relaxed) {
            return;
        }
        self.world.tell(format_args!("{:?} dies at {at}", self.process));
        self.dead.comes.notify_waiters();
        if let Process::Facilitator(_) = self.process {
            let kept = |waiting| self.world.roll(waiting + 1);
            let outcome = lock(&self.world.ledger).crash(self.id, kept);
            self.world.tell(format_args!("ledger keeps {} of {} unanswered writes", outcome.0, outcome.1));
        }
        if let Process::Gate(gate) = self.process {
            let shop = self.world.scenario.gates[gate];
            let kept = |waiting| self.world.roll(waiting + 1);
            let outcome = lock(&self.world.books[shop]).crash(self.id, kept);
            self.world.tell(format_args!("grants keep {} of {} unanswered writes", outcome.0, outcome.1));
        }
        self.world.crashed(self.process);
    }

    pub async fn died(&self) {
        let mut comes = pin!(self.dead.comes.notified());
        comes.as_mut().enable();
        if !self.is_dead() {
            comes.await;
        }
    }
}

impl Clock for Life {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.world.now().0.saturating_add_signed(self.ahead))
    }
}
