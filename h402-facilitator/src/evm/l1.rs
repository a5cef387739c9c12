//! What OP-stack chains take for a transaction besides gas: a fee for its data on the chain below.

use super::{
    EvmChain,
    abi::{call_at_latest, word},
    quantity::{Data, read},
};
use alloy_primitives::{U256, address};
use alloy_sol_types::SolCall;
use h402_core::{EvmAddress, Undecided};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// Where the oracle is on every such chain.
const ORACLE: EvmAddress = address!("420000000000000000000000000000000000000F");
/// The fee moves with the blocks of the chain below.
const KEPT: Duration = Duration::from_secs(10);
/// Sizes are rounded up to this, so that few are asked for.
const STEP: usize = 256;

alloy_sol_types::sol! {
    function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256);
}

/// The last fee, for which size, and when it was read.
pub(super) type Cache = Mutex<Option<(Instant, usize, U256)>>;

impl EvmChain {
    /// The most wei that the chain below takes for a transaction of so many bytes, unsigned. Read at most every ten seconds.
    ///
    /// # Errors
    /// [`Undecided`], also if this is no OP-stack chain since Fjord.
    pub async fn l1_fee(&self, size: usize) -> Result<U256, Undecided> {
        let size = size.div_ceil(STEP).saturating_mul(STEP);
        let mut kept = self.inner.l1_fee.lock().await;
        if let Some((read_at, of, fee)) = *kept
            && of == size
            && read_at.elapsed() < KEPT
        {
            return Ok(fee);
        }
        let call = getL1FeeUpperBoundCall { unsignedTxSize: U256::from(size) };
        let mut answers = self.inner.ask([call_at_latest(ORACLE, &call.abi_encode())]).await?;
        let answer = answers.pop().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain)?;
        let fee = word(&read::<Data>(&answer)?.0)?;
        *kept = Some((Instant::now(), size, fee));
        Ok(fee)
    }
}
