//! How ledger and chains are compared, as a configuration describes it.

use super::{ConfigError, value};
use crate::ReconcileConfig;
use serde::Deserialize;
use std::time::Duration;

/// Ledger and chains are compared; what is left out has its default.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileSection {
    /// Seconds between two comparisons.
    pub every_seconds: Option<u64>,
    /// With more differences than this on a network no new payments are taken there, until they are accepted.
    pub stop_above: Option<u64>,
}

impl ReconcileSection {
    pub(super) fn read(self, defaults: ReconcileConfig) -> Result<ReconcileConfig, ConfigError> {
        if self.every_seconds == Some(0) {
            return Err(value("reconcile every_seconds", "is zero"));
        }
        Ok(ReconcileConfig {
            every: self.every_seconds.map_or(defaults.every, Duration::from_secs),
            stop_above: self.stop_above.unwrap_or(defaults.stop_above),
        })
    }
}
