//! One call: ask, choose, sign once, present.

use super::{
    CallKey, ChallengeError, Journal, Origin, PayError, SignedPayment, Terms, Unusable, Wallet,
    body::{self, ReadError},
    challenge::{self, Form},
    error::BoxError,
    layer::Settings,
    present::present,
    request::{Replay, pays_for_itself},
};
use crate::chaos::sabotaged;
use bytes::Bytes;
use core::{future::poll_fn, time::Duration};
use h402_core::{Dialect, Requirements, UnixSeconds};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::time::{sleep, timeout};
use tower_service::Service;

/// Longest request body that is kept for sending again.
const MAX_REQUEST_BODY: usize = 1024 * 1024;
/// Longest 402 that is read (T126).
const MAX_CHALLENGE: usize = 256 * 1024;
/// How long a 402 may take to arrive once it has begun (T126).
const CHALLENGE_TIMEOUT: Duration = Duration::from_secs(10);

/// When a 402 is asked for again that lacks what the server may be finding out.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long an authorization is valid when the server does not say, as reference clients have it.
const DEFAULT_LIFETIME: u64 = 30;
/// Servers choose between these, in seconds (T118).
const SHORTEST_LIFETIME: u64 = 10;
const LONGEST_LIFETIME: u64 = 600;
/// Clocks may differ, and an authorization that starts in the past loses nothing.
const BACKDATED: u64 = 600;

/// Runs one call. `inner` is ready.
pub(super) async fn run<S, B, RB, W, J>(
    mut inner: S,
    wallet: &W,
    journal: &J,
    settings: &Settings,
    request: Request<B>,
) -> Result<Response<RB>, PayError<S::Error>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>>,
    B: Body,
    B::Error: Into<BoxError>,
    RB: Body,
    RB::Error: Into<BoxError>,
    W: Wallet,
    J: Journal,
{
    let (mut parts, body) = request.into_parts();
    let body = body::read(body, MAX_REQUEST_BODY).await.map_err(|error| match error {
        ReadError::TooLarge => PayError::BodyTooLarge { limit: MAX_REQUEST_BODY },
        ReadError::Failed(error) => PayError::RequestBody(error),
    })?;
    let resumed = parts.extensions.remove::<SignedPayment>();
    let key = parts.extensions.get::<CallKey>().cloned();
    let request = Replay { parts, body };
    if pays_for_itself(&request.parts.headers) {
        // The caller pays for itself.
        return inner.call(request.unpaid()).await.map_err(PayError::Inner);
    }
    let kept = match (resumed, &key) {
        (Some(payment), _) => Some(payment),
        (None, Some(key)) => journal.find(key).await?,
        (None, None) => None,
    };
    let payment = match kept {
        Some(payment) => payment,
        None => {
            let response = inner.call(request.unpaid()).await.map_err(PayError::Inner)?;
            if response.status() != StatusCode::PAYMENT_REQUIRED {
                return Ok(response);
            }
            let called = Origin::of(&request.parts.uri).ok_or(PayError::NoOrigin)?;
            let payment = match pay(response, called.clone(), wallet, settings, key.as_ref()).await {
                Err(PayError::NothingAffordable(why)) if why.contains(&Unusable::NoHints) => {
                    // A server that was not asked for a while has let its blockhash age, and is reading a new one now.
                    sleep(ASK_AGAIN).await;
                    poll_fn(|cx| inner.poll_ready(cx)).await.map_err(PayError::Inner)?;
                    let response = inner.call(request.unpaid()).await.map_err(PayError::Inner)?;
                    if response.status() != StatusCode::PAYMENT_REQUIRED {
                        return Ok(response);
                    }
                    pay(response, called, wallet, settings, key.as_ref()).await?
                }
                payment => payment?,
            };
            match &key {
                // Of concurrent calls with one key, one payment is kept and sent by all.
                Some(key) if !sabotaged("journal.skip") => journal.signed(key, payment).await?,
                _ => payment,
            }
        }
    };
    let called = Origin::of(&request.parts.uri).ok_or(PayError::NoOrigin)?;
    if *payment.origin() != called && !sabotaged("origin.ignore") {
        return Err(PayError::Resume { signed_for: payment.origin().clone(), called });
    }
    present(&mut inner, &request, payment, settings.patience).await
}

/// Reads the 402, holds it against every limit, and signs. Nothing is sent here.
async fn pay<E, RB, W>(
    response: Response<RB>,
    asked: Origin,
    wallet: &W,
    settings: &Settings,
    call: Option<&CallKey>,
) -> Result<SignedPayment, PayError<E>>
where
    RB: Body,
    RB::Error: Into<BoxError>,
    W: Wallet,
{
    if !asked.is_private() && !settings.plain_http {
        return Err(PayError::PlainHttp(asked));
    }
    let (head, body) = response.into_parts();
    let body = read_challenge(body).await;
    let challenge = challenge::read(&head.headers, body, settings.cap.assets())?;
    let (requirements, form) = settings.choice.choose(challenge, &settings.cap, wallet)?;
    let resource = &requirements.resource.url;
    // A 402 without a resource claims nothing: what is signed then names no place at all.
    if !resource.is_empty() && !settings.foreign_resource && Origin::of_text(resource).as_ref() != Some(&asked) {
        return Err(PayError::ForeignResource { asked });
    }
    let (asset, amount) = (requirements.offer.asset.id, requirements.offer.amount);
    let draw = match &settings.budget {
        Some(budget) => Some(budget.draw(asset, amount).map_err(|_| PayError::OverBudget { asset, price: amount })?),
        None => None,
    };
    let terms = terms(requirements, &form, settings);
    let payload = wallet.sign(&terms).await?;
    // What cannot be written does not leave, and costs nothing.
    let header = form.write(payload, &asked, call)?;
    if let Some(draw) = draw {
        draw.signed();
    }
    tracing::debug!(origin = %asked, dialect = ?form.dialect(), network = %asset.network, asset = %asset.address, amount_atomic = %amount, "payment signed");
    Ok(SignedPayment::new(&header, form.dialect(), terms.requirements, amount, asked)?)
}

async fn read_challenge<RB>(body: RB) -> Result<Bytes, ChallengeError>
where
    RB: Body,
    RB::Error: Into<BoxError>,
{
    match timeout(CHALLENGE_TIMEOUT, body::read(body, MAX_CHALLENGE)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(ReadError::TooLarge)) => Err(ChallengeError::TooLarge { limit: MAX_CHALLENGE }),
        Ok(Err(ReadError::Failed(error))) => Err(ChallengeError::Body(error)),
        Err(_) => Err(ChallengeError::TooSlow),
    }
}

fn terms(requirements: Requirements, form: &Form, settings: &Settings) -> Terms {
    let now = settings.clock.now();
    let lifetime = requirements.lifetime_seconds.unwrap_or(DEFAULT_LIFETIME).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME);
    let resource = match &*requirements.resource.url {
        "" => format!("402 signature {}", now.0),
        url => url.to_owned(),
    };
    Terms {
        amount: requirements.offer.amount,
        resource,
        // As the reference clients of each dialect have it.
        valid_after: match form.dialect() {
            Dialect::X402V2 => UnixSeconds(0),
            _ => UnixSeconds(now.seconds().0.saturating_sub(BACKDATED)),
        },
        valid_before: now.seconds().plus(lifetime),
        requirements,
    }
}
