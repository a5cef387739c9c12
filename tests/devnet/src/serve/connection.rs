//! Connections that can be cut from outside, and a listener that can be closed and opened again.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Default)]
struct Switch {
    closed: bool,
    waiting: Option<Waker>,
}

/// The handle on one accepted connection.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Mutex<Switch>>);

impl Connection {
    /// Cuts the connection: nothing more is read from it or written to it.
    pub(crate) fn close(&self) {
        close(&self.0);
    }
}

fn close(switch: &Mutex<Switch>) {
    let waiting = {
        let mut switch = lock(switch);
        switch.closed = true;
        switch.waiting.take()
    };
    if let Some(waker) = waiting {
        waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream with a switch.
pub(crate) struct Stream {
    tcp: TcpStream,
    switch: Arc<Mutex<Switch>>,
}

impl Stream {
    fn check(&self) -> io::Result<()> {
        if lock(&self.switch).closed { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        {
            let mut switch = lock(&self.switch);
            if switch.closed {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            switch.waiting = Some(cx.waker().clone());
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

impl Connected<IncomingStream<'_, Doors>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Self {
        Self(stream.io().switch.clone())
    }
}

/// The listener: accepts while it is open, refuses connections while it is not.
pub(crate) struct Doors {
    address: SocketAddr,
    tcp: Option<TcpListener>,
    wanted: watch::Receiver<bool>,
    is_open: Arc<watch::Sender<bool>>,
    connections: Arc<Mutex<Vec<Weak<Mutex<Switch>>>>>,
}

/// Opens and closes the listener.
pub(crate) struct Gatekeeper {
    wanted: watch::Sender<bool>,
    is_open: Arc<watch::Sender<bool>>,
    connections: Arc<Mutex<Vec<Weak<Mutex<Switch>>>>>,
}

impl Gatekeeper {
    /// Closes the listener and all connections; returns when connections are refused.
    pub(crate) async fn close(&self) {
        self.set(false).await;
        for switch in lock(&self.connections).drain(..) {
            if let Some(switch) = switch.upgrade() {
                close(&switch);
            }
        }
    }

    /// Listens again on the same port.
    pub(crate) async fn open(&self) {
        self.set(true).await;
    }

    async fn set(&self, open: bool) {
        self.wanted.send_replace(open);
        let mut is_open = self.is_open.subscribe();
        tokio::select! {
            result = is_open.wait_for(|is_open| *is_open == open) => drop(result),
            // Nobody is listening any more: the chain has stopped.
            () = self.wanted.closed() => {}
        }
    }
}

impl Doors {
    /// Listens on loopback; port 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> io::Result<(Self, Gatekeeper, SocketAddr)> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = tcp.local_addr()?;
        let (wanted, wanted_rx) = watch::channel(true);
        let is_open = Arc::new(watch::Sender::new(true));
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let keeper = Gatekeeper { wanted, is_open: is_open.clone(), connections: connections.clone() };
        Ok((Self { address, tcp: Some(tcp), wanted: wanted_rx, is_open, connections }, keeper, address))
    }
}

impl Listener for Doors {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            let wanted = *self.wanted.borrow_and_update();
            if !wanted && self.tcp.take().is_some() {
                self.is_open.send_replace(false);
            }
            if wanted && self.tcp.is_none() {
                match TcpListener::bind(self.address).await {
                    Ok(tcp) => self.tcp = Some(tcp),
                    Err(_) => {
                        // Someone else may hold the port for a moment.
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                        continue;
                    }
                }
                self.is_open.send_replace(true);
            }
            let accepted = async {
                match &self.tcp {
                    Some(tcp) => tcp.accept().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        // The chain is gone and the server about to be.
                        return pending().await;
                    }
                }
                accepted = accepted => match accepted {
                    Ok((tcp, peer)) => {
                        // Small answers must not wait for the peer's delayed acknowledgement.
                        drop(tcp.set_nodelay(true));
                        let switch = Arc::<Mutex<Switch>>::default();
                        let mut connections = lock(&self.connections);
                        connections.retain(|switch| switch.strong_count() > 0);
                        connections.push(Arc::downgrade(&switch));
                        return (Stream { tcp, switch }, peer);
                    }
                    Err(_) => tokio::task::yield_now().await,
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
