//! How many connections there may be, as a configuration describes it.

use super::{ConfigError, value};
use crate::server::ConnectionLimits;
use serde::Deserialize;
use std::time::Duration;

/// Connections of clients. What is not said is as in [`ConnectionLimits`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionsSection {
    /// Most at once; more wait.
    pub max: Option<usize>,
    /// Most of one client, an IPv4 address or an IPv6 network of 64 bits; more are closed.
    pub max_per_client: Option<usize>,
    /// Seconds that one may be there without a request that is worked on.
    pub idle_seconds: Option<u64>,
}

impl ConnectionsSection {
    /// The limits.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if nobody could connect.
    pub fn limits(&self) -> Result<ConnectionLimits, ConfigError> {
        let defaults = ConnectionLimits::default();
        for (key, nothing) in [
            ("max", self.max == Some(0)),
            ("max_per_client", self.max_per_client == Some(0)),
            ("idle_seconds", self.idle_seconds == Some(0)),
        ] {
            if nothing {
                return Err(value(format!("connections {key}"), "is 0: nobody could connect"));
            }
        }
        Ok(ConnectionLimits {
            overall: self.max.unwrap_or(defaults.overall),
            per_client: self.max_per_client,
            idle: self.idle_seconds.map_or(defaults.idle, Duration::from_secs),
        })
    }
}
