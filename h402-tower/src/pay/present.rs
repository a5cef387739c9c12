//! Presents the one payment of a call, as often as it takes to learn what became of it (T123).

use super::{Paid, PayError, Refused, SignedPayment, error::BoxError, receipt::receipt, request::Replay};
use crate::chaos::sabotaged;
use bytes::Bytes;
use core::{future::poll_fn, time::Duration};
use h402_core::{Dialect, TransactionId};
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body::Body;
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout_at};
use tower_service::Service;

/// How long a call waits for the outcome of its payment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// In all, from the first sending on.
    pub(super) deadline: Duration,
    /// For one answer. Servers decide within 30 s.
    pub(super) attempt: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(90), attempt: Duration::from_secs(35) }
    }
}

/// Pauses between sendings double from here …
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// … to here, unless the server asks for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Sends the payment and, while the outcome is unknown, sends it again, byte for byte.
pub(super) async fn present<S, RB>(
    inner: &mut S,
    request: &Replay,
    payment: SignedPayment,
    patience: Patience,
) -> Result<Response<RB>, PayError<S::Error>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>>,
    RB: Body,
    RB::Error: Into<BoxError>,
{
    let deadline = Instant::now() + patience.deadline;
    let mut pause = FIRST_PAUSE;
    let mut unknown = Unknown::default();
    loop {
        // Until it is first handed over, nobody has seen the payment.
        if let Err(error) = poll_fn(|cx| inner.poll_ready(cx)).await {
            if unknown.sends == 0 {
                return Err(PayError::Inner(error));
            }
            unknown.source = Some(error);
            return Err(unknown.error(payment));
        }
        unknown.sends += 1;
        let attempt = deadline.min(Instant::now() + patience.attempt);
        let asked = match timeout_at(attempt, inner.call(request.paid(&payment))).await {
            Ok(Ok(response)) => match outcome(&response) {
                Outcome::Known => return Ok(known(response, payment, unknown.sends == 1)),
                Outcome::Unknown { retry_after } => {
                    unknown.answered(&response, payment.dialect());
                    retry_after
                }
            },
            Ok(Err(error)) => {
                unknown.source = Some(error);
                None
            }
            Err(_) => None,
        };
        let wait = asked.unwrap_or_default().max(pause);
        // Subtracted, not added: a server may ask for more seconds than a clock can hold.
        if wait >= deadline.saturating_duration_since(Instant::now()) {
            return Err(unknown.error(payment));
        }
        tracing::debug!(sends = unknown.sends, status = ?unknown.status, "payment has no known outcome yet; sending it again");
        sleep(wait).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// What an answer says about the payment.
enum Outcome {
    /// The call is over, paid or refused.
    Known,
    /// The payment may be under way.
    Unknown { retry_after: Option<Duration> },
}

fn outcome<RB>(response: &Response<RB>) -> Outcome {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    match response.status() {
        status if status.is_server_error() && !sabotaged("unknown.final") => Outcome::Unknown { retry_after },
        // In progress, or turned away at the door: both say when to come back.
        StatusCode::CONFLICT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS if retry_after.is_some() => {
            Outcome::Unknown { retry_after }
        }
        _ => Outcome::Known,
    }
}

/// Marks the answer with what became of the payment.
fn known<RB>(mut response: Response<RB>, payment: SignedPayment, first_answer: bool) -> Response<RB> {
    let receipt = receipt(response.headers(), payment.dialect());
    // With 412, servers of x402 want an approval of Permit2 before they take such a payment.
    if matches!(response.status(), StatusCode::PAYMENT_REQUIRED | StatusCode::PRECONDITION_FAILED) {
        // Final: a second payment for one call is never made (T121).
        response.extensions_mut().insert(Refused { payment, receipt, first_answer });
    } else {
        let (requirements, amount) = (payment.requirements().clone(), payment.amount());
        response.extensions_mut().insert(Paid { receipt, requirements, amount, payment });
    }
    response
}

/// What is known of a payment whose outcome is not.
struct Unknown<E> {
    sends: u32,
    status: Option<StatusCode>,
    transaction: Option<TransactionId>,
    source: Option<E>,
}

impl<E> Default for Unknown<E> {
    fn default() -> Self {
        Self { sends: 0, status: None, transaction: None, source: None }
    }
}

impl<E> Unknown<E> {
    fn answered<RB>(&mut self, response: &Response<RB>, dialect: Dialect) {
        self.status = Some(response.status());
        self.transaction = receipt(response.headers(), dialect).and_then(|receipt| receipt.transaction).or(self.transaction);
        self.source = None;
    }

    fn error(self, payment: SignedPayment) -> PayError<E> {
        let Self { sends, status, transaction, source } = self;
        PayError::OutcomeUnknown { payment: Box::new(payment), sends, status, transaction, source }
    }
}
