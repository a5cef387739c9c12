//! HTTP/1.1 as bytes on a socket: for requests that no client would send, and for seeing what really comes back.

use bytes::Bytes;
use serde_json::Value;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// An answer that takes longer than this will never come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request, as it goes over the wire.
#[derive(Clone)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Ask {
    /// Any method, any target, addressed to `host`.
    pub fn new(method: &str, target: &str, host: &str) -> Self {
        let headers = vec![("Host".to_owned(), host.into())];
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: Bytes::new() }
    }

    /// Adds a header, whatever is there already.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Takes headers away.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Adds a payment.
    pub fn paying(self, payment: &str) -> Self {
        self.with("X-PAYMENT", payment)
    }

    /// Adds a payment in whichever header its dialect has for it.
    pub fn with_credential(self, (name, payment): &(&'static str, String)) -> Self {
        self.with(name, payment)
    }

    /// Adds a body and its length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.with("Content-Length", length)
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// In the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The statuses of the 1xx answers before.
    pub interim: Vec<u16>,
    /// Whether the body came whole.
    pub whole: bool,
}

impl Reply {
    /// The only header of this name; `None` if there is none or more than one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether there is a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    /// What the server says about the payment, as it came.
    pub fn receipt(&self) -> &str {
        self.header("x-payment-response").unwrap_or_else(|| panic!("no receipt: {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The first word of the gate's own answers.
    pub fn word(&self) -> String {
        let error = self.json().get("error").and_then(Value::as_str).map(str::to_owned);
        let error = error.unwrap_or_else(|| panic!("no error: {self:?}"));
        error.split(':').next().unwrap_or_default().to_owned()
    }

    /// Everything that must not change when the same answer is given again.
    pub fn content(&self) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let headers = self.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
        (self.status, headers, self.body.clone())
    }
}

/// A connection.
pub struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Line {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.expect("somebody listens")
    }

    /// Connects; `None` if nobody listens.
    pub async fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, read: Vec::new() })
    }

    /// Sends bytes; whoever listens may be gone already.
    pub async fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Sends a request and reads its answer; `None` if the connection ends without one.
    pub async fn ask(&mut self, ask: &Ask) -> Option<Reply> {
        self.send(&ask.bytes()).await;
        self.reply(ask.is_head()).await
    }

    /// Reads one answer; `None` if the connection ends without one.
    pub async fn reply(&mut self, to_head: bool) -> Option<Reply> {
        timeout(PATIENCE, self.read_reply(to_head)).await.expect("an answer in time")
    }

    /// Reads to the end of the connection: everything that came and was not taken yet.
    pub async fn rest(mut self) -> Vec<u8> {
        timeout(PATIENCE, async { while self.more().await {} }).await.expect("an end in time");
        self.read
    }

    /// What has come so far and was not taken yet.
    pub fn so_far(&mut self) -> &[u8] {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = self.stream.try_read(&mut chunk) {
            self.read.extend_from_slice(&chunk[..length]);
        }
        &self.read
    }

    /// Waits until these bytes have come, or the connection has ended.
    pub async fn until(&mut self, wanted: &[u8]) -> bool {
        while !self.read.windows(wanted.len()).any(|window| window == wanted) {
            if !timeout(PATIENCE, self.more()).await.expect("bytes in time") {
                return false;
            }
        }
        true
    }

    /// Says that nothing more will be sent, as clients do that hang up politely.
    pub async fn shut(&mut self) {
        drop(self.stream.shutdown().await);
    }

    async fn read_reply(&mut self, to_head: bool) -> Option<Reply> {
        let mut interim = Vec::new();
        loop {
            let head_end = loop {
                if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at;
                }
                if !self.more().await {
                    return None;
                }
            };
            let head = String::from_utf8_lossy(&self.read[..head_end]).into_owned();
            self.read.drain(..head_end + 4);
            let (status, headers) = parse_head(&head);
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let mut reply = Reply { status, headers, body: Vec::new(), interim, whole: true };
            let bodiless = to_head || status == 101 || status == 204 || status == 304;
            if !bodiless {
                (reply.body, reply.whole) = self.body(&reply).await;
            }
            return Some(reply);
        }
    }

    async fn body(&mut self, reply: &Reply) -> (Vec<u8>, bool) {
        if let Some(length) = reply.header("content-length").and_then(|length| length.parse().ok()) {
            return self.exactly(length).await;
        }
        let chunked = reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if !chunked {
            while self.more().await {}
            return (std::mem::take(&mut self.read), true);
        }
        let mut body = Vec::new();
        loop {
            let Some(size) = self.until_line_end().await else { return (body, false) };
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).unwrap();
            if size == 0 {
                // Trailers, and an empty line.
                while let Some(line) = self.until_line_end().await {
                    if line.is_empty() {
                        return (body, true);
                    }
                }
                return (body, false);
            }
            let (chunk, whole) = self.exactly(size).await;
            body.extend(chunk);
            if !whole || self.until_line_end().await.is_none() {
                return (body, false);
            }
        }
    }

    async fn until_line_end(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.read[..at]).into_owned();
                self.read.drain(..at + 2);
                return Some(line);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> (Vec<u8>, bool) {
        while self.read.len() < length {
            if !self.more().await {
                return (std::mem::take(&mut self.read), false);
            }
        }
        (self.read.drain(..length).collect(), true)
    }

    /// Reads something; `false` at the end, however the connection ended.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let length: io::Result<usize> = self.stream.read(&mut chunk).await;
        let length = length.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..length]);
        length > 0
    }
}

fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    (status.unwrap_or_else(|| panic!("no status: {head:?}")), lines.map(header).collect())
}
