//! Why a simulated call failed, in the words of several kinds of node.

use crate::rpc::{RpcError, printable};
use alloy_primitives::hex;
use alloy_sol_types::{Panic, Revert, SolError};

const MAX_REASON: usize = 120;

/// What tokens and Permit2 revert with instead of text: EIP-6093, and EIP-3009 and pausing as OpenZeppelin writes them.
const CUSTOM_ERRORS: [([u8; 4], &str); 21] = [
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
    // Permit2, and the canonical proxies that call it.
    (hex!("756688fe"), "InvalidNonce"),
    (hex!("cd21db4f"), "SignatureExpired"),
    (hex!("815e1d64"), "InvalidSigner"),
    (hex!("3728b83d"), "InvalidAmount"),
    (hex!("2c5211c6"), "InvalidAmount"),
    (hex!("ac6b05f5"), "InvalidDestination"),
    (hex!("a65539fa"), "PaymentTooEarly"),
    (hex!("050cda49"), "Permit2612AmountMismatch"),
    (hex!("0f6fae87"), "UnauthorizedFacilitator"),
    (hex!("fe64b4c7"), "AmountExceedsPermitted"),
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

/// Whether the call needs more gas than it was given.
pub(super) fn is_out_of_gas(error: &RpcError) -> bool {
    let text = error.message.to_ascii_lowercase();
    text.contains("out of gas") || text.contains("outofgas") || text.contains("gas required exceeds allowance")
}

/// The reason of a revert: the contract's own text, the name of its error, or the error's selector.
pub(super) fn reason(error: &RpcError) -> String {
    let decoded = error.data.as_ref().and_then(|data| decode(data));
    let text = decoded.unwrap_or_else(|| match error.message.split_once("reverted: ") {
        Some((_, reason)) => reason.to_owned(),
        None => "no reason given".to_owned(),
    });
    printable(&text, MAX_REASON).trim().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Bytes;

    fn error(code: i64, message: &str, data: &str) -> RpcError {
        let data = (!data.is_empty()).then(|| data.parse::<Bytes>().unwrap());
        RpcError { code, message: message.to_owned(), data }
    }

    /// Error data as `cast abi-encode` and the Solidity documentation give it.
    #[test]
    fn reasons_are_decoded() {
        let text = "08c379a0\
            0000000000000000000000000000000000000000000000000000000000000020\
            000000000000000000000000000000000000000000000000000000000000001a\
            4e6f7420656e6f7567682045746865722070726f76696465642e000000000000";
        let panic = "4e487b710000000000000000000000000000000000000000000000000000000000000011";
        let cases = [
            (error(3, "execution reverted: x", &format!("0x{text}")), "Not enough Ether provided."),
            (error(-32015, "VM execution error.", &format!("0x{text}")), "Not enough Ether provided."),
            (error(3, "execution reverted", &format!("0x{panic}")), "panic: arithmetic underflow or overflow"),
            (error(3, "execution reverted", &format!("0x{}ff", &panic[..panic.len() - 2])), "panic: 0xff"),
            (error(3, "execution reverted", "0x8f7808c1"), "ERC3009UsedAuthorization"),
            (error(3, "execution reverted", "0xe450d38c00"), "ERC20InsufficientBalance"),
            (error(3, "execution reverted", "0x12345678ffff"), "error 0x12345678"),
            // An Error(string) that is cut or lies about its length is only an error of that selector.
            (error(3, "execution reverted", "0x08c379a0"), "error 0x08c379a0"),
            (error(3, "execution reverted", &format!("0x08c379a0{}", "ff".repeat(64))), "error 0x08c379a0"),
            (error(3, "execution reverted", "0x"), "no reason given"),
            (error(3, "execution reverted: Pausable: paused", ""), "Pausable: paused"),
            (error(3, "execution reverted", "0x1234"), "no reason given"),
        ];
        for (error, want) in cases {
            assert_eq!(reason(&error), want, "{error:?}");
            assert!(is_revert(&error), "{error:?}");
        }
    }

    #[test]
    fn reasons_are_short_and_printable() {
        use alloy_sol_types::SolError as _;
        let hostile = Revert { reason: format!("\u{1b}[31m\n{}", "é".repeat(500)) }.abi_encode();
        let reason = reason(&RpcError { code: 3, message: String::new(), data: Some(hostile.into()) });
        assert!(reason.len() <= MAX_REASON && !reason.chars().any(char::is_control), "{reason:?}");
        assert!(reason.starts_with("[31m é"), "{reason:?}");
    }

    /// The names in the table are those that the selectors are made of.
    #[test]
    fn selectors_are_of_the_named_errors() {
        for (signature, name) in [
            ("ERC20InsufficientBalance(address,uint256,uint256)", "ERC20InsufficientBalance"),
            ("ERC20InsufficientAllowance(address,uint256,uint256)", "ERC20InsufficientAllowance"),
            ("ERC20InvalidSender(address)", "ERC20InvalidSender"),
            ("ERC20InvalidReceiver(address)", "ERC20InvalidReceiver"),
            ("EnforcedPause()", "EnforcedPause"),
            ("OwnableUnauthorizedAccount(address)", "OwnableUnauthorizedAccount"),
            ("ECDSAInvalidSignature()", "ECDSAInvalidSignature"),
            ("ECDSAInvalidSignatureLength(uint256)", "ECDSAInvalidSignatureLength"),
            ("ECDSAInvalidSignatureS(bytes32)", "ECDSAInvalidSignatureS"),
            ("TransferFailed()", "TransferFailed"),
            ("InvalidNonce()", "InvalidNonce"),
            ("SignatureExpired(uint256)", "SignatureExpired"),
            ("InvalidSigner()", "InvalidSigner"),
            ("InvalidAmount(uint256)", "InvalidAmount"),
            ("InvalidAmount()", "InvalidAmount"),
            ("InvalidDestination()", "InvalidDestination"),
            ("PaymentTooEarly()", "PaymentTooEarly"),
            ("Permit2612AmountMismatch()", "Permit2612AmountMismatch"),
            ("UnauthorizedFacilitator()", "UnauthorizedFacilitator"),
            ("AmountExceedsPermitted()", "AmountExceedsPermitted"),
        ] {
            let hash = alloy_primitives::keccak256(signature);
            let known = CUSTOM_ERRORS.iter().find(|(selector, _)| selector[..] == hash[..4]);
            assert_eq!(known.map(|(_, name)| *name), Some(name), "{signature}");
        }
    }
}
