//! Wire formats: the only place that knows JSON names.
//!
//! Read leniently what other programs emit, write strictly what they accept; docs/wire.md lists each oddity that is
//! accepted. Nothing here repeats what a peer sent in an error.

mod base64;
mod dialect;
mod header;
mod json;
mod signed;
mod skipped;
mod supported;

pub mod h402;
pub mod x402;

pub use dialect::{HeaderError, Presented, of_request, presented};
pub use skipped::SkippedOffer;
pub use supported::{decode_supported, encode_supported};

use crate::AmountError;

/// Why bytes are not the message they should be, or a message cannot be written.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than is read or written.
    #[error("longer than {limit} {unit}")]
    TooLong {
        /// The most that is taken.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// Not base64 of UTF-8 or Latin-1 text.
    #[error("not base64")]
    Base64,
    /// Not one JSON text.
    #[error("not JSON")]
    Json,
    /// JSON, with a field missing, repeated or of the wrong type.
    #[error("a field is missing, repeated or of the wrong type")]
    Shape,
    /// Another version of the protocol.
    #[error("protocol version is not supported")]
    Version,
    /// A field that cannot be read or written.
    #[error("{0}")]
    Field(&'static str),
    /// The price cannot be written so that every client reads it alike.
    #[error("price: {0}")]
    Amount(#[from] AmountError),
}
