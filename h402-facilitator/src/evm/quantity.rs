//! Numbers and bytes as nodes write them, read strictly.

use alloy_primitives::{B256, Bytes, U256};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;
use std::str::FromStr;

/// A number in hex: `0x`, then digits of at most the width of `T`. Leading zeros are tolerated, some nodes write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantity<T>(pub(super) T);

impl<'de, T: TryFrom<U256>> Deserialize<'de> for Quantity<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        parse(text).map(Self).ok_or_else(|| D::Error::custom("not a quantity"))
    }
}

fn parse<T: TryFrom<U256>>(text: &str) -> Option<T> {
    let digits = text.strip_prefix("0x")?;
    // The parser below takes underscores, signs of other radixes and nothing at all for numbers.
    if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    U256::from_str_radix(digits, 16).ok()?.try_into().ok()
}

/// Bytes in hex, `0x` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data(pub(super) Bytes);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("no 0x"))?;
        hex::decode(digits).map(|bytes| Self(bytes.into())).map_err(|_| D::Error::custom("not hex"))
    }
}

/// A hash or an address in hex, `0x` first and of exactly its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed<T>(pub(super) T);

impl<'de, T: FromStr> Deserialize<'de> for Fixed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let parsed = text.starts_with("0x").then(|| text.parse().ok()).flatten();
        parsed.map(Self).ok_or_else(|| D::Error::custom("not a hash or address"))
    }
}

/// Reads an answer, or says that it makes no sense.
pub(super) fn read<'a, T: Deserialize<'a>>(answer: &'a RawValue) -> Result<T, Senseless> {
    serde_json::from_str(answer.get()).map_err(|_| Senseless)
}

/// A node's answer does not have the form that its method promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Senseless;

impl From<Senseless> for h402_core::Undecided {
    fn from(_: Senseless) -> Self {
        Self::Chain
    }
}

/// A number as a block parameter or quantity.
pub(super) fn number(number: u64) -> String {
    format!("{number:#x}")
}

/// A hash as a parameter.
pub(super) fn hash(hash: &B256) -> String {
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_hex_and_nothing_else() {
        let cases: [(&str, Option<u64>); 17] = [
            ("\"0x0\"", Some(0)),
            ("\"0x1\"", Some(1)),
            ("\"0xFf\"", Some(255)),
            ("\"0x0000000000000001\"", Some(1)),
            ("\"0xffffffffffffffff\"", Some(u64::MAX)),
            ("\"0x10000000000000000\"", None),
            ("\"0x\"", None),
            ("\"\"", None),
            ("\"1\"", None),
            ("\"0x-1\"", None),
            ("\"0x+1\"", None),
            ("\"0x1_0\"", None),
            ("\"0x 1\"", None),
            ("\"0xg\"", None),
            ("1", None),
            ("null", None),
            ("{\"x\":\"0x1\"}", None),
        ];
        for (json, want) in cases {
            let read = serde_json::from_str::<Quantity<u64>>(json).ok().map(|quantity| quantity.0);
            assert_eq!(read, want, "{json}");
        }
        assert!(serde_json::from_str::<Quantity<U256>>(&format!("\"0x{}\"", "f".repeat(64))).is_ok());
        assert!(serde_json::from_str::<Quantity<U256>>(&format!("\"0x{}\"", "0".repeat(65))).is_err());
    }

    #[test]
    fn hashes_have_their_length() {
        for (json, good) in [
            (format!("\"0x{}\"", "a".repeat(64)), true),
            (format!("\"0x{}\"", "a".repeat(63)), false),
            (format!("\"0x{}\"", "a".repeat(66)), false),
            (format!("\"{}\"", "a".repeat(64)), false),
            ("\"0x\"".to_owned(), false),
        ] {
            assert_eq!(serde_json::from_str::<Fixed<B256>>(&json).is_ok(), good, "{json}");
        }
    }

    #[test]
    fn bytes_are_whole_and_prefixed() {
        for (json, good) in [("\"0x\"", true), ("\"0x00ff\"", true), ("\"0x0\"", false), ("\"00\"", false), ("\"0xzz\"", false)] {
            assert_eq!(serde_json::from_str::<Data>(json).is_ok(), good, "{json}");
        }
    }
}
