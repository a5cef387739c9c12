//! What is written, to the letter, and what is left out.

use super::*;
use crate::{
    Dialect, Flow, GenesisPrefix,
    wire::x402::{Accepted, Extensions, LeftOut, PaymentIdentifier, name, v1, v2},
    wire::{HeaderError, presented},
};

fn challenge<'a>(terms: &'a [Terms], resource: &'a Resource, extensions: &'a Extensions) -> v2::Challenge<'a> {
    v2::Challenge { error: "Payment required", resource, terms, extensions }
}

/// What clients of both versions are told: the shapes of v2-402-nopayment and v1-402-nopayment.
#[test]
fn challenges_are_spelled_as_the_packages_spell_them() {
    let solana = terms_of(offer(SOLANA, SOLANA_USDC, 10_000));
    let upfront = Terms { flow: Flow::Upfront, ..terms() };
    let resource = Resource { url: "https://api.example/item?id=1".into(), ..Resource::default() };
    let none = Extensions::default();
    let written = v2::encode_challenge(&challenge(&[upfront, solana.clone()], &resource, &none)).unwrap();
    let expected = concat!(
        r#"{"x402Version":2,"error":"Payment required","resource":{"url":"https://api.example/item?id=1"},"accepts":["#,
        r#"{"scheme":"exact","network":"eip155:8453","amount":"10000","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","#,
        r#""payTo":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","maxTimeoutSeconds":70,"#,
        r#""extra":{"name":"USD Coin","version":"2","paymentFlow":"upfront"}},"#,
        r#"{"scheme":"exact","network":"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp","amount":"10000","#,
        r#""asset":"EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v","payTo":"4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f","#,
        r#""maxTimeoutSeconds":70,"extra":{"feePayer":"J2xccRtuG43drESLYznHhLhQkLTdfepcKYbiQ9BsJVaf"}}]}"#,
    );
    assert_eq!((unpacked(&written.header).as_str(), written.left_out), (expected, vec![]));
    let written = v1::encode_challenge(&v1::Challenge { error: "X-PAYMENT header is required", terms: &[terms()], payer: None }).unwrap();
    let expected = concat!(
        r#"{"x402Version":1,"error":"X-PAYMENT header is required","accepts":[{"scheme":"exact","network":"base","#,
        r#""maxAmountRequired":"10000","resource":"https://api.example/item?id=1","description":"","mimeType":"","#,
        r#""payTo":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","maxTimeoutSeconds":70,"#,
        r#""asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","extra":{"name":"USD Coin","version":"2"}}]}"#,
    );
    assert_eq!(String::from_utf8(written.body).unwrap(), expected);
}

/// What a version cannot say is left out, with the reason; the rest stays.
#[test]
fn what_a_version_cannot_say_is_left_out() {
    let native = Arc::new(crate::Asset::native(BASE, "ETH"));
    let native = terms_of(Offer::new(native, Amount::from_atomic(10_000), PAYEE.parse().unwrap()).unwrap());
    let mut nobody_pays = terms_of(offer(SOLANA, SOLANA_USDC, 10_000));
    nobody_pays.requirements.solana = None;
    let elsewhere = asset_id(Network::Evm(1514), USDC).unwrap();
    let elsewhere = Arc::new(crate::Asset::new(elsewhere, 6, "X").with_eip3009("X", "1"));
    // `story`: two programs mean two chains by it.
    let story = terms_of(Offer::new(elsewhere, Amount::from_atomic(10_000), PAYEE.parse().unwrap()).unwrap());
    let permit2 = terms_of(offer(BASE, USDC, 10_000).with_permit2());
    let all = [native, nobody_pays, story, permit2, terms()];
    let resource = Resource::default();
    let written = v2::encode_challenge(&challenge(&all, &resource, &Extensions::default())).unwrap();
    assert_eq!(written.left_out, [(0, LeftOut::Asset), (1, LeftOut::FeePayer)]);
    let read = v2::decode_challenge(written.header.as_bytes(), &Assets::known()).unwrap();
    assert_eq!(read.offers.len(), 3);
    let written = v1::encode_challenge(&v1::Challenge { error: "", terms: &all, payer: None }).unwrap();
    assert_eq!(written.left_out, [(0, LeftOut::Asset), (1, LeftOut::FeePayer), (2, LeftOut::Network), (3, LeftOut::Asset)]);
    assert_eq!(v1::decode_challenge(&written.body, &Assets::known()).unwrap().offers.len(), 1);
}

/// The header stays within 4 KiB: offers in order, then the texts and the query go; a URL that leaves no room is an error.
#[test]
fn a_challenge_stays_within_its_room() {
    let many: Vec<Terms> = (1..=40u32).map(|amount| terms_of(offer(BASE, USDC, u128::from(amount) * 1000))).collect();
    let short = Resource { url: "https://api.example/item".into(), ..Resource::default() };
    let none = Extensions::default();
    let written = v2::encode_challenge(&challenge(&many, &short, &none)).unwrap();
    assert!(written.header.len() <= v2::MAX_CHALLENGE && written.header.len() > v2::MAX_CHALLENGE - 400, "{}", written.header.len());
    let read = v2::decode_challenge(written.header.as_bytes(), &Assets::known()).unwrap();
    let amounts: Vec<_> = read.offers.iter().map(|offer| offer.terms.as_ref().unwrap().requirements.offer.amount).collect();
    assert_eq!(amounts, many.iter().take(amounts.len()).map(|terms| terms.requirements.offer.amount).collect::<Vec<_>>());
    let left: Vec<_> = (amounts.len()..40).map(|at| (at, LeftOut::Room)).collect();
    assert_eq!(written.left_out, left);

    let long =
        Resource { url: format!("https://api.example/item?q={}", "x".repeat(8000)), description: Some("d".repeat(500)), mime_type: None };
    let written = v2::encode_challenge(&challenge(&many[..1], &long, &none)).unwrap();
    let read = v2::decode_challenge(written.header.as_bytes(), &Assets::known()).unwrap();
    assert_eq!((read.resource.url.as_str(), read.offers.len(), written.left_out), ("https://api.example/item", 1, vec![]));
    let endless = Resource { url: format!("https://api.example/{}", "x".repeat(8000)), ..Resource::default() };
    assert!(v2::encode_challenge(&challenge(&many[..1], &endless, &none)).is_err());
}

/// A word that bends what a payer has chosen.
type Bend = (&'static str, &'static str, bool);

/// `accepted` selects by scheme, network, asset, payee, amount and six fields of `extra`, and by nothing else.
#[test]
fn accepted_selects_what_it_names() {
    let written = r#"{"scheme":"exact","network":"eip155:8453","amount":"10000","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","payTo":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","maxTimeoutSeconds":70,"extra":{"name":"USD Coin","version":"2"}}"#;
    let read = |element: &str| {
        let json = format!(r#"{{"x402Version":2,"accepts":[{element}]}}"#);
        v2::decode_challenge(&header(&json), &Assets::known()).unwrap().offers.remove(0).accepted
    };
    assert!(read(written).is_some_and(|accepted| accepted.selects(&terms())));
    assert_eq!(Accepted::of(&terms()).ok(), read(written));
    let bends: [Bend; 18] = [
        (r#""exact""#, r#""upto""#, false),
        ("eip155:8453", "eip155:84532", false),
        ("10000", "10001", false),
        (r#""10000""#, "10000", true),
        ("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", true),
        ("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", PAYEE, false),
        (PAYEE, "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", false),
        ("USD Coin", "USDC", false),
        (r#""version":"2""#, r#""version":"1""#, false),
        (r#""name":"USD Coin","version":"2""#, "", true),
        (r#""version":"2""#, r#""version":"2","assetTransferMethod":"eip3009""#, true),
        (r#""version":"2""#, r#""version":"2","assetTransferMethod":"permit2""#, false),
        (r#""version":"2""#, r#""version":"2","paymentFlow":"authorization""#, true),
        (r#""version":"2""#, r#""version":"2","paymentFlow":"upfront""#, false),
        (r#""version":"2""#, r#""version":"2","paymentFlow":"escrow""#, false),
        (r#""version":"2""#, r#""version":"2","anything":[1]"#, true),
        (r#""maxTimeoutSeconds":70"#, r#""maxTimeoutSeconds":1,"unknown":{}"#, true),
        (r#""amount""#, r#""amount":"10000","amount""#, false),
    ];
    for (from, to, selects) in bends {
        let bent = written.replace(from, to);
        assert_ne!(bent, written, "{from}");
        assert_eq!(read(&bent).is_some_and(|accepted| accepted.selects(&terms())), selects, "{bent}");
    }
    // Whoever pays the fee: facilitators with several accounts name another one each time.
    let solana = terms_of(offer(SOLANA, SOLANA_USDC, 10_000));
    let accepted = Accepted::of(&solana).unwrap();
    assert!(accepted.selects(&solana));
    let mut other = solana.clone();
    other.requirements.solana =
        Some(SolanaHints { fee_payer: Some("4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f".parse().unwrap()), ..SolanaHints::default() });
    assert!(accepted.selects(&other));
    let dearer = terms_of(offer(SOLANA, SOLANA_USDC, 10_001));
    assert_eq!(accepted.select(&[terms(), dearer.clone()]), Err(crate::Reject::NoOffer));
    assert_eq!(accepted.select(&[terms()]), Err(crate::Reject::Network(SOLANA)));
    assert_eq!(accepted.select(&[terms(), dearer, solana.clone()]), Ok(&solana));
}

/// Names lead to their networks and back; ambiguous ones to none.
#[test]
fn names_of_version_1_are_a_closed_table() {
    use crate::wire::x402::Version::{V1, V2};
    for (text, network) in
        [("base", 8453), ("base-sepolia", 84532), ("avalanche-fuji", 43113), ("abstract-testnet", 11124), ("celo", 42220)]
    {
        assert_eq!((name::read(text, V1), name::write(Network::Evm(network), V1).as_deref()), (Some(Network::Evm(network)), Some(text)));
    }
    assert_eq!(name::read("solana-devnet", V1), Some(Network::Solana(GenesisPrefix::DEVNET)));
    for text in ["story", "educhain", "skale-base-sepolia", "bsc", "eip155:8453", "Base", ""] {
        assert_eq!(name::read(text, V1), None, "{text}");
    }
    for network in [1514, 1513, 41923, 324_705_682, 31337] {
        assert_eq!(name::write(Network::Evm(network), V1), None);
    }
    assert_eq!((name::read("base", V2), name::read("eip155:8453", V2)), (None, Some(BASE)));
    assert!(name::is_common(BASE) && !name::is_common(Network::Evm(42220)));
}

/// T096, T111: one payment header, of one dialect. Each twin alone is taken.
#[test]
fn t096_t111_one_payment_header_of_one_dialect() {
    let one = header(r#"{"x402Version":1}"#);
    let h402 = header(r#"{"h402Version":1}"#);
    let (one, h402) = (one.as_slice(), h402.as_slice());
    let of = |found: Result<Option<crate::wire::Presented<'_>>, HeaderError>| found.map(|found| found.map(|found| found.dialect));
    assert_eq!(of(presented([one], [])), Ok(Some(Dialect::X402V1)));
    assert_eq!(of(presented([h402], [])), Ok(Some(Dialect::H402V1)));
    assert_eq!(of(presented([], [one])), Ok(Some(Dialect::X402V2)));
    let joined = [one, b", ", h402].concat();
    for (x_payment, payment_signature) in
        [(vec![one, h402], vec![]), (vec![], vec![one, one]), (vec![h402], vec![one]), (vec![&joined[..]], vec![])]
    {
        assert_eq!(of(presented(x_payment, payment_signature)), Err(HeaderError::Several));
    }
    let both = header(r#"{"x402Version":1,"h402Version":1}"#);
    assert!(matches!(presented([&both[..]], []), Err(HeaderError::Rejected(crate::Reject::Malformed(_)))));
    let later = header(r#"{"x402Version":2}"#);
    assert_eq!(of(presented([&later[..]], [])), Err(crate::Reject::Version.into()));
    assert_eq!(of(presented([&[b'A'; 16 * 1024 + 1][..]], [])), Err(HeaderError::TooLong));
}

/// Identifiers have 16 to 128 characters of a small alphabet; a server's schema is repeated with the answer.
#[test]
fn payment_identifiers_are_read_and_written() {
    let asked = PaymentIdentifier::asked(false);
    for id in ["x".repeat(15), "x".repeat(129), "with space 123456".into(), "ümlaut-1234567890".into(), "a/b-1234567890123".into()] {
        assert!(asked.clone().with(&id).is_err(), "{id}");
    }
    for id in ["x".repeat(16), "x".repeat(128), "Az09_-Az09_-Az09".into()] {
        let mut extensions = Extensions::default();
        extensions.insert("payment-identifier", r#"{"info":{"required":true},"schema":{"type":"object","x":1}}"#.into()).unwrap();
        let answered = extensions.payment_identifier().unwrap().unwrap().with(&id).unwrap();
        extensions.set_payment_identifier(&answered).unwrap();
        let text = extensions.get("payment-identifier").unwrap();
        assert_eq!(text, format!(r#"{{"info":{{"required":true,"id":"{id}"}},"schema":{{"type":"object","x":1}}}}"#));
        assert_eq!(extensions.payment_identifier().unwrap().unwrap().id(), Some(id.as_str()));
    }
    let mut bad = Extensions::default();
    bad.insert("payment-identifier", r#"{"info":{"required":true,"id":"short"}}"#.into()).unwrap();
    assert!(bad.payment_identifier().is_err());
}
