//! `POST /verify` and `POST /settle`, in whichever dialect the body is of: answers come in the same.

use super::{
    body::{self, Unread},
    routes::{Answer, error, json, undecided},
};
use crate::Engine;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use h402_core::{
    Address, Amount, CallerKey, Clock, Dialect, Matched, Network, Receipt, Reject, Scheme, SettleError, Store, Undecided, Verified,
    VerifyError,
    wire::{
        self, WireError, h402,
        h402::RequestError,
        x402::{self, v1, v2},
    },
};

/// Longest `Idempotency-Key` in bytes.
const MAX_CALLER_KEY: usize = 255;

pub(super) async fn verify<S: Store, C: Clock>(
    State(engine): State<Engine<S, C>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Answer> {
    let (caller, Asked { dialect, payment, nothing }) = ask(&engine, &headers, body).await?;
    let payment = match payment {
        Ok(_) if nothing => return Ok(verified(dialect, &Err(Reject::Requirements("amount is zero").into()), None, None)),
        Ok(payment) => payment,
        Err(reject) => return Ok(verified(dialect, &Err(reject.into()), None, None)),
    };
    let (network, payer) = (payment.network(), payment.payer());
    Ok(verified(dialect, &engine.verify(payment, caller).await, Some(network), Some(payer)))
}

pub(super) async fn settle<S: Store, C: Clock>(
    State(engine): State<Engine<S, C>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Answer> {
    let (caller, Asked { dialect, payment, nothing }) = ask(&engine, &headers, body).await?;
    let payment = match payment {
        Ok(payment) if nothing => return Ok(answer(v2::encode_settle(&settled_for_nothing(&payment)), false)),
        Ok(payment) => payment,
        // Who has a key was told that the payment is good, and has given something for it: it may be on its way since before a
        // change of configuration, and must not be refused for that.
        Err(Reject::Network(_) | Reject::Asset) if caller.is_some() => {
            return Ok(settled(dialect, &Err(Undecided::NotConfigured.into()), None, None, None));
        }
        Err(reject) => return Ok(settled(dialect, &Err(reject.into()), None, None, None)),
    };
    let (network, payer) = (payment.network(), payment.payer());
    let amount = (payment.requirements().offer.scheme == Scheme::Upto).then(|| payment.amount());
    Ok(settled(dialect, &engine.settle(payment, caller).await, Some(network), Some(payer), amount))
}

/// What was asked. A payment that is refused before anybody looks at the chain is an answer as well.
struct Asked {
    dialect: Dialect,
    payment: Result<Matched, Reject>,
    /// Whether nothing of it shall be moved.
    nothing: bool,
}

/// Who asks what, or the answer that this is no question.
async fn ask<S: Store, C: Clock>(engine: &Engine<S, C>, headers: &HeaderMap, body: Body) -> Result<(Option<CallerKey>, Asked), Answer> {
    let caller = caller(headers)?;
    let body = body::read(body).await.map_err(|unread| {
        let status = match unread {
            Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
        };
        error(status, "invalid_request", unread.text())
    })?;
    let refuse = |why| error(StatusCode::BAD_REQUEST, "invalid_request", why);
    let dialect = match wire::of_request(&body) {
        Ok(dialect) => dialect,
        Err(RequestError::Malformed(why)) => return Err(refuse(why)),
        // Of x402, in a version to come.
        Err(RequestError::Rejected(reject)) => {
            return Ok((caller, Asked { dialect: Dialect::X402V2, payment: Err(reject), nothing: false }));
        }
    };
    match read(engine, dialect, &body) {
        Ok((payment, nothing)) => Ok((caller, Asked { dialect, payment: Ok(payment), nothing })),
        Err(RequestError::Rejected(reject)) => Ok((caller, Asked { dialect, payment: Err(reject), nothing: false })),
        Err(RequestError::Malformed(why)) => Err(refuse(why)),
    }
}

/// Reads the body and matches the payload with its one requirement; and whether nothing of it shall be moved.
fn read<S: Store, C: Clock>(engine: &Engine<S, C>, dialect: Dialect, body: &[u8]) -> Result<(Matched, bool), RequestError> {
    let request = match dialect {
        Dialect::X402V1 => v1::decode_request(body, engine.assets())?,
        Dialect::X402V2 => v2::decode_request(body, engine.assets())?,
        _ => {
            let request = h402::decode_request(body, engine.assets())?;
            let contracts = engine.takes_contracts(request.network());
            return Ok((if contracts { request.matched_with_contracts() } else { request.matched() }?, false));
        }
    };
    let contracts = engine.takes_contracts(request.network());
    let nothing = request.nothing;
    Ok((request.matched(contracts)?, nothing))
}

/// The answer to `/verify`. Undecided is 503 in every dialect; who looks into the body of an x402 answer whatever its status is
/// finds a word there that is nobody's verdict.
fn verified(dialect: Dialect, verdict: &Result<Verified, VerifyError>, network: Option<Network>, payer: Option<Address>) -> Answer {
    let body = match (dialect, verdict) {
        (Dialect::X402V1 | Dialect::X402V2, _) => {
            let answer = match verdict {
                Ok(verified) => x402::VerifyAnswer::verified(verified),
                Err(refused) => x402::VerifyAnswer::failed(refused, dialect, network, payer),
            };
            if dialect == Dialect::X402V1 { v1::encode_verify(&answer) } else { v2::encode_verify(&answer) }
        }
        (_, Ok(verified)) => h402::encode_verify(&h402::VerifyAnswer::verified(verified)),
        (_, Err(VerifyError::Undecided(why))) => return undecided(why),
        (_, Err(refused)) => h402::encode_verify(&h402::VerifyAnswer::failed(refused, payer)),
    };
    answer(body, matches!(verdict, Err(VerifyError::Undecided(_))))
}

/// The answer to `/settle`. What is pending has an answer, and so is 200: not every program reads another.
fn settled(
    dialect: Dialect,
    outcome: &Result<Receipt, SettleError>,
    network: Option<Network>,
    payer: Option<Address>,
    amount: Option<Amount>,
) -> Answer {
    let body = match (dialect, outcome) {
        (Dialect::X402V1 | Dialect::X402V2, _) => {
            let answer = match outcome {
                Ok(receipt) => x402::SettleAnswer { amount, ..x402::SettleAnswer::settled(receipt) },
                Err(failed) => x402::SettleAnswer::failed(failed, dialect, network, payer),
            };
            if dialect == Dialect::X402V1 { v1::encode_settle(&answer) } else { v2::encode_settle(&answer) }
        }
        (_, Ok(receipt)) => h402::encode_settle(&h402::SettleAnswer::settled(receipt)),
        (_, Err(SettleError::Undecided(why))) => return undecided(why),
        (_, Err(failed)) => h402::encode_settle(&h402::SettleAnswer::failed(failed, network, payer)),
    };
    answer(body, matches!(outcome, Err(SettleError::Undecided(_))))
}

/// What was sold turned out to cost nothing: the payer's signature is good, nothing is sent, and the payment stays as good as it was.
fn settled_for_nothing(payment: &Matched) -> x402::SettleAnswer {
    let (network, payer, amount) = (Some(payment.network()), Some(payment.payer()), Some(Amount::ZERO));
    x402::SettleAnswer { success: true, network, payer, amount, ..x402::SettleAnswer::default() }
}

fn answer(body: Result<Vec<u8>, WireError>, undecided: bool) -> Answer {
    if !undecided {
        return json(StatusCode::OK, body);
    }
    let mut answer = json(StatusCode::SERVICE_UNAVAILABLE, body);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn caller(headers: &HeaderMap) -> Result<Option<CallerKey>, Answer> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let refuse = || error(StatusCode::BAD_REQUEST, "invalid_request", "Idempotency-Key is one header of at most 255 visible characters");
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => match key.to_str() {
            Ok(text) if !text.is_empty() && text.len() <= MAX_CALLER_KEY => Ok(Some(CallerKey::of_text(text))),
            _ => Err(refuse()),
        },
        (Some(_), Some(_)) => Err(refuse()),
    }
}
