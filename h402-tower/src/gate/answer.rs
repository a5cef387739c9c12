//! The gate's own answers: one table from what happened to what the client is told.

use super::{door::Visit, layer::Shared, quote::PriceError};
use crate::chaos::sabotaged;
use bytes::Bytes;
use h402_core::{
    Address, Network, Receipt, Reject, SettleError, SignedReceipt, TransactionId, Undecided,
    wire::h402::{self, SettleAnswer},
};
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

pub(super) const RECEIPT: HeaderName = HeaderName::from_static(h402::RECEIPT_HEADER);
/// When to come back while another request uses the same payment, in seconds.
const SOON: u16 = 1;
/// When to come back while something is not decided, in seconds.
const LATER: u16 = 5;

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
        match refusal {
            Refusal::NoPayment => ask(visit.and_then(|visit| self.first_challenge(visit))),
            Refusal::Options => no_content(),
            Refusal::Rejected { reject, .. } if reject.is_conflict() => {
                let soon = matches!(reject, Reject::InProgress | Reject::TooManyOpen).then_some(SOON);
                conflict(reject.word(), &reject.to_string(), soon, None)
            }
            Refusal::Rejected { reject, payer } => self.ask_again(visit, &format!("{}: {reject}", reject.word()), payer),
            Refusal::Price(error) => match &error {
                PriceError::BadRequest(text) => plain(StatusCode::BAD_REQUEST, "bad_request", text),
                PriceError::NotFound => plain(StatusCode::NOT_FOUND, "not_found", &error.to_string()),
                PriceError::Unavailable => unavailable("price_unavailable", &error.to_string(), None),
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
            Refusal::InProgress => conflict(Reject::InProgress.word(), &Reject::InProgress.to_string(), Some(SOON), None),
            Refusal::UsedElsewhere => conflict(Reject::AlreadyUsed.word(), "the payment has opened another request", None, None),
            Refusal::ServedBefore(receipt) => {
                let text = "the payment was used for this request; the answer is not kept any more";
                conflict(Reject::AlreadyUsed.word(), text, None, Some(&SettleAnswer::settled(&receipt)))
            }
            Refusal::Credited { receipt, credit } => {
                let text = "the payment was taken and the request could not be served; the receipt is a credit";
                conflict("payment_credited", text, None, Some(&SettleAnswer { credit, ..SettleAnswer::settled(&receipt) }))
            }
            Refusal::Refunded(receipt) => {
                let text = "the payment was taken, the request could not be served, and the money was given back";
                conflict("payment_refunded", text, None, Some(&SettleAnswer::settled(&receipt)))
            }
            Refusal::RefusedBefore => conflict("payment_refused", "the payment was refused when it was settled", None, None),
            Refusal::TooManyRuns => {
                conflict("payment_runs_exhausted", "the request failed too often with this payment; nothing was charged", None, None)
            }
            Refusal::Undecided(undecided) => unavailable(undecided.word(), &undecided.to_string(), None),
            Refusal::Unsettled { error, network, payer, first_attempt } => self.unsettled(visit, &error, network, payer, first_attempt),
            Refusal::Unrecorded(receipt) => {
                let text = "the payment was taken and could not be recorded; ask again with the same payment";
                unavailable("settlement_pending", text, Some(&SettleAnswer::settled(&receipt)))
            }
            Refusal::HandlerTimedOut(None) => unavailable("handler_timed_out", "no answer in time; nothing was charged", None),
            Refusal::HandlerTimedOut(Some(receipt)) => {
                let text = "no answer in time; ask again with the same payment, it is not charged twice";
                unavailable("handler_timed_out", text, Some(&SettleAnswer::settled(&receipt)))
            }
            Refusal::HandlerBrokeOff(receipt) => {
                let charged = receipt.as_ref().map(SettleAnswer::settled);
                let text = match receipt {
                    None => "the answer broke off; nothing was charged",
                    Some(_) => "the answer broke off; ask again with the same payment, it is not charged twice",
                };
                with_receipt(plain(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", text), charged.as_ref())
            }
            Refusal::Misconfigured(text) => {
                tracing::error!(text, "gate is misconfigured");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "misconfigured", text)
            }
        }
    }

    /// A 402 with the offers, and why a payment was refused.
    fn ask_again(&self, visit: Option<&Visit>, error: &str, payer: Option<Address>) -> Response<Bytes> {
        ask(visit.and_then(|visit| self.challenge(visit, error, payer)))
    }

    /// After a broadcast never 402: the payer would sign again while the first payment can still land (T008).
    fn unsettled(&self, visit: Option<&Visit>, error: &SettleError, network: Network, payer: Address, first: bool) -> Response<Bytes> {
        let receipt = SettleAnswer::failed(error, network, Some(payer));
        let sent = receipt.transaction.is_some();
        if sabotaged("pending.asks_again") {
            return self.ask_again(visit, "not settled", Some(payer));
        }
        match error {
            SettleError::Rejected { reject, transaction: None } if first && !sent && !reject.is_conflict() => {
                self.ask_again(visit, &format!("{}: {reject}", reject.word()), Some(payer))
            }
            SettleError::Rejected { reject, .. } => conflict(reject.word(), &reject.to_string(), None, Some(&receipt)),
            SettleError::Pending { .. } => {
                unavailable("settlement_pending", "the payment is on its way; ask again with the same payment", Some(&receipt))
            }
            SettleError::Undecided(undecided) => unavailable(undecided.word(), &undecided.to_string(), None),
        }
    }
}

/// Says in the headers of an answer what became of the payment.
pub(super) fn with_receipt<B>(mut response: Response<B>, receipt: Option<&SettleAnswer>) -> Response<B> {
    let value = receipt.and_then(|receipt| h402::encode_receipt(receipt).ok()).and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(value) = value {
        let headers = response.headers_mut();
        headers.insert(RECEIPT, value);
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("X-PAYMENT-RESPONSE"));
    }
    response
}

/// The receipt of a transaction that may still become one.
pub(super) fn pending(network: Network, payer: Address, transaction: Option<TransactionId>) -> Refusal {
    Refusal::Unsettled { error: SettleError::Pending { transaction }, network, payer, first_attempt: false }
}

/// A 402, if its body can be written.
fn ask(body: Option<Vec<u8>>) -> Response<Bytes> {
    match body {
        Some(body) => json(StatusCode::PAYMENT_REQUIRED, body),
        None => plain(StatusCode::INTERNAL_SERVER_ERROR, "misconfigured", "the price cannot be written"),
    }
}

fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn conflict(word: &str, text: &str, retry_after: Option<u16>, receipt: Option<&SettleAnswer>) -> Response<Bytes> {
    with_receipt(retry(plain(StatusCode::CONFLICT, word, text), retry_after), receipt)
}

fn unavailable(word: &str, text: &str, receipt: Option<&SettleAnswer>) -> Response<Bytes> {
    with_receipt(retry(plain(StatusCode::SERVICE_UNAVAILABLE, word, text), Some(LATER)), receipt)
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
