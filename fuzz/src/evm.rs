//! Transactions of EVM chains, their call data, and signatures.

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{U256, keccak256};
use h402_core::evm::{self, EvmTransaction};

pub(crate) fn all(bytes: &[u8]) {
    if let Ok(transfer) = evm::Erc20Transfer::decode(bytes) {
        assert_eq!(transfer.encode(), bytes, "two call data of one transfer");
    }
    if let Ok(signature) = evm::parse_signature(bytes) {
        // The lower of the two that the signer could have made: s counts less than half of the order.
        assert!(signature.s() < U256::MAX >> 1 && !signature.r().is_zero() && !signature.s().is_zero());
        assert_eq!(evm::parse_signature(&signature.as_bytes()), Ok(signature));
    }
    let decoded = EvmTransaction::decode(bytes);
    if let Ok(transaction) = &decoded {
        one_spelling(transaction, bytes);
    }
    if let Ok(cost) = EvmTransaction::gas_cost_of(bytes)
        && let Ok(transaction) = decoded
    {
        assert_eq!(cost, transaction.max_gas_cost());
    }
    if let Some((signature, message)) = bytes.split_at_checked(65)
        && let Ok(message) = std::str::from_utf8(message)
    {
        let _ = evm::recover_message(message, signature);
    }
}

/// The hash is what the chain will call it, and no other bytes say the same.
fn one_spelling(transaction: &EvmTransaction, bytes: &[u8]) {
    assert_eq!(transaction.hash, keccak256(bytes));
    let envelope = TxEnvelope::decode_2718(&mut &*bytes).expect("it was read");
    assert_eq!(envelope.encoded_2718(), bytes, "two texts of one transaction");
    assert!(transaction.max_priority_fee_per_gas <= transaction.max_fee_per_gas);
    assert!(envelope.access_list().is_none_or(|list| list.is_empty()));
}
