//! Amounts, names and identifiers: short texts that say one thing in one way.

use h402_core::{
    Address, Amount, AmountFormat, EvmKey, Network, PaymentKey, SolanaAddress, TransactionId, WireAmount, asset_id,
    wire::x402::PaymentIdentifier,
};

pub(crate) fn all(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    amounts(text, *first);
    identifiers(text);
    networks(text);
}

fn amounts(text: &str, decimals: u8) {
    if let Ok(amount) = Amount::from_atomic_text(text) {
        assert_eq!(amount.to_string(), text, "two spellings of one amount");
        assert_eq!(Amount::from_be_bytes(amount.to_be_bytes()), amount);
        assert_eq!(Amount::from_units(text, 0).ok(), (!amount.is_zero()).then_some(amount), "the two readings differ");
    }
    let Ok(amount) = Amount::from_units(text, decimals) else { return };
    assert!(!amount.is_zero());
    // Long ones have more digits than are read again.
    let units = amount.to_units(decimals);
    if units.len() <= 96 {
        assert_eq!(Amount::from_units(&units, decimals), Ok(amount));
    }
    if let Ok(written) = amount.to_wire(decimals) {
        assert_eq!(written.to_amount(decimals), Ok(amount));
        let decimals = if written.format == AmountFormat::HumanReadable { decimals } else { 0 };
        assert_eq!(Amount::as_float_client_reads(&written.literal, decimals), Ok(amount), "a client in floats pays another price");
    }
    let _ = WireAmount { literal: text.to_owned(), format: AmountFormat::SmallestUnit }.to_amount(decimals);
    // A float is never off by more than its own precision.
    if let Ok(float) = Amount::as_float_client_reads(text, decimals) {
        let off = float.saturating_sub(amount).max(amount.saturating_sub(float));
        let precision: alloy_primitives::U256 = amount.to_u256() >> 50;
        assert!(off.to_u256() <= precision.saturating_add(alloy_primitives::U256::from(1)), "{text} at {decimals}: {amount} and {float}");
    }
}

fn identifiers(text: &str) {
    if let Ok(address) = text.parse::<Address>() {
        let written = address.to_string();
        assert_eq!(written.parse(), Ok(address));
        assert!(text.eq_ignore_ascii_case(&written), "another spelling than of case");
    }
    if let Ok(address) = text.parse::<SolanaAddress>() {
        assert_eq!(address.to_string(), text, "two spellings of one address");
    }
    if let Ok(id) = text.parse::<TransactionId>() {
        assert_eq!(id.to_string(), text, "two spellings of one transaction");
    }
    if let Ok(key) = text.parse::<PaymentKey>() {
        assert_eq!(key.to_string(), text.to_lowercase());
    }
    if let Ok(identifier) = PaymentIdentifier::asked(true).with(text) {
        assert_eq!(identifier.id(), Some(text));
    }
    let _ = EvmKey::from_hex(text);
}

fn networks(text: &str) {
    if let Ok(network) = text.parse::<Network>() {
        assert_eq!(network.to_string(), text, "two spellings of one network");
        let _ = asset_id(network, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
    }
    if let Some(network) = Network::from_name(text) {
        assert_eq!(network.known_name(), Some(text));
    }
}
