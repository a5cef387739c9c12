//! A plain HTTP client.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// Sends one request on a connection of its own; the status and the body as text.
pub async fn send(request: http::Request<Full<Bytes>>) -> (u16, String) {
    let (parts, body) = exchange(request).await.into_parts();
    (parts.status.as_u16(), body)
}

/// Sends one request on a connection of its own.
pub async fn exchange(request: http::Request<Full<Bytes>>) -> http::Response<String> {
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Full<Bytes>>();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    http::Response::from_parts(parts, String::from_utf8_lossy(&body).into_owned())
}
