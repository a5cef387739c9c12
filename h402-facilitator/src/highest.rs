//! The highest block that was seen lately: an endpoint that is far behind it decides nothing.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The highest block, and when it was first seen.
#[derive(Debug)]
pub(crate) struct Highest {
    known: Mutex<Option<(u64, Instant)>>,
    near: u64,
}

/// After this a chain without a higher block is believed to be shorter now.
const LATELY: Duration = Duration::from_secs(30);

impl Highest {
    /// For endpoints that differ by up to `near` blocks without harm.
    pub(crate) fn new(near: u64) -> Self {
        Self { known: Mutex::default(), near }
    }

    /// Whether a block is near the highest, which it may be itself.
    pub(crate) fn is_near(&self, block: u64) -> bool {
        let mut highest = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match *highest {
            Some((known, since)) if block <= known && since.elapsed() < LATELY => block.saturating_add(self.near) >= known,
            _ => {
                *highest = Some((block, Instant::now()));
                true
            }
        }
    }
}
