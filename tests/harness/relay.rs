//! One address for a process that has another one after every start.

use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes connections on to wherever the process listens now; while it is away they are closed at once,
/// and so are those that led to where it was.
pub struct Relay {
    pub address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Relay {
    /// Listens, and leads there from the start.
    pub async fn open(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), target: watch::Sender::new(target) };
        let targets = relay.target.subscribe();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = gone(targets.clone()) => return,
                };
                let mut moved = targets.clone();
                let (Ok((mut here, _)), Some(target)) = (accepted, *moved.borrow_and_update()) else { continue };
                tokio::spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(target).await {
                        tokio::select! {
                            _ = copy_bidirectional(&mut here, &mut there) => {}
                            _ = moved.changed() => {}
                        }
                    }
                });
            }
        });
        relay
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads there from now on, or nowhere.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }

    /// Leads nowhere until what is returned is dropped.
    pub fn leave(self: &Arc<Self>) -> Away {
        Away { relay: self.clone(), target: self.target.send_replace(None) }
    }
}

/// A process is away; dropped, it is back where it was.
pub struct Away {
    relay: Arc<Relay>,
    target: Option<SocketAddr>,
}

impl Drop for Away {
    fn drop(&mut self) {
        self.relay.lead_to(self.target);
    }
}

/// Resolves once nobody can lead the relay anywhere any more.
async fn gone(mut targets: watch::Receiver<Option<SocketAddr>>) {
    while targets.changed().await.is_ok() {}
}
