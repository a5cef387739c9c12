//! The pure check of an authorization against one bare signature recovery.

use crate::measure::{alternate, line, ratio};
use alloy_primitives::{B256, Signature, U256, keccak256};
use h402_core::*;
use std::{hint::black_box, sync::Arc};

pub(crate) fn run() {
    let key = EvmKey::from_bytes(&[7; 32]).unwrap();
    let assets = Assets::known();
    let usdc = assets.by_symbol(Network::Evm(8453), "USDC").unwrap().clone();
    let payee: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
    let offer = Arc::new(Offer::new(usdc.clone(), Amount::from_atomic(10_000), payee).unwrap());
    let offers = Offers::new(vec![offer]).unwrap();
    let resource = Arc::new(Resource { url: "https://api.example/report".into(), ..Resource::default() });
    let now = UnixMillis(1_795_000_000_000);
    let authorization = Authorization {
        from: key.address(),
        to: payee.evm().unwrap(),
        value: Amount::from_atomic(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(now.seconds().0 + 70),
        nonce: B256::repeat_byte(9),
    };
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: Network::Evm(8453),
        resource: Some(resource.url.clone()),
        payload: Payload::Authorization(key.sign_authorization(authorization, &usdc.eip712_domain().unwrap()).unwrap()),
    };
    let header = wire::h402::encode_payment(&payload).unwrap();
    let hash = keccak256(b"any");
    let signature: Signature = key.sign_hash(&hash).unwrap();

    let policy = CheckPolicy::facilitator(now);
    let check = |payload: PaymentPayload| Matched::new(payload, &offers, &resource, Some(70)).unwrap().check(&policy).unwrap();
    let recover = || drop(black_box(black_box(&signature).recover_address_from_prehash(&hash)));
    let (floor, checked) = alternate(20, 500, recover, || drop(black_box(check(payload.clone()))));
    let (_, decoded) = alternate(20, 500, recover, || {
        drop(black_box(check(wire::h402::decode_payment(black_box(header.as_bytes())).unwrap())));
    });
    line("bare recovery of a signature, ns", format!("{floor:.0}"));
    line("match and check of an authorization, ns", format!("{checked:.0}"));
    ratio("check / bare recovery", checked / floor, "<= 1.25");
    ratio("the same from the header text / bare recovery", decoded / floor, "none");
}
