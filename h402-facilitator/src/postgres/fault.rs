//! Which errors are repeated, and what callers are told of the others.

use h402_core::StoreUnavailable;

/// Whether the server undid a transaction for the sake of another one, so that it is simply to be run again: 40001 and
/// 40P01, `serialization_failure` and `deadlock_detected`.
pub(super) fn is_to_repeat(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
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
