//! Calls of contracts and what they return.

use crate::rpc::Call;
use alloy_primitives::{Bytes, U256, hex};
use h402_core::{EvmAddress, Undecided};
use serde::Serialize;

/// Multicall3: many reads in one call.
#[allow(missing_docs)]
mod interface {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        interface Multicall3 {
            struct Call3 {
                address target;
                bool allowFailure;
                bytes callData;
            }

            struct Result {
                bool success;
                bytes returnData;
            }

            function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData);
            function getChainId() external view returns (uint256 chainid);
            function getBlockNumber() external view returns (uint256 blockNumber);
            function getCurrentBlockTimestamp() external view returns (uint256 timestamp);
            function getEthBalance(address addr) external view returns (uint256 balance);
        }
    }
}
pub(super) use interface::Multicall3;

/// A call that is not sent as a transaction.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DryCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    pub(super) data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gas: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_fee_per_gas: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_priority_fee_per_gas: Option<String>,
}

/// A read of a contract at the latest block.
pub(super) fn call_at_latest(to: EvmAddress, data: &[u8]) -> Call {
    let call = DryCall { to: Some(to.to_string()), data: hex::encode_prefixed(data), ..DryCall::default() };
    Call::new("eth_call", &(call, "latest"))
}

/// The one word that a contract returned; more, less or nothing is no answer.
pub(super) fn word(returned: &Bytes) -> Result<U256, Undecided> {
    <[u8; 32]>::try_from(returned.as_ref()).map(U256::from_be_bytes).map_err(|_| Undecided::Chain)
}

/// A word that must be zero or one.
pub(super) fn is_true(word: U256) -> Result<bool, Undecided> {
    match u8::try_from(word) {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        _ => Err(Undecided::Chain),
    }
}
