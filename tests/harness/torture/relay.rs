//! One address for a process that has another one after every start.

use std::net::SocketAddr;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes connections on to wherever the process listens now; while it is away they are closed at once.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Relay {
    pub(super) async fn open(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), target: watch::Sender::new(target) };
        let targets = relay.target.subscribe();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = gone(targets.clone()) => return,
                };
                let (Ok((mut here, _)), Some(target)) = (accepted, *targets.borrow()) else { continue };
                tokio::spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(target).await {
                        drop(copy_bidirectional(&mut here, &mut there).await);
                    }
                });
            }
        });
        relay
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn lead_to(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }
}

/// Resolves once nobody can lead the relay anywhere any more.
async fn gone(mut targets: watch::Receiver<Option<SocketAddr>>) {
    while targets.changed().await.is_ok() {}
}
