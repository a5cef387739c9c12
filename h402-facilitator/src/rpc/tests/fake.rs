//! An endpoint that does to a connection what it is told.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What becomes of a request.
pub(crate) enum Reply {
    /// This status and body.
    Status(u16, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// The end of the connection.
    Close,
    /// Nothing, for ever.
    Silence,
}

pub(crate) struct Fake {
    port: u16,
    seen: watch::Receiver<u64>,
    head: Arc<Mutex<String>>,
}

impl Fake {
    /// Answers one request per connection with what `reply` makes of its body.
    pub(crate) async fn start(reply: impl Fn(&[u8]) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen_tx, seen) = watch::channel(0);
        let head = Arc::<Mutex<String>>::default();
        let (reply, seen_tx, last_head) = (Arc::new(reply), Arc::new(seen_tx), head.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, seen, head) = (reply.clone(), seen_tx.clone(), last_head.clone());
                tokio::spawn(async move {
                    let mut stream = stream;
                    let Some((request_head, body)) = read_request(&mut stream).await else { return };
                    *head.lock().unwrap() = request_head;
                    seen.send_modify(|seen| *seen += 1);
                    let bytes = match reply(&body) {
                        Reply::Status(status, body) => {
                            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
                        }
                        Reply::Raw(bytes) => bytes,
                        Reply::Close => return,
                        Reply::Silence => std::future::pending().await,
                    };
                    // The client may have seen enough and gone.
                    drop(stream.write_all(&bytes).await);
                    drop(stream.shutdown().await);
                });
            }
        });
        Self { port, seen, head }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many whole requests have arrived.
    pub(crate) fn requests(&self) -> u64 {
        *self.seen.borrow()
    }

    /// Waits until this many whole requests have arrived.
    pub(crate) async fn reached(&self, requests: u64) {
        drop(self.seen.clone().wait_for(|seen| *seen >= requests).await);
    }

    /// Request line and headers of the last request.
    pub(crate) fn last_head(&self) -> String {
        self.head.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let body = &bytes[end + 4..];
        if body.len() >= length.unwrap_or(0) {
            return Some((head, body.to_vec()));
        }
    }
}
