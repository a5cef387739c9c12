//! A value that changes, and whoever waits for what it will be.

use std::{
    pin::pin,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};
use tokio::sync::Notify;

/// Shows the newest value. Those who wait wake in the order in which they came: tokio's own `watch` wakes them by chance,
/// and then no run could be repeated.
#[derive(Debug)]
pub(super) struct Signal<T> {
    value: RwLock<T>,
    changed: Notify,
}

impl<T: Clone> Signal<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: RwLock::new(value), changed: Notify::new() }
    }

    /// The value as it is now; not to be held for long.
    pub(super) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, value: T) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = value;
        self.changed.notify_waiters();
    }

    /// The value, once it is `wanted`.
    pub(super) async fn wait_for(&self, wanted: impl Fn(&T) -> bool) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Listening must begin before looking, or a change in between would be missed.
            changed.as_mut().enable();
            let value = self.borrow().clone();
            if wanted(&value) {
                return value;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn all_who_wait_wake_in_the_order_they_came() {
        let (signal, woken) = (Signal::new(0), Mutex::new(Vec::new()));
        let wait = async |who: u32| {
            assert_eq!(signal.wait_for(|value| *value >= 2).await, 2);
            woken.lock().unwrap().push(who);
        };
        let waiting = futures_util::future::join_all((0..40).map(wait));
        let change = async {
            tokio::task::yield_now().await;
            signal.set(1);
            tokio::task::yield_now().await;
            assert!(woken.lock().unwrap().is_empty());
            signal.set(2);
        };
        futures_util::future::join(waiting, change).await;
        assert_eq!(*woken.lock().unwrap(), (0..40).collect::<Vec<_>>());
        assert_eq!(signal.wait_for(|value| *value == 2).await, 2, "what is there is not waited for");
    }
}
