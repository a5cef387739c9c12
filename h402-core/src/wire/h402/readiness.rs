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
pub fn encode_readiness(ready: bool, parts: &[(String, String)]) -> Result<Vec<u8>, WireError> {
    let checks = parts.iter().map(|(part, state)| (part.as_str(), state.as_str())).collect();
    json::write(&WireReadiness { ready, checks })
}
