//! What can be wrong with a configuration.

use std::path::PathBuf;

/// What is wrong with a configuration. Repeats no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Not the TOML that is expected.
    #[error("{0}")]
    Syntax(String),
    /// A value is wrong.
    #[error("{key}: {why}")]
    Value {
        /// Which.
        key: String,
        /// Why.
        why: String,
    },
}
