use crate::{EvmAddress, Reject};
use alloy_primitives::{B256, keccak256};

/// The hash that wallets sign for a text: EIP-191 version `E`.
#[must_use]
pub fn eip191_hash(message: &[u8]) -> B256 {
    let mut text = format!("\x19Ethereum Signed Message:\n{}", message.len()).into_bytes();
    text.extend_from_slice(message);
    keccak256(text)
}

/// The account that signed `message` with EIP-191.
///
/// # Errors
/// [`Reject::Signature`] if the bytes are no signature.
pub fn recover_message(message: &str, signature: &[u8]) -> Result<EvmAddress, Reject> {
    let signature = super::parse_signature(signature)?;
    super::recover(&signature, &eip191_hash(message.as_bytes()))
}
