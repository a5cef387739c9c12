//! What a facilitator is asked, in three shapes.

use h402_core::{
    Assets, Dialect, Matched, Proof, Reject,
    wire::{
        self, WireError,
        h402::{self, RequestError},
        x402::{Request, v1, v2},
    },
};

pub(crate) fn all(bytes: &[u8]) {
    let assets = Assets::known();
    let told = wire::of_request(bytes);
    // What contradicts itself is told to be of none, and then is not read.
    let is = |dialect| assert!(told.as_ref().is_ok_and(|told| *told == dialect) || told.is_err(), "told as {told:?}, read as {dialect:?}");
    if let Ok(request) = h402::decode_request(bytes, &assets) {
        is(Dialect::H402V1);
        match h402::encode_request(&request.payload, &request.requirements) {
            Ok(body) => {
                let again = h402::decode_request(&body, &assets).expect("what was written can be read");
                assert_eq!(again.payload, request.payload);
                assert_eq!(again.requirements.offer, request.requirements.offer);
            }
            Err(WireError::TooLong { .. } | WireError::Amount(_)) => {}
            Err(other) => panic!("what was read cannot be written: {other}"),
        }
        matched(request.clone().matched_with_contracts());
        matched(request.matched());
    }
    if let Ok(request) = v1::decode_request(bytes, &assets) {
        is(Dialect::X402V1);
        if let Ok(body) = v1::encode_request(&request.payload, &request.terms) {
            x402(&request, v1::decode_request(&body, &assets));
        }
        matched(request.clone().matched(true));
        matched(request.matched(false));
    }
    if let Ok(request) = v2::decode_request(bytes, &assets) {
        is(Dialect::X402V2);
        if let Ok(accepted) = wire::x402::Accepted::of(&request.terms) {
            let payment = v2::Payment { payload: request.payload.clone(), accepted, resource: None, extensions: Default::default() };
            if let Ok(body) = v2::encode_request(&payment, &request.terms) {
                x402(&request, v2::decode_request(&body, &assets));
            }
        }
        matched(request.clone().matched(true));
        matched(request.matched(false));
    }
}

fn x402(request: &Request, again: Result<Request, RequestError>) {
    let again = again.expect("what was written can be read");
    assert_eq!(again.payload, request.payload);
    assert_eq!(again.terms.requirements.offer, request.terms.requirements.offer);
    assert_eq!(again.terms.flow, request.terms.flow);
}

/// What is known of a payment that pays an offer, whoever wrote it.
fn matched(matched: Result<Matched, Reject>) {
    let Ok(matched) = matched else { return };
    let offer = &matched.requirements().offer;
    assert!(matched.amount() >= offer.least(), "less than is asked for");
    assert_eq!(matched.network(), offer.network());
    match matched.proof() {
        Proof::Authorization { authorization, .. } => assert_eq!(h402_core::Address::from(authorization.to), offer.pay_to),
        Proof::Permit2 { authorization, .. } => {
            assert_eq!(h402_core::Address::from(authorization.witness.to), offer.pay_to);
            assert_eq!(h402_core::Address::from(authorization.token), offer.asset.id.address);
        }
        Proof::SolanaTransaction { transaction, .. } => {
            let again = h402_core::solana::SolanaTransaction::decode(&transaction.encode());
            assert_eq!(again.as_ref(), Ok(transaction));
        }
        _ => {}
    }
    // Of what is on chain already only the hash is known yet, which is its key until then.
    if matched.id().is_some() {
        assert!(!matched.aliases().contains(&matched.key()), "a payment is its own alias");
    }
}
