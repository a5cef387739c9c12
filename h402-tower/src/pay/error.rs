//! Why a call has no answer.

use super::{JournalUnavailable, Origin, SignError, SignedPayment};
use core::fmt;
use h402_core::{
    Amount, AssetId, TransactionId,
    wire::{WireError, h402::SkippedOffer},
};
use http::StatusCode;

/// Any error of a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a paying call has no answer. Except for [`PayError::OutcomeUnknown`] and [`PayError::Resume`], nothing was
/// signed that anybody has seen.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum PayError<E> {
    /// The inner service failed before any payment was sent; one may have been signed, and is counted in the budget.
    #[error(transparent)]
    Inner(E),
    /// The request's body failed before it was sent.
    #[error("body of the request: {0}")]
    RequestBody(#[source] BoxError),
    /// The request's body is too long to be sent again; nothing was sent.
    #[error("body of the request is longer than {limit} bytes, which cannot be sent twice")]
    BodyTooLarge {
        /// The most that is kept, in bytes.
        limit: usize,
    },
    /// The request's URI has no scheme and host, so there is no telling who asks for payment.
    #[error("the request's URI is not absolute")]
    NoOrigin,
    /// A payment would travel in plain text to another machine (T120).
    #[error("{0} asks for payment without TLS")]
    PlainHttp(Origin),
    /// The 402 cannot be read.
    #[error("402 answer: {0}")]
    Challenge(#[from] ChallengeError),
    /// The 402 asks to pay for a resource of another origin than the one that was called (T120).
    #[error("{asked} asks to pay for a resource that is not its own")]
    ForeignResource {
        /// Who was called.
        asked: Origin,
    },
    /// Everything that could be paid costs more than the [`Cap`](super::Cap) allows (T115).
    #[error("price is {price} of {asset:?}, at most {cap} are allowed per call")]
    OverCap {
        /// The asset of the offer that comes first.
        asset: AssetId,
        /// Its price.
        price: Amount,
        /// What a call may cost.
        cap: Amount,
    },
    /// The [`Budget`](super::Budget) has too little left.
    #[error("budget has less than {price} of {asset:?} left")]
    OverBudget {
        /// The asset.
        asset: AssetId,
        /// The price.
        price: Amount,
    },
    /// Nothing that is offered can be paid: one reason for each offer.
    #[error("no offer can be paid: {}", Reasons(.0))]
    NothingAffordable(Vec<Unusable>),
    /// The wallet did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The payment cannot be written.
    #[error("payment: {0}")]
    Payment(#[from] WireError),
    /// The journal is not available, so nothing was sent.
    #[error(transparent)]
    Journal(#[from] JournalUnavailable),
    /// The payment to resume with belongs to another origin; it was not sent.
    #[error("the payment to resume with was signed for {signed_for}, not for {called}")]
    Resume {
        /// Where it may go.
        signed_for: Origin,
        /// Who was called.
        called: Origin,
    },
    /// The payment was sent, and what became of it is unknown.
    ///
    /// Calling again would sign a second payment (T123): resume by putting `payment` into the extensions of the
    /// same request.
    #[error("payment was sent {sends} times and its outcome is unknown")]
    OutcomeUnknown {
        /// The one payment of this call.
        payment: Box<SignedPayment>,
        /// How often it was sent.
        sends: u32,
        /// Status of the last answer, if there was one.
        status: Option<StatusCode>,
        /// The transaction the server last named.
        transaction: Option<TransactionId>,
        /// Why there was no last answer, if the inner service said why.
        source: Option<E>,
    },
}

struct Reasons<'a>(&'a [Unusable]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is none");
        }
        for (at, why) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{why}")?;
        }
        Ok(())
    }
}

/// Why a 402 cannot be read.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// It is longer than a 402 has any reason to be (T126).
    #[error("longer than {limit} bytes")]
    TooLarge {
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// It did not arrive in time.
    #[error("did not arrive in time")]
    TooSlow,
    /// Its body failed.
    #[error("body: {0}")]
    Body(#[source] BoxError),
    /// Its header and its body ask for different things (T124).
    #[error("header and body ask for different things, or there are two headers")]
    Contradiction,
    /// It is not a 402 of h402 or x402.
    #[error(transparent)]
    Wire(WireError),
}

/// Why one offer is not paid. Nothing the server wrote is repeated here.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read, or is of an asset outside the [`Cap`](super::Cap).
    #[error(transparent)]
    Skipped(#[from] SkippedOffer),
    /// The wallet has no means for it.
    #[error("the wallet cannot pay it")]
    Wallet,
    /// The server, asked twice, named neither a recent blockhash nor who pays the fee, and the wallet needs what is
    /// missing.
    #[error("the server names no recent blockhash, or nobody who pays the fee, and the wallet has no other")]
    NoHints,
    /// It is on a cluster other than Solana's main network, where the wallet takes a server's blockhash only if told to.
    /// See [`SolanaWallet::with_key_of_cluster_only`](super::SolanaWallet::with_key_of_cluster_only).
    #[error("a server's blockhash is not used on this cluster; give the wallet hints, or a key of this cluster only")]
    Cluster,
    /// It costs more lamports beside the price than the wallet may pay.
    #[error("it may cost {lamports} lamports beside the price, the wallet may pay {limit}")]
    Fee {
        /// What it may cost.
        lamports: u64,
        /// What is allowed.
        limit: u64,
    },
    /// It is not the first of its scheme and network; servers of the reference would check the payment against
    /// that one. See [`Pay::with_any_offer`](super::Pay::with_any_offer).
    #[error("it is not the first of its scheme and network")]
    NotFirst,
    /// The payee is not among those that may be paid.
    #[error("its payee may not be paid")]
    Payee,
    /// It costs more than the [`Cap`](super::Cap) allows.
    #[error("it costs more than the cap")]
    OverCap,
}
