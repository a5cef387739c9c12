//! Crash points and deliberate bugs for tests: compiled only with feature `chaos`, and asleep until named.
//!
//! A crash point ends the process as `kill -9` would, when the environment variable `H402_CHAOS` names it. A sabotage is
//! one line of the gate or the pay layer done wrong on purpose: a test switches it on to see that the checks notice. It is chosen by
//! `H402_SABOTAGE` for a whole process, or by [`sabotage`] for one thread, so that simulations can run side by side.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Every crash point of this crate, in the order in which a request that is paid for after its handler passes them.
pub const POINTS: &[&str] = &[
    "claim.pre",
    "grant.reserve",
    "handler.start",
    "handler.end",
    "send.pre",
    "receipt.pre",
    "receipt.post",
    "credit.post", // only where what was charged is not delivered in time
    "resp.head",
    "resp.body",
    "resp.end",
];

/// Every deliberate bug of this crate.
pub const SABOTAGES: &[&str] = &[
    "fingerprint.ignore", // lets a payment open another request
    "busy.ignore",        // takes up what somebody else works on
    "runs.ignore",        // runs a failing handler for ever
    "grant.alias",        // stores a grant without its other names
    "strikes.forget",     // runs the handler first for payers whose payments fail
    "unsettled.ignore",   // lets a payer have any number of payments open
    "unsettled.served",   // serves although settling has no outcome
    "pending.refused",    // takes an unknown outcome for a refusal
    "pending.asks_again", // answers 402 after a broadcast
    "failure.charged",    // charges for a handler that failed
    "answer.forget",      // keeps no answer
    "caller.shared",      // asks the facilitator under a key that every gate has
    "lifetime.short",     // takes a payment that expires before it can be settled
    "cap.ignore",         // pays any price
    "budget.ignore",      // pays any number of times
    "journal.skip",       // sends a payment that is not written down
    "origin.ignore",      // shows a payment to a server it was not made for
    "unknown.final",      // takes a server's failure for the end of a payment
];

static REACHED: AtomicU64 = AtomicU64::new(0);
static ARMED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
    let armed = std::env::var("H402_CHAOS").ok()?;
    let (point, count) = armed.split_once(':').unwrap_or((&armed, "1"));
    Some((point.to_owned(), count.parse().unwrap_or(1)))
});

/// Ends the process if `H402_CHAOS` names this point: `H402_CHAOS=handler.end` the first time it is reached,
/// `handler.end:3` the third time.
pub(crate) fn crash_point(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "{name} is not listed");
    let Some((point, count)) = &*ARMED else { return };
    if point == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        std::process::abort();
    }
}

thread_local! {
    static HERE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Whether this line is to be done wrong.
pub(crate) fn sabotaged(name: &'static str) -> bool {
    static EVERYWHERE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("H402_SABOTAGE").ok());
    debug_assert!(SABOTAGES.contains(&name), "{name} is not listed");
    HERE.get() == Some(name) || EVERYWHERE.as_deref() == Some(name)
}

/// Switches one of [`SABOTAGES`] on in this thread, until what is returned is dropped. The layers must run in the same
/// thread: in a current-thread runtime.
///
/// `None` if there is no such sabotage.
///
/// ```
/// let unknown = h402_tower::chaos::sabotage("no such bug");
/// assert!(unknown.is_none());
/// ```
#[must_use]
pub fn sabotage(name: &str) -> Option<Sabotage> {
    let name = SABOTAGES.iter().find(|known| **known == name)?;
    HERE.set(Some(name));
    Some(Sabotage(PhantomData))
}

/// A deliberate bug that is switched on, in this thread.
#[derive(Debug)]
pub struct Sabotage(PhantomData<*const ()>);

impl Drop for Sabotage {
    fn drop(&mut self) {
        HERE.set(None);
    }
}
