//! Crash points of the gate, for tests: compiled only with feature `chaos`, armed only by the environment.

use std::{
    env, process,
    sync::atomic::{AtomicU64, Ordering},
};

/// Ends the process, as `kill -9` would, when the point that `H402_CHAOS` names is reached.
///
/// `H402_CHAOS=settling` ends it the first time, `settling:3` the third time.
pub fn reach(name: &str) {
    static TIMES: AtomicU64 = AtomicU64::new(0);
    let armed = env::var("H402_CHAOS").unwrap_or_default();
    let (point, on) = armed.split_once(':').map_or((&*armed, 1), |(point, on)| (point, on.parse().unwrap_or(1)));
    if point == name && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == on {
        process::abort();
    }
}
