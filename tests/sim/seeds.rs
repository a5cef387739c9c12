//! Seeds that failed once, and why. They are run first, and stay here.

/// The seed, and what was wrong.
pub(crate) const ONCE_FAILED: &[(u64, &str)] = &[];
