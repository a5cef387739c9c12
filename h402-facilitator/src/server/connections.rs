//! Connections: how many there may be, of all clients and of one, and how long one may keep its place and ask nothing.

use axum::{Router, extract::ConnectInfo, serve::Listener};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{
    collections::HashMap,
    future::pending,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{self, JoinSet},
    time::{sleep, timeout},
};
use tower_service::Service as _;

/// How long a connection gets to take its last answer and close.
const CLOSE: Duration = Duration::from_secs(2);
/// Of one client, where strangers can connect.
const PER_CLIENT: usize = 256;
/// Longest head of a request in bytes, in HTTP/1 and in HTTP/2.
const HEAD: u16 = 32 * 1024;
/// Requests of one HTTP/2 connection that are worked on at once.
const STREAMS: u32 = 100;
/// What an HTTP/2 client may send of a body before it is read: all of the longest that is; and of all its bodies together.
const WINDOW: u32 = 64 * 1024;
const WINDOWS: u32 = 4 * WINDOW;

/// How many connections the server keeps, and for how long.
///
/// ```
/// use h402_facilitator::server::ConnectionLimits;
/// let behind_a_proxy = ConnectionLimits { per_client: Some(768), ..ConnectionLimits::default() };
/// assert_eq!(behind_a_proxy.overall, 768);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most at once. More wait until one ends. 768: a process is usually allowed 1024 open files, and chains and ledger need some.
    pub overall: usize,
    /// Most of one client, an IPv4 address or an IPv6 network of 64 bits; more are closed at once. Without a number it is 256, and
    /// on a listener at a loopback address, where all clients are one, no limit of its own.
    pub per_client: Option<usize>,
    /// How long one is kept on which no request is worked on: nothing comes, or half a head, or an answer is not taken. 30 s.
    pub idle: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { overall: 768, per_client: None, idle: Duration::from_secs(30) }
    }
}

/// Whose connections and calls are counted together: somebody with one IPv6 address usually has 2⁶⁴ of them.
pub(super) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Takes connections until `closing` says true, then ends them, two seconds later at most.
pub(super) async fn serve(mut listener: TcpListener, router: Router, limits: ConnectionLimits, closing: watch::Receiver<bool>) {
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let per_client = limits.per_client.unwrap_or(if is_local { usize::MAX } else { PER_CLIENT });
    let mut connections = JoinSet::new();
    let mut clients: HashMap<task::Id, IpAddr> = HashMap::new();
    let mut closed = pin!(closes(closing.clone()));
    loop {
        tokio::select! {
            biased;
            () = &mut closed => break,
            Some(ended) = connections.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                clients.remove(&id);
            }
            // Whatever goes wrong here is tried again.
            (stream, peer) = Listener::accept(&mut listener), if connections.len() < limits.overall => {
                let client = client(peer.ip());
                if clients.values().filter(|other| **other == client).count() >= per_client {
                    tracing::debug!(%client, "too many connections");
                    continue;
                }
                let task = connections.spawn(connection(stream, peer, router.clone(), limits.idle, closing.clone()));
                clients.insert(task.id(), client);
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Resolves when it is time to close. A sender that is gone says so, too.
async fn closes(mut closing: watch::Receiver<bool>) {
    drop(closing.wait_for(|closing| *closing).await);
}

/// Serves one connection until it ends, idles for too long, or has to close.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, limit: Duration, closing: watch::Receiver<bool>) {
    let (running, runs) = watch::channel(0);
    let running = Arc::new(running);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let runs = Running::begin(&running);
        let mut router = router.clone();
        request.extensions_mut().insert(ConnectInfo(peer));
        async move {
            let answer = router.call(request).await;
            drop(runs);
            answer
        }
    });
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol.http1().max_buf_size(usize::from(HEAD));
    protocol.http2().max_concurrent_streams(STREAMS).max_header_list_size(u32::from(HEAD));
    protocol.http2().initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOWS);
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // First what has arrived: a request that is there is begun before anybody looks how long there was none.
        biased;
        _ended = connection.as_mut() => return,
        () = idles(runs, limit) => {}
        () = closes(closing) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended_or_late = timeout(CLOSE, connection).await;
}

/// Resolves when nothing has run for so long.
async fn idles(mut runs: watch::Receiver<usize>, limit: Duration) {
    while runs.wait_for(|running| *running == 0).await.is_ok() {
        tokio::select! {
            biased;
            _begun = runs.changed() => {}
            () = sleep(limit) => return,
        }
    }
    // The connection is gone, and whoever serves it sees that.
    pending().await
}

/// A request that is worked on.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn begin(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|count| *count = count.saturating_add(1));
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
