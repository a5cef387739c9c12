//! The gate's own answers: one table from what happened to what the client is told.

use super::{
    challenge::{Challenge, Why},
    dialect::{ALLOWED_HEADERS, Outcome, PAYMENT_REQUIRED, expose},
    door::Visit,
    layer::Shared,
    quote::PriceError,
};
use crate::chaos::sabotaged;
use bytes::Bytes;
use h402_core::{Address, Dialect, Network, Receipt, Reject, SettleError, SignedReceipt, TransactionId, Undecided, wire::h402};
use http::{
    HeaderValue, Response, StatusCode,
    header::{ACCESS_CONTROL_ALLOW_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

/// When to come back while another request uses the same payment, in seconds.
const SOON: u16 = 1;
/// When to come back while something is not decided, in seconds.
const LATER: u16 = 5;
/// What a payer hears who has not approved Permit2.
const NOT_APPROVED: &str = "permit2_allowance_required";

/// Why a request is answered by the gate and not by the handler.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It brought no payment.
    NoPayment,
    /// It asks what may be asked here, which costs nothing.
    Options,
    /// Its payment is refused, before anything was sent.
    Rejected { reject: Reject, payer: Option<Address> },
    /// It cannot be priced.
    Price(PriceError),
    /// Its headers contradict each other.
    BadRequest(&'static str),
    /// Its payment header is too long.
    HeaderTooLong,
    /// It is meant for another host.
    ForeignHost,
    /// It wants to upgrade where the payment is settled after the handler.
    UpgradeNeedsUpfront,
    /// Its payment is being worked on.
    InProgress,
    /// Its payment has opened another request.
    UsedElsewhere,
    /// Its payment identifier is another payment's.
    IdentifierUsed,
    /// It was served, and the answer is not kept any more.
    ServedBefore(Receipt),
    /// It was charged, and the handler failed too often, or for too long.
    Credited { receipt: Receipt, credit: Option<SignedReceipt> },
    /// It was charged, not served, and given back.
    Refunded(Receipt),
    /// Its payment was refused when it was settled.
    RefusedBefore,
    /// The handler failed too often; nothing was charged.
    TooManyRuns,
    /// We cannot decide, and nothing was sent.
    Undecided(Undecided),
    /// Settlement has no receipt.
    Unsettled { error: SettleError, network: Network, payer: Address, first_attempt: bool },
    /// The money moved and we could not write that down.
    Unrecorded(Receipt),
    /// The handler did not answer in time.
    HandlerTimedOut(Option<Receipt>),
    /// The handler's body broke off.
    HandlerBrokeOff(Option<Receipt>),
    /// Something a server operator has to repair.
    Misconfigured(&'static str),
}

impl From<Undecided> for Refusal {
    fn from(undecided: Undecided) -> Self {
        Self::Undecided(undecided)
    }
}

impl<F, G> Shared<F, G> {
    /// The answer to a request that is not let through.
    pub(super) fn refuse(&self, visit: Option<&Visit>, refusal: Refusal) -> Response<Bytes> {
        if let Refusal::Rejected { reject, payer } = &refusal {
            tracing::debug!(reason = reject.word(), payer = payer.map(tracing::field::display), "payment refused");
        }
        let dialect = visit.map_or(Dialect::H402V1, |visit| visit.dialect);
        let told = |response, outcome: Outcome| with_receipt(response, dialect, &outcome);
        match refusal {
            Refusal::NoPayment => ask(visit.and_then(|visit| self.first_challenge(visit))),
            Refusal::Options => preflight(),
            Refusal::Rejected { reject, .. } if reject.is_conflict() => {
                let soon = matches!(reject, Reject::InProgress | Reject::TooManyOpen).then_some(SOON);
                conflict(reject.word(), &reject.to_string(), soon)
            }
            Refusal::Rejected { reject, payer } => self.ask_again(visit, &reject, payer),
            Refusal::Price(error) => match &error {
                PriceError::BadRequest(text) => plain(StatusCode::BAD_REQUEST, "bad_request", text),
                PriceError::NotFound => plain(StatusCode::NOT_FOUND, "not_found", &error.to_string()),
                PriceError::Unavailable => unavailable("price_unavailable", &error.to_string()),
            },
            Refusal::BadRequest(text) => plain(StatusCode::BAD_REQUEST, "invalid_payload", text),
            Refusal::HeaderTooLong => {
                let text = format!("the payment header is longer than {} bytes", self.limits.header_cap);
                plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "payment_header_too_long", &text)
            }
            Refusal::ForeignHost => plain(StatusCode::MISDIRECTED_REQUEST, "foreign_host", "this server does not speak for that host"),
            Refusal::UpgradeNeedsUpfront => {
                plain(StatusCode::BAD_REQUEST, "upgrade_not_offered", "this route is settled after its answer, so it cannot be upgraded")
            }
            Refusal::InProgress => conflict(Reject::InProgress.word(), &Reject::InProgress.to_string(), Some(SOON)),
            Refusal::UsedElsewhere => conflict(Reject::AlreadyUsed.word(), "the payment has opened another request", None),
            Refusal::IdentifierUsed => {
                conflict("payment_identifier_used", "another payment has this payment identifier; nothing was charged for this one", None)
            }
            Refusal::ServedBefore(receipt) => {
                let text = "the payment was used for this request; the answer is not kept any more";
                told(conflict(Reject::AlreadyUsed.word(), text, None), receipt.into())
            }
            Refusal::Credited { receipt, credit } => {
                let text = "the payment was taken and the request could not be served; the receipt is a credit";
                told(conflict("payment_credited", text, None), Outcome::Settled { receipt, credit })
            }
            Refusal::Refunded(receipt) => {
                let text = "the payment was taken, the request could not be served, and the money was given back";
                told(conflict("payment_refunded", text, None), receipt.into())
            }
            Refusal::RefusedBefore => conflict("payment_refused", "the payment was refused when it was settled", None),
            Refusal::TooManyRuns => {
                conflict("payment_runs_exhausted", "the request failed too often with this payment; nothing was charged", None)
            }
            Refusal::Undecided(undecided) => unavailable(undecided.word(), &undecided.to_string()),
            Refusal::Unsettled { error, network, payer, first_attempt } => self.unsettled(visit, error, network, payer, first_attempt),
            Refusal::Unrecorded(receipt) => {
                let text = "the payment was taken and could not be recorded; ask again with the same payment";
                told(unavailable("settlement_pending", text), receipt.into())
            }
            Refusal::HandlerTimedOut(None) => unavailable("handler_timed_out", "no answer in time; nothing was charged"),
            Refusal::HandlerTimedOut(Some(receipt)) => {
                let text = "no answer in time; ask again with the same payment, it is not charged twice";
                told(unavailable("handler_timed_out", text), receipt.into())
            }
            Refusal::HandlerBrokeOff(None) => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", "the answer broke off; nothing was charged")
            }
            Refusal::HandlerBrokeOff(Some(receipt)) => {
                let text = "the answer broke off; ask again with the same payment, it is not charged twice";
                told(plain(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", text), receipt.into())
            }
            Refusal::Misconfigured(text) => {
                tracing::error!(text, "gate is misconfigured");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "misconfigured", text)
            }
        }
    }

    /// A 402 with the offers, and why a payment was refused; 412 to payers of x402 version 2 who have to approve Permit2 first.
    fn ask_again(&self, visit: Option<&Visit>, reject: &Reject, payer: Option<Address>) -> Response<Bytes> {
        let mut response = ask(visit.and_then(|visit| self.challenge(visit, &Why::Refused { reject, payer })));
        let in_v2 = visit.is_some_and(|visit| visit.dialect == Dialect::X402V2);
        if in_v2 && reject.word() == NOT_APPROVED && response.status() == StatusCode::PAYMENT_REQUIRED {
            *response.status_mut() = StatusCode::PRECONDITION_FAILED;
        }
        response
    }

    /// After a broadcast never 402: the payer would sign again while the first payment can still land (T008).
    fn unsettled(&self, visit: Option<&Visit>, error: SettleError, network: Network, payer: Address, first: bool) -> Response<Bytes> {
        let dialect = visit.map_or(Dialect::H402V1, |visit| visit.dialect);
        if sabotaged("pending.asks_again") {
            return self.ask_again(visit, &Reject::NoOffer, Some(payer));
        }
        let response = match &error {
            SettleError::Rejected { reject, transaction: None } if first && !reject.is_conflict() => {
                self.ask_again(visit, reject, Some(payer))
            }
            SettleError::Rejected { reject, .. } => conflict(reject.word(), &reject.to_string(), None),
            SettleError::Pending { .. } => unavailable("settlement_pending", "the payment is on its way; ask again with the same payment"),
            SettleError::Undecided(undecided) => return unavailable(undecided.word(), &undecided.to_string()),
        };
        with_receipt(response, dialect, &Outcome::Unsettled { error, network, payer })
    }
}

/// Says in the headers of an answer what became of the payment.
pub(super) fn with_receipt<B>(mut response: Response<B>, dialect: Dialect, outcome: &Outcome) -> Response<B> {
    outcome.write(response.headers_mut(), dialect);
    response
}

/// The receipt of a transaction that may still become one.
pub(super) fn pending(network: Network, payer: Address, transaction: Option<TransactionId>) -> Refusal {
    Refusal::Unsettled { error: SettleError::Pending { transaction }, network, payer, first_attempt: false }
}

/// A 402, if it can be written.
fn ask(challenge: Option<Challenge>) -> Response<Bytes> {
    let Some(Challenge { body, header }) = challenge else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "misconfigured", "the price cannot be written");
    };
    let mut response = json(StatusCode::PAYMENT_REQUIRED, body);
    if let Some(header) = header {
        expose(response.headers_mut(), PAYMENT_REQUIRED, header);
    }
    response
}

/// Preflights belong to a CORS layer before the gate; where that only adds who may ask, this says with what.
fn preflight() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    ALLOWED_HEADERS.iter().for_each(|name| {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from(name.clone()));
    });
    response
}

fn conflict(word: &str, text: &str, retry_after: Option<u16>) -> Response<Bytes> {
    retry(plain(StatusCode::CONFLICT, word, text), retry_after)
}

fn unavailable(word: &str, text: &str) -> Response<Bytes> {
    retry(plain(StatusCode::SERVICE_UNAVAILABLE, word, text), Some(LATER))
}

fn retry(mut response: Response<Bytes>, seconds: Option<u16>) -> Response<Bytes> {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// An answer of one word and one sentence.
pub(super) fn plain(status: StatusCode, word: &str, text: &str) -> Response<Bytes> {
    json(status, h402::encode_error(word, text))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // No cache may show one client's answer to another (T099).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
