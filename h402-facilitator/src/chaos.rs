//! Crash points and deliberate bugs for tests: compiled only with feature `chaos`, and asleep until named.
//!
//! A crash point ends the process as `kill -9` would, when the environment variable `H402_CHAOS` names it. A sabotage is
//! one line of the engine done wrong on purpose: a test switches it on to see that the checks notice. It is chosen by
//! `H402_SABOTAGE` for a whole process, or by [`sabotage`] for one thread, so that simulations can run side by side.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Every crash point of this crate, in the order in which a settlement passes them. The ledger's commits have two of
/// their own, `intent.pre_fsync` and `intent.post_fsync`: the statements of a change have run and nothing is durable;
/// all of it is durable, and nobody has been told.
pub const POINTS: &[&str] = &[
    "lease.renew",
    "recover.mid",
    "claim.pre",
    "intent.pre_fsync",
    "intent.post_fsync",
    "claim.post",
    "nonce.alloc",
    "sign.post",
    "send.pre",
    "send.mid",
    "send.post",
    "nonce.fill",
    "receipt.pre",
    "receipt.post",
    "resp.head",
    "final.pre",
    "final.post",
    "shutdown.drain",
];

/// Every deliberate bug of this crate.
pub const SABOTAGES: &[&str] = &[
    "claim.skip",      // takes a payment on without storing it
    "claim.conflict",  // believes that a claim was won which was lost
    "claim.alias",     // stores a payment without its other names
    "verify.alias",    // does not look whether another name is taken
    "known.terms",     // takes any terms for those of the claim
    "caller.forget",   // tells a success to whoever asks
    "told.drop",       // does not store that a success was told
    "reserve.ignore",  // counts on money that other payments have promised
    "store.early",     // answers before the change is written
    "send.unstored",   // sends before what is sent is stored
    "send.failed",     // takes a send without an answer for a failure
    "nonce.reuse",     // gives every payment the same nonce
    "bump.unstored",   // raises a fee by a transaction that is not stored
    "resend.anew",     // signs anew instead of sending the same bytes again
    "fence.skip",      // lets a driver write that has lost its lease
    "receipt.status",  // believes a receipt's status, whatever its events say
    "transfer.twice",  // counts a `Transfer` for two payments
    "depth.ignore",    // counts a block that has too few on top of it
    "reorg.ignore",    // takes a block that is gone for one that is there
    "expiry.margin",   // ends a settlement as soon as it expires
    "expiry.unproven", // ends a settlement without looking whether it was paid
    "recover.skip",    // drives nothing on after a start
];

static REACHED: AtomicU64 = AtomicU64::new(0);
static ARMED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
    let armed = std::env::var("H402_CHAOS").ok()?;
    let (point, count) = armed.split_once(':').unwrap_or((&armed, "1"));
    Some((point.to_owned(), count.parse().unwrap_or(1)))
});

static WRONG: LazyLock<i64> = LazyLock::new(|| std::env::var("H402_CLOCK").ok().and_then(|text| text.parse().ok()).unwrap_or(0));

/// The time as a clock shows it that is wrong by as many milliseconds as `H402_CLOCK` says.
pub(crate) fn wrong(now: h402_core::UnixMillis) -> h402_core::UnixMillis {
    h402_core::UnixMillis(now.0.saturating_add_signed(*WRONG))
}

/// Ends the process if `H402_CHAOS` names this point: `H402_CHAOS=send.pre` the first time it is reached,
/// `send.pre:3` the third time.
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
#[cfg_attr(
    not(any(feature = "evm", feature = "solana", feature = "sqlite")),
    expect(dead_code, reason = "nothing is left to be done wrong")
)]
pub(crate) fn sabotaged(name: &'static str) -> bool {
    static EVERYWHERE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("H402_SABOTAGE").ok());
    debug_assert!(SABOTAGES.contains(&name), "{name} is not listed");
    HERE.get() == Some(name) || EVERYWHERE.as_deref() == Some(name)
}

/// Switches one of [`SABOTAGES`] on in this thread, until what is returned is dropped. The engine must run in the same
/// thread: in a current-thread runtime.
///
/// `None` if there is no such sabotage.
///
/// ```
/// let unknown = h402_facilitator::chaos::sabotage("no such bug");
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
