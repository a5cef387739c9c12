//! Why a simulated call failed, in the words of several kinds of node.

use crate::rpc::{RpcError, printable};
use alloy_primitives::hex;
use alloy_sol_types::{Panic, Revert, SolError};

const MAX_REASON: usize = 120;

/// What tokens revert with instead of text: EIP-6093, and EIP-3009 and pausing as OpenZeppelin writes them.
const CUSTOM_ERRORS: [([u8; 4], &str); 11] = [
    (hex!("e450d38c"), "ERC20InsufficientBalance"),
    (hex!("fb8f41b2"), "ERC20InsufficientAllowance"),
    (hex!("96c6fd1e"), "ERC20InvalidSender"),
    (hex!("ec442f05"), "ERC20InvalidReceiver"),
    (hex!("d93c0665"), "EnforcedPause"),
    (hex!("8f7808c1"), "ERC3009UsedAuthorization"),
    (hex!("118cdaa7"), "OwnableUnauthorizedAccount"),
    (hex!("f645eedf"), "ECDSAInvalidSignature"),
    (hex!("fce698f7"), "ECDSAInvalidSignatureLength"),
    (hex!("d78bce0c"), "ECDSAInvalidSignatureS"),
    (hex!("90b8ec18"), "TransferFailed"),
];

/// Whether the error says that the call itself reverted, and not that the node could not try it.
pub(super) fn is_revert(error: &RpcError) -> bool {
    let text = error.message.to_ascii_lowercase();
    error.code == 3
        || text.contains("execution reverted")
        || text.starts_with("vm exception while processing transaction: revert")
        // OpenEthereum and older Nethermind.
        || (error.code == -32015 && error.data.is_some())
}

/// Whether geth says that the sender cannot pay for what it sends.
pub(super) fn is_out_of_funds(error: &RpcError) -> bool {
    let text = error.message.to_ascii_lowercase();
    text.contains("insufficient funds for gas * price + value")
        || text.contains("insufficient funds for transfer")
        || text.contains("gas required exceeds allowance")
}

/// The reason of a revert: the contract's own text, the name of its error, or the error's selector.
pub(super) fn reason(error: &RpcError) -> String {
    let decoded = error.data.as_ref().and_then(|data| decode(data));
    let text = decoded.unwrap_or_else(|| match error.message.split_once("reverted: ") {
        Some((_, reason)) => reason.to_owned(),
        None => "no reason given".to_owned(),
    });
    printable(text.trim(), MAX_REASON)
}

fn decode(data: &[u8]) -> Option<String> {
    let selector = data.first_chunk::<4>()?;
    if let Ok(revert) = Revert::abi_decode(data) {
        return Some(revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return Some(match panic.kind() {
            Some(kind) => format!("panic: {}", kind.as_str()),
            None => format!("panic: {:#x}", panic.code),
        });
    }
    let known = CUSTOM_ERRORS.iter().find(|(known, _)| known == selector).map(|(_, name)| (*name).to_owned());
    Some(known.unwrap_or_else(|| format!("error {}", hex::encode_prefixed(selector))))
}
