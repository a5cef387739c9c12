use super::{
    answer,
    client::{BadFacilitatorUrl, HttpClient, NoAnswer, secret},
    x402,
};
use core::{fmt, time::Duration};
use h402_core::{
    CallerKey, Checked, Claimed, Dialect, Facilitator, Lookup, Matched, PaymentKey, PaymentPayload, Receipt, ReceiptIssuer, Reject,
    SettleError, Supported, Undecided, Verified, VerifyError,
    wire::{WireError, h402},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::{Instant, sleep};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How often one call to settle asks.
const SETTLE_TRIES: u32 = 3;
/// Pause before asking again, once and then twice as long.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// How long the free questions may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A facilitator reached over HTTP: any that speaks h402 version 1, best one of ours; or, if it is told so, one that speaks
/// x402.
///
/// The payment is written anew from its typed form, so that the gate and the facilitator judge the same values.
///
/// ```
/// use h402_tower::remote::RemoteFacilitator;
///
/// let facilitator = RemoteFacilitator::new("https://facilitator.example/")?;
/// assert_eq!(format!("{facilitator:?}"), "RemoteFacilitator(\"https://facilitator.example\")");
/// assert!(RemoteFacilitator::new("https://user:secret@facilitator.example").is_err());
/// # Ok::<(), h402_tower::remote::BadFacilitatorUrl>(())
/// ```
#[derive(Clone)]
pub struct RemoteFacilitator {
    http: HttpClient,
    verify_headers: HeaderMap,
    settle_headers: HeaderMap,
    verify_timeout: Duration,
    settle_timeout: Duration,
    receipt_issuer: Option<ReceiptIssuer>,
    dialect: Dialect,
}

impl RemoteFacilitator {
    /// Speaks to the facilitator at `url`, with or without a trailing slash.
    ///
    /// # Errors
    /// [`BadFacilitatorUrl`].
    pub fn new(url: &str) -> Result<Self, BadFacilitatorUrl> {
        Ok(Self {
            http: HttpClient::new(url)?,
            verify_headers: HeaderMap::new(),
            settle_headers: HeaderMap::new(),
            verify_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_secs(28),
            receipt_issuer: None,
            dialect: Dialect::H402V1,
        })
    }

    /// Asks in this dialect, whatever payers speak; in h402 unless set. A facilitator of x402 is asked about authorizations and
    /// Solana transactions of all three dialects; other payments it does not know, and they are refused.
    ///
    /// It is taken for one that neither repeats its answers nor reserves balances: a payer has one payment open at a time, and a
    /// settlement whose answer was lost stays open.
    ///
    /// ```
    /// use h402_core::Dialect;
    /// use h402_tower::remote::RemoteFacilitator;
    /// let facilitator = RemoteFacilitator::new("https://x402.example/facilitator")?.with_dialect(Dialect::X402V2);
    /// # Ok::<(), h402_tower::remote::BadFacilitatorUrl>(())
    /// ```
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sends with each request the headers that `make` returns for its method and URL, such as a token signed for just that.
    /// They are kept secret. Asked again, also for a repetition.
    #[must_use]
    pub fn with_made_headers(mut self, make: impl Fn(&Method, &Uri) -> HeaderMap + Send + Sync + 'static) -> Self {
        self.http.make_headers(make);
        self
    }

    /// Sends these headers with every request. They are kept secret.
    #[must_use]
    pub fn with_headers(self, headers: HeaderMap) -> Self {
        self.with_verify_headers(headers.clone()).with_settle_headers(headers)
    }

    /// Sends these headers with every request but those to settle.
    #[must_use]
    pub fn with_verify_headers(mut self, headers: HeaderMap) -> Self {
        self.verify_headers = secret(headers);
        self
    }

    /// Sends these headers with requests to settle.
    #[must_use]
    pub fn with_settle_headers(mut self, headers: HeaderMap) -> Self {
        self.settle_headers = secret(headers);
        self
    }

    /// How long verifying may take, 10 s unless set.
    #[must_use]
    pub fn with_verify_timeout(mut self, timeout: Duration) -> Self {
        self.verify_timeout = timeout;
        self
    }

    /// How long settling may take with all repetitions, 28 s unless set. Facilitators answer within 25 s.
    #[must_use]
    pub fn with_settle_timeout(mut self, timeout: Duration) -> Self {
        self.settle_timeout = timeout;
        self
    }

    /// Believes no success but one whose receipt this key has signed, as `GET /receipts/key` of one's own facilitator shows it.
    ///
    /// # Security
    /// Whoever answers in the facilitator's place cannot make a gate serve what was not paid: its answers are unknown outcomes.
    #[must_use]
    pub fn with_receipt_issuer(mut self, issuer: ReceiptIssuer) -> Self {
        self.receipt_issuer = Some(issuer);
        self
    }
}

impl fmt::Debug for RemoteFacilitator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteFacilitator").field(&self.http.base()).finish()
    }
}

fn question(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(ACCEPT, JSON);
    headers
}

fn keyed_question(headers: &HeaderMap, caller: CallerKey) -> Result<HeaderMap, Undecided> {
    let mut headers = question(headers);
    headers.insert(CONTENT_TYPE, JSON);
    let mut key = HeaderValue::from_str(&caller.to_header()).map_err(|_| Undecided::Facilitator)?;
    key.set_sensitive(true);
    headers.insert(IDEMPOTENCY_KEY, key);
    Ok(headers)
}

impl RemoteFacilitator {
    /// The question about a payment. Facilitators that speak h402 and know payments which only x402 can say are asked in that.
    fn body(&self, payment: &Matched) -> Result<(Vec<u8>, Dialect), WireError> {
        let offer = &payment.requirements().offer;
        let dialect = if offer.can_be_said_in(self.dialect) { self.dialect } else { Dialect::X402V2 };
        let body = match dialect {
            Dialect::H402V1 => h402::encode_request(&in_h402(payment.payload()), payment.requirements())?,
            _ => x402::question(payment, dialect)?,
        };
        Ok((body, dialect))
    }
}

/// The same payment as h402 says it. What a payer in x402 said of the resource was looked at before.
fn in_h402(payment: &PaymentPayload) -> PaymentPayload {
    let resource = if payment.dialect == Dialect::H402V1 { payment.resource.clone() } else { None };
    PaymentPayload { dialect: Dialect::H402V1, resource, ..payment.clone() }
}

impl Facilitator for RemoteFacilitator {
    async fn supported(&self) -> Result<Supported, Undecided> {
        let deadline = Instant::now() + READ_TIMEOUT.min(self.verify_timeout);
        let answer = self.http.get("/supported", question(&self.verify_headers), deadline).await;
        answer::supported(&answer.map_err(|_| Undecided::Facilitator)?)
    }

    async fn verify(&self, payment: Checked, caller: CallerKey) -> Result<Verified, VerifyError> {
        let deadline = Instant::now() + self.verify_timeout;
        let headers = keyed_question(&self.verify_headers, caller)?;
        let Ok((body, dialect)) = self.body(payment.matched()) else {
            return Err(Reject::PayloadType("a payment that the facilitator does not know").into());
        };
        let mut answer = self.http.post("/verify", headers.clone(), body.clone(), deadline).await;
        if answer.is_err() {
            // Most likely the server closed a connection that had been idle: a new one will do.
            answer = self.http.post("/verify", headers, body, deadline).await;
        }
        let answer = answer.map_err(|_| Undecided::Facilitator)?;
        if dialect == Dialect::H402V1 { answer::verify(payment, &answer) } else { x402::verify(payment, &answer) }
    }

    /// Asks up to three times, with the same key, while there is no answer that names a transaction and time is left; in x402 even
    /// then, since its facilitators wait for a transaction when they are asked again.
    async fn settle(&self, payment: &Claimed, caller: CallerKey) -> Result<Receipt, SettleError> {
        let deadline = Instant::now() + self.settle_timeout;
        let headers = keyed_question(&self.settle_headers, caller)?;
        let (body, dialect) = self.body(payment.matched()).map_err(|_| Undecided::Facilitator)?;
        // What is known of it, once something may have been sent.
        let mut open = None;
        let mut pause = SETTLE_PAUSE;
        for tries in 1..=SETTLE_TRIES {
            let said = match self.http.post("/settle", headers.clone(), body.clone(), deadline).await {
                Ok(answer) => answer::settle(payment, &answer, dialect, self.receipt_issuer.as_ref()),
                Err(NoAnswer::NotSent) => Err(Undecided::Facilitator.into()),
                Err(NoAnswer::Unknown) => Err(SettleError::Pending { transaction: None }),
            };
            match (said, open) {
                (Ok(receipt), _) => return Ok(receipt),
                // It has a transaction under way and has waited for it: whoever asks next may wait again.
                (Err(SettleError::Pending { transaction: Some(known) }), _) if self.dialect == Dialect::H402V1 => {
                    return Err(SettleError::Pending { transaction: Some(known) });
                }
                (Err(SettleError::Pending { transaction }), known) => open = Some(transaction.or(known.flatten())),
                // Nothing was asked before, so this is all there is to know.
                (Err(error), None) => return Err(error),
                // A facilitator that forgets its callers may refuse what it has just settled for us: proves nothing.
                (Err(SettleError::Rejected { transaction, .. }), Some(known)) => open = Some(transaction.or(known)),
                (Err(SettleError::Undecided(_)), Some(_)) => {}
            }
            if tries == SETTLE_TRIES || Instant::now() + pause >= deadline {
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
        tracing::warn!(facilitator = self.http.base(), key = %payment.matched().key(), "outcome of a settlement is unknown");
        Err(SettleError::Pending { transaction: open.flatten() })
    }

    async fn lookup(&self, payment: &PaymentKey) -> Result<Lookup, Undecided> {
        let deadline = Instant::now() + READ_TIMEOUT.min(self.verify_timeout);
        let answer = self.http.get(&format!("/payments/{payment}"), question(&self.verify_headers), deadline).await;
        answer::lookup(&answer.map_err(|_| Undecided::Facilitator)?)
    }
}
