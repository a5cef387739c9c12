//! The key that signs receipts, as a configuration describes it.

use super::{ConfigError, keystore, value};
use h402_core::ReceiptKey;
use serde::Deserialize;
use std::path::PathBuf;
use zeroize::Zeroizing;

const KEY: &str = "H402_RECEIPT_KEY";
const PASSWORD: &str = "H402_RECEIPT_KEYSTORE_PASSWORD";

/// Signed receipts. The key is ed25519 and signs nothing else.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptsSection {
    /// File with the key, 64 hex digits; `H402_RECEIPT_KEY` overrides it.
    pub key_file: Option<PathBuf>,
    /// Encrypted key file (Ethereum keystore, version 3); its password comes from `H402_RECEIPT_KEYSTORE_PASSWORD`.
    pub keystore_file: Option<PathBuf>,
}

impl ReceiptsSection {
    /// The key, if there is one: none is needed, but a section without one is a mistake.
    pub(super) fn key(section: Option<&Self>, env: &impl Fn(&str) -> Option<String>) -> Result<Option<ReceiptKey>, ConfigError> {
        if let Some(text) = env(KEY).map(Zeroizing::new) {
            return ReceiptKey::from_hex(&text).map(Some).map_err(|why| value(KEY, why));
        }
        let Some(section) = section else { return Ok(None) };
        match (&section.key_file, &section.keystore_file) {
            (Some(path), None) => {
                let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.clone(), error })?;
                ReceiptKey::from_hex(&Zeroizing::new(text)).map(Some).map_err(|why| value(path.display().to_string(), why))
            }
            (None, Some(path)) => Ok(Some(ReceiptKey::from_seed(&*keystore::open(path, "receipts keystore_file", PASSWORD, env)?))),
            (Some(_), Some(_)) => Err(value("receipts key_file", "and keystore_file are both given")),
            (None, None) => Err(value("receipts key_file", format!("is missing, as is keystore_file, and {KEY} is not set"))),
        }
    }
}
