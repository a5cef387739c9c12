//! Crash points for tests, compiled only with feature `chaos` and armed only by the environment.

use std::sync::atomic::{AtomicU64, Ordering};

static REACHED: AtomicU64 = AtomicU64::new(0);

/// Ends the process, as `kill -9` would, if `H402_CHAOS` names this point.
///
/// `H402_CHAOS=signed` ends it the first time the point is reached, `signed:3` the third time.
pub fn reach(name: &str) {
    let Ok(armed) = std::env::var("H402_CHAOS") else { return };
    let (point, count) = armed.split_once(':').unwrap_or((armed.as_str(), "1"));
    let count = count.parse().unwrap_or(1);
    if point == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == count {
        std::process::abort();
    }
}
