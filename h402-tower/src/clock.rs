use h402_core::{Clock, UnixMillis};
use std::time::{SystemTime, UNIX_EPOCH};

/// The operating system's clock.
///
/// ```
/// use h402_core::Clock as _;
/// use h402_tower::gate::SystemClock;
/// assert!(SystemClock.now().seconds().0 > 1_700_000_000);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
