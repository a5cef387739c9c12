//! `extra` of payments on Solana.

use super::asset;
use crate::{
    Amount, Assets, Dialect, GenesisPrefix, Network, Offer, Requirements, Scheme, SolanaHints, Supported, SupportedKind, wire::h402::*,
};
use std::sync::Arc;

const SOLANA: Network = Network::Solana(GenesisPrefix::MAINNET);
const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const PAYEE: &str = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";
const SPONSOR: &str = "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB";
const BLOCKHASH: &str = "CmpNeggWJ4JaWJeJ8YKN1Zypmk7uvQq3PECGUCAEMbky";

fn hints() -> SolanaHints {
    let mut blockhash = [0; 32];
    bs58::decode(BLOCKHASH).onto(&mut blockhash).unwrap();
    SolanaHints { fee_payer: Some(SPONSOR.parse().unwrap()), blockhash: Some(blockhash), last_valid_block_height: Some(3_150) }
}

fn spelled() -> String {
    format!(r#""extra":{{"feePayer":"{SPONSOR}","recentBlockhash":"{BLOCKHASH}","lastValidBlockHeight":"3150"}}"#)
}

#[test]
fn hints_are_written_and_read_in_a_402_and_in_supported() {
    let offer = Arc::new(Offer::new(asset(SOLANA, USDC), Amount::from_atomic(10_000), PAYEE.parse().unwrap()).unwrap());
    let requirement = Requirements { offer, resource: Arc::default(), lifetime_seconds: None, solana: Some(hints()), facilitator: None };
    let body = encode_challenge(&Challenge { error: "", requirements: std::slice::from_ref(&requirement), payer: None }).unwrap();
    assert!(String::from_utf8(body.clone()).unwrap().contains(&spelled()));
    let read = decode_challenge(&body, &Assets::known()).unwrap();
    assert_eq!(read.offers[0].requirements.as_ref(), Ok(&requirement));

    let kind = SupportedKind { dialect: Dialect::H402V1, scheme: Scheme::Exact, network: SOLANA, solana: Some(hints()), facilitator: None };
    let supported = Supported { kinds: vec![kind], reserves: true, signers: Vec::new() };
    let body = encode_supported(&supported).unwrap();
    assert!(String::from_utf8(body.clone()).unwrap().contains(&spelled()));
    assert_eq!(decode_supported(&body), Ok(supported));
}

/// A hint informs: one that cannot be read spoils neither the others nor the offer.
#[test]
fn a_hint_that_cannot_be_read_is_no_hint() {
    let all = hints();
    let cases = [
        (spelled(), Some(all)),
        (spelled().replace(r#""3150""#, "3150"), Some(all)),
        (spelled().replace(SPONSOR, "0x0"), Some(SolanaHints { fee_payer: None, ..all })),
        (spelled().replace(BLOCKHASH, &BLOCKHASH[9..]), Some(SolanaHints { blockhash: None, ..all })),
        (spelled().replace(r#""3150""#, r#""-1""#), Some(SolanaHints { last_valid_block_height: None, ..all })),
        (spelled().replace(r#""3150""#, "[]"), Some(SolanaHints { last_valid_block_height: None, ..all })),
        (r#""extra":{"name":"USDC","version":"2"}"#.to_owned(), None),
        (r#""extra":[1]"#.to_owned(), None),
        (r#""extra":null"#.to_owned(), None),
        (r#""other":{}"#.to_owned(), None),
    ];
    for (extra, expected) in cases {
        let body = format!(
            r#"{{"h402Version":1,"accepts":[{{"scheme":"exact","namespace":"solana","networkId":"mainnet","amountRequired":10000,"amountRequiredFormat":"smallestUnit","payToAddress":"{PAYEE}","tokenAddress":"{USDC}",{extra}}}]}}"#
        );
        let read = decode_challenge(body.as_bytes(), &Assets::known()).unwrap();
        assert_eq!(read.offers[0].requirements.as_ref().unwrap().solana, expected, "{extra}");
    }
}
