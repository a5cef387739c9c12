//! The recordings, as they are written.

use serde_json::Value;
use std::{fs, path::Path};

/// One file.
pub(crate) struct Recording {
    name: String,
    json: Value,
}

/// All files, by name.
#[expect(clippy::disallowed_methods, reason = "recordings are files; the core itself reads none")]
pub(crate) fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/x402");
    let mut all: Vec<Recording> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| Recording {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            json: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
        })
        .collect();
    all.sort_by(|one, two| one.name.cmp(&two.name));
    all
}

impl Recording {
    /// Its exchanges in time order.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = Exchange<'_>> {
        self.json["exchanges"].as_array().into_iter().flatten().map(|json| Exchange { file: &self.name, json })
    }
}

/// One request and its answer.
pub(crate) struct Exchange<'a> {
    file: &'a str,
    json: &'a Value,
}

impl Exchange<'_> {
    /// File and case.
    pub(crate) fn place(&self) -> String {
        format!("{}: {}", self.file, self.json["case"].as_str().unwrap_or_default())
    }

    pub(crate) fn path(&self) -> &str {
        self.json["request"]["path"].as_str().unwrap_or_default()
    }

    /// Whether the recorder answered instead of a program.
    pub(crate) fn is_stub(&self) -> bool {
        self.json["answered_by"] == "stub"
    }

    pub(crate) fn status(&self) -> Option<u64> {
        self.json["response"]["status"].as_u64()
    }

    /// When it was, in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        // Such as 2026-11-20T12:18:34.913Z, all of one day.
        let text = self.json["at"].as_str().unwrap();
        let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().unwrap();
        assert_eq!(&text[..11], "2026-11-20T");
        // date -u -d 2026-11-20 +%s
        1_795_132_800 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19)
    }

    pub(crate) fn request_header(&self, name: &str) -> Option<&str> {
        header(&self.json["request"], name)
    }

    pub(crate) fn answer_header(&self, name: &str) -> Option<&str> {
        header(&self.json["response"], name)
    }

    /// What the recorder decoded of it; `None` if it does not decode.
    pub(crate) fn request_decoded(&self, name: &str) -> Option<&Value> {
        Some(&self.json["request"][format!("decoded_{name}")]).filter(|value| !value.is_null())
    }

    pub(crate) fn answer_decoded(&self, name: &str) -> Option<&Value> {
        Some(&self.json["response"][format!("decoded_{name}")]).filter(|value| !value.is_null())
    }

    /// The body that was sent.
    pub(crate) fn request_text(&self) -> Option<String> {
        let body = &self.json["request"]["body"];
        match (&body["json"], &body["text"]) {
            (Value::Null, Value::String(text)) => Some(text.clone()),
            (Value::Null, _) => None,
            (json, _) => Some(json.to_string()),
        }
    }

    /// The answer's JSON body.
    pub(crate) fn answer_body(&self) -> Option<Value> {
        Some(self.json["response"]["body"]["json"].clone()).filter(|body| !body.is_null())
    }
}

fn header<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    let headers = message["headers"].as_array()?;
    headers.iter().find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name))?[1].as_str()
}
