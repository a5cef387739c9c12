//! A facilitator reached over HTTP.
//!
//! Everything that is not a well-formed answer fails closed. When verifying, that is [`Undecided::Facilitator`]: the
//! gate answers 503 and the handler does not run. When settling, it depends on whether a byte was sent: before that
//! nothing can have happened; after that the outcome is unknown, so the question is repeated with the same key and,
//! if there is still no answer, the settlement is [`SettleError::Pending`].
//!
//! [`Undecided::Facilitator`]: h402_core::Undecided::Facilitator
//! [`SettleError::Pending`]: h402_core::SettleError::Pending

mod answer;
mod client;
mod facilitator;
mod x402;

pub use client::BadFacilitatorUrl;
pub use facilitator::RemoteFacilitator;

#[cfg(test)]
mod tests;
