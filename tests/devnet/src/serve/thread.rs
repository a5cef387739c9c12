//! The thread that a chain is served from.

use std::{future::Future, io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    runtime,
    sync::{oneshot, watch},
};

use super::{Doors, Gatekeeper, Methods, serve};
use crate::fault::Faults;

/// A chain that is being served; dropping it stops that.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) gatekeeper: Gatekeeper,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Running {
    /// Serves a chain on a port of 127.0.0.1, 0 being a free one, while `blocks` makes its blocks.
    ///
    /// The thread and its runtime are the chain's own: it keeps running while the caller's runtime is busy, paused or gone.
    pub(crate) async fn start<M: Methods>(
        port: u16,
        methods: Arc<M>,
        faults: Faults,
        blocks: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let (started_tx, started_rx) = oneshot::channel();
        let (ended_tx, ended) = watch::channel(false);
        thread::Builder::new().name("h402-devnet".to_owned()).spawn(move || {
            run(port, methods, faults, blocks, stopped, started_tx);
            ended_tx.send_replace(true);
        })?;
        let (gatekeeper, address) = started_rx.await.map_err(|_| io::Error::other("the chain has stopped"))??;
        Ok(Self { address, gatekeeper, stop, ended })
    }

    /// Stops serving and waits until the port is free.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        drop(ended.wait_for(|ended| *ended).await);
    }
}

fn run<M: Methods>(
    port: u16,
    methods: Arc<M>,
    faults: Faults,
    blocks: impl Future<Output = ()> + Send + 'static,
    stopped: watch::Receiver<bool>,
    started: oneshot::Sender<io::Result<(Gatekeeper, SocketAddr)>>,
) {
    let runtime = match runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // If nobody waits for the start any more, nobody needs to know.
            drop(started.send(Err(error)));
            return;
        }
    };
    runtime.block_on(async move {
        let (doors, gatekeeper, address) = match Doors::bind(port).await {
            Ok(bound) => bound,
            Err(error) => {
                drop(started.send(Err(error)));
                return;
            }
        };
        drop(started.send(Ok((gatekeeper, address))));
        let miner = tokio::spawn(blocks);
        serve(doors, methods, faults, stopped).await;
        miner.abort();
    });
    // Held calls may wait for a gate that never opens.
    runtime.shutdown_timeout(Duration::from_millis(100));
}
