//! Other spellings of one payment, and spellings that two parsers could read differently.

use alloy_primitives::{Bytes, Signature, U256, uint};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use h402_core::{Payload, PaymentPayload, wire::h402};
use serde_json::{Map, Value};

/// The order of secp256k1.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// A payment, and ways to write it.
pub(crate) struct Spelling<'a>(pub(crate) &'a PaymentPayload);

impl Spelling<'_> {
    /// The JSON text of the header.
    pub(crate) fn json(&self) -> String {
        let header = h402::encode_payment(self.0).unwrap();
        String::from_utf8(BASE64_STANDARD.decode(header).unwrap()).unwrap()
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.json()).unwrap()
    }

    /// The JSON with one change in `payload.authorization`.
    fn authorization(&self, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let mut value = self.value();
        change(value["payload"]["authorization"].as_object_mut().unwrap());
        value.to_string()
    }

    fn text(&self, name: &str) -> String {
        self.value()["payload"]["authorization"][name].as_str().unwrap().to_owned()
    }

    /// The JSON with another spelling of the signature.
    fn signature(&self, respell: impl FnOnce(&Signature) -> Vec<u8>) -> String {
        let Payload::Authorization(signed) = &self.0.payload else { panic!("no authorization") };
        let signature = Signature::from_raw(&signed.signature).unwrap();
        let mut value = self.value();
        value["payload"]["signature"] = Bytes::from(respell(&signature)).to_string().into();
        value.to_string()
    }

    /// The same payment in other words: each is accepted, and none opens another door (T012).
    pub(crate) fn equivalents(&self) -> Vec<(&'static str, String)> {
        let json = self.json();
        let pretty = serde_json::to_string_pretty(&self.value()).unwrap();
        let upper = |hex: &str| format!("0x{}", hex[2..].to_uppercase());
        let signature = self.value()["payload"]["signature"].as_str().unwrap().to_owned();
        let nonce = self.text("nonce");
        let from = self.text("from");
        let value = self.text("value");
        let members: Vec<String> = self.value().as_object().unwrap().iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        let reversed = format!("{{{}}}", members.into_iter().rev().collect::<Vec<_>>().join(","));
        vec![
            ("without padding", BASE64_STANDARD_NO_PAD.encode(format!("{json} "))),
            ("with padding", BASE64_STANDARD.encode(format!("{json}  "))),
            ("for URLs", BASE64_URL_SAFE.encode(format!("{json} "))),
            ("for URLs without padding", BASE64_URL_SAFE_NO_PAD.encode(format!("{json}  "))),
            ("space in the JSON", BASE64_STANDARD.encode(pretty)),
            ("members in another order", BASE64_STANDARD.encode(reversed)),
            ("a member more", BASE64_STANDARD.encode(json.replacen('{', r#"{"note":"x","#, 1))),
            ("signature in capitals", BASE64_STANDARD.encode(json.replace(&signature, &upper(&signature)))),
            ("nonce in capitals", BASE64_STANDARD.encode(json.replace(&nonce, &upper(&nonce)))),
            ("payer without checksum", BASE64_STANDARD.encode(json.replace(&from, &from.to_lowercase()))),
            ("value as a number", BASE64_STANDARD.encode(json.replace(&format!("{value:?}"), &value))),
            (
                "escapes",
                BASE64_STANDARD.encode(json.replace(r#""exact""#, r#""\u0065xact""#).replace("authorization", "authorizatio\\u006e")),
            ),
            ("64 bytes of signature", BASE64_STANDARD.encode(self.signature(|known| known.as_erc2098().to_vec()))),
            ("v is 0 or 1", BASE64_STANDARD.encode(self.signature(|known| with_v(known, known.s(), 0, known.v())))),
            ("the other s", BASE64_STANDARD.encode(self.signature(|known| with_v(known, ORDER - known.s(), 27, !known.v())))),
            ("another version", BASE64_STANDARD.encode(self.authorization(|it| drop(it.insert("version".into(), "9".into()))))),
            ("no version", BASE64_STANDARD.encode(self.authorization(|it| drop(it.remove("version"))))),
        ]
    }

    /// What two parsers could read differently, or what is no spelling at all: refused (T097).
    pub(crate) fn ambiguous(&self) -> Vec<(&'static str, Vec<u8>)> {
        let json = self.json();
        let header = BASE64_STANDARD.encode(&json);
        let (from, to, value) = (self.text("from"), self.text("to"), self.text("value"));
        let (after, before, nonce) = (self.text("validAfter"), self.text("validBefore"), self.text("nonce"));
        let quoted = |text: &str| format!("{text:?}");
        let swap = |old: &str, new: &str| {
            assert!(json.contains(old), "{old} is not in {json}");
            BASE64_STANDARD.encode(json.replacen(old, new, 1)).into_bytes()
        };
        let number = |new: &str| swap(&format!(r#""value":{}"#, quoted(&value)), &format!(r#""value":{new}"#));
        let raw = |text: String| text.into_bytes();
        let twice = |old: &str, first: &str| swap(old, &format!("{first},{old}"));
        vec![
            // JSON: the same name twice, at every depth.
            ("to twice", twice(&format!(r#""to":{to:?}"#), r#""to":"0x00000000000000000000000000000000000000aa""#)),
            ("to twice, equal", twice(&format!(r#""to":{to:?}"#), &format!(r#""to":{to:?}"#))),
            ("value twice", twice(&format!(r#""value":{value:?}"#), r#""value":"1""#)),
            ("nonce twice", twice(&format!(r#""nonce":{nonce:?}"#), &format!(r#""nonce":{nonce:?}"#))),
            ("payload twice", twice(r#""payload":"#, r#""payload":{}"#)),
            ("type twice", twice(r#""type":"authorization""#, r#""type":"signedTransaction""#)),
            ("networkId twice", twice(r#""networkId":"#, r#""networkId":"1""#)),
            ("scheme twice", twice(r#""scheme":"exact""#, r#""scheme":"exact""#)),
            ("version twice", twice(r#""h402Version":1"#, r#""h402Version":1"#)),
            ("to twice, once escaped", twice(&format!(r#""to":{to:?}"#), &format!(r#""\u0074o":{to:?}"#))),
            // JSON: more than what is signed, and names that mean something elsewhere.
            ("a signed field more", swap(r#""nonce":"#, r#""memo":"x","nonce":"#)),
            ("__proto__ in what is signed", swap(r#""nonce":"#, r#""__proto__":{},"nonce":"#)),
            // Numbers.
            ("exponent", number("1e4")),
            ("fraction", number("10000.0")),
            ("negative", number("-10000")),
            ("minus zero", number("-0")),
            ("exponent in a string", number(r#""1e4""#)),
            ("hex in a string", number(r#""0x2710""#)),
            ("leading zero", number(r#""010000""#)),
            ("leading zero, no string", number("010000")),
            ("plus", number(r#""+10000""#)),
            ("space", number(r#"" 10000""#)),
            ("grouped", number(r#""10_000""#)),
            ("full-width digits", number(r#""１００００""#)),
            ("beyond 2^53", number("9007199254740993")),
            ("beyond 256 bits", number(&format!("{:?}", "9".repeat(78)))),
            ("endless", number("1e400")),
            ("null", number("null")),
            ("true", number("true")),
            ("a list", number(r#"["10000"]"#)),
            ("an object", number(r#"{"valueOf":"10000"}"#)),
            ("validBefore as a fraction", swap(&quoted(&before), &format!("{before}.5"))),
            ("validAfter negative", swap(&quoted(&after), "-1")),
            ("version as a string", swap(r#""h402Version":1"#, r#""h402Version":"1""#)),
            ("version 1.0", swap(r#""h402Version":1"#, r#""h402Version":1.0"#)),
            ("version 0", swap(r#""h402Version":1"#, r#""h402Version":0"#)),
            ("version 2", swap(r#""h402Version":1"#, r#""h402Version":2"#)),
            // Hex and addresses.
            ("0X", swap(&nonce, &nonce.replacen("0x", "0X", 1))),
            ("no 0x", swap(&nonce, &nonce[2..])),
            ("short nonce", swap(&nonce, &nonce[..64])),
            ("wrong checksum", swap(&from, &flipped(&from))),
            ("address with a NUL", swap(&from, &format!("{from}\\u0000"))),
            ("address with a lone surrogate", swap(&from, &format!("{from}\\ud800"))),
            // Around the JSON.
            ("two texts", raw(BASE64_STANDARD.encode(format!("{json}{json}")))),
            ("something after", raw(BASE64_STANDARD.encode(format!("{json}x")))),
            ("NUL after", raw(BASE64_STANDARD.encode(format!("{json}\0")))),
            ("byte order mark", raw(BASE64_STANDARD.encode(format!("\u{feff}{json}")))),
            ("a comment", raw(BASE64_STANDARD.encode(format!("/**/{json}")))),
            ("a comma too many", raw(BASE64_STANDARD.encode(json.replacen("}}}", "},}}", 1)))),
            ("single quotes", raw(BASE64_STANDARD.encode(json.replace('"', "'")))),
            ("NaN", number("NaN")),
            ("UTF-16", BASE64_STANDARD.encode(json.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).into_bytes()),
            ("a string", raw(BASE64_STANDARD.encode(format!("{json:?}")))),
            ("a list of one", raw(BASE64_STANDARD.encode(format!("[{json}]")))),
            ("deep", raw(BASE64_STANDARD.encode(format!("{}{}", "[".repeat(5000), "]".repeat(5000))))),
            ("the JSON itself", json.clone().into_bytes()),
            // Base64.
            ("both alphabets", raw(format!("{}+-", &header))),
            ("a space inside", raw(format!("{} {}", &header[..40], &header[40..]))),
            ("a tab inside", raw(format!("{}\t{}", &header[..40], &header[40..]))),
            ("something after the padding", raw(format!("{}AAAA", BASE64_STANDARD.encode(pad_to_one(&json))))),
            ("padding bits", spoil_pad_bits(&json)),
            ("a percent sign", raw(header.replacen('A', "%41", 1))),
            ("a character too few", raw(BASE64_STANDARD_NO_PAD.encode(&json)[1..].to_owned())),
            ("in quotes", raw(format!("\"{header}\""))),
            ("with a scheme", raw(format!("Payment {header}"))),
            ("twice base64", raw(BASE64_STANDARD.encode(&header))),
            ("nothing", Vec::new()),
            ("not ASCII", [header.as_bytes(), &[0xff]].concat()),
        ]
    }
}

fn with_v(known: &Signature, s: U256, base: u8, odd: bool) -> Vec<u8> {
    [known.r().to_be_bytes::<32>().as_slice(), &s.to_be_bytes::<32>(), &[base + u8::from(odd)]].concat()
}

/// The first letter in the other case: a checksum that is wrong, and not merely absent.
fn flipped(address: &str) -> String {
    let at = 2 + address[2..].find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let letter = &address[at..=at];
    let other = if letter == letter.to_uppercase() { letter.to_lowercase() } else { letter.to_uppercase() };
    format!("{}{other}{}", &address[..at], &address[at + 1..])
}

/// JSON whose base64 ends in two padding characters.
fn pad_to_one(json: &str) -> String {
    let spaces = (4 - json.len() % 3) % 3;
    format!("{json}{}", " ".repeat(spaces))
}

/// The unused bits of the last character are set: strict decoders refuse that, others ignore it.
fn spoil_pad_bits(json: &str) -> Vec<u8> {
    let mut header = BASE64_STANDARD.encode(pad_to_one(json)).into_bytes();
    let last = header.iter().rposition(|byte| *byte != b'=').unwrap();
    assert_eq!(header.len() - last, 3, "two padding characters");
    // The last character stands for six bits, of which four are unused and zero.
    header[last] += 1;
    header
}
