//! Payment headers: what was recorded, and every leniency with its limit.

use super::{address, asset, captured, header, unpacked};
use crate::{Amount, GenesisPrefix, Matched, Network, Offer, Offers, Payload, PaymentClass, Reject, SolanaClaim, wire::h402::*};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use std::sync::Arc;

#[test]
fn a_recorded_authorization_is_read() {
    let payment = decode_payment(captured::AUTHORIZATION.as_bytes()).unwrap();
    assert_eq!(payment.network, Network::Evm(8453));
    assert_eq!(payment.resource.as_deref(), Some("http://127.0.0.1:4032/evm"));
    assert_eq!(payment.payload.class(), PaymentClass::Payload);
    let Payload::Authorization(signed) = payment.payload else { panic!("another type") };
    assert_eq!(signed.version.as_deref(), Some("2"));
    assert_eq!(signed.signature.len(), 65);
    assert_eq!(signed.signature[64], 0x1b);
    let terms = signed.authorization;
    assert_eq!(terms.from.to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    assert_eq!(terms.to.to_string(), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    assert_eq!(terms.value.to_string(), "10000");
    assert_eq!((terms.valid_after.to_string(), terms.valid_before.to_string()), ("1795170514".into(), "1795170579".into()));
    assert_eq!(terms.nonce.to_string(), "0x23d7f7c9af803496988a8664c080635cfd86d4d5134f4727ef373fef9c200e37");
}

#[test]
fn recorded_transactions_are_read() {
    let payment = decode_payment(captured::SIGNED_TRANSACTION.as_bytes()).unwrap();
    let Payload::EvmTransaction(signed) = payment.payload else { panic!("another type") };
    assert_eq!((signed.raw.len(), signed.raw[..3].to_vec(), signed.signed_message.len()), (172, vec![0xf8, 0xaa, 0x01], 65));

    let payment = decode_payment(captured::SENT.as_bytes()).unwrap();
    assert_eq!(payment.payload.class(), PaymentClass::Transaction);
    let Payload::EvmSent(sent) = payment.payload else { panic!("another type") };
    assert_eq!(sent.hash.to_string(), "0x3bcdadfc498397b452f74ea2ba2d056db8885875f2b40a85934486de2e557100");

    let payment = decode_payment(captured::SOLANA.as_bytes()).unwrap();
    assert_eq!(payment.network, Network::Solana(GenesisPrefix::MAINNET));
    let Payload::SolanaTransaction(signed) = payment.payload else { panic!("another type") };
    // A wire transaction begins with its number of signatures and the first of them.
    assert_eq!((signed.transaction[0], &signed.transaction[1..65]), (1, &signed.signature.unwrap()[..]));
}

#[test]
fn what_we_write_of_a_recorded_payment_is_what_was_recorded() {
    // Field order aside: the reference's own field values come back, character for character.
    for recorded in [captured::AUTHORIZATION, captured::SIGNED_TRANSACTION, captured::SENT, captured::SOLANA] {
        let written = encode_payment(&decode_payment(recorded.as_bytes()).unwrap()).unwrap();
        let [was, is]: [serde_json::Value; 2] = [recorded, &written].map(|text| serde_json::from_str(&unpacked(text)).unwrap());
        assert_eq!(is, was);
    }
}

#[test]
fn both_base64_alphabets_are_read_padded_or_not() {
    let mut spellings = std::collections::HashSet::new();
    for filler in ["ÿ?~", "ÿ?~ÿ?~a", "aÿ?~ÿ?~ab", "abÿ?~ÿ?~"] {
        let json = unpacked(captured::AUTHORIZATION).replacen('{', &format!(r#"{{"x":"{filler}","#), 1);
        for text in [STANDARD.encode(&json), STANDARD_NO_PAD.encode(&json), URL_SAFE.encode(&json), URL_SAFE_NO_PAD.encode(&json)] {
            assert_eq!(decode_payment(text.as_bytes()), decode_payment(captured::AUTHORIZATION.as_bytes()));
            spellings.insert(text);
        }
    }
    assert!(spellings.len() > 10, "the alphabets and paddings differ");
}

#[test]
fn a_resource_in_latin_1_is_read_and_utf_8_comes_first() {
    let json = unpacked(captured::SOLANA).replace("/sol", "/ü");
    let latin1: Vec<u8> = json.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert!(std::str::from_utf8(&latin1).is_err());
    for bytes in [latin1, json.into_bytes()] {
        let payment = decode_payment(STANDARD.encode(bytes).as_bytes()).unwrap();
        assert_eq!(payment.resource.as_deref(), Some("http://127.0.0.1:4032/ü"));
    }
}

/// The recorded authorization with one part replaced.
fn bent(from: &str, to: &str) -> Result<crate::PaymentPayload, Reject> {
    let json = unpacked(captured::AUTHORIZATION);
    assert_eq!(json.matches(from).count(), 1, "{from}");
    decode_payment(&header(&json.replace(from, to)))
}

#[test]
fn oddities_that_are_accepted() {
    let same = decode_payment(captured::AUTHORIZATION.as_bytes());
    for (from, to) in [
        (r#""namespace":"evm""#, r#""namespace":"eip155""#),
        (r#""h402Version":1"#, r#""h402Version":1,"x402Version":[{}],"more":null"#),
        (r#""value":"10000""#, r#""value":10000"#),
        (r#""value":"10000""#, r#""value":"1000\u0030""#),
        (r#""validAfter":"1795170514""#, r#""validAfter":1795170514"#),
        (r#""validBefore":"1795170579""#, r#""validBefore" : 1795170579 "#),
        ("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
        ("23d7f7c9af80", "23D7F7C9AF80"),
        ("10372d95da8c", "10372D95DA8C"),
        (r#","payload":{"#, r#","payload":{"message":{"message":1},"#),
    ] {
        assert_eq!(bent(from, to), same, "{to}");
    }
    let without = bent(r#""resource":"http://127.0.0.1:4032/evm","#, r#""resource":null,"#).unwrap();
    assert_eq!(without.resource, None);
    assert_eq!(bent(r#""resource":"http://127.0.0.1:4032/evm","#, ""), Ok(without));
    for to in ["", r#","version":null"#] {
        let Payload::Authorization(signed) = bent(r#","version":"2""#, to).unwrap().payload else { panic!("another type") };
        assert_eq!(signed.version, None);
    }
}

#[test]
fn each_bent_field_is_refused_by_its_name() {
    let malformed = Reject::Malformed;
    let shape = malformed("a field is missing, repeated or of the wrong type");
    let id = malformed("networkId is not an identifier of its namespace");
    for (from, to, reject) in [
        (r#""h402Version":1"#, r#""h402Version":2"#, Reject::Version),
        (r#""h402Version":1"#, r#""h402Version":"1""#, Reject::Version),
        (r#""h402Version":1"#, r#""h402Version":1.0"#, Reject::Version),
        (r#""h402Version":1"#, r#""h402Version":1e0"#, Reject::Version),
        (r#""h402Version":1,"#, "", shape.clone()),
        (r#""scheme":"exact""#, r#""scheme":"upto""#, Reject::Scheme),
        (r#""scheme":"exact","#, "", shape.clone()),
        (r#""namespace":"evm""#, r#""namespace":"EVM""#, malformed("namespace is not known")),
        (r#""namespace":"evm""#, r#""namespace":"arkade""#, Reject::PayloadType("arkade")),
        (r#""networkId":"8453""#, r#""networkId":"8453abc""#, id.clone()),
        (r#""networkId":"8453""#, r#""networkId":"08453""#, id.clone()),
        (r#""networkId":"8453""#, r#""networkId":"0x2105""#, id.clone()),
        (r#""networkId":"8453""#, r#""networkId":"""#, id),
        (r#""networkId":"8453""#, r#""networkId":8453"#, shape.clone()),
        (r#""type":"authorization""#, r#""type":"permit""#, Reject::PayloadType("not a type of this namespace")),
        (r#""type":"authorization","#, "", shape.clone()),
        (r#""signature":"0x"#, r#""signature":"0X"#, malformed("signature is not 0x hex, or too long")),
        (r#""signature":"0x"#, r#""signature":""#, malformed("signature is not 0x hex, or too long")),
        (r#""signature":"0x"#, r#""signature":"0x1"#, malformed("signature is not 0x hex, or too long")),
        (r#""nonce":"0x23"#, r#""nonce":"0x"#, malformed("nonce is not 0x and 64 hex digits")),
        (r#""nonce":"0x"#, r#""nonce":"0x00"#, malformed("nonce is not 0x and 64 hex digits")),
        (r#""from":"0xf39Fd6"#, r#""from":"0xf39fd6"#, malformed("from is not an EVM address, or its checksum is wrong")),
        (
            r#""to":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8""#,
            r#""to":"EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v""#,
            malformed("to is not an EVM address, or its checksum is wrong"),
        ),
        (r#""version":"2""#, r#""version":2"#, shape),
    ] {
        assert_eq!(bent(from, to), Err(reject), "{to}");
    }
}

#[test]
fn signed_message_is_required() {
    for recorded in [captured::SIGNED_TRANSACTION, captured::SENT] {
        let json = unpacked(recorded);
        let start = json.find(r#""signedMessage":"#).unwrap();
        let end = start + json[start..].find([',', '}']).unwrap();
        let message = &json[start..end];
        let with = |text: &str| decode_payment(&header(&json.replace(message, text)));
        assert!(with(message).is_ok());
        for text in [r#""signedMessage":"""#, r#""signedMessage":"0x""#, r#""signedMessage":"37d4""#, r#""signedMessage":null"#, r#""x":1"#]
        {
            assert!(matches!(with(text), Err(Reject::Malformed(_))), "{text}");
        }
    }
}

#[test]
fn solana_payloads_are_bounded_and_need_no_signature() {
    let json = unpacked(captured::SOLANA);
    let (before, rest) = json.split_once(r#""transaction":""#).unwrap();
    let with = |bytes: &[u8]| decode_payment(&header(&format!(r#"{before}"transaction":"{}"}}}}"#, STANDARD.encode(bytes))));
    assert!(rest.ends_with("\"}}"));
    assert!(with(&[1; 1232]).is_ok());
    assert_eq!(with(&[1; 1233]), Err(Reject::Malformed("transaction is empty or longer than 1232 bytes")));
    assert_eq!(with(&[]), Err(Reject::Malformed("transaction is empty or longer than 1232 bytes")));
    let signature = "2qTgnJ4hYXrftfzueC8EioPn5DNDFcvnTGJoF8VuC1mCT8zEhad6obuzJkJwHirFH2ew3vpMeaNZapm9Vc9HXfUX";
    let without = decode_payment(&header(&json.replace(&format!(r#""signature":"{signature}","#), ""))).unwrap();
    assert!(matches!(without.payload, Payload::SolanaTransaction(signed) if signed.signature.is_none()));
    let short = decode_payment(&header(&json.replace(signature, &signature[4..])));
    assert_eq!(short, Err(Reject::Malformed("signature is not 64 bytes in base58")));
    let message = decode_payment(&header(&json.replace("signTransaction", "signMessage")));
    assert_eq!(message, Err(Reject::PayloadType("signMessage")));
}

/// T088: whose a sent payment is takes both fields, or is not said at all.
#[test]
fn t088_a_claim_is_a_signer_and_a_signature() {
    let signature = bs58::encode([7; 64]).into_string();
    let (signer, short) = ("GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB", bs58::encode([7; 63]).into_string());
    let with = |fields: &str| {
        let json = unpacked(captured::SOLANA);
        let (before, _) = json.split_once(r#""payload":"#).unwrap();
        let payment = format!(r#"{before}"payload":{{"type":"signAndSendTransaction","signature":"{signature}"{fields}}}}}"#);
        decode_payment(&header(&payment)).map(|payment| match payment.payload {
            Payload::SolanaSent(sent) => sent.claim,
            other => panic!("{other:?}"),
        })
    };
    let claim = SolanaClaim { signer: signer.parse().unwrap(), signed_message: [7; 64] };
    assert_eq!(with(&format!(r#","signer":"{signer}","signedMessage":"{signature}""#)), Ok(Some(claim)));
    assert_eq!(with(""), Ok(None));
    for fields in [
        format!(r#","signer":"{signer}""#),
        format!(r#","signedMessage":"{signature}""#),
        format!(r#","signer":"{signer}","signedMessage":"{short}""#),
        format!(r#","signer":"0x00","signedMessage":"{signature}""#),
        format!(r#","signer":"{signer}","signer":"{signer}","signedMessage":"{signature}""#),
    ] {
        assert!(matches!(with(&fields), Err(Reject::Malformed(_))), "{fields}");
    }
}

/// What the reference client sent pays the offer that it was made for, and none that is dearer or another's.
#[test]
fn the_recorded_solana_payment_pays_its_offer() {
    let sol = asset(Network::Solana(GenesisPrefix::MAINNET), "11111111111111111111111111111111");
    let pay = |amount, payee: &str| {
        let offer = Offer::new(sol.clone(), Amount::from_atomic(amount), address(payee)).unwrap();
        let payment = decode_payment(captured::SOLANA.as_bytes()).unwrap();
        let matched = Matched::new(payment, &Offers::new(vec![offer.into()]).unwrap(), &Arc::default(), None);
        matched.map(|matched| matched.payer().to_string()).map_err(|reject| reject.word())
    };
    let payee = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";
    let payer = "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB";
    assert_eq!(pay(10_000_000, payee), Ok(payer.to_owned()));
    assert_eq!(pay(10_000_001, payee), Err("invalid_exact_solana_payload_authorization_value"));
    assert_eq!(pay(10_000_000, "11111111111111111111111111111112"), Err("invalid_exact_solana_payload_recipient_mismatch"));
}

#[test]
fn solana_clusters_have_short_names() {
    for (id, genesis) in [
        ("mainnet", GenesisPrefix::MAINNET),
        ("devnet", GenesisPrefix::DEVNET),
        ("testnet", GenesisPrefix::TESTNET),
        ("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", GenesisPrefix::MAINNET),
    ] {
        let json = unpacked(captured::SOLANA).replace(r#""networkId":"mainnet""#, &format!(r#""networkId":"{id}""#));
        assert_eq!(decode_payment(&header(&json)).unwrap().network, Network::Solana(genesis), "{id}");
    }
    let json = unpacked(captured::SOLANA).replace(r#""networkId":"mainnet""#, r#""networkId":"mainnet-beta""#);
    assert!(decode_payment(&header(&json)).is_err());
}

#[test]
fn a_payload_is_only_written_for_its_network() {
    let mut payment = decode_payment(captured::SENT.as_bytes()).unwrap();
    payment.network = Network::Solana(GenesisPrefix::MAINNET);
    assert_eq!(encode_payment(&payment), Err(WireError::Field("payload is not one of its network")));
}
