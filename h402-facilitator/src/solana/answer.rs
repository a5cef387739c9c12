//! What nodes write, read strictly, and the options they are asked with.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use h402_core::SolanaAddress;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;

/// Reads an answer; none if it does not have the form that its method promises.
pub(super) fn read<'a, T: Deserialize<'a>>(answer: &'a RawValue) -> Option<T> {
    serde_json::from_str(answer.get()).ok()
}

/// An answer together with the slot that it is of.
#[derive(Debug, Deserialize)]
pub(super) struct Answered<T> {
    pub(super) context: Context,
    pub(super) value: T,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Context {
    pub(super) slot: u64,
}

/// Bytes of exactly this length in base58.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base58<const N: usize>(pub(super) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Base58<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; N];
        // A shorter text would silently be padded.
        match bs58::decode(text).onto(&mut bytes) {
            Ok(length) if length == N => Ok(Self(bytes)),
            _ => Err(D::Error::custom("not base58 of this length")),
        }
    }
}

impl From<Base58<32>> for SolanaAddress {
    fn from(bytes: Base58<32>) -> Self {
        Self::from_bytes(bytes.0)
    }
}

/// Bytes as nodes write them if asked for base64: the text and its encoding.
#[derive(Debug)]
pub(super) struct Encoded(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, encoding) = <(String, String)>::deserialize(deserializer)?;
        if encoding != "base64" {
            return Err(D::Error::custom("not in base64"));
        }
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("not base64"))
    }
}

/// An account.
#[derive(Debug, Deserialize)]
pub(super) struct WireAccount {
    pub(super) lamports: u64,
    pub(super) owner: Base58<32>,
    pub(super) data: Encoded,
}

/// Of which commitment an answer is to be.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Level {
    commitment: &'static str,
}

impl Level {
    pub(super) const PROCESSED: Self = Self { commitment: "processed" };
    pub(super) const CONFIRMED: Self = Self { commitment: "confirmed" };
    pub(super) const FINALIZED: Self = Self { commitment: "finalized" };
}

/// Of which commitment, and in base64.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct InBase64 {
    encoding: &'static str,
    commitment: &'static str,
}

impl InBase64 {
    pub(super) const CONFIRMED: Self = Self { encoding: "base64", commitment: "confirmed" };
    pub(super) const PROCESSED: Self = Self { encoding: "base64", commitment: "processed" };
}

/// A signature or hash as nodes write it.
pub(super) fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// Bytes as nodes take them.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
