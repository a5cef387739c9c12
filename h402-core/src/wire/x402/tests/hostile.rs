//! Threats against the decoders, by id.

use super::*;
use crate::{
    Dialect, Matched, Offers, Payload, PaymentKey, Reject,
    wire::{
        self,
        h402::RequestError,
        x402::{v1, v2},
    },
};
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use std::collections::HashSet;

/// v2-ok-fetch, the payment.
const PAYMENT: &str = r#"{"x402Version":2,"payload":{"authorization":{"from":"0x90F79bf6EB2c4f870365E785982E1f101E93b906","to":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","value":"10000","validAfter":"0","validBefore":"1795177174","nonce":"0x0211b36b246029b819c054c5cbfa525f64dae6e58e1b1b680d189e189db75265"},"signature":"0x6334121ddb93b67edcce12f6682b1dcd7fea2d68b09dd75c63d5327862c8e5ae3737ffcb5e435614cb606c6e8a10f580896cd435e5b8e4cada1650d38b293ae51c"},"resource":{"url":"http://127.0.0.1:4420/paid","description":"test resource","mimeType":"application/json"},"accepted":{"scheme":"exact","network":"eip155:84532","amount":"10000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","maxTimeoutSeconds":60,"extra":{"name":"USDC","version":"2"}}}"#;

fn key_of(header: &[u8]) -> PaymentKey {
    let payment = v2::decode_payment(header).unwrap();
    let asset = Assets::known().get(&asset_id(Network::Evm(84532), "0x036CbD53842c5426634e7929541eC2318f3dCF7e").unwrap()).unwrap().clone();
    let offer = Offer::new(asset, Amount::from_atomic(10_000), "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".parse().unwrap()).unwrap();
    let offers = Offers::new(vec![Arc::new(offer)]).unwrap();
    Matched::new(payment.payload, &offers, &Arc::default(), None).unwrap().key()
}

/// T012: whatever is done to the bytes of one payment of version 2, it stays one payment; it is also the one of version 1.
#[test]
fn t012_every_encoding_of_an_x402_payment_has_its_key() {
    let spaced = PAYMENT.replace(':', " : ").replace("http : //127.0.0.1 : 4420", "x").replace("eip155 : ", "eip155:");
    let escaped = PAYMENT.replace(r#""from""#, r#""\u0066rom""#);
    let upper = PAYMENT.replace(
        "0x0211b36b246029b819c054c5cbfa525f64dae6e58e1b1b680d189e189db75265",
        "0x0211B36B246029B819C054C5CBFA525F64DAE6E58E1B1B680D189E189DB75265",
    );
    let more = PAYMENT.replace(r#""maxTimeoutSeconds":60"#, r#""maxTimeoutSeconds":600,"unknown":[{}]"#);
    let numbers = PAYMENT.replace(r#""value":"10000""#, r#""value":10000"#);
    let (mut headers, mut keys) = (HashSet::new(), HashSet::new());
    for json in [PAYMENT, &spaced, &escaped, &upper, &more, &numbers] {
        for text in [STANDARD.encode(json), STANDARD_NO_PAD.encode(json), URL_SAFE.encode(json), URL_SAFE_NO_PAD.encode(json)] {
            keys.insert(key_of(text.as_bytes()));
            headers.insert(text);
        }
    }
    assert!(headers.len() >= 10, "{}", headers.len());
    assert_eq!(keys.len(), 1);
    let other = PAYMENT.replace("0x0211b3", "0x0211b4");
    let v2::Payment { payload, .. } = v2::decode_payment(&header(&other)).unwrap();
    let Payload::Authorization(signed) = payload.payload else { panic!() };
    assert_ne!(signed.authorization.nonce.as_slice(), &[0; 32]);
}

/// A change to the payment, and whether it is still one.
type Bend = (&'static str, &'static str, bool);

/// T097: what two parsers could read differently is refused; each twin is read.
#[test]
fn t097_x402_payments_mean_one_thing() {
    let bends: [Bend; 23] = [
        (r#""x402Version":2"#, r#""x402Version":2.0"#, false),
        (r#""x402Version":2"#, r#""x402Version":"2""#, false),
        (r#""x402Version":2"#, r#""x402Version":1"#, false),
        (r#""x402Version":2"#, r#""x402Version":2,"h402Version":1"#, false),
        (r#""x402Version":2"#, r#""x402Version":2,"x402Version":2"#, false),
        (r#""payload":{"#, r#""payload":{"transaction":"AA==","#, false),
        (r#""payload":{"#, r#""payload":{"permit2Authorization":{},"#, false),
        (r#""payload":{"#, r#""payload":{"anything":1,"#, true),
        (r#""value":"10000""#, r#""value":"10000","value":"1""#, false),
        (r#""value":"10000""#, r#""value":"0x2710""#, false),
        (r#""value":"10000""#, r#""value":"1e4""#, false),
        (r#""value":"10000""#, r#""value":9007199254740993"#, false),
        (r#""value":"10000""#, r#""value":9007199254740991"#, true),
        (r#""value":"10000""#, r#""value":"10000","memo":"x""#, false),
        // Found by fuzzing.
        (r#""amount":"10000""#, r#""amount":"10000","amount":"1""#, false),
        (r#""payTo":"#, r#""asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"#, false),
        (r#""payTo":"#, r#""more":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"#, true),
        (r#""network":"eip155:84532""#, r#""network":"base-sepolia""#, false),
        (r#""network":"eip155:84532""#, r#""network":"eip155:084532""#, false),
        (r#""network":"eip155:84532""#, r#""network":"solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1""#, false),
        (r#""scheme":"exact""#, r#""scheme":"EXACT""#, false),
        (r#""resource":{"#, r#""resource":[],"unknown":{"#, true),
        (r#""accepted":{"#, r#""extensions":{"a":1,"a":2},"accepted":{"#, false),
    ];
    assert!(v2::decode_payment(&header(PAYMENT)).is_ok());
    for (from, to, good) in bends {
        let bent = PAYMENT.replacen(from, to, 1);
        assert_ne!(bent, PAYMENT, "{from}");
        assert_eq!(v2::decode_payment(&header(&bent)).is_ok(), good, "{bent}");
    }
}

/// T098: everything has a bound, and what is beyond it is refused before it is decoded.
#[test]
fn t098_x402_headers_are_bounded() {
    let padded = |length: usize| {
        let room = length / 4 * 3 - PAYMENT.len();
        let header = header(&PAYMENT.replacen('{', &format!("{{{}", " ".repeat(room)), 1));
        assert!(header.len().abs_diff(length) <= 4);
        header
    };
    assert!(v2::decode_payment(&padded(16 * 1024 - 8)).is_ok());
    assert_eq!(v2::decode_payment(&padded(16 * 1024 + 8)), Err(Reject::Undecodable("longer than 16 KiB")));
    assert!(v1::decode_payment(&vec![b'A'; 16 * 1024 + 1]).is_err());
    assert!(v2::decode_receipt(&vec![b'A'; 16 * 1024 + 1]).is_err() && v1::decode_receipt(&vec![b'A'; 16 * 1024 + 1]).is_err());
    assert!(v2::decode_challenge(&vec![b'A'; 16 * 1024 + 1], &Assets::known()).is_err());
    let list = |count: usize| format!(r#"{{"x402Version":1,"accepts":[{}]}}"#, vec!["{}"; count].join(","));
    assert_eq!(v1::decode_challenge(list(64).as_bytes(), &Assets::known()).unwrap().offers.len(), 64);
    assert!(v1::decode_challenge(list(65).as_bytes(), &Assets::known()).is_err());
    let extensions = |count: usize| {
        let all: Vec<_> = (0..count).map(|key| format!(r#""k{key}":1"#)).collect();
        v2::decode_payment(&header(&PAYMENT.replacen('{', &format!(r#"{{"extensions":{{{}}},"#, all.join(",")), 1)))
    };
    assert!(extensions(16).is_ok() && extensions(17).is_err());
}

/// Nesting, however deep, is an error or is read over, and never the end of the stack.
#[test]
fn nesting_does_not_end_the_stack() {
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(5_000);
        assert!(v2::decode_payment(&header(&deep)).is_err());
        assert!(wire::of_request(deep.as_bytes()).is_err() && v1::decode_verify(deep.as_bytes()).is_err());
        assert!(wire::decode_supported(format!(r#"{{"kinds":{deep}}}"#).as_bytes()).is_err());
    }
    let closed = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
    let unknown = PAYMENT.replacen('{', &format!(r#"{{"unknown":{closed},"#), 1);
    assert!(v2::decode_payment(&header(&unknown)).is_ok());
    let extra = PAYMENT.replace(r#""extra":{"#, &format!(r#""extra":{{"deep":{closed},"#));
    let read = v2::decode_payment(&header(&extra)).unwrap();
    assert!(!read.accepted.selects(&terms()));
}

/// Nothing secret is shown: neither signatures nor what a peer wrote.
#[test]
fn debug_output_shows_nothing_replayable() {
    let payment = v2::decode_payment(&header(&PAYMENT.replacen('{', r#"{"extensions":{"key":{"secret":"sesame"}},"#, 1))).unwrap();
    let shown = format!("{payment:?}");
    assert!(!shown.contains("6334121d") && !shown.contains("sesame") && shown.contains("key"), "{shown}");
}

/// T111: the body says which dialect it is of, and each refuses the other's.
#[test]
fn t111_each_dialect_refuses_the_others() {
    let requirements = r#"{"scheme":"exact"}"#;
    let body = |payment: &str| format!(r#"{{"paymentPayload":{payment},"paymentRequirements":{requirements}}}"#);
    let one = body(r#"{"x402Version":1}"#);
    assert_eq!(wire::of_request(one.as_bytes()), Ok(Dialect::X402V1));
    assert_eq!(wire::of_request(body(PAYMENT).as_bytes()), Ok(Dialect::X402V2));
    assert_eq!(wire::of_request(body(r#"{"x402Version":3}"#).as_bytes()), Err(RequestError::Rejected(Reject::Version)));
    let two = body(PAYMENT);
    assert!(v1::decode_request(two.as_bytes(), &Assets::known()).is_err() && v2::decode_request(one.as_bytes(), &Assets::known()).is_err());
    assert_eq!(v1::decode_payment(&header(PAYMENT)), Err(Reject::Malformed("a field is missing, repeated or of the wrong type")));
    let half = PAYMENT.replace(r#""x402Version":2"#, r#""x402Version":1"#);
    assert_eq!(v2::decode_payment(&header(&half)), Err(Reject::Version));
}

proptest! {
    /// T113: no bytes make a decoder panic.
    #[test]
    fn t113_no_bytes_make_an_x402_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..900, cut in 0usize..900) {
        let mut bent = PAYMENT.as_bytes().to_vec();
        let at = at.min(bent.len());
        bent.splice(at..(at + cut % 7).min(PAYMENT.len()), bytes.iter().copied().take(cut % 5));
        for bytes in [&bytes, &bent] {
            let packed = STANDARD.encode(bytes).into_bytes();
            for text in [bytes.as_slice(), &packed] {
                drop(v1::decode_payment(text));
                drop(v2::decode_payment(text));
                drop(v1::decode_receipt(text));
                drop(v2::decode_receipt(text));
                drop(v1::decode_challenge(text, &Assets::known()));
                drop(v2::decode_challenge(text, &Assets::known()));
                drop(v1::decode_request(text, &Assets::known()));
                drop(v2::decode_request(text, &Assets::known()));
                drop(v2::decode_verify(text));
                drop(v2::decode_settle(text));
                drop(wire::decode_supported(text));
                drop(wire::of_request(text));
                drop(wire::presented([text], []));
            }
        }
    }
}
