//! What published x402 packages said to each other, in tests/vectors/x402, against what we read and write.
//!
//! Every message of every recording is read by our decoders and compared with what the recorder made of it; what we can write
//! is written again and compared as JSON. Requests to facilitators are judged as far as that goes without a chain. Whatever
//! differs must be in the table of wanted differences, and whatever is there must differ.

#[path = "x402_vectors/recording.rs"]
mod recording;
#[path = "x402_vectors/verdict.rs"]
mod verdict;

use base64::{Engine, engine::general_purpose::STANDARD};
use h402_core::{
    Asset, AssetId, Assets, Dialect, Network, Payload, PaymentPayload,
    wire::{
        self,
        x402::{SettleAnswer, v1, v2},
    },
};
use recording::{Exchange, recordings};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The base assets, and the token that was made for the recordings on Solana.
fn assets() -> Assets {
    let devnet: Network = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap();
    let id = AssetId { network: devnet, address: "7v54NWdBtkjuAFJrLGsS2SXnuk8nKam81mZJeeYxVFi9".parse().unwrap() };
    Assets::known().with(Asset::new(id, 6, "TEST"))
}

/// What was found to differ: file, case, what; and how.
#[derive(Default)]
struct Found {
    differs: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Found {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn differs(&mut self, exchange: &Exchange<'_>, what: &str, how: impl ToString) {
        self.differs.insert(format!("{} {what}", exchange.place()), how.to_string());
    }
}

#[test]
fn every_recorded_message_is_read_as_the_recorder_read_it() {
    let mut found = Found::default();
    let recordings = recordings();
    assert_eq!(recordings.len(), 68);
    for recording in &recordings {
        for exchange in recording.exchanges() {
            challenge(&exchange, &mut found);
            payment(&exchange, &mut found);
            receipt(&exchange, &mut found);
            bodies(&exchange, &mut found);
        }
    }
    println!("{:#?}", found.counts);
    let wanted = wanted();
    let unwanted: Vec<_> = found.differs.iter().filter(|(place, how)| !wanted.iter().any(|wanted| wanted.covers(place, how))).collect();
    assert!(unwanted.is_empty(), "not written down:\n{unwanted:#?}");
    let gone: Vec<_> = wanted.iter().filter(|wanted| !found.differs.iter().any(|(place, how)| wanted.covers(place, how))).collect();
    assert!(gone.is_empty(), "written down, and not there any more:\n{gone:#?}");
}

/// One line of tests/vectors/x402/wanted/differences.json: where it holds (a file, a case of it or a part of the place), what is
/// said instead, and why that is wanted.
#[derive(Debug, serde::Deserialize)]
struct Wanted {
    place: String,
    ours: String,
    why: String,
}

impl Wanted {
    fn covers(&self, place: &str, how: &str) -> bool {
        place.contains(&self.place) && how.contains(&self.ours)
    }
}

fn wanted() -> Vec<Wanted> {
    let text = include_str!("../../tests/vectors/x402/wanted/differences.json");
    let wanted: Vec<Wanted> = serde_json::from_str(text).unwrap();
    assert!(wanted.iter().all(|wanted| wanted.why.len() > 20 && !wanted.place.is_empty()), "a reason is missing");
    wanted
}

/// `PAYMENT-REQUIRED` and bodies of version 1.
fn challenge(exchange: &Exchange<'_>, found: &mut Found) {
    if let Some(header) = exchange.answer_header("payment-required") {
        found.count("challenges of version 2");
        let recorded = exchange.answer_decoded("PAYMENT_REQUIRED");
        match (v2::decode_challenge(header.as_bytes(), &assets()), recorded) {
            (Ok(read), Some(recorded)) => {
                let offers: Vec<Value> = read.offers.iter().map(|offer| offer.terms.as_ref().map_or(Value::Null, terms_of)).collect();
                let expected: Vec<Value> = list(&recorded["accepts"]).iter().map(|element| terms_in(element, "amount")).collect();
                if offers != expected {
                    found.differs(exchange, "challenge", format!("{offers:?} for {expected:?}"));
                }
                assert_eq!(read.resource.url, recorded["resource"]["url"].as_str().unwrap_or_default());
                for (offer, element) in read.offers.iter().zip(list(&recorded["accepts"])) {
                    let (Ok(terms), Some(accepted)) = (&offer.terms, &offer.accepted) else { continue };
                    assert!(accepted.selects(terms), "{}: {element}", exchange.place());
                    let challenge = v2::Challenge {
                        error: recorded["error"].as_str().unwrap_or_default(),
                        resource: &read.resource,
                        terms: std::slice::from_ref(terms),
                        extensions: &read.extensions,
                    };
                    match v2::encode_challenge(&challenge) {
                        Ok(written) if written.left_out.is_empty() => {
                            let written: Value = serde_json::from_slice(&STANDARD.decode(written.header).unwrap()).unwrap();
                            same(exchange, found, "challenge again", &written["accepts"][0], &element);
                        }
                        other => found.differs(exchange, "challenge again", format!("{other:?}")),
                    }
                }
            }
            (Err(error), None) => drop(error),
            (read, recorded) => found.differs(exchange, "challenge", format!("{:?} for {recorded:?}", read.map(drop))),
        }
    }
    let Some(body) = exchange.answer_body().filter(|body| body["accepts"].is_array() && body["x402Version"] == 1) else { return };
    found.count("challenges of version 1");
    let read = v1::decode_challenge(body.to_string().as_bytes(), &assets()).unwrap();
    let offers: Vec<Value> = read.offers.iter().map(|offer| offer.terms.as_ref().map_or(Value::Null, terms_of)).collect();
    let expected: Vec<Value> = list(&body["accepts"]).iter().map(|element| terms_in(element, "maxAmountRequired")).collect();
    if offers != expected {
        found.differs(exchange, "challenge", format!("{offers:?} for {expected:?}"));
    }
    for (offer, element) in read.offers.iter().zip(list(&body["accepts"])) {
        let Ok(terms) = &offer.terms else { continue };
        let written = v1::encode_challenge(&v1::Challenge { error: "", terms: std::slice::from_ref(terms), payer: None }).unwrap();
        let written: Value = serde_json::from_slice(&written.body).unwrap();
        same(exchange, found, "challenge again", &written["accepts"][0], &element);
    }
}

/// What is compared of terms.
fn terms_of(terms: &wire::x402::Terms) -> Value {
    let offer = &terms.requirements.offer;
    json!([offer.asset.id.address.to_string().to_lowercase(), offer.pay_to.to_string().to_lowercase(), offer.amount.to_string()])
}

fn terms_in(element: &Value, amount: &str) -> Value {
    let text = |field: &str| element[field].as_str().unwrap_or_default().to_lowercase();
    let amount = element[amount].as_str().map_or_else(|| element[amount].to_string(), ToOwned::to_owned);
    json!([text("asset"), text("payTo"), amount])
}

/// `PAYMENT-SIGNATURE` and `X-PAYMENT`.
fn payment(exchange: &Exchange<'_>, found: &mut Found) {
    let headers = [("payment-signature", "PAYMENT_SIGNATURE", Dialect::X402V2), ("x-payment", "X_PAYMENT", Dialect::X402V1)];
    for (name, decoded, dialect) in headers {
        let Some(header) = exchange.request_header(name) else { continue };
        found.count("payments");
        let recorded = exchange.request_decoded(decoded);
        let (payload, again) = match dialect {
            Dialect::X402V1 => match v1::decode_payment(header.as_bytes()) {
                Ok(payload) => (Ok(payload.clone()), Some(v1::encode_payment(&payload).unwrap())),
                Err(reject) => (Err(reject), None),
            },
            _ => match v2::decode_payment(header.as_bytes()) {
                Ok(payment) => (Ok(payment.payload.clone()), Some(v2::encode_payment(&payment).unwrap())),
                Err(reject) => (Err(reject), None),
            },
        };
        match (payload, recorded) {
            (Ok(payload), Some(recorded)) => {
                assert_eq!(payload.dialect, dialect);
                let presented = match dialect {
                    Dialect::X402V1 => wire::presented([header.as_bytes()], []),
                    _ => wire::presented([], [header.as_bytes()]),
                };
                assert_eq!(presented.unwrap().unwrap().dialect, dialect, "{}", exchange.place());
                signed(&payload, &recorded["payload"], exchange);
                let again: Value = serde_json::from_slice(&STANDARD.decode(again.unwrap()).unwrap()).unwrap();
                same(exchange, found, "payment again", &again, recorded);
            }
            (Err(_), None) => {}
            (read, recorded) => found.differs(exchange, "payment", format!("{:?} for {recorded:?}", read.map(|_| "read"))),
        }
    }
}

/// Field by field what was signed.
fn signed(payload: &PaymentPayload, recorded: &Value, exchange: &Exchange<'_>) {
    match &payload.payload {
        Payload::Authorization(signed) => {
            let terms = &signed.authorization;
            let fields = &recorded["authorization"];
            let is = |name: &str, ours: String| {
                let recorded = fields[name].as_str().map_or_else(|| fields[name].to_string(), str::to_lowercase);
                assert_eq!(ours.to_lowercase(), recorded, "{} {name}", exchange.place());
            };
            is("from", terms.from.to_string());
            is("to", terms.to.to_string());
            is("value", terms.value.to_string());
            is("validAfter", terms.valid_after.to_string());
            is("validBefore", terms.valid_before.to_string());
            is("nonce", terms.nonce.to_string());
            assert_eq!(signed.signature.to_string(), recorded["signature"].as_str().unwrap().to_lowercase());
        }
        Payload::SolanaTransaction(signed) => {
            assert_eq!(STANDARD.encode(&signed.transaction), recorded["transaction"].as_str().unwrap());
        }
        other => panic!("{}: {other:?}", exchange.place()),
    }
}

/// `PAYMENT-RESPONSE` and `X-PAYMENT-RESPONSE`.
fn receipt(exchange: &Exchange<'_>, found: &mut Found) {
    for (name, decoded, dialect) in
        [("payment-response", "PAYMENT_RESPONSE", Dialect::X402V2), ("x-payment-response", "X_PAYMENT_RESPONSE", Dialect::X402V1)]
    {
        let Some(header) = exchange.answer_header(name) else { continue };
        found.count("receipts");
        let recorded = exchange.answer_decoded(decoded);
        let read = if dialect == Dialect::X402V1 { v1::decode_receipt(header.as_bytes()) } else { v2::decode_receipt(header.as_bytes()) };
        match (read, recorded) {
            (Ok(read), Some(recorded)) => settlement(exchange, found, dialect, &read, recorded, "receipt again"),
            (Err(_), None) => {}
            (read, recorded) => found.differs(exchange, "receipt", format!("{:?} for {recorded:?}", read.map(drop))),
        }
    }
}

fn settlement(exchange: &Exchange<'_>, found: &mut Found, dialect: Dialect, read: &SettleAnswer, recorded: &Value, what: &str) {
    let again = if dialect == Dialect::X402V1 { v1::encode_settle(read) } else { v2::encode_settle(read) };
    same(exchange, found, what, &serde_json::from_slice(&again.unwrap()).unwrap(), recorded);
}

/// Questions to facilitators and their answers.
fn bodies(exchange: &Exchange<'_>, found: &mut Found) {
    let path = exchange.path();
    if path == "/supported" {
        let Some(body) = exchange.answer_body() else { return };
        found.count("lists of kinds");
        let read = wire::decode_supported(body.to_string().as_bytes()).unwrap();
        // Kinds on networks that only one program has a name for, or that two mean different chains by, are left out.
        let kinds = list(&body["kinds"]);
        let known = kinds.iter().filter(|kind| !["story", "educhain", "skale-base-sepolia"].iter().any(|name| kind["network"] == *name));
        if read.kinds.len() != known.count() {
            found.differs(exchange, "kinds", format!("{} of {}", read.kinds.len(), list(&body["kinds"]).len()));
        }
        return;
    }
    if path != "/verify" && path != "/settle" {
        return;
    }
    let Some(question) = exchange.request_text() else { return };
    found.count("questions");
    let verdict = verdict::of(question.as_bytes(), &assets(), exchange.seconds());
    let answer = exchange.answer_body();
    let refused = answer.as_ref().and_then(|answer| answer["invalidReason"].as_str().or(answer["errorReason"].as_str()));
    // An answer of the recorder's own says nothing about the question.
    if !exchange.is_stub() {
        let theirs = refused.unwrap_or(if exchange.status() == Some(200) { "good" } else { "no answer" });
        if verdict != theirs {
            found.differs(exchange, "verdict", format!("{verdict} for {theirs}"));
        }
    }
    let Some(answer) = answer else { return };
    found.count("answers");
    let dialect = wire::of_request(question.as_bytes()).unwrap_or(Dialect::X402V2);
    if answer["isValid"].is_boolean() {
        let body = answer.to_string();
        let read =
            if dialect == Dialect::X402V1 { v1::decode_verify(body.as_bytes()) } else { v2::decode_verify(body.as_bytes()) }.unwrap();
        assert_eq!(read.verdict().is_ok(), answer["isValid"] == true);
        let again = if dialect == Dialect::X402V1 { v1::encode_verify(&read) } else { v2::encode_verify(&read) }.unwrap();
        same(exchange, found, "verify again", &serde_json::from_slice(&again).unwrap(), &answer);
    } else if answer["success"].is_boolean() {
        let body = answer.to_string();
        let read = if dialect == Dialect::X402V1 { v1::decode_settle(body.as_bytes()) } else { v2::decode_settle(body.as_bytes()) };
        match read {
            Ok(read) => settlement(exchange, found, dialect, &read, &answer, "settle again"),
            Err(error) => found.differs(exchange, "settle", error),
        }
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Compares what we write with what was recorded: texts in any case, fields in any order, `null` as absent.
fn same(exchange: &Exchange<'_>, found: &mut Found, what: &str, ours: &Value, recorded: &Value) {
    let mut missing = Vec::new();
    compare("", ours, recorded, &mut missing);
    for how in missing {
        found.differs(exchange, &format!("{what} {}", how.0), how.1);
    }
}

fn compare(at: &str, ours: &Value, recorded: &Value, found: &mut Vec<(String, String)>) {
    match (ours, recorded) {
        (Value::Object(ours), Value::Object(recorded)) => {
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(recorded.keys()).collect();
            for key in keys {
                let at = format!("{at}/{key}");
                let none = Value::Null;
                compare(&at, ours.get(key).unwrap_or(&none), recorded.get(key).unwrap_or(&none), found);
            }
        }
        (Value::String(ours), Value::String(recorded)) if ours.eq_ignore_ascii_case(recorded) => {}
        _ if ours == recorded => {}
        _ => found.push((at.to_owned(), format!("{ours} for {recorded}"))),
    }
}
