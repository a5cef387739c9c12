/// Why a network cannot be started on.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The chain contradicts the configuration.
    #[error("chain and configuration differ: {what}")]
    Mismatch {
        /// In what.
        what: String,
    },
    /// The chain cannot be asked: nothing is known.
    #[error("chain is not reachable")]
    Unreachable,
}
