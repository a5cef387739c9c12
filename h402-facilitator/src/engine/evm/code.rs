//! The code of assets that is pinned: compared at the start, and again and again after it.

use super::{super::Shared, EvmEngine, EvmNetwork};
use crate::{StartError, evm::FoundCode};
use h402_core::{Address, Asset, Clock, EvmAddress, Store, Undecided};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How soon a node that did not answer is asked again: after an outage it may be another one.
const RETRY: Duration = Duration::from_secs(5);

/// Assets whose contract is another one now: nothing is taken in them until it is the pinned one again (T068).
#[derive(Debug, Default)]
pub(super) struct Changed(Mutex<BTreeSet<EvmAddress>>);

impl Changed {
    pub(super) fn each(&self) -> Vec<Address> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().map(Address::from).collect()
    }

    /// Notes what was found; `true` if that is news.
    fn set(&self, asset: EvmAddress, changed: bool) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changed { all.insert(asset) } else { all.remove(&asset) }
    }
}

impl EvmNetwork {
    /// Compares the configuration with the chain, as a start does: see [`crate::evm::EvmChain::check`], the contracts of Permit2 if they are used, and the pinned
    /// code.
    ///
    /// # Errors
    /// [`StartError::Mismatch`] with the first difference; [`StartError::Unreachable`] if the node does not answer.
    pub async fn check(&self, assets: &[Arc<Asset>]) -> Result<(), StartError> {
        self.chain.check(assets).await?;
        if self.permit2.is_some() {
            self.chain.check_permit2().await?;
        }
        let found = self.pinned_code().await.map_err(|_| StartError::Unreachable)?;
        for ((address, pin), found) in self.pins.iter().zip(found) {
            if !pin.fits(&found) {
                let FoundCode { code, implementation } = found;
                let behind = implementation.map(|hash| format!(", behind it {hash}")).unwrap_or_default();
                return Err(StartError::Mismatch { what: format!("the code at {address} is not the pinned one but {code}{behind}") });
            }
        }
        Ok(())
    }

    async fn pinned_code(&self) -> Result<Vec<FoundCode>, Undecided> {
        let addresses: Vec<_> = self.pins.iter().map(|(address, _)| *address).collect();
        if addresses.is_empty() { Ok(Vec::new()) } else { self.chain.code(&addresses).await }
    }
}

/// Compares again until the engine stops.
pub(in crate::engine) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>) {
    if evm.config.pins.is_empty() {
        return;
    }
    let mut pause = evm.config.check_code;
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match evm.config.pinned_code().await {
            Ok(found) => {
                evm.compare(&found);
                evm.config.check_code
            }
            Err(error) => {
                tracing::debug!(network = %evm.network(), %error, "could not look at the code of assets");
                evm.config.check_code.min(RETRY)
            }
        };
    }
}

impl EvmEngine {
    fn compare(&self, found: &[FoundCode]) {
        for ((address, pin), found) in self.config.pins.iter().zip(found) {
            let fits = pin.fits(found);
            match (self.changed.set(*address, !fits), fits) {
                (true, false) => tracing::error!(
                    network = %self.network(), asset = %address, code = %found.code, implementation = ?found.implementation,
                    "the contract of an asset is not the pinned one any more: nothing is taken in it"
                ),
                (true, true) => {
                    tracing::warn!(network = %self.network(), asset = %address, "the contract of an asset is the pinned one again")
                }
                (false, _) => {}
            }
        }
    }
}
