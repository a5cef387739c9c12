//! Settings of a chain, its genesis and its thread.

use std::{
    net::SocketAddr,
    sync::{Arc, RwLock},
    thread,
    time::Duration,
};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use tokio::{
    runtime,
    sync::{oneshot, watch},
};

use super::{
    account::accounts,
    chain::{Chain, Error, Shared},
    contracts::{self, MULTICALL3, Token, TokenKind},
    edit::Edit,
    ledger::{BlockTime, Ledger},
    rpc::Rpc,
};
use crate::{
    fault::Faults,
    serve::{self, Doors, Gatekeeper},
};

/// The settings of a chain that is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    chain_id: u64,
    block_time: BlockTime,
    port: u16,
    gas_limit: u64,
    base_fee: u64,
    finality: u64,
    token: Option<TokenKind>,
    token_address: Option<Address>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            chain_id: 84532,
            block_time: BlockTime::Auto,
            port: 0,
            gas_limit: 30_000_000,
            base_fee: 1_000_000_000,
            finality: 64,
            token: None,
            token_address: None,
        }
    }
}

impl Builder {
    /// Sets the chain id; 84532 by default.
    #[must_use]
    pub fn chain_id(mut self, chain_id: u64) -> Self {
        self.chain_id = chain_id;
        self
    }

    /// Sets when blocks are made; on demand by default.
    #[must_use]
    pub fn block_time(mut self, block_time: BlockTime) -> Self {
        self.block_time = block_time;
        self
    }

    /// Sets the port on 127.0.0.1; a free one by default.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the gas limit of each block; 30 million by default.
    #[must_use]
    pub fn gas_limit(mut self, gas_limit: u64) -> Self {
        self.gas_limit = gas_limit;
        self
    }

    /// Sets the base fee of the genesis block in wei; 1 gwei by default.
    #[must_use]
    pub fn base_fee(mut self, base_fee: u64) -> Self {
        self.base_fee = base_fee;
        self
    }

    /// Sets how many blocks the tags `safe` and `finalized` are behind the newest; 64 by default.
    #[must_use]
    pub fn finality(mut self, blocks: u64) -> Self {
        self.finality = blocks;
        self
    }

    /// Sets the token that is there from genesis; one that behaves as USDC by default.
    #[must_use]
    pub fn token(mut self, token: TokenKind) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets where that token is; on Base and Base Sepolia by default where USDC is.
    #[must_use]
    pub fn token_address(mut self, address: Address) -> Self {
        self.token_address = Some(address);
        self
    }

    /// Makes the genesis state and serves the chain from a thread of its own.
    pub async fn start(self) -> Result<Chain, Error> {
        let (usual_address, usual_name) = contracts::genesis_token(self.chain_id);
        let usdc = self.token_address.unwrap_or(usual_address);
        let token = self.token.clone().unwrap_or_else(|| TokenKind::usdc(usual_name));
        let mut ledger = Ledger::new(self.chain_id, self.gas_limit, self.base_fee, self.finality, self.block_time);
        fill_genesis(&mut ledger, usdc, &token)?;
        let shared = Arc::new(Shared { ledger: RwLock::new(ledger), mode: watch::Sender::new(self.block_time) });
        let faults = Faults::default();
        let stop = watch::Sender::new(false);
        let (started_tx, started_rx) = oneshot::channel();
        let (ended_tx, ended_rx) = watch::channel(false);
        let service =
            Service { port: self.port, shared: shared.clone(), faults: faults.clone(), stop: stop.subscribe(), started: started_tx };
        // A thread and runtime of its own: the chain keeps running while the caller's runtime is busy, paused or gone.
        thread::Builder::new().name("h402-devnet".to_owned()).spawn(move || {
            service.run();
            ended_tx.send_replace(true);
        })?;
        let (gatekeeper, address) = started_rx.await.map_err(|_| Error::Stopped)??;
        Ok(Chain::new(shared, faults, gatekeeper, stop, ended_rx, address, usdc, token))
    }
}

struct Service {
    port: u16,
    shared: Arc<Shared>,
    faults: Faults,
    stop: watch::Receiver<bool>,
    started: oneshot::Sender<Result<(Gatekeeper, SocketAddr), Error>>,
}

impl Service {
    fn run(self) {
        let runtime = match runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // If nobody waits for the start any more, nobody needs to know.
                drop(self.started.send(Err(error.into())));
                return;
            }
        };
        runtime.block_on(async move {
            let (doors, gatekeeper, address) = match Doors::bind(self.port).await {
                Ok(bound) => bound,
                Err(error) => {
                    drop(self.started.send(Err(error.into())));
                    return;
                }
            };
            drop(self.started.send(Ok((gatekeeper, address))));
            let miner = tokio::spawn(make_blocks(self.shared.clone()));
            serve::serve(doors, Arc::new(Rpc(self.shared)), self.faults, self.stop).await;
            miner.abort();
        });
        // Held calls may wait for a gate that never opens.
        runtime.shutdown_timeout(Duration::from_millis(100));
    }
}

async fn make_blocks(shared: Arc<Shared>) {
    let mut mode = shared.mode.subscribe();
    loop {
        let block_time = *mode.borrow_and_update();
        let BlockTime::Every(period) = block_time else {
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        };
        let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is immediate.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => { shared.write().mine(); }
                changed = mode.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
        }
    }
}

fn fill_genesis(ledger: &mut Ledger, usdc: Address, token: &TokenKind) -> Result<(), Error> {
    for account in accounts() {
        ledger.edit(Edit::Balance(account.address, U256::from(10_000) * U256::from(10).pow(U256::from(18))))?;
    }
    ledger.edit(Edit::Code(MULTICALL3, contracts::multicall3()?))?;
    ledger.edit(Edit::Place(token.init_code()?, usdc))?;
    for account in &accounts()[..9] {
        let mint = Token::mintCall { to: account.address, amount: U256::from(1_000_000_000_000_u64) };
        ledger.edit(Edit::Call(usdc, mint.abi_encode().into()))?;
    }
    Ok(())
}
