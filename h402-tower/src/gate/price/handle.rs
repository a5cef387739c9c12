//! Prices that change while the gate runs. The last ones are kept, so that whoever was told one can still pay it.

use super::{Price, PriceVersion, Pricing, RetiredVersion};
use crate::{clock::SystemClock, gate::quote::RETIRED_KEPT};
use h402_core::{Clock as _, UnixMillis};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// Changes a price while the gate runs. Made by [`Price::changeable`].
///
/// ```
/// use h402_core::{Assets, Network};
/// use h402_tower::gate::{Payee, Price};
/// let me = Payee::new(Network::Evm(8453), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?);
/// let usd = |dollars| Price::usd(dollars).to(&[me], &Assets::known());
/// let (price, handle) = usd("0.01")?.changeable();
/// handle.set(usd("0.02")?)?; // a client that was told 0.01 can still pay that for a minute
/// # drop(price);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PriceHandle(Versions);

/// Why a price cannot take the place of the first one: the gate was built for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceChangeError {
    /// The new price reads the body and the first one did not.
    #[error("the new price reads the request's body, the first one did not")]
    ReadsBody,
    /// The new price is settled after the handler ran and the first one was settled before.
    #[error("the new price is settled after the handler ran, the first one before")]
    Captures,
}

#[derive(Clone)]
pub(super) struct Versions {
    list: Arc<RwLock<List>>,
    allows_body: bool,
    allows_capture: bool,
}

struct List {
    version: u64,
    price: Arc<Price>,
    retired: VecDeque<(RetiredVersion, Arc<Price>)>,
}

impl PriceHandle {
    /// Quotes `price` from now on; what was quoted before is honoured for the gate's `quote_ttl`.
    ///
    /// # Errors
    /// [`PriceChangeError`]; nothing is changed then.
    pub fn set(&self, price: Price) -> Result<(), PriceChangeError> {
        self.set_at(price, SystemClock.now())
    }

    /// As [`PriceHandle::set`], with the time given by the caller, for gates with a clock of their own.
    ///
    /// # Errors
    /// As [`PriceHandle::set`].
    pub fn set_at(&self, price: Price, now: UnixMillis) -> Result<(), PriceChangeError> {
        if price.reads_body() && !self.0.allows_body {
            return Err(PriceChangeError::ReadsBody);
        }
        if price.may_capture() && !self.0.allows_capture {
            return Err(PriceChangeError::Captures);
        }
        let mut list = self.0.list.write().unwrap_or_else(PoisonError::into_inner);
        let old = RetiredVersion { version: PriceVersion(list.version), retired_at: now };
        let last = std::mem::replace(&mut list.price, Arc::new(price));
        list.retired.push_front((old, last));
        list.retired.truncate(RETIRED_KEPT);
        list.version += 1;
        Ok(())
    }
}

impl Versions {
    pub(super) fn new(price: Price) -> (Self, PriceHandle) {
        let (allows_body, allows_capture) = (price.reads_body(), price.may_capture());
        let list = List { version: 0, price: Arc::new(price), retired: VecDeque::new() };
        let versions = Self { list: Arc::new(RwLock::new(list)), allows_body, allows_capture };
        (versions.clone(), PriceHandle(versions))
    }

    pub(super) fn current(&self) -> PriceVersion {
        PriceVersion(self.list.read().unwrap_or_else(PoisonError::into_inner).version)
    }

    pub(super) fn retired(&self) -> Vec<RetiredVersion> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).retired.iter().map(|(version, _)| *version).collect()
    }

    pub(super) fn get(&self, version: PriceVersion) -> Option<Arc<Price>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if version.0 == list.version {
            return Some(list.price.clone());
        }
        list.retired.iter().find(|(retired, _)| retired.version == version).map(|(_, price)| price.clone())
    }

    pub(super) fn allows_body(&self) -> bool {
        self.allows_body
    }

    pub(super) fn allows_capture(&self) -> bool {
        self.allows_capture
    }
}

impl fmt::Debug for PriceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PriceHandle(..)")
    }
}
