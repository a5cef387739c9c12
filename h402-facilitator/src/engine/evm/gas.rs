//! Whether the facilitator's key can still pay for gas.

use super::EvmEngine;
use h402_core::Undecided;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a read balance is believed.
const FRESH: Duration = Duration::from_secs(10);
/// Settlements at the configured maximum that the balance must cover.
const RESERVE: u128 = 2;

#[derive(Debug, Default)]
pub(super) struct GasTank(Mutex<Option<(Instant, bool)>>);

impl GasTank {
    /// Refuses work while the key is known to be too poor; asks the chain again when that is old news.
    pub(super) async fn enough(&self, evm: &EvmEngine) -> Result<(), Undecided> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((read, true)) if read.elapsed() < FRESH => Ok(()),
            _ => self.refresh(evm).await,
        }
    }

    pub(super) async fn refresh(&self, evm: &EvmEngine) -> Result<(), Undecided> {
        let config = &evm.config;
        let balance = config.chain.native_balance(config.signer.address()).await?;
        let fees = config.chain.fees().await?;
        // Settlements are of type 2; on a chain without a base fee they would be refused one by one.
        if fees.legacy {
            return Err(Undecided::Gas);
        }
        // The fee that is bid is about twice the base fee; a base fee above the cap would only strand the transaction.
        if fees.max_fee_per_gas / 2 > config.max_fee_per_gas {
            return Err(Undecided::Gas);
        }
        let price = fees.max_fee_per_gas.min(config.max_fee_per_gas);
        let needed = u128::from(config.max_gas).saturating_mul(price).saturating_mul(RESERVE);
        let enough = balance >= alloy_primitives::U256::from(needed);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), enough));
        if enough { Ok(()) } else { Err(Undecided::Gas) }
    }
}
