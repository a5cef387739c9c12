//! Two tower layers for HTTP 402 payments: `gate` asks for payment, `pay` makes it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic))]
#![warn(missing_docs)]

#[cfg(feature = "chaos")]
pub mod chaos;
#[cfg(not(feature = "chaos"))]
mod chaos {
    //! Without feature `chaos` nothing can be switched on.

    pub(crate) const fn crash_point(_: &'static str) {}

    pub(crate) const fn sabotaged(_: &'static str) -> bool {
        false
    }
}
mod clock;
pub mod gate;
pub mod pay;
#[cfg(feature = "remote")]
pub mod remote;

#[cfg(test)]
mod loopback;
