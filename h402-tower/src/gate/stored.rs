//! A handler's answer: made private, kept, and given again.

use super::{answer::with_receipt, body::Whole, layer::Limits};
use bytes::Bytes;
use h402_core::{Dialect, Receipt, StoredAnswer};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CACHE_CONTROL, response};

/// Headers by which some shared caches are told more than by `Cache-Control`, and obey that instead (RFC 9213; nginx).
const TARGETED: [HeaderName; 4] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cloudflare-cdn-cache-control"),
    HeaderName::from_static("x-accel-expires"),
];

/// Keeps shared caches from giving a paid answer to somebody else (T099).
pub(super) fn make_private(headers: &mut HeaderMap, limits: &Limits) {
    if limits.public_caching {
        return;
    }
    TARGETED.iter().for_each(|name| {
        headers.remove(name);
    });
    if !is_private(headers) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
}

/// Whether the handler has forbidden shared caches itself. `private="field"` forbids nothing but that field.
fn is_private(headers: &HeaderMap) -> bool {
    let mut private = false;
    for value in headers.get_all(CACHE_CONTROL) {
        let Ok(list) = value.to_str() else { return false };
        for directive in list.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            match directive.split_once('=').map_or(directive.as_str(), |(name, _)| name) {
                "public" | "s-maxage" => return false,
                "private" | "no-store" if !directive.contains('=') => private = true,
                _ => {}
            }
        }
    }
    private
}

/// The answer as it is kept, without the receipt; `None` if it cannot be given again byte for byte.
pub(super) fn keep(parts: &response::Parts, body: &Whole) -> Option<StoredAnswer> {
    if body.trailers.is_some() || body.data.len() > StoredAnswer::MAX_BODY {
        return None;
    }
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    Some(StoredAnswer { status: parts.status.as_u16(), headers, body: body.data.clone().into() })
}

/// The kept answer with its receipt, the same bytes as the first time; `None` if the store has spoiled it.
pub(super) fn give_again(stored: StoredAnswer, receipt: Receipt, dialect: Dialect) -> Option<Response<Bytes>> {
    let mut response = Response::new(Bytes::from(stored.body));
    *response.status_mut() = StatusCode::from_u16(stored.status).ok()?;
    for (name, value) in stored.headers {
        response.headers_mut().append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(with_receipt(response, dialect, &receipt.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T099: whatever the handler says, a shared cache may not keep a paid answer.
    #[test]
    fn t099_paid_answers_are_private() {
        let cases = [
            (None, "private, no-store"),
            (Some("public, max-age=60"), "private, no-store"),
            (Some("max-age=60"), "private, no-store"),
            (Some("private, s-maxage=60"), "private, no-store"),
            (Some("private=\"set-cookie\""), "private, no-store"),
            (Some("private, max-age=60"), "private, max-age=60"),
            (Some("no-store"), "no-store"),
            (Some("Private"), "Private"),
        ];
        for (said, want) in cases {
            let mut headers = HeaderMap::new();
            TARGETED.iter().for_each(|name| {
                headers.insert(name, HeaderValue::from_static("max-age=3600"));
            });
            if let Some(said) = said {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(said));
            }
            make_private(&mut headers, &Limits::default());
            assert_eq!(headers.get(CACHE_CONTROL).unwrap(), want, "{said:?}");
            assert!(!TARGETED.iter().any(|name| headers.contains_key(name)));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
        make_private(&mut headers, &Limits { public_caching: true, ..Limits::default() });
        assert_eq!(headers.get(CACHE_CONTROL).unwrap(), "public");
    }
}
