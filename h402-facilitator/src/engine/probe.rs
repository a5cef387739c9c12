//! Looks that strangers may ask for as often as they like: one at a time, not too often, shared by all who wait for it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// From the end of one look to the beginning of the next.
const REST: Duration = Duration::from_millis(100);

/// The newest answer of a look.
#[derive(Debug)]
pub(super) struct Probe<T> {
    /// How many looks were begun.
    begun: AtomicU64,
    newest: Mutex<Option<Answer<T>>>,
}

#[derive(Debug)]
struct Answer<T> {
    /// Of which look.
    number: u64,
    ended: Instant,
    value: T,
}

impl<T> Default for Probe<T> {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), newest: Mutex::new(None) }
    }
}

impl<T: Clone> Probe<T> {
    /// What a look answers that has begun after this was called: an answer is never older than its question.
    ///
    /// # Cancel safety
    /// May be dropped at any time; then the next who waits looks.
    pub(super) async fn ask(&self, look: impl AsyncFnOnce() -> T) -> T {
        let before = self.begun.load(Ordering::SeqCst);
        let mut newest = self.newest.lock().await;
        if let Some(answer) = newest.as_ref() {
            if answer.number > before {
                return answer.value.clone();
            }
            sleep_until(answer.ended + REST).await;
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let value = look().await;
        *newest = Some(Answer { number, ended: Instant::now(), value: value.clone() });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_share_looks_that_began_after_they_asked() {
        let (probe, looks) = (Probe::default(), AtomicU64::new(0));
        let look = async || {
            let number = looks.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(30)).await;
            number
        };
        let began = Instant::now();
        let first = join_all((0..1000).map(|_| probe.ask(look))).await;
        // Whoever comes while a look is under way gets the next one's answer.
        assert_eq!(first[0], 0);
        assert!(first[1..].iter().all(|number| *number == 1), "{first:?}");
        let late = async {
            tokio::time::sleep(Duration::from_millis(110)).await;
            probe.ask(look).await
        };
        assert_eq!(tokio::join!(probe.ask(look), late), (2, 3));
        assert_eq!(began.elapsed(), Duration::from_millis(30 + 3 * (100 + 30)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_look_to_the_next() {
        let probe = Probe::default();
        let never = tokio::time::timeout(Duration::from_secs(1), probe.ask(async || std::future::pending().await)).await;
        assert!(never.is_err());
        assert_eq!(probe.ask(async || 7).await, 7);
    }
}
