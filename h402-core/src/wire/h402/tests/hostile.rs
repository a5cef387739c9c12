//! Threats against the decoder, by id.

use super::{BASE, PAYEE, PAYER, USDC, address, asset, captured, header, payer_key, requirements, unpacked};
use crate::{
    Amount, Assets, Authorization, Matched, Offers, Payload, PaymentKey, PaymentPayload, Reject, evm::transfer_with_authorization_hash,
    wire::h402::*,
};
use alloy_primitives::{B256, U256};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;
use std::{collections::HashSet, sync::Arc};

const URL: &str = "https://api.example/item?id=1";

fn terms() -> Authorization {
    Authorization {
        from: address(PAYER).evm().unwrap(),
        to: address(PAYEE).evm().unwrap(),
        value: Amount::from_atomic(10_000),
        valid_after: U256::from(5),
        valid_before: U256::from(2_000_000_000),
        nonce: B256::repeat_byte(0xab),
    }
}

fn key_of(header: &[u8]) -> PaymentKey {
    let price = requirements(asset(BASE, USDC), 10_000, URL);
    let offers = Offers::new(vec![price.offer]).unwrap();
    Matched::new(decode_payment(header).unwrap(), &offers, &Arc::clone(&price.resource), None).unwrap().key()
}

/// A payment as JSON from payer, nonce, value and signature.
type Layout = fn(&str, &str, &str, &str) -> String;

/// T012: whatever is done to the bytes of one payment, it stays one payment.
#[test]
fn t012_every_encoding_of_a_payment_has_its_key() {
    let domain = asset(BASE, USDC).eip712_domain().unwrap();
    let signature = payer_key().sign_hash(&transfer_with_authorization_hash(&terms(), &domain)).unwrap();
    let low = signature.as_bytes();
    // The order of secp256k1 less s is the other s that recovers the same key, with the other parity.
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let mut high = low;
    high[32..64].copy_from_slice(&(order - signature.s()).to_be_bytes::<32>());
    high[64] = 55 - low[64];
    let mut parity = low;
    parity[64] -= 27;
    let signatures = [low.to_vec(), high.to_vec(), parity.to_vec(), signature.as_erc2098().to_vec()];

    let value = [r#""10000""#, "10000", r#""\u0031\u0030000""#];
    let layouts: [Layout; 3] = [
        |from, nonce, value, signature| {
            format!(
                r#"{{"h402Version":1,"scheme":"exact","namespace":"evm","networkId":"8453","resource":"{URL}","payload":{{"type":"authorization","signature":"{signature}","authorization":{{"from":"{from}","to":"{PAYEE}","value":{value},"validAfter":"5","validBefore":"2000000000","nonce":"{nonce}","version":"2"}}}}}}"#
            )
        },
        |from, nonce, value, signature| {
            format!(
                "\n{{ \"payload\" : {{ \"authorization\" : {{\t\"nonce\" : \"{nonce}\", \"validBefore\":2000000000,\r\n\"validAfter\":5, \"value\":{value}, \"to\":\"{}\", \"from\":\"{from}\" }}, \"type\":\"authorization\", \"signature\":\"{signature}\" }}, \"networkId\":\"8453\", \"namespace\":\"eip155\", \"scheme\":\"exact\", \"h402Version\":1 }} ",
                PAYEE.to_lowercase()
            )
        },
        |from, nonce, value, signature| {
            format!(
                r#"{{"h402Version":1,"scheme":"\u0065xact","namespace":"evm","networkId":"8453","__proto__":{{"scheme":"upto"}},"payload":{{"type":"authorization","signature":"{signature}","extra":[1,{{}}],"authorization":{{"\u0066rom":"{from}","to":"{PAYEE}","value":{value},"validAfter":5,"validBefore":"2000000000","nonce":"{nonce}","version":"9"}}}},"time":1795170338980}}"#
            )
        },
    ];
    let (mut headers, mut keys) = (HashSet::new(), HashSet::new());
    for layout in layouts {
        for value in value {
            for signature in &signatures {
                for upper in [false, true] {
                    let case = |bytes: &[u8]| if upper { hex::encode_upper(bytes) } else { hex::encode(bytes) };
                    let json = layout(PAYER, &format!("0x{}", case(&[0xab; 32])), value, &format!("0x{}", case(signature)));
                    for text in
                        [STANDARD.encode(&json), STANDARD_NO_PAD.encode(&json), URL_SAFE.encode(&json), URL_SAFE_NO_PAD.encode(&json)]
                    {
                        keys.insert(key_of(text.as_bytes()));
                        headers.insert(text);
                    }
                }
            }
        }
    }
    assert!(headers.len() >= 100, "{} different encodings", headers.len());
    assert_eq!(keys.len(), 1);
    // Another nonce is another payment.
    let other = Authorization { nonce: B256::repeat_byte(0xac), ..terms() };
    let signed = payer_key().sign_authorization(other, &domain).unwrap();
    let first = decode_payment(headers.iter().next().unwrap().as_bytes()).unwrap();
    let payment = PaymentPayload { payload: Payload::Authorization(signed), ..first };
    assert!(!keys.contains(&key_of(encode_payment(&payment).unwrap().as_bytes())));
}

/// T026: six spellings of one payee; those that are right are the same bytes, the others are refused.
#[test]
fn t026_payees_are_compared_as_bytes() {
    let recorded = unpacked(captured::AUTHORIZATION);
    for (spelling, right) in [
        ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", true),
        ("0x70997970c51812dc3a010c7d01b50e0d17dc79c8", true),
        ("0x70997970C51812DC3A010C7D01B50E0D17DC79C8", true),
        ("0x70997970C51812dc3A010C7d01b50e0d17dc79c8", false),
        ("0X70997970C51812dc3A010C7d01b50e0d17dc79C8", false),
        ("payee.eth", false),
    ] {
        let payment = decode_payment(&header(&recorded.replace(PAYEE, spelling)));
        let offer = captured::EXPRESS.replace(PAYEE, spelling);
        let offer = decode_challenge(offer.as_bytes(), &Assets::known()).unwrap().offers.remove(0).requirements;
        if right {
            assert_eq!(payment, decode_payment(captured::AUTHORIZATION.as_bytes()), "{spelling}");
            assert_eq!(offer.unwrap().offer.pay_to, address(PAYEE));
        } else {
            assert!(matches!(payment, Err(Reject::Malformed(_))) && offer.is_err(), "{spelling}");
        }
    }
}

/// T030: one spelling per signed number. The expected values are read by eye.
#[test]
fn t030_numbers_have_one_spelling() {
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let quoted = |text: &str| format!("\"{text}\"");
    let good = [
        ("0".to_owned(), "0"),
        (quoted("0"), "0"),
        ("1".to_owned(), "1"),
        (quoted("10000"), "10000"),
        ("9007199254740991".to_owned(), "9007199254740991"),
        (quoted("9007199254740993"), "9007199254740993"),
        (quoted(max), max),
    ];
    let bad = [
        "\"1e4\"",
        "\"0x2710\"",
        "\" 10000\"",
        "\"10000 \"",
        "\"+10000\"",
        "\"-1\"",
        "\"010000\"",
        "\"10000.0\"",
        "\"1_000\"",
        "\"1,000\"",
        "\"１００００\"",
        "\"\"",
        "\"00\"",
        "\"-0\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"10000n\"",
        "\"1\\u0000\"",
        "\"\\n1\"",
        "\"0b1\"",
        "\"٣\"",
        "10000.0",
        "1e4",
        "1E4",
        "1e400",
        "1e-4",
        "-1",
        "-0",
        "0.0",
        "9007199254740992",
        "9007199254740993",
        max,
        "null",
        "true",
        "[]",
        "[10000]",
        "{}",
        "{\"value\":1}",
        "010000",
        "+1",
        "0x10",
        ".5",
        "5.",
        "NaN",
        "1 0",
    ];
    let recorded = unpacked(captured::AUTHORIZATION);
    for (field, was) in [("value", "10000"), ("validAfter", "1795170514"), ("validBefore", "1795170579")] {
        let with = |literal: &str| {
            let (from, to) = (format!(r#""{field}":"{was}""#), format!(r#""{field}":{literal}"#));
            assert_eq!(recorded.matches(&from).count(), 1);
            decode_payment(&header(&recorded.replace(&from, &to)))
        };
        for (literal, value) in &good {
            let Ok(Payload::Authorization(signed)) = with(literal).map(|payment| payment.payload) else { panic!("{literal}") };
            let terms = signed.authorization;
            let read = match field {
                "value" => terms.value.to_string(),
                "validAfter" => terms.valid_after.to_string(),
                _ => terms.valid_before.to_string(),
            };
            assert_eq!(read, *value);
        }
        for literal in bad.into_iter().chain([quoted(over).as_str(), quoted(&"9".repeat(400)).as_str()]) {
            assert!(matches!(with(literal), Err(Reject::Malformed(_) | Reject::Undecodable(_))), "{literal}");
        }
    }
}

/// T096: two headers joined by a proxy, as the standard allows, are no payment.
#[test]
fn t096_joined_headers_are_refused() {
    for glue in [",", ", ", " ", ";", "\t", ""] {
        let joined = format!("{}{glue}{}", captured::AUTHORIZATION, captured::SENT);
        assert!(matches!(decode_payment(joined.as_bytes()), Err(Reject::Undecodable(_))), "{glue:?}");
    }
}

/// T097: where other parsers read something else, this one reads nothing; the rest it reads alike.
#[test]
fn t097_what_parsers_disagree_about_is_refused() {
    let json = unpacked(captured::AUTHORIZATION);
    let bent = |from: &str, to: &str| {
        assert_eq!(json.matches(from).count(), 1, "{from}");
        header(&json.replace(from, to))
    };
    let bytes = captured::AUTHORIZATION.as_bytes();
    // 'MX0=' is "1}"; 'MX1=' differs in bits that belong to no byte.
    let mut pad_bits = captured::SENT.as_bytes().to_vec();
    let last = pad_bits.len() - 2;
    assert_eq!(&pad_bits[last..], b"0=");
    pad_bits[last] = b'1';
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("to twice", bent(r#""value":"10000""#, r#""value":"10000","to":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC""#)),
        ("to twice, once escaped", bent(r#""value":"10000""#, r#""value":"10000","\u0074o":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC""#)),
        ("the same twice", bent(r#""value":"10000""#, r#""value":"10000","value":"10000""#)),
        ("payload twice", bent(r#""scheme":"exact""#, r#""scheme":"exact","payload":{}"#)),
        ("type twice", bent(r#""type":"authorization""#, r#""type":"authorization","type":"signedTransaction""#)),
        ("networkId twice", bent(r#""networkId":"8453""#, r#""networkId":"8453","networkId":"1""#)),
        ("authorization twice", bent(r#""signature":"#, r#""authorization":{},"signature":"#)),
        ("a signed field nobody knows", bent(r#""version":"2""#, r#""version":"2","memo":"x""#)),
        ("__proto__ among what is signed", bent(r#""version":"2""#, r#""version":"2","__proto__":{"value":"1"}"#)),
        ("another case", bent(r#""value":"10000""#, r#""Value":"10000""#)),
        ("byte order mark", header(&format!("\u{feff}{json}"))),
        ("UTF-16", STANDARD.encode(json.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).into_bytes()),
        ("trailing bytes", header(&format!("{json}x"))),
        ("trailing NUL", header(&format!("{json}\0"))),
        ("two texts", header(&format!("{json}{json}"))),
        ("trailing comma", bent(r#""version":"2"}"#, r#""version":"2",}"#)),
        ("comment", bent(r#""version":"2"}"#, r#""version":"2"/**/}"#)),
        ("single quotes", bent(r#""version":"2"}"#, r#""version":'2'}"#)),
        ("raw NUL in a text", bent("4032/evm", "4032/evm\0")),
        ("raw newline in a text", bent("4032/evm", "4032/evm\n")),
        ("half a surrogate pair", bent("4032/evm", r"4032/evm\ud800")),
        ("surrogates in the wrong order", bent("4032/evm", r"4032/evm\udc00\ud800")),
        ("cut off", bytes[..bytes.len() - 8].to_vec()),
        ("nonzero pad bits", pad_bits),
        ("space inside", [&bytes[..8], b" ", &bytes[8..]].concat()),
        ("newline at the end", [bytes, b"\n"].concat()),
        ("NUL inside", [&bytes[..8], b"\0", &bytes[8..]].concat()),
        ("padding inside", [&bytes[..8], b"====", &bytes[8..]].concat()),
        ("too much padding", [bytes, b"="].concat()),
        ("one character too many", [bytes, b"A"].concat()),
        ("both alphabets", [&bytes[..8], b"+_-/", &bytes[8..]].concat()),
        ("not ASCII", [&bytes[..8], "é".as_bytes(), &bytes[8..]].concat()),
        ("not base64 at all", json.clone().into_bytes()),
        ("nothing", Vec::new()),
        ("a text", header("\"x\"")),
        ("a list", header("[]")),
        ("null", header("null")),
    ];
    for (name, header) in refused {
        assert!(matches!(decode_payment(&header), Err(Reject::Undecodable(_) | Reject::Malformed(_))), "{name}");
    }
    let same = decode_payment(bytes);
    assert!(same.is_ok());
    for (name, header) in [
        ("__proto__ where it says nothing", bent(r#""scheme":"exact""#, r#""scheme":"exact","__proto__":{"scheme":"upto"}"#)),
        ("unknown field with half a surrogate pair", bent(r#""scheme":"exact""#, r#""scheme":"exact","x":"\ud800""#)),
        ("unknown fields twice", bent(r#""scheme":"exact""#, r#""scheme":"exact","x":1,"x":2"#)),
        ("escaped letters", bent(r#""type":"authorization""#, r#""\u0074ype":"authorizatio\u006e""#)),
        ("escaped slash", bent("127.0.0.1:4032/evm", r"127.0.0.1:4032\/evm")),
        ("white space", header(&format!(" \t\r\n{json}\n "))),
    ] {
        assert_eq!(decode_payment(&header), same, "{name}");
    }
}

/// T098: the length is looked at before anything is decoded; up to the limit a payment is read.
#[test]
fn t098_headers_are_bounded() {
    let json = unpacked(captured::SENT);
    let padded = |length: usize| header(&format!("{json}{}", " ".repeat(length / 4 * 3 - json.len())));
    let (longest, longer) = (padded(MAX_HEADER), padded(MAX_HEADER + 4));
    assert_eq!((longest.len(), longer.len()), (MAX_HEADER, MAX_HEADER + 4));
    assert_eq!(decode_payment(&longest), decode_payment(captured::SENT.as_bytes()));
    assert_eq!(decode_payment(&longer), Err(Reject::Undecodable("longer than 16 KiB")));
    assert_eq!(decode_payment(&vec![b'A'; 1 << 20]), Err(Reject::Undecodable("longer than 16 KiB")));

    let signature = |bytes: usize| {
        let json = unpacked(captured::AUTHORIZATION);
        let (start, end) = (json.find("0x10372d").unwrap(), json.find("a11b\"").unwrap() + 4);
        decode_payment(&header(&json.replace(&json[start..end], &format!("0x{}", "ab".repeat(bytes)))))
    };
    assert!(signature(65).is_ok() && signature(4096).is_ok());
    assert_eq!(signature(8193), Err(Reject::Undecodable("longer than 16 KiB")));

    let mut payment = decode_payment(captured::SENT.as_bytes()).unwrap();
    payment.resource = Some("x".repeat(MAX_HEADER));
    assert!(matches!(encode_payment(&payment), Err(WireError::TooLong { .. })));

    // Depth costs nothing: what is not read is skipped, not climbed into.
    let deep = format!(r#"{{"x":{}{},{}"#, "[".repeat(4000), "]".repeat(4000), &json[1..]);
    assert_eq!(decode_payment(&header(&deep)), decode_payment(captured::SENT.as_bytes()));
}

/// Nothing that could be presented again shows in what a refusal says.
#[test]
fn refusals_do_not_repeat_what_was_sent() {
    let json = unpacked(captured::AUTHORIZATION).replace(r#""nonce":"0x"#, r#""nonce":"0y"#);
    let reject = decode_payment(&header(&json)).unwrap_err();
    assert!(!format!("{reject} {reject:?}").contains("23d7f7c9"));
    let payment = decode_payment(captured::AUTHORIZATION.as_bytes()).unwrap();
    assert!(!format!("{payment:?}").contains("10372d95"));
}

/// How a decoder reads that builds a tree and lets the last of equal keys win, as JavaScript does.
fn read_as_javascript(json: &str) -> Option<[String; 5]> {
    let tree: serde_json::Value = serde_json::from_str(json).ok()?;
    let terms = &tree["payload"]["authorization"];
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    Some(
        [text(&tree["networkId"]), text(&terms["from"]), text(&terms["to"]), text(&terms["value"]), text(&terms["nonce"])]
            .map(|t| t.to_lowercase()),
    )
}

fn read_by_us(json: &str) -> Option<[String; 5]> {
    let payment = decode_payment(&header(json)).ok()?;
    let crate::Network::Evm(chain) = payment.network else { return None };
    let Payload::Authorization(signed) = payment.payload else { return None };
    let terms = signed.authorization;
    Some(
        [chain.to_string(), terms.from.to_string(), terms.to.to_string(), terms.value.to_string(), terms.nonce.to_string()]
            .map(|text| text.to_lowercase()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// T097: pieces of payments put together anyhow are read as JavaScript reads them, or not at all.
    #[test]
    fn t097_accepted_means_read_alike(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(r#""to":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8""#),
                Just(r#""to":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC""#),
                Just(r#""t\u006f":"0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc""#),
                Just(r#""value":10000"#),
                Just(r#""value":"20000""#),
                Just(r#""value":1e4"#),
                Just(r#""__proto__":{"value":"1"}"#),
            ],
            0..4,
        ),
        at in 0usize..4,
    ) {
        let mut parts = vec![
            r#""from":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266""#,
            r#""validAfter":"1","validBefore":"2""#,
            r#""nonce":"0x23d7f7c9af803496988a8664c080635cfd86d4d5134f4727ef373fef9c200e37""#,
        ];
        for piece in pieces {
            parts.insert(at.min(parts.len()), piece);
        }
        let json = format!(
            r#"{{"h402Version":1,"scheme":"exact","namespace":"evm","networkId":"8453","payload":{{"type":"authorization","signature":"0x00","authorization":{{{}}}}}}}"#,
            parts.join(",")
        );
        if let Some(read) = read_by_us(&json) {
            prop_assert_eq!(Some(read), read_as_javascript(&json));
        }
    }

    /// A byte changed, added or lost anywhere: read alike or refused, and never a panic.
    #[test]
    fn t097_one_byte_off(at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut bytes = unpacked(captured::AUTHORIZATION).into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        let Ok(json) = String::from_utf8(bytes) else { return Ok(()) };
        if let Some(read) = read_by_us(&json) {
            prop_assert_eq!(Some(read), read_as_javascript(&json));
        }
    }
}
