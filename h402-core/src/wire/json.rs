//! JSON without a tree: flat structs, and literals kept as they are spelled.

use super::WireError;
use crate::Reject;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{error::Category, value::RawValue};
use std::{borrow::Cow, fmt};

/// Reads one JSON text into a flat struct. The peer's bytes do not appear in the error.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, WireError> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => WireError::Shape,
        Category::Syntax | Category::Eof | Category::Io => WireError::Json,
    })
}

/// As [`read`], of what a payer wrote.
pub(super) fn read_payload<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Reject> {
    read(text).map_err(|error| match error {
        WireError::Shape => Reject::Malformed("a field is missing, repeated or of the wrong type"),
        _ => Reject::Undecodable("not JSON"),
    })
}

/// As [`read`], from bytes that must be UTF-8.
pub(super) fn read_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WireError> {
    read(core::str::from_utf8(bytes).map_err(|_| WireError::Json)?)
}

/// Writes a flat struct.
pub(super) fn write(message: &impl Serialize) -> Result<Vec<u8>, WireError> {
    serde_json::to_vec(message).map_err(|_| WireError::Json)
}

/// A number or a string, as a decimal text.
pub(super) fn decimal(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => read(text).map(|Text(text)| text).ok(),
        b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// The content of a JSON string; `None` for any other JSON value.
pub(super) fn string(raw: &RawValue) -> Option<String> {
    read(raw.get()).ok()
}

/// A JSON string, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The JSON number 1 and nothing that merely equals it.
pub(super) fn is_one(raw: &RawValue) -> bool {
    is(raw, 1)
}

/// A number in its one spelling.
pub(super) fn is(raw: &RawValue, number: u8) -> bool {
    raw.get().parse::<u8>().is_ok_and(|read| read == number && raw.get().len() == number.to_string().len())
}

/// A list, or the object with keys "0", "1", … that some servers make of one.
pub(super) struct List<'a>(pub(super) Vec<&'a RawValue>);

/// More elements than this are not read.
pub(super) const MAX_LIST: usize = 64;

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(core::marker::PhantomData))
    }
}

struct ListVisitor<'a>(core::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> de::Visitor<'de> for ListVisitor<'a> {
    type Value = List<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object with the keys of one")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<List<'a>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<&'de RawValue>()? {
            if elements.len() == MAX_LIST {
                return Err(de::Error::custom("too many elements"));
            }
            elements.push(element);
        }
        Ok(List(elements))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<List<'a>, A::Error> {
        let mut elements = std::collections::BTreeMap::new();
        while let Some((key, element)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            let index: usize = key.parse().map_err(|_| de::Error::custom("not an index"))?;
            if elements.len() == MAX_LIST {
                return Err(de::Error::custom("too many elements"));
            }
            if index.to_string() != key || elements.insert(index, element).is_some() {
                return Err(de::Error::custom("not an index, or repeated"));
            }
        }
        Ok(List(elements.into_values().collect()))
    }
}
