//! Which dialect a peer speaks: told from what it sent, never guessed from two things at once (T111).

use super::{h402::RequestError, header, json};
use crate::{Dialect, Reject};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The payment header that a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    /// What it speaks.
    pub dialect: Dialect,
    /// The header's value, longer than is read or not.
    pub value: &'a [u8],
}

/// Why the payment headers of a request are no payment.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// More than one payment header: two values, a list, or two dialects. 400, since either could be meant.
    #[error("more than one payment header")]
    Several,
    /// Longer than is read. 431.
    #[error("payment header is longer than 16 KiB")]
    TooLong,
    /// The one header is of no dialect.
    #[error(transparent)]
    Rejected(#[from] Reject),
}

/// Tells the dialect of a request from its payment headers: all values of `X-PAYMENT`, then all of `PAYMENT-SIGNATURE`.
/// `None` if there is no payment.
///
/// # Errors
/// [`HeaderError`].
///
/// ```
/// use h402_core::{Dialect, wire};
/// // base64 of {"x402Version":1}
/// let header: &[u8] = b"eyJ4NDAyVmVyc2lvbiI6MX0=";
/// assert_eq!(wire::presented([header], [])?.map(|found| found.dialect), Some(Dialect::X402V1));
/// assert_eq!(wire::presented([], [header])?.map(|found| found.dialect), Some(Dialect::X402V2));
/// assert_eq!(wire::presented([header], [header]), Err(wire::HeaderError::Several));
/// assert_eq!(wire::presented([], []), Ok(None));
/// # Ok::<(), wire::HeaderError>(())
/// ```
pub fn presented<'a>(
    x_payment: impl IntoIterator<Item = &'a [u8]>,
    payment_signature: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Presented<'a>>, HeaderError> {
    let (mut first, mut second) = (x_payment.into_iter(), payment_signature.into_iter());
    let found = match (first.next(), second.next()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(HeaderError::Several),
        (Some(value), None) => (value, true),
        (None, Some(value)) => (value, false),
    };
    let (value, body_dialects) = found;
    // No base64 has a comma: it joins what were two headers.
    if first.next().is_some() || second.next().is_some() || value.contains(&b',') {
        return Err(HeaderError::Several);
    }
    if value.len() > super::h402::MAX_HEADER {
        return Err(HeaderError::TooLong);
    }
    let dialect = if body_dialects { of_x_payment(value)? } else { Dialect::X402V2 };
    Ok(Some(Presented { dialect, value }))
}

/// h402 and x402 version 1 share `X-PAYMENT`; the version says which it is.
fn of_x_payment(value: &[u8]) -> Result<Dialect, Reject> {
    let text = header::decode_payment(value)?;
    let versions: VersionsIn<'_> = json::read_payload(&text)?;
    match (versions.h402_version, versions.x402_version) {
        (Some(_), None) => Ok(Dialect::H402V1),
        (None, Some(version)) if json::is(version, 1) => Ok(Dialect::X402V1),
        (None, Some(_)) => Err(Reject::Version),
        (Some(_), Some(_)) => Err(Reject::Malformed("of two protocols at once")),
        (None, None) => Err(Reject::Malformed("no protocol version")),
    }
}

/// Tells the dialect of `POST /verify` and `POST /settle` from the shape of the body.
///
/// # Errors
/// [`RequestError::Malformed`] if it has the shape of none, or of two; [`RequestError::Rejected`] with
/// [`Reject::Version`] for a version of x402 that is not spoken here.
///
/// ```
/// use h402_core::{Dialect, wire};
/// let body = br#"{"x402Version":2,"paymentPayload":{"x402Version":2},"paymentRequirements":{}}"#;
/// assert_eq!(wire::of_request(body), Ok(Dialect::X402V2));
/// assert_eq!(wire::of_request(br#"{"payload":"e30=","paymentRequirements":{}}"#), Ok(Dialect::H402V1));
/// ```
pub fn of_request(body: &[u8]) -> Result<Dialect, RequestError> {
    let shape: ShapeIn<'_> = json::read_bytes(body).map_err(|error| match error {
        super::WireError::Shape => RequestError::Malformed("a payload and paymentRequirements are required, once each"),
        _ => RequestError::Malformed("not JSON"),
    })?;
    let payment = match (shape.payload, shape.payment_payload) {
        (Some(_), None) if shape.x402_version.is_none() => return Ok(Dialect::H402V1),
        (None, Some(payment)) => payment,
        (None, None) => return Err(RequestError::Malformed("a payload and paymentRequirements are required, once each")),
        _ => return Err(RequestError::Malformed("of two protocols at once")),
    };
    let inner: VersionsIn<'_> = json::read(payment.get()).map_err(|_| RequestError::Malformed("paymentPayload is no payment"))?;
    if inner.h402_version.is_some() {
        return Err(RequestError::Malformed("of two protocols at once"));
    }
    // The reference fills in the outer version from the inner one, so that one rules; but they may not differ.
    let version = inner.x402_version.ok_or(RequestError::Malformed("paymentPayload has no x402Version"))?;
    if shape.x402_version.is_some_and(|outer| outer.get() != version.get()) {
        return Err(RequestError::Malformed("x402Version is not the payload's"));
    }
    match (json::is(version, 1), json::is(version, 2)) {
        (true, _) => Ok(Dialect::X402V1),
        (_, true) => Ok(Dialect::X402V2),
        _ => Err(Reject::Version.into()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionsIn<'a> {
    #[serde(borrow)]
    h402_version: Option<&'a RawValue>,
    #[serde(borrow)]
    x402_version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShapeIn<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    payment_payload: Option<&'a RawValue>,
    #[serde(borrow)]
    x402_version: Option<&'a RawValue>,
}
