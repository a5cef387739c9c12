//! Requirements of others that are of no use here.

use crate::{AmountError, Reject};

/// Why requirements that somebody else wrote are not usable here.
///
/// ```
/// use h402_core::wire::SkippedOffer;
/// assert_eq!(SkippedOffer::UnknownAsset.to_string(), "asset is not in the table of known assets");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkippedOffer {
    /// A field is missing, repeated or cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// A scheme that is not spoken here, or none.
    #[error("scheme is missing or not known")]
    Scheme,
    /// A network that is not spoken here.
    #[error("network is not known")]
    Network,
    /// The asset is not in the table: its decimals would be a guess.
    #[error("asset is not in the table of known assets")]
    UnknownAsset,
    /// The stated decimals are not the asset's.
    #[error("tokenDecimals is {stated}, the asset has {known}")]
    Decimals {
        /// What the requirements say.
        stated: u8,
        /// What the table says.
        known: u8,
    },
    /// The price cannot be read.
    #[error("price: {0}")]
    Amount(AmountError),
    /// A payment flow that is not spoken here.
    #[error("paymentFlow is not known")]
    Flow,
    /// A way to move a token that is not spoken here.
    #[error("assetTransferMethod is not known")]
    Method,
    /// The stated EIP-712 domain is not the token's.
    #[error("extra states another name or version than the token's")]
    Domain,
    /// A memo is asked for, and none but our own are written.
    #[error("a memo is asked for")]
    Memo,
    /// The payee cannot be paid.
    #[error("payToAddress cannot be paid: {0}")]
    PayTo(&'static str),
}

impl SkippedOffer {
    /// The same as a facilitator's refusal.
    pub(super) fn reject(&self) -> Reject {
        match self {
            Self::Malformed(why) => Reject::Requirements(why),
            Self::Scheme => Reject::Scheme,
            Self::Network => Reject::Requirements("network is not known"),
            Self::UnknownAsset => Reject::Asset,
            Self::Decimals { .. } => Reject::Requirements("tokenDecimals is not the asset's"),
            Self::Amount(AmountError::Zero) => Reject::Requirements("amount is zero"),
            Self::Amount(_) => Reject::Requirements("amount cannot be read exactly"),
            Self::Flow => Reject::Requirements("paymentFlow is not known"),
            Self::Method => Reject::Requirements("assetTransferMethod is not known"),
            Self::Domain => Reject::Domain,
            Self::Memo => Reject::Requirements("a memo is asked for"),
            Self::PayTo(_) => Reject::Requirements("payToAddress cannot be paid"),
        }
    }
}
