//! A plain HTTP client.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends one request on a connection of its own; the status and the body as text.
pub async fn send(request: http::Request<Full<Bytes>>) -> (u16, String) {
    let (parts, body) = exchange(request).await.into_parts();
    (parts.status.as_u16(), body)
}

/// As [`send`], but `None` if there is no server or the connection broke before the answer was there.
pub async fn try_send(request: http::Request<Full<Bytes>>) -> Option<(u16, String)> {
    let (parts, body) = try_exchange(request).await?.into_parts();
    Some((parts.status.as_u16(), body))
}

/// Sends one request on a connection of its own.
pub async fn exchange(request: http::Request<Full<Bytes>>) -> http::Response<String> {
    try_exchange(request).await.expect("an answer")
}

async fn try_exchange(request: http::Request<Full<Bytes>>) -> Option<http::Response<String>> {
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Full<Bytes>>();
    let (parts, body) = client.request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(http::Response::from_parts(parts, String::from_utf8_lossy(&body).into_owned()))
}

/// A connection that is kept, for whoever counts the time: bytes go out as they are, and answers come by their length.
pub struct Connection(TcpStream);

impl Connection {
    /// Connects to a server, given as `http://host:port`.
    pub async fn open(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends a whole request, head and body.
    pub async fn write(&mut self, request: &[u8]) {
        self.0.write_all(request).await.unwrap();
    }

    /// Reads an answer that tells its length: status and body.
    pub async fn read(&mut self) -> (u16, String) {
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert_ne!(self.0.read_buf(&mut read).await.unwrap(), 0, "closed: {}", String::from_utf8_lossy(&read));
        };
        let text = String::from_utf8(read[..head].to_vec()).unwrap().to_ascii_lowercase();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let length: usize = text.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        while read.len() < head + length {
            assert_ne!(self.0.read_buf(&mut read).await.unwrap(), 0, "closed: {}", String::from_utf8_lossy(&read));
        }
        (status, String::from_utf8(read.split_off(head)).unwrap())
    }
}
