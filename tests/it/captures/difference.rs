//! Comparing what was recorded with what is ours.

use super::recording::{Answered, Body};
use h402_core::{Amount, AmountFormat, WireAmount, wire::h402};
use h402_tests::raw::Reply;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Headers of transport and frameworks, which say nothing about payments.
const PASSED_OVER: [&str; 8] =
    ["connection", "keep-alive", "date", "content-length", "transfer-encoding", "etag", "x-powered-by", "x-middleware-next"];
/// Texts for people; of those only the JSON type is compared.
const TEXTS: [&str; 2] = ["error", "errorMessage"];

/// What was found when one recording was compared.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Each said once, in the order found.
    pub(super) differences: Vec<String>,
    /// What is ours alone and can do no harm.
    pub(super) additions: BTreeSet<String>,
    known_additions: BTreeSet<String>,
}

impl Found {
    /// Nothing yet; these additions are known.
    pub(super) fn new(known_additions: impl IntoIterator<Item = String>) -> Self {
        Self { known_additions: known_additions.into_iter().collect(), ..Self::default() }
    }

    /// Notes a difference.
    pub(super) fn differs(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.differences.contains(&what) {
            self.differences.push(what);
        }
    }

    /// Notes something that only ours has: a difference unless it is a known addition.
    fn added(&mut self, at: &str, what: &str) {
        if self.known_additions.contains(what) {
            self.additions.insert(what.to_owned());
        } else {
            self.differs(format!("{at}: {what} added"));
        }
    }

    /// Compares a whole answer; `None` if there was none.
    pub(super) fn answers(&mut self, at: &str, recorded: Option<&Answered>, ours: Option<&Reply>) {
        match (recorded, ours) {
            (None, None) => {}
            (None, Some(ours)) => self.differs(format!("{at}: no answer, ours {}", ours.status)),
            (Some(recorded), None) => self.differs(format!("{at}: status {}, ours no answer", recorded.status)),
            (Some(recorded), Some(ours)) if recorded.status != ours.status => {
                self.differs(format!("{at}: status {}, ours {}", recorded.status, ours.status));
            }
            (Some(recorded), Some(ours)) => {
                self.heads(at, recorded, ours);
                self.bodies(at, recorded, ours);
            }
        }
    }

    fn heads(&mut self, at: &str, recorded: &Answered, ours: &Reply) {
        let named = |name: &String| (!PASSED_OVER.contains(&name.as_str())).then(|| name.clone());
        let theirs: BTreeSet<String> = recorded.headers.iter().filter_map(|(name, _)| named(&name.to_ascii_lowercase())).collect();
        let own: BTreeSet<String> = ours.headers.iter().filter_map(|(name, _)| named(name)).collect();
        for name in theirs.difference(&own) {
            self.differs(format!("{at}: header {name} missing"));
        }
        for name in own.difference(&theirs) {
            self.added(at, &format!("header {name} of a {}", ours.status));
        }
        if let (Some(theirs), Some(own)) = (recorded.header("content-type"), ours.header("content-type")) {
            let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if essence(theirs) != essence(own) {
                self.differs(format!("{at}: {}, ours {}", essence(theirs), essence(own)));
            }
        }
        if let (Some(theirs), Some(_)) = (recorded.header(h402::RECEIPT_HEADER), ours.header(h402::RECEIPT_HEADER)) {
            self.json(at, "receipt", &unpacked(theirs), &unpacked(ours.receipt()));
        }
    }

    fn bodies(&mut self, at: &str, recorded: &Answered, ours: &Reply) {
        let own = serde_json::from_slice::<Value>(&ours.body).ok();
        match (&recorded.body, own) {
            (Some(Body::Json(theirs)), Some(own)) => self.json(at, "", theirs, &own),
            // That one is HTML or so and ours is not is said already.
            (Some(Body::Text(theirs)), None) if *theirs != ours.text() => {
                self.differs(format!("{at}: body {theirs:?}, ours {:?}", ours.text()));
            }
            (None, _) if !ours.body.is_empty() => self.differs(format!("{at}: no body, ours {}", ours.text())),
            (Some(Body::Json(_)), None) => self.differs(format!("{at}: a JSON body, ours {:?}", ours.text())),
            _ => {}
        }
    }

    /// Compares JSON: keys, types, and values that are no texts for people.
    pub(super) fn json(&mut self, at: &str, path: &str, recorded: &Value, ours: &Value) {
        match (recorded, ours) {
            (Value::Object(theirs), Value::Object(own)) => self.objects(at, path, theirs, own),
            (Value::Array(theirs), Value::Array(own)) => self.lists(at, path, theirs, own),
            (Value::Object(theirs), Value::Array(own)) if theirs.keys().all(|key| key.parse::<usize>().is_ok()) => {
                self.differs(format!("{at}: {path} object, ours array"));
                self.lists(at, path, &theirs.values().cloned().collect::<Vec<_>>(), own);
            }
            _ if kind(recorded) != kind(ours) => self.differs(format!("{at}: {path} {}, ours {}", kind(recorded), kind(ours))),
            _ if TEXTS.contains(&path) || alike(recorded, ours) => {}
            _ => self.differs(format!("{at}: {path} {recorded}, ours {ours}")),
        }
    }

    fn lists(&mut self, at: &str, path: &str, recorded: &[Value], ours: &[Value]) {
        if recorded.len() != ours.len() {
            self.differs(format!("{at}: {} of {path}, ours {}", recorded.len(), ours.len()));
        }
        for (theirs, own) in recorded.iter().zip(ours) {
            self.json(at, &format!("{path}[]"), theirs, own);
        }
    }

    fn objects(&mut self, at: &str, path: &str, recorded: &Map<String, Value>, ours: &Map<String, Value>) {
        let member = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let mut priced = false;
        if let (Some(theirs), Some(own)) = (recorded.get("amountRequired"), ours.get("amountRequired")) {
            priced = true;
            self.prices(at, path, (theirs, recorded), (own, ours));
        }
        for (key, theirs) in recorded.iter().filter(|(key, _)| !(priced && key.starts_with("amountRequired"))) {
            match ours.get(key) {
                Some(own) => self.json(at, &member(key), theirs, own),
                None => self.differs(format!("{at}: {} missing", member(key))),
            }
        }
        for key in ours.keys().filter(|key| !recorded.contains_key(*key)) {
            self.added(at, &member(key));
        }
    }

    /// Prices may be spelled in either unit; the JSON type and the money count.
    fn prices(&mut self, at: &str, path: &str, recorded: (&Value, &Map<String, Value>), ours: (&Value, &Map<String, Value>)) {
        if kind(recorded.0) != kind(ours.0) {
            self.differs(format!("{at}: {path}.amountRequired {}, ours {}", kind(recorded.0), kind(ours.0)));
        }
        let (theirs, own) = (price(recorded.1), price(ours.1));
        if theirs != own {
            self.differs(format!("{at}: {path} costs {theirs}, ours {own}"));
        } else if recorded.1.get("amountRequiredFormat") != ours.1.get("amountRequiredFormat") {
            self.added(at, &format!("{path}.amountRequired in the other unit"));
        }
    }
}

/// A price in the smallest unit.
pub(super) fn price(requirements: &Map<String, Value>) -> Amount {
    let literal = match &requirements["amountRequired"] {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let format = match requirements["amountRequiredFormat"].as_str() {
        Some("smallestUnit") => AmountFormat::SmallestUnit,
        _ => AmountFormat::HumanReadable,
    };
    let decimals = requirements["tokenDecimals"].as_u64().unwrap();
    WireAmount { literal, format }.to_amount(u8::try_from(decimals).unwrap()).unwrap()
}

/// The JSON in a payment or receipt header.
pub(super) fn unpacked(header: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Equal; hex in any case.
fn alike(one: &Value, other: &Value) -> bool {
    match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) if one.starts_with("0x") => one.eq_ignore_ascii_case(other),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compare(recorded: &Value, ours: &Value) -> Vec<String> {
        let mut found = Found::new(["payer".to_owned(), "[].amountRequired in the other unit".to_owned()]);
        found.json("it", "", recorded, ours);
        found.differences
    }

    /// A comparison that finds nothing proves nothing unless each bent field is found.
    #[test]
    fn every_bent_field_is_found() {
        let offer = json!({"amountRequired": 0.01, "amountRequiredFormat": "humanReadable", "tokenDecimals": 6, "payToAddress": "0xAb"});
        let honest = json!({"error": "why", "accepts": [offer], "h402Version": 1});
        assert_eq!(compare(&honest, &honest), [] as [&str; 0]);
        let bent = [
            ("/error", json!({}), "it: error string, ours object"),
            ("/h402Version", json!(2), "it: h402Version 1, ours 2"),
            ("/h402Version", json!("1"), "it: h402Version number, ours string"),
            ("/accepts", json!([]), "it: 1 of accepts, ours 0"),
            ("/accepts/0/amountRequired", json!(0.02), "it: accepts[] costs 10000, ours 20000"),
            ("/accepts/0/amountRequired", json!("0.01"), "it: accepts[].amountRequired number, ours string"),
            ("/accepts/0/payToAddress", json!("0xAc"), r#"it: accepts[].payToAddress "0xAb", ours "0xAc""#),
        ];
        for (at, value, want) in bent {
            let mut ours = honest.clone();
            *ours.pointer_mut(at).unwrap() = value;
            assert_eq!(compare(&honest, &ours), [want]);
        }
        let mut ours = honest.clone();
        ours.as_object_mut().unwrap().remove("error");
        assert_eq!(compare(&honest, &ours), ["it: error missing"]);
        assert_eq!(compare(&ours, &honest), ["it: error added"]);
        ours["payer"] = json!("0xAb");
        assert_eq!(compare(&honest, &ours), ["it: error missing"]);
        assert_eq!(compare(&json!({"accepts": {"0": 1, "1": 2}}), &json!({"accepts": [1, 2]})), ["it: accepts object, ours array"]);
    }

    #[test]
    fn the_same_price_may_be_in_either_unit_and_hex_in_either_case() {
        let human = json!([{"amountRequired": 0.01, "amountRequiredFormat": "humanReadable", "tokenDecimals": 6, "to": "0xab"}]);
        let atomic = json!([{"amountRequired": 10000, "amountRequiredFormat": "smallestUnit", "tokenDecimals": 6, "to": "0xAB"}]);
        assert_eq!(compare(&human, &atomic), [] as [&str; 0]);
    }
}
