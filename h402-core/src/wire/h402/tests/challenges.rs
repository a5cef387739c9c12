//! Bodies of 402, read and written.

use super::{BASE, PAYEE, USDC, address, asset, captured, requirements};
use crate::{Amount, AmountError, AssetId, Assets, Network, Offer, Requirements, Resource, wire::h402::*};
use std::sync::Arc;

fn read(body: &str) -> ReadChallenge {
    decode_challenge(body.as_bytes(), &Assets::known()).unwrap()
}

fn only(body: &str) -> Requirements {
    let [offer] = <[ReadOffer; 1]>::try_from(read(body).offers).unwrap();
    assert!(offer.first_of_network);
    offer.requirements.unwrap()
}

fn skipped(body: &str) -> SkippedOffer {
    let [offer] = <[ReadOffer; 1]>::try_from(read(body).offers).unwrap();
    offer.requirements.unwrap_err()
}

#[test]
fn a_recorded_402_is_read() {
    let requirements = only(captured::EXPRESS);
    assert_eq!(read(captured::EXPRESS).error.as_deref(), Some("X-PAYMENT header is required"));
    assert_eq!(requirements.offer.amount, Amount::from_atomic(10_000));
    assert_eq!(requirements.offer.pay_to, address(PAYEE));
    let token = AssetId { network: Network::Evm(8453), address: address("0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2") };
    assert_eq!(requirements.offer.asset.id, token);
    assert_eq!(requirements.resource.url, "http://127.0.0.1:4031/evm");
    assert_eq!(requirements.resource.description.as_deref(), Some("d"));
    assert_eq!(requirements.lifetime_seconds, None);
    assert_eq!(only(captured::EXPRESS_PRICE).offer, requirements.offer, "smallest unit and token units");
    assert_eq!(only(captured::NEXT_BIG).offer, requirements.offer, "a string");
    assert_eq!(only(captured::EXPRESS_NO_MATCH).offer, requirements.offer, "an object for a list");
}

#[test]
fn only_the_first_offer_of_a_network_is_the_first() {
    let read = read(captured::EXPRESS_MULTI);
    let seen: Vec<_> = read
        .offers
        .iter()
        .map(|offer| (offer.requirements.as_ref().unwrap().offer.asset.symbol.as_str(), offer.first_of_network))
        .collect();
    assert_eq!(seen, [("SOL", true), ("ETH", true), ("USDT", false), ("USDC", false)]);
    // One that cannot be used is still the one that a reference server compares with.
    let unknown =
        captured::EXPRESS_MULTI.replace("0x0000000000000000000000000000000000000000", "0x0000000000000000000000000000000000000009");
    let offers = super::challenges::read(&unknown).offers;
    assert_eq!(offers[1].requirements, Err(SkippedOffer::UnknownAsset));
    assert_eq!((offers[1].first_of_network, offers[2].first_of_network), (true, false));
}

#[test]
fn errors_that_are_not_text_are_no_error() {
    for (error, read_as) in [(r#""why""#, Some("why")), ("{}", None), ("null", None), (r#"{"a":1}"#, None), ("[1]", None), ("1e400", None)]
    {
        let body = format!(r#"{{"h402Version":1,"error":{error},"accepts":[]}}"#);
        assert_eq!(read(&body).error.as_deref(), read_as);
    }
    assert_eq!(read(r#"{"accepts":[],"h402Version":1}"#).error, None);
    let long = format!(r#"{{"h402Version":1,"error":"a\u0007b{}\nsecond line","accepts":[]}}"#, "c".repeat(300));
    assert_eq!(read(&long).error.unwrap(), format!("ab{}", "c".repeat(254)), "shortened, first line, no control characters");
}

/// The recorded 402 with one part replaced.
fn bent(from: &str, to: &str) -> String {
    assert_eq!(captured::EXPRESS.matches(from).count(), 1, "{from}");
    captured::EXPRESS.replace(from, to)
}

#[test]
fn oddities_that_are_accepted() {
    let same = only(captured::EXPRESS);
    for (from, to) in [
        (r#""amountRequired":0.01"#, r#""amountRequired":"0.01""#),
        (r#""amountRequired":0.01"#, r#""amountRequired":1e-2"#),
        (r#""amountRequired":0.01"#, r#""amountRequired":5,"maxAmountRequired":0.01"#),
        (r#""amountRequired":0.01"#, r#""maxAmountRequired":"0.01""#),
        (r#""amountRequired":0.01"#, r#""amountRequired":0.01,"maxAmountRequired":null"#),
        (r#""namespace":"evm""#, r#""namespace":"eip155","tokenType":"ERC20""#),
        (r#""tokenDecimals":6,"#, ""),
        (r#""tokenDecimals":6"#, r#""tokenDecimals":null"#),
        (r#""tokenSymbol":"USDT""#, r#""tokenSymbol":"SCAM","extra":{"name":5},"outputSchema":[{}]"#),
        (r#""description":"d""#, r#""description":"d","mimeType":null,"estimatedProcessingTime":null"#),
        ("0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", "0xfde4c96c8593536e31f229ea8f37b2ada2699bb2"),
    ] {
        assert_eq!(only(&bent(from, to)), same, "{to}");
    }
    assert_eq!(only(&bent(r#","resource":"http://127.0.0.1:4031/evm""#, "")).resource.url, "");
    assert_eq!(only(&bent(r#""description":"d""#, r#""estimatedProcessingTime":30"#)).lifetime_seconds, Some(30));
}

#[test]
fn each_bent_offer_is_skipped_by_its_name() {
    use SkippedOffer as S;
    let shape = S::Malformed("a field is missing, repeated or of the wrong type");
    for (from, to, reason) in [
        (r#""scheme":"exact","#, "", S::Scheme),
        (r#""scheme":"exact""#, r#""scheme":"upto""#, S::Scheme),
        (r#""namespace":"evm""#, r#""namespace":"arkade""#, S::Network),
        (r#""namespace":"evm","#, "", shape.clone()),
        (r#""networkId":"8453""#, r#""networkId":"08453""#, S::Malformed("networkId is not an identifier of its namespace")),
        (r#""networkId":"8453""#, r#""networkId":"43114""#, S::UnknownAsset),
        (r#""tokenDecimals":6"#, r#""tokenDecimals":18"#, S::Decimals { stated: 18, known: 6 }),
        (r#""tokenDecimals":6"#, r#""tokenDecimals":"6""#, shape.clone()),
        (r#""tokenDecimals":6"#, r#""tokenDecimals":6,"tokenDecimals":6"#, shape),
        (r#""0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2""#, "null", S::Malformed("tokenAddress is missing")),
        ("0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", PAYEE, S::UnknownAsset),
        (PAYEE, "0x70997970c51812dc3A010C7d01b50e0d17dc79C8", S::Malformed("payToAddress is not an address, or its checksum is wrong")),
        (PAYEE, "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", S::PayTo("it is the token itself")),
        (PAYEE, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", S::PayTo("it is an address of another kind of network")),
        ("humanReadable", "wei", S::Malformed("amountRequiredFormat is not known")),
        (r#""amountRequired":0.01"#, r#""amountRequired":null"#, S::Malformed("amountRequired is missing")),
        (r#""amountRequired":0.01"#, r#""amountRequired":0.0000001"#, S::Amount(AmountError::Precision { decimals: 6 })),
        (r#""amountRequired":0.01"#, r#""amountRequired":0.0"#, S::Amount(AmountError::Zero)),
        (r#""amountRequired":0.01"#, r#""amountRequired":-1"#, S::Amount(AmountError::Syntax)),
        (r#""amountRequired":0.01"#, r#""amountRequired":1e400"#, S::Amount(AmountError::Syntax)),
        (r#""amountRequired":0.01"#, r#""amountRequired":[1]"#, S::Amount(AmountError::Syntax)),
        (r#""amountRequired":0.01"#, r#""amountRequired":"0x10""#, S::Amount(AmountError::Syntax)),
        // What the reference asks for $0.0079.
        (
            r#""amountRequired":0.01,"amountRequiredFormat":"humanReadable""#,
            r#""amountRequired":7900.000000000001,"amountRequiredFormat":"smallestUnit""#,
            S::Amount(AmountError::Precision { decimals: 0 }),
        ),
    ] {
        assert_eq!(skipped(&bent(from, to)), reason, "{to}");
    }
}

#[test]
fn lists_are_lists_or_their_indexed_objects() {
    let accepts = |list: &str| decode_challenge(format!(r#"{{"h402Version":1,"accepts":{list}}}"#).as_bytes(), &Assets::known());
    assert_eq!(accepts(r#"{"1":{"scheme":"b"},"0":{}}"#).unwrap().offers.len(), 2);
    for list in ["null", "1", r#""x""#, r#"{"a":{}}"#, r#"{"00":{}}"#, r#"{"0":{},"0":{}}"#, r#"{"-1":{}}"#] {
        assert_eq!(accepts(list), Err(WireError::Shape), "{list}");
    }
    assert_eq!(accepts(&format!("[{}1]", "1,".repeat(63))).unwrap().offers.len(), 64);
    assert_eq!(accepts(&format!("[{}1]", "1,".repeat(64))), Err(WireError::Shape), "more than anybody offers");
}

#[test]
fn other_versions_are_no_402_of_ours() {
    for version in ["2", "\"1\"", "1.0", "null", "0"] {
        let body = format!(r#"{{"h402Version":{version},"accepts":[]}}"#);
        assert_eq!(decode_challenge(body.as_bytes(), &Assets::known()), Err(WireError::Version));
    }
    assert_eq!(decode_challenge(br#"{"x402Version":1,"accepts":[]}"#, &Assets::known()), Err(WireError::Shape));
    assert_eq!(decode_challenge(b"<html>", &Assets::known()), Err(WireError::Json));
}

/// docs/wire.md#amount: what a payer pays where server and exact arithmetic differ.
#[test]
fn a_payer_pays_the_greater_of_exact_and_float() {
    let native = |amount: &str, format: &str| {
        let body = bent("0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", "0x0000000000000000000000000000000000000000")
            .replace(r#""tokenDecimals":6"#, r#""tokenDecimals":18"#)
            .replace(r#"0.01,"amountRequiredFormat":"humanReadable"#, &format!(r#"{amount},"amountRequiredFormat":"{format}"#));
        only(&body).offer.amount.to_string()
    };
    // floor(1.1 × 10^18) in JavaScript, from node; exact is smaller.
    assert_eq!(native("1.1", "humanReadable"), "1100000000000000128");
    // floor(0.57 × 10^18) in JavaScript is 569999999999999936; exact is greater.
    assert_eq!(native("0.57", "humanReadable"), "570000000000000000");
    // 2^60 as JavaScript prints it; the float itself is smaller.
    assert_eq!(native("1152921504606847000", "smallestUnit"), "1152921504606847000");
    // JavaScript prints 2^60 + 256 so; the float is greater.
    assert_eq!(native("1152921504606847200", "smallestUnit"), "1152921504606847232");
    // floor(8.2 × 10^6) is 8199999 in JavaScript; exact is greater.
    assert_eq!(only(&bent("0.01", "8.2")).offer.amount.to_string(), "8200000");
}

#[test]
fn what_we_write_is_strict() {
    let mut requirement = requirements(asset(BASE, USDC), 10_000, "https://api.example/item");
    requirement.lifetime_seconds = Some(60);
    let body =
        encode_challenge(&Challenge { error: "payment required", requirements: &[requirement.clone()], payer: Some(address(PAYEE)) });
    let expected = concat!(
        r#"{"h402Version":1,"error":"payment required","accepts":[{"scheme":"exact","namespace":"evm","networkId":"8453","#,
        r#""amountRequired":10000,"amountRequiredFormat":"smallestUnit","#,
        r#""payToAddress":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","tokenAddress":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","#,
        r#""tokenDecimals":6,"tokenSymbol":"USDC","resource":"https://api.example/item","estimatedProcessingTime":60,"#,
        r#""requiredDeadlineSeconds":60,"extra":{"name":"USD Coin","version":"2"}}],"#,
        r#""payer":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}"#
    );
    assert_eq!(String::from_utf8(body.unwrap()).unwrap(), expected);
    // No field is ever null: absent ones are left out.
    requirement.lifetime_seconds = None;
    let resource = Resource { description: Some("one item".into()), mime_type: Some("text/plain".into()), ..Resource::default() };
    requirement = Requirements { resource: Arc::new(resource), ..requirement };
    let native = asset(BASE, "0x0000000000000000000000000000000000000000");
    requirement.offer = Arc::new(Offer::new(native, Amount::from_units("0.05", 18).unwrap(), address(PAYEE)).unwrap());
    let body = String::from_utf8(encode_challenge(&Challenge { error: "", requirements: &[requirement], payer: None }).unwrap()).unwrap();
    assert!(!body.contains("null") && !body.contains("resource") && !body.contains("extra"), "{body}");
    assert!(body.contains(r#""amountRequired":0.05,"amountRequiredFormat":"humanReadable""#), "{body}");
    assert!(body.contains(r#""description":"one item","mimeType":"text/plain""#), "{body}");
}

/// Whatever a URL or a description holds, the template says what writing it at once says.
#[test]
fn a_template_is_the_same_402() {
    let described = |url: &str, description: &str| {
        let mut requirement = requirements(asset(BASE, USDC), 10_000, url);
        Arc::make_mut(&mut requirement.resource).description = Some(description.into());
        requirement
    };
    for description in ["one item", "\0", r#""resource":"\u0000""#, r#"","resource":"\0"#] {
        let challenge = |url| [described(url, description), requirements(asset(BASE, USDC), 20_000, url)];
        let requirements = challenge("https://api.example/first");
        let template = ChallengeTemplate::new(&Challenge { error: "why", requirements: &requirements, payer: None }).unwrap();
        for url in ["https://api.example/item", "https://api.example/a?b=\"c\"", "https://api.example/\\", "\0"] {
            let whole = encode_challenge(&Challenge { error: "why", requirements: &challenge(url), payer: None }).unwrap();
            assert_eq!(String::from_utf8(template.at(url)), String::from_utf8(whole), "{description} {url}");
        }
    }
}

/// docs/wire.md#amount: a price keeps the spelling that every client reads alike.
#[test]
fn amounts_keep_their_digits() {
    let dai =
        Arc::new(crate::Asset::new(AssetId { network: BASE, address: address("0x50c5725949A6F0c72E6C4a641F24049A917DB0Cb") }, 18, "DAI"));
    for (units, written) in [
        ("0.01", r#"0.01,"amountRequiredFormat":"humanReadable""#),
        ("0.0000000000001", r#"100000,"amountRequiredFormat":"smallestUnit""#),
        ("1", r#"1,"amountRequiredFormat":"humanReadable""#),
        ("0.1", r#"0.1,"amountRequiredFormat":"humanReadable""#),
        ("1000", r#"1000,"amountRequiredFormat":"humanReadable""#),
    ] {
        let offer = Offer::new(dai.clone(), Amount::from_units(units, 18).unwrap(), address(PAYEE)).unwrap();
        let requirement =
            Requirements { offer: Arc::new(offer), resource: Arc::default(), lifetime_seconds: None, solana: None, facilitator: None };
        let body = encode_challenge(&Challenge { error: "", requirements: &[requirement], payer: None }).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(&format!(r#""amountRequired":{written}"#)), "{body}");
    }
    // A price that clients read differently cannot be written.
    let offer = Offer::received(dai, Amount::from_units("1.1", 18).unwrap(), address(PAYEE)).unwrap();
    let requirement =
        Requirements { offer: Arc::new(offer), resource: Arc::default(), lifetime_seconds: None, solana: None, facilitator: None };
    let body = encode_challenge(&Challenge { error: "", requirements: &[requirement], payer: None });
    assert!(matches!(body, Err(WireError::Amount(AmountError::NotExactAsFloat { .. }))), "{body:?}");
}
