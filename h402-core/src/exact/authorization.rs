//! The times of an EIP-3009 authorization.

use super::CheckPolicy;
use crate::{Authorization, Reject};
use alloy_primitives::U256;

/// Clocks of payers and chains differ by this many seconds without harm (T020).
const SKEW: u64 = 2;

pub(super) fn check(authorization: &Authorization, policy: &CheckPolicy) -> Result<(), Reject> {
    if authorization.from == authorization.to {
        return Err(Reject::Malformed("payer and payee are the same"));
    }
    check_times(authorization.valid_after, authorization.valid_before, policy)
}

/// Both bounds against one time: the wall clock when checking, the chain's when judging.
pub(super) fn check_times(valid_after: U256, valid_before: U256, policy: &CheckPolicy) -> Result<(), Reject> {
    let now = policy.now.seconds().0;
    if valid_after > U256::from(now.saturating_add(SKEW)) {
        return Err(Reject::ValidAfter);
    }
    let valid_before = u64::try_from(valid_before).unwrap_or(u64::MAX);
    let left = valid_before.saturating_sub(now);
    if left < policy.min_left {
        return Err(Reject::ExpiresTooSoon { left, required: policy.min_left });
    }
    if left > policy.max_left {
        return Err(Reject::ExpiresTooLate { left, accepted: policy.max_left });
    }
    Ok(())
}
