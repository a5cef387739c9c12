//! Values of a row on their way into a store.

use super::columns::{stored_integer, stored_millis};
use h402_core::UnixMillis;

/// One value, of the kind its column has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Flag(bool),
}

impl Value {
    pub(crate) fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(Some(bytes.as_ref().to_vec()))
    }

    pub(crate) fn maybe_bytes(bytes: Option<impl AsRef<[u8]>>) -> Self {
        Self::Bytes(bytes.map(|bytes| bytes.as_ref().to_vec()))
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::maybe_text(Some(text))
    }

    /// PostgreSQL keeps every character but NUL, which a contract's own words for its refusal may hold.
    pub(crate) fn maybe_text(text: Option<impl Into<String>>) -> Self {
        Self::Text(text.map(Into::into).map(|text: String| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }

    pub(crate) fn integer(number: u64) -> Self {
        Self::Integer(Some(stored_integer(number)))
    }

    pub(crate) fn maybe_integer(number: Option<u64>) -> Self {
        Self::Integer(number.map(stored_integer))
    }

    pub(crate) fn millis(time: UnixMillis) -> Self {
        Self::Integer(Some(stored_millis(time)))
    }

    pub(crate) fn maybe_millis(time: Option<UnixMillis>) -> Self {
        Self::Integer(time.map(stored_millis))
    }
}
