use h402_core::{Clock, UnixMillis};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock before 1970 reads as 1970: every payment is then "not valid yet", which fails closed.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        #[cfg(feature = "chaos")]
        let now = crate::chaos::wrong(now);
        now
    }
}
