//! What a 402 asks for, in its body and in its header.

use crate::header;
use h402_core::{
    Assets, Requirements,
    wire::{
        WireError, h402,
        x402::{Terms, v1, v2},
    },
};

/// More offers are not read.
const MAX_OFFERS: usize = 64;

pub(crate) fn all(bytes: &[u8]) {
    let assets = Assets::known();
    let read = [h402(bytes, &assets), version_1(bytes, &assets)];
    assert!(read != [true, true], "a body of two dialects");
    for value in [bytes, &header(bytes)] {
        version_2(value, &assets);
    }
}

/// What can be said of any offer that counts.
fn counts(requirements: &Requirements, assets: &Assets) {
    let offer = &requirements.offer;
    assert_eq!(assets.get(&offer.asset.id), Some(&offer.asset), "the asset is the client's own");
    assert!(!offer.amount.is_zero(), "a price of nothing");
    assert_eq!(matches!(offer.pay_to, h402_core::Address::Evm(_)), matches!(offer.network(), h402_core::Network::Evm(_)));
}

fn error(error: Option<&str>) {
    if let Some(error) = error {
        assert!(!error.chars().any(char::is_control) && error.chars().count() <= 1024, "a peer's text is passed on as it is");
    }
}

fn h402(body: &[u8], assets: &Assets) -> bool {
    let Ok(read) = h402::decode_challenge(body, assets) else { return false };
    error(read.error.as_deref());
    assert!(read.offers.len() <= MAX_OFFERS);
    let offers: Vec<Requirements> = read.offers.into_iter().filter_map(|offer| offer.requirements.ok()).collect();
    offers.iter().for_each(|offer| counts(offer, assets));
    for offer in &offers {
        let said = h402::Challenge { error: "x", requirements: std::slice::from_ref(offer), payer: None };
        let body = match h402::encode_challenge(&said) {
            Ok(body) => body,
            // A price that was read in floats, and that not all clients would read alike.
            Err(WireError::Amount(_)) => continue,
            Err(other) => panic!("what was read cannot be written: {other}"),
        };
        let again = h402::decode_challenge(&body, assets).expect("what was written can be read");
        let [one] = again.offers.as_slice() else { panic!("one offer became {}", again.offers.len()) };
        let again = one.requirements.as_ref().expect("what counted counts");
        // Hints have no room beside a token's domain.
        assert_eq!(Requirements { solana: None, ..again.clone() }, Requirements { solana: None, ..offer.clone() });
    }
    true
}

fn version_1(body: &[u8], assets: &Assets) -> bool {
    let Ok(read) = v1::decode_challenge(body, assets) else { return false };
    error(read.error.as_deref());
    assert!(read.offers.len() <= MAX_OFFERS);
    let all: Vec<Terms> = read.offers.into_iter().filter_map(|offer| offer.terms.ok()).collect();
    all.iter().for_each(|terms| counts(&terms.requirements, assets));
    let written = v1::encode_challenge(&v1::Challenge { error: "x", terms: &all, payer: None }).expect("terms can be written");
    let again = v1::decode_challenge(&written.body, assets).expect("what was written can be read");
    let again: Vec<Terms> = again.offers.into_iter().map(|offer| offer.terms.expect("what counted counts")).collect();
    same(&all, &written.left_out, &again);
    true
}

fn version_2(value: &[u8], assets: &Assets) {
    let Ok(read) = v2::decode_challenge(value, assets) else { return };
    error(read.error.as_deref());
    assert!(read.offers.len() <= MAX_OFFERS);
    for offer in &read.offers {
        let (Ok(terms), Some(accepted)) = (&offer.terms, &offer.accepted) else { continue };
        assert!(accepted.selects(terms), "what a payer repeats does not mean the offer");
    }
    let all: Vec<Terms> = read.offers.into_iter().filter_map(|offer| offer.terms.ok()).collect();
    all.iter().for_each(|terms| counts(&terms.requirements, assets));
    let said = v2::Challenge { error: "x", resource: &read.resource, terms: &all, extensions: &read.extensions };
    let written = match v2::encode_challenge(&said) {
        Ok(written) => written,
        Err(WireError::TooLong { .. }) => return,
        Err(other) => panic!("what was read cannot be written: {other}"),
    };
    if !written.left_out.is_empty() || !all.is_empty() {
        assert!(written.header.len() <= v2::MAX_CHALLENGE, "longer than proxies pass on");
    }
    let again = v2::decode_challenge(written.header.as_bytes(), assets).expect("what was written can be read");
    assert_eq!(again.extensions, read.extensions);
    let again: Vec<Terms> = again.offers.into_iter().map(|offer| offer.terms.expect("what counted counts")).collect();
    same(&all, &written.left_out, &again);
}

/// What was left out, and what was not.
fn same<T>(all: &[Terms], left_out: &[(usize, T)], again: &[Terms]) {
    let kept = all.iter().enumerate().filter(|(at, _)| !left_out.iter().any(|(out, _)| out == at)).map(|(_, terms)| terms);
    let kept: Vec<&Terms> = kept.collect();
    assert_eq!(kept.len(), again.len());
    for (meant, read) in kept.into_iter().zip(again) {
        let (one, other) = (&meant.requirements, &read.requirements);
        assert_eq!(
            (&one.offer, one.lifetime_seconds, one.facilitator, meant.flow),
            (&other.offer, other.lifetime_seconds, other.facilitator, read.flow)
        );
        let fee_payer = |requirements: &Requirements| requirements.solana.and_then(|hints| hints.fee_payer);
        assert_eq!(fee_payer(one), fee_payer(other));
    }
}
