//! x402 in its two versions: what both share, and [`v1`] and [`v2`] with their carriers.
//!
//! | message | version 1 | version 2 |
//! | --- | --- | --- |
//! | challenge | JSON body of a 402 | `PAYMENT-REQUIRED` |
//! | payment | `X-PAYMENT` | `PAYMENT-SIGNATURE` |
//! | receipt | `X-PAYMENT-RESPONSE` | `PAYMENT-RESPONSE` |
//! | question to a facilitator | JSON | JSON |

mod accepted;
mod answer;
mod discovery;
mod extension;
mod extra;
mod name;
mod payload;
mod refusal;
mod request;
mod requirements;
pub mod v1;
pub mod v2;

pub use accepted::Accepted;
pub use answer::{SettleAnswer, VerifyAnswer};
pub use discovery::{BadQuery, Listed, Wanted, encode_discovery};
pub use extension::{BadIdentifier, Extensions, PAYMENT_IDENTIFIER, PaymentIdentifier};
pub use refusal::refusal;
pub use request::Request;

use crate::{Dialect, Flow, Requirements};

/// Longest header value that is read, in bytes.
pub const MAX_HEADER: usize = super::h402::MAX_HEADER;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

impl From<Version> for Dialect {
    fn from(version: Version) -> Self {
        match version {
            Version::V1 => Self::X402V1,
            Version::V2 => Self::X402V2,
        }
    }
}

/// Payment requirements with what only x402 says about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How to pay, for what, and how long the payment must stay valid.
    pub requirements: Requirements,
    /// When the money moves: `extra.paymentFlow`, which is left out for [`Flow::Capture`].
    pub flow: Flow,
}

impl From<Requirements> for Terms {
    /// The protocol's own flow.
    fn from(requirements: Requirements) -> Self {
        Self { requirements, flow: Flow::Capture }
    }
}

/// Why terms cannot be offered in x402.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// Version 1 has no name for the network, or its programs mean different chains by it.
    #[error("x402 version 1 has no name for the network")]
    Network,
    /// x402 has no native coins, and no tokens without EIP-3009 but through Permit2, which version 1 has not.
    #[error("x402 cannot move the asset in this way")]
    Asset,
    /// Nobody is known who pays the fee on Solana.
    #[error("no fee payer is known")]
    FeePayer,
    /// The header would be longer than proxies pass on.
    #[error("does not fit into the header")]
    Room,
}

#[cfg(test)]
mod tests;
