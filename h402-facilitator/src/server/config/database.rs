//! Where the ledger is.

use super::{ConfigError, Secret, value};
use serde::Deserialize;
use std::{convert::Infallible, path::PathBuf, str::FromStr};

/// Where the ledger is: in a file of one process, or in a PostgreSQL database of any number of them.
///
/// ```
/// use h402_facilitator::server::config::Database;
/// let shared: Database = "postgres://h402:hunter2@db.example/h402".parse().unwrap();
/// assert!(!format!("{shared:?}").contains("hunter2"));
/// assert!(matches!("h402.sqlite".parse(), Ok(Database::File(_))));
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub enum Database {
    /// An SQLite file.
    File(PathBuf),
    /// A `postgres://` URL. It may hold a password, so it is never shown.
    Postgres(Secret),
}

impl From<String> for Database {
    fn from(text: String) -> Self {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        if is_url { Self::Postgres(Secret(text)) } else { Self::File(text.into()) }
    }
}

impl FromStr for Database {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::File("h402.sqlite".into())
    }
}

impl Database {
    /// Whether it can be told from the text alone that it leads nowhere.
    ///
    /// # Errors
    /// [`ConfigError::Value`], without the text.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Postgres(url) if url.reveal().parse::<sqlx::postgres::PgConnectOptions>().is_err() => {
                Err(value("database", "is no PostgreSQL URL; postgres://user:password@host/name is one"))
            }
            // A driver of another kind of database would be needed; such a URL is no file that anybody means.
            Self::File(path) if path.to_str().is_some_and(|text| text.contains("://")) => {
                Err(value("database", "is neither a file nor a postgres:// URL"))
            }
            Self::Postgres(_) | Self::File(_) => Ok(()),
        }
    }
}
