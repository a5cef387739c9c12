//! What is carried by headers: JSON in base64, no longer than servers read.

use super::{WireError, base64, h402::MAX_HEADER};
use crate::Reject;

const TOO_LONG: WireError = WireError::TooLong { limit: MAX_HEADER, unit: "bytes of header" };

/// Writes JSON as padded standard base64.
pub(super) fn encode(json: &[u8]) -> Result<String, WireError> {
    let header = base64::encode(json);
    if header.len() > MAX_HEADER { Err(TOO_LONG) } else { Ok(header) }
}

/// Reads the JSON of a header that a server sent.
pub(super) fn decode(header: &[u8]) -> Result<String, WireError> {
    if header.len() > MAX_HEADER { Err(TOO_LONG) } else { base64::decode_text(header) }
}

/// Reads the JSON of a payment.
pub(super) fn decode_payment(header: &[u8]) -> Result<String, Reject> {
    decode(header).map_err(|error| match error {
        WireError::TooLong { .. } => Reject::Undecodable("longer than 16 KiB"),
        _ => Reject::Undecodable("not base64"),
    })
}
