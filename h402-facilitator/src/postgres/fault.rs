//! Which errors are repeated, and what callers are told of the others.

use h402_core::StoreUnavailable;

/// Whether the server undid a transaction for the sake of another one, so that it is simply to be run again: 40001 and
/// 40P01, `serialization_failure` and `deadlock_detected`.
pub(super) fn is_to_repeat(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Whether the server has ended the connection: the socket is closed, or it said so as its last word (57P01 to 57P05,
/// `admin_shutdown` and the like). A server that does not answer in time has not.
pub(super) fn has_ended(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::TimedOut,
        error => error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code.starts_with("57P")),
    }
}

/// The error as callers are told it: PostgreSQL's own words, never a value.
pub(super) fn unavailable(error: &sqlx::Error) -> StoreUnavailable {
    StoreUnavailable(error.to_string())
}

/// The server did not answer in time.
pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

/// Nothing of this handle works any more.
pub(super) fn closed() -> StoreUnavailable {
    StoreUnavailable("closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_server_that_is_slow_has_not_ended_the_connection() {
        assert!(!has_ended(&timed_out()));
        assert!(!has_ended(&sqlx::Error::RowNotFound));
        for kind in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof] {
            assert!(has_ended(&sqlx::Error::Io(Error::from(kind))), "{kind}");
        }
    }
}
