//! Decoding what was encoded gives back what there was.

use super::*;
use crate::{
    Authorization, Dialect, EvmAddress, Flow, Payload, PaymentPayload, Permit, Permit2Authorization, Permit2Witness, Scheme,
    SignedAuthorization, SignedPermit, SignedPermit2, SignedSolanaTransaction, TransactionId,
    wire::x402::{Accepted, Extensions, SettleAnswer, VerifyAnswer, v1, v2},
};
use alloy_primitives::{B256, Bytes, U256};
use proptest::{collection::vec, option, prelude::*};

fn evm() -> impl Strategy<Value = EvmAddress> {
    any::<[u8; 20]>().prop_map(EvmAddress::from)
}

fn integer() -> impl Strategy<Value = U256> {
    prop_oneof![any::<[u8; 32]>().prop_map(U256::from_be_bytes), any::<u64>().prop_map(U256::from), Just(U256::ZERO), Just(U256::MAX)]
}

fn signature() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 1..200).prop_map(Bytes::from)
}

fn authorization() -> impl Strategy<Value = Payload> {
    (evm(), evm(), integer(), integer(), integer(), any::<[u8; 32]>(), signature()).prop_map(
        |(from, to, value, valid_after, valid_before, nonce, signature)| {
            let authorization = Authorization { from, to, value: Amount::from(value), valid_after, valid_before, nonce: B256::from(nonce) };
            Payload::Authorization(SignedAuthorization { authorization, signature, version: None })
        },
    )
}

fn permit2() -> impl Strategy<Value = Payload> {
    let witness =
        (evm(), integer(), option::of(evm())).prop_map(|(to, valid_after, facilitator)| Permit2Witness { to, valid_after, facilitator });
    let permit = (integer(), integer(), integer(), signature());
    (evm(), evm(), evm(), integer(), integer(), integer(), witness, signature(), option::of(permit)).prop_map(
        |(from, token, spender, amount, nonce, deadline, witness, signature, permit)| {
            let authorization = Permit2Authorization { from, token, amount: Amount::from(amount), spender, nonce, deadline, witness };
            let permit = permit.map(|(value, nonce, deadline, signature)| SignedPermit {
                permit: Permit { owner: from, token, spender, value: Amount::from(value), nonce, deadline },
                signature,
            });
            Payload::Permit2(SignedPermit2 { authorization, signature, permit })
        },
    )
}

fn transaction() -> impl Strategy<Value = Payload> {
    vec(any::<u8>(), 1..=1232)
        .prop_map(|bytes| Payload::SolanaTransaction(SignedSolanaTransaction { signature: None, transaction: bytes.into() }))
}

fn some_terms() -> impl Strategy<Value = Terms> {
    (any::<bool>(), 1u128..u128::MAX, any::<bool>(), 1u64..1_000_000, option::of(evm())).prop_map(
        |(solana, amount, upfront, lifetime, facilitator)| {
            let mut terms = if solana { terms_of(offer(SOLANA, SOLANA_USDC, 1)) } else { terms_of(offer(BASE, USDC, 1)) };
            Arc::make_mut(&mut terms.requirements.offer).amount = Amount::from_atomic(amount);
            terms.requirements.lifetime_seconds = Some(lifetime);
            terms.requirements.facilitator = facilitator.filter(|_| !solana);
            terms.flow = if upfront { Flow::Upfront } else { Flow::Capture };
            terms
        },
    )
}

fn payload(dialect: Dialect, terms: &Terms, payload: Payload) -> PaymentPayload {
    PaymentPayload { dialect, scheme: Scheme::Exact, network: terms.requirements.offer.network(), resource: None, payload }
}

proptest! {
    #[test]
    fn challenges_are_read_as_they_were_meant(all in vec(some_terms(), 0..4), error in "[ -~]{0,60}", texts in option::of("[a-z]{1,20}")) {
        let resource = Resource { url: "https://api.example/item?id=1".into(), description: texts.clone(), mime_type: texts };
        let extensions = Extensions::default();
        let challenge = v2::Challenge { error: &error, resource: &resource, terms: &all, extensions: &extensions };
        let written = v2::encode_challenge(&challenge).unwrap();
        prop_assert!(written.left_out.is_empty());
        let read = v2::decode_challenge(written.header.as_bytes(), &Assets::known()).unwrap();
        prop_assert_eq!(&*read.resource, &resource);
        for (offer, terms) in read.offers.iter().zip(&all) {
            let read = offer.terms.as_ref().unwrap();
            prop_assert_eq!(&read.requirements.offer, &terms.requirements.offer);
            prop_assert_eq!((read.flow, read.requirements.facilitator), (terms.flow, terms.requirements.facilitator));
            prop_assert_eq!(read.requirements.lifetime_seconds, terms.requirements.lifetime_seconds);
            prop_assert_eq!(read.requirements.solana, terms.requirements.solana);
            prop_assert!(offer.accepted.as_ref().unwrap().selects(terms));
        }
        let written = v1::encode_challenge(&v1::Challenge { error: &error, terms: &all, payer: None }).unwrap();
        let read = v1::decode_challenge(&written.body, &Assets::known()).unwrap();
        prop_assert_eq!(read.offers.len(), all.len());
        for (offer, terms) in read.offers.iter().zip(&all) {
            prop_assert_eq!(&offer.terms.as_ref().unwrap().requirements.offer, &terms.requirements.offer);
        }
    }

    #[test]
    fn payments_are_read_as_they_were_meant(terms in some_terms(), evm in prop_oneof![authorization(), permit2()], solana in transaction(), texts in option::of("[ -~]{0,40}")) {
        let is_solana = matches!(terms.requirements.offer.network(), Network::Solana(_));
        let proof = if is_solana { solana } else { evm };
        let resource = texts.map(|url| Resource { url, ..Resource::default() });
        let mut payment = v2::Payment {
            payload: payload(Dialect::X402V2, &terms, proof),
            accepted: Accepted::of(&terms).unwrap(),
            resource,
            extensions: Extensions::default(),
        };
        let header = v2::encode_payment(&payment).unwrap();
        let read = v2::decode_payment(header.as_bytes()).unwrap();
        // The approval that comes with a payment stands among the extensions.
        payment.extensions = read.extensions.clone();
        prop_assert_eq!(&read, &payment);
        prop_assert_eq!(v2::encode_payment(&read).unwrap(), header);
        let body = v2::encode_request(&payment, &terms).unwrap();
        let request = v2::decode_request(&body, &Assets::known()).unwrap();
        prop_assert_eq!(&request.payload, &payment.payload);
        prop_assert_eq!(&request.terms.requirements.offer, &terms.requirements.offer);

        let first = payload(Dialect::X402V1, &terms, payment.payload.payload.clone());
        let sponsored = matches!(&first.payload, Payload::Permit2(signed) if signed.permit.is_some());
        if !sponsored {
            let header = v1::encode_payment(&first).unwrap();
            prop_assert_eq!(v1::decode_payment(header.as_bytes()).unwrap(), first);
        }
    }

    #[test]
    fn answers_are_read_as_they_were_meant(
        success in any::<bool>(), hash in option::of(any::<[u8; 32]>()), payer in option::of(evm()), amount in option::of(any::<u128>()),
        reason in option::of("[a-z_]{1,40}"), message in option::of("[ -~]{0,100}"),
    ) {
        let payer = payer.map(Into::into);
        let answer = SettleAnswer {
            success, payer, reason: reason.clone(), message: message.clone(),
            transaction: hash.map(|hash| TransactionId::Evm(hash.into())),
            network: Some(BASE),
            amount: amount.map(Amount::from_atomic),
            ..SettleAnswer::default()
        };
        prop_assert_eq!(&v2::decode_settle(&v2::encode_settle(&answer).unwrap()).unwrap(), &answer);
        prop_assert_eq!(&v2::decode_receipt(v2::encode_receipt(&answer).unwrap().as_bytes()).unwrap(), &answer);
        let without_text = SettleAnswer { message: None, ..answer };
        prop_assert_eq!(&v1::decode_receipt(v1::encode_receipt(&without_text).unwrap().as_bytes()).unwrap(), &without_text);
        let answer = VerifyAnswer { valid: success, payer, reason, message };
        prop_assert_eq!(&v2::decode_verify(&v2::encode_verify(&answer).unwrap()).unwrap(), &answer);
    }
}
