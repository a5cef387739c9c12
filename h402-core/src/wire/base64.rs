//! Base64 as peers spell it: standard or URL-safe, padded or not, and nothing else.

use super::WireError;
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Writes the standard alphabet with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD_ENGINE.encode(bytes)
}

/// Reads either alphabet, not a mixture; stray characters and nonzero pad bits are refused, so that no two
/// decoders can see two payments in one text.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, WireError> {
    let engine = if text.iter().any(|byte| matches!(byte, b'-' | b'_')) { URL_SAFE_ENGINE } else { STANDARD_ENGINE };
    engine.decode(text).map_err(|_| WireError::Base64)
}

/// Reads base64 of text. Browsers' `btoa` makes Latin-1 of what others make UTF-8: what is not UTF-8 is read so.
pub(super) fn decode_text(text: &[u8]) -> Result<String, WireError> {
    match String::from_utf8(decode(text)?) {
        Ok(text) => Ok(text),
        Err(latin1) => Ok(latin1.as_bytes().iter().copied().map(char::from).collect()),
    }
}
