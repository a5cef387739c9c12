//! Decoding what was encoded gives back what there was; and no bytes make a decoder panic.

use super::{PAYEE, address};
use crate::{
    Address, Amount, AssetId, Assets, Authorization, Dialect, ErrorReason, GenesisPrefix, Network, Offer, Payload, PaymentClass,
    PaymentKey, PaymentPayload, ReceiptKey, ReceiptPurpose, Requirements, Resource, Scheme, SentEvmTransaction, SentSolanaTransaction,
    SignedAuthorization, SignedEvmTransaction, SignedReceipt, SignedSolanaTransaction, SolanaClaim, SolanaHints, Statement, TransactionId,
    UnixMillis, wire::h402::*,
};
use alloy_primitives::{B256, Bytes, U256};
use proptest::{collection::vec, option, prelude::*};
use std::sync::Arc;

fn bytes(length: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), length).prop_map(Bytes::from)
}

fn word() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn integer() -> impl Strategy<Value = U256> {
    prop_oneof![word().prop_map(U256::from_be_bytes), any::<u64>().prop_map(U256::from), Just(U256::ZERO), Just(U256::MAX)]
}

fn evm() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(|bytes| Address::Evm(bytes.into()))
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    (word(), word()).prop_map(|(r, s)| [r, s].concat().try_into().unwrap())
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        (1..u64::MAX).prop_map(Network::Evm),
        prop_oneof![Just(GenesisPrefix::MAINNET), Just(GenesisPrefix::DEVNET), Just(GenesisPrefix::TESTNET)].prop_map(Network::Solana),
        "[1-9A-HJ-NP-Za-km-z]{32}".prop_map(|text| Network::Solana(text.parse().unwrap())),
    ]
}

fn authorization() -> impl Strategy<Value = Authorization> {
    (evm(), evm(), integer(), integer(), integer(), word()).prop_map(|(from, to, value, valid_after, valid_before, nonce)| Authorization {
        from: from.evm().unwrap(),
        to: to.evm().unwrap(),
        value: Amount::from(value),
        valid_after,
        valid_before,
        nonce: B256::from(nonce),
    })
}

fn evm_payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (authorization(), bytes(1..200), option::of(".{0,8}")).prop_map(|(authorization, signature, version)| Payload::Authorization(
            SignedAuthorization { authorization, signature, version }
        )),
        (bytes(1..1000), bytes(1..200))
            .prop_map(|(raw, signed_message)| Payload::EvmTransaction(SignedEvmTransaction { raw, signed_message })),
        (word(), bytes(1..200))
            .prop_map(|(hash, signed_message)| Payload::EvmSent(SentEvmTransaction { hash: hash.into(), signed_message })),
    ]
}

fn solana_payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (option::of(signature()), bytes(1..=1232))
            .prop_map(|(signature, transaction)| Payload::SolanaTransaction(SignedSolanaTransaction { signature, transaction })),
        (signature(), option::of((word(), signature()))).prop_map(|(signature, claim)| {
            let claim = claim.map(|(signer, signed_message)| SolanaClaim { signer: signer.into(), signed_message });
            Payload::SolanaSent(SentSolanaTransaction { signature, claim })
        }),
    ]
}

fn payment() -> impl Strategy<Value = PaymentPayload> {
    (network(), option::of(".{0,60}"), evm_payload(), solana_payload()).prop_map(|(network, resource, evm, solana)| PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network,
        resource,
        payload: match network {
            Network::Evm(_) => evm,
            Network::Solana(_) => solana,
        },
    })
}

/// Offers in every asset of the table whose price can be written; others are drawn again.
fn requirement() -> impl Strategy<Value = Requirements> {
    let assets: Vec<_> = Assets::known().iter().cloned().collect();
    let solana = address("4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f");
    let amount =
        prop_oneof![1u128..10_000_000, 1u128..9_007_199_254_740_991, (1u128..100_000).prop_map(|cents| cents * 10_000_000_000_000_000)];
    let offer = (prop::sample::select(assets), amount).prop_filter_map("floats disagree", move |(asset, amount)| {
        let payee = if matches!(asset.id.network, Network::Evm(_)) { address(PAYEE) } else { solana };
        Offer::new(asset, Amount::from_atomic(amount), payee).ok()
    });
    let resource = ("(https://[a-z]{1,9}/.{0,20})?", option::of(".{0,20}"), option::of("[a-z]{1,5}/[a-z]{1,5}"));
    let resource = resource.prop_map(|(url, description, mime_type)| Arc::new(Resource { url, description, mime_type }));
    (offer, resource, option::of(any::<u64>()), hints()).prop_map(|(offer, resource, lifetime_seconds, hints)| {
        let solana = hints.filter(|_| matches!(offer.network(), Network::Solana(_)));
        Requirements { offer: Arc::new(offer), resource, lifetime_seconds, solana, facilitator: None }
    })
}

/// At least one hint, or none at all.
fn hints() -> impl Strategy<Value = Option<SolanaHints>> {
    (option::of(word()), option::of(word()), option::of(any::<u64>())).prop_map(|(fee_payer, blockhash, last_valid_block_height)| {
        let hints = SolanaHints { fee_payer: fee_payer.map(Into::into), blockhash, last_valid_block_height };
        (hints != SolanaHints::default()).then_some(hints)
    })
}

fn transaction() -> impl Strategy<Value = TransactionId> {
    prop_oneof![word().prop_map(|hash| TransactionId::Evm(hash.into())), signature().prop_map(TransactionId::Solana)]
}

fn reason() -> impl Strategy<Value = ErrorReason> {
    prop::sample::select(ErrorReason::ALL.to_vec())
}

fn settle_answer() -> impl Strategy<Value = SettleAnswer> {
    let text = "[ -~é€]{0,60}";
    let signed = (option::of(signed_receipt()), option::of(signed_receipt()));
    (any::<bool>(), option::of(transaction()), option::of(network()), option::of(evm()), option::of(reason()), option::of(text), signed)
        .prop_map(|(success, transaction, network, payer, reason, error, (signed, credit))| SettleAnswer {
            success,
            transaction,
            network,
            payer,
            reason,
            error,
            signed,
            credit,
        })
}

fn signed_receipt() -> impl Strategy<Value = SignedReceipt> {
    (word(), word(), evm(), integer(), 1..u64::MAX).prop_map(|(payment, hash, payer, amount, chain)| {
        let statement = Statement {
            purpose: ReceiptPurpose::Settled,
            payment: PaymentKey::from_bytes(payment),
            fingerprint: None,
            transaction: TransactionId::Evm(hash.into()),
            block: None,
            asset: AssetId { network: Network::Evm(chain), address: payer },
            amount: Amount::from(amount),
            pay_to: payer,
            payer,
            time: UnixMillis(chain),
        };
        SignedReceipt::sign(statement, &ReceiptKey::from_seed(&payment)).unwrap()
    })
}

fn verify_answer() -> impl Strategy<Value = VerifyAnswer> {
    let class = prop_oneof![Just(PaymentClass::Payload), Just(PaymentClass::Transaction)];
    let payment = word().prop_map(PaymentKey::from_bytes);
    let text = option::of("[ -~é€]{0,60}");
    (any::<bool>(), option::of(class), option::of(evm()), option::of(transaction()), option::of(payment), option::of(reason()), text)
        .prop_map(|(valid, class, payer, transaction, payment, reason, message)| VerifyAnswer {
            valid,
            class,
            payer,
            transaction,
            payment,
            reason,
            message,
        })
}

/// Every decoder there is; what it says does not matter, only that it says something.
fn decode_all(bytes: &[u8]) {
    let assets = Assets::known();
    let _: [bool; 8] = [
        decode_payment(bytes).is_ok(),
        decode_receipt(bytes).is_ok(),
        decode_challenge(bytes, &assets).is_ok(),
        decode_verify(bytes).is_ok_and(|answer| answer.verdict().is_ok()),
        decode_settle(bytes).is_ok_and(|answer| answer.receipt(Network::Evm(1), address(PAYEE)).is_ok()),
        decode_request(bytes, &assets).is_ok_and(|request| request.matched().is_ok()),
        decode_supported(bytes).is_ok() || decode_payment_status(bytes).is_ok(),
        decode_error(bytes).is_ok(),
    ];
}

proptest! {
    #[test]
    fn payments_come_back(payment in payment()) {
        let header = encode_payment(&payment).unwrap();
        prop_assert!(header.is_ascii());
        prop_assert_eq!(decode_payment(header.as_bytes()), Ok(payment));
    }

    #[test]
    fn requirements_come_back(payment in payment(), requirements in requirement()) {
        let body = encode_request(&payment, &requirements).unwrap();
        let request = decode_request(&body, &Assets::known()).unwrap();
        prop_assert_eq!(&request.payload, &payment);
        prop_assert_eq!(&request.requirements, &requirements);
        // A payer reads the price that the server meant, floats or not.
        let offers = [requirements.clone()];
        let body = encode_challenge(&Challenge { error: "x", requirements: &offers, payer: None }).unwrap();
        let read = decode_challenge(&body, &Assets::known()).unwrap();
        prop_assert_eq!(&read.offers[0].requirements, &Ok(requirements));
    }

    #[test]
    fn answers_come_back(settle in settle_answer(), verify in verify_answer()) {
        prop_assert_eq!(decode_settle(&encode_settle(&settle).unwrap()), Ok(settle.clone()));
        prop_assert_eq!(decode_receipt(encode_receipt(&settle).unwrap().as_bytes()), Ok(settle));
        prop_assert_eq!(decode_verify(&encode_verify(&verify).unwrap()), Ok(verify));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300), text in ".{0,100}") {
        decode_all(&bytes);
        decode_all(text.as_bytes());
        decode_all(&super::header(&text));
    }

    /// Texts made of the formats' own words reach further than random bytes do.
    #[test]
    fn no_words_make_a_decoder_panic(words in vec(prop::sample::select(WORDS.to_vec()), 0..40)) {
        let text = words.concat();
        decode_all(text.as_bytes());
        decode_all(&super::header(&text));
    }
}

const WORDS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u00",
    "1",
    "0",
    "1e9",
    "-",
    ".",
    "null",
    "true",
    "\"h402Version\":1",
    "\"accepts\":",
    "\"0\":",
    "\"payload\":",
    "\"paymentRequirements\":",
    "\"type\":\"authorization\"",
    "\"scheme\":\"exact\"",
    "\"namespace\":\"evm\"",
    "\"networkId\":\"8453\"",
    "\"isValid\":true",
    "\"success\":true",
    "\"transaction\":\"0x\"",
    "\"data\":",
    "\"kinds\":",
    "\"state\":",
    "\"amountRequired\":",
    "\"error\":",
    "é",
    "\u{0}",
];
