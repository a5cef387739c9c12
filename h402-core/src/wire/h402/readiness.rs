//! `GET /ready`, which is ours.

use crate::wire::{WireError, json};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct WireReadiness<'a> {
    ready: bool,
    checks: BTreeMap<&'a str, &'a str>,
}

/// Writes the body of `GET /ready`: whether everything is well, and each part with `ok` or what is wrong.
///
/// # Errors
/// [`WireError`] if it cannot be written.
///
/// ```
/// use h402_core::wire::h402::encode_readiness;
/// let parts = [("store".to_owned(), "ok".to_owned())];
/// assert_eq!(encode_readiness(true, &parts)?, br#"{"ready":true,"checks":{"store":"ok"}}"#);
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn encode_readiness(ready: bool, parts: &[(String, String)]) -> Result<Vec<u8>, WireError> {
    let checks = parts.iter().map(|(part, state)| (part.as_str(), state.as_str())).collect();
    json::write(&WireReadiness { ready, checks })
}
