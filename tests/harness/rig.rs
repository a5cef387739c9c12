//! A facilitator on a local chain, over real sockets, as an operator runs it.

use alloy_primitives::{B256, U256};
use h402_core::{
    Amount, Asset, Assets, Authorization, Clock, Dialect, EvmKey, Network, Offer, Payload, PaymentPayload, Peg, Requirements, Resource,
    Scheme, UnixMillis, asset_id, wire::h402,
};
use h402_devnet::evm::{BlockTime, Chain, account};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, NetworkConfig, Signer, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    sqlite::{OpenOptions, SqliteStore},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::oneshot};

/// The account whose key pays for gas.
pub const GAS: usize = 0;
/// The account that is paid.
pub const PAYEE: usize = 1;
/// The account that pays unless a test says otherwise.
pub const PAYER: usize = 2;

/// A folder of its own for every test, removed with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("h402-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Wall-clock seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A fresh nonce, different in every call of every process.
pub fn nonce() -> B256 {
    let mut bytes = B256::ZERO;
    getrandom::fill(bytes.as_mut_slice()).unwrap();
    bytes
}

/// The key of a development account.
pub fn key(index: usize) -> EvmKey {
    EvmKey::from_bytes(&account(index).secret_key).unwrap()
}

/// The token of a local chain, as an operator would describe it.
pub fn usdc(chain: &Chain) -> Asset {
    token(chain, chain.usdc(), chain.usdc_name(), chain.usdc_version())
}

/// Any EIP-3009 token of a local chain.
pub fn token(chain: &Chain, address: alloy_primitives::Address, name: &str, version: &str) -> Asset {
    let id = asset_id(Network::Evm(chain.chain_id()), &address.to_string()).unwrap();
    Asset::new(id, 6, "USDC").with_eip3009(name, version).with_permit2612(name, version).with_peg(Peg::Usd)
}

/// The machine's clock, which a test can set forward.
#[derive(Debug, Clone, Default)]
pub struct RigClock(Arc<AtomicU64>);

impl RigClock {
    /// Sets it forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for RigClock {
    fn now(&self) -> UnixMillis {
        SystemClock.now().plus(Duration::from_millis(self.0.load(Ordering::SeqCst)))
    }
}

/// Whoever pays on a local chain.
#[derive(Clone)]
pub struct Wallets {
    /// The chain.
    pub chain: Chain,
    /// Its token.
    pub asset: Arc<Asset>,
}

impl Wallets {
    /// The development accounts of a chain.
    pub fn new(chain: &Chain) -> Self {
        Self { chain: chain.clone(), asset: Arc::new(usdc(chain)) }
    }

    /// An offer of the chain's token to the payee.
    pub fn offer(&self, amount: u128) -> Arc<Offer> {
        let pay_to = h402_core::Address::Evm(account(PAYEE).address);
        Arc::new(Offer::new(self.asset.clone(), Amount::from_atomic(amount), pay_to).unwrap())
    }

    /// Requirements for that offer.
    pub fn requirements(&self, amount: u128) -> Requirements {
        let resource = Arc::new(Resource { url: "http://127.0.0.1/paid".into(), description: None, mime_type: None });
        Requirements { offer: self.offer(amount), resource, lifetime_seconds: Some(70), solana: None, facilitator: None }
    }

    /// A fresh payment by authorization.
    pub fn payment(&self, payer: usize, amount: u128) -> PaymentPayload {
        self.signed(payer, self.authorization(payer, amount))
    }

    /// A fresh authorization, unsigned.
    pub fn authorization(&self, payer: usize, amount: u128) -> Authorization {
        Authorization {
            from: account(payer).address,
            to: account(PAYEE).address,
            value: Amount::from_atomic(amount),
            valid_after: U256::from(now() - 60),
            valid_before: U256::from(now() + 120),
            nonce: nonce(),
        }
    }

    /// A payment by this authorization.
    pub fn signed(&self, payer: usize, authorization: Authorization) -> PaymentPayload {
        let signed = key(payer).sign_authorization(authorization, &self.asset.eip712_domain().unwrap()).unwrap();
        PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: Scheme::Exact,
            network: Network::Evm(self.chain.chain_id()),
            resource: Some("http://127.0.0.1/paid".into()),
            payload: Payload::Authorization(signed),
        }
    }

    /// What the payee holds of the token.
    pub fn received(&self) -> U256 {
        self.chain.balance_of(self.chain.usdc(), account(PAYEE).address)
    }
}

/// A running facilitator, on the chain of these wallets.
pub struct Rig {
    /// The chain and who pays on it.
    pub wallets: Wallets,
    /// The engine, for looking in.
    pub engine: Engine<SqliteStore, RigClock>,
    /// The engine's clock.
    pub clock: RigClock,
    /// The ledger.
    pub store: SqliteStore,
    /// Where it listens.
    pub url: String,
    /// Where its files are.
    pub folder: Folder,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    assets: Assets,
    configure: Configure,
}

/// Changes to an engine's configuration, made again at every start.
pub type Configure = Box<dyn Fn(&mut EngineConfig) + Send + Sync>;

/// How a rig is set up.
pub struct RigOptions {
    /// When blocks are made.
    pub block_time: BlockTime,
    /// Changes to the engine's configuration.
    pub engine: Configure,
    /// Assets besides the chain's own token.
    pub more_assets: Vec<Asset>,
    /// A chain that runs already.
    pub chain: Option<Chain>,
}

impl Default for RigOptions {
    fn default() -> Self {
        Self { block_time: BlockTime::Auto, engine: Box::new(|_| ()), more_assets: Vec::new(), chain: None }
    }
}

impl std::ops::Deref for Rig {
    type Target = Wallets;

    fn deref(&self) -> &Wallets {
        &self.wallets
    }
}

impl Rig {
    /// Starts a chain and a facilitator with the safe defaults.
    pub async fn start() -> Self {
        Self::with(RigOptions::default()).await
    }

    /// Starts with options.
    pub async fn with(options: RigOptions) -> Self {
        let chain = match options.chain {
            Some(chain) => chain,
            None => Chain::builder().block_time(options.block_time).start().await.unwrap(),
        };
        let wallets = Wallets::new(&chain);
        let mut assets = Assets::none().with((*wallets.asset).clone());
        for more in options.more_assets {
            assets = assets.with(more);
        }
        let folder = Folder::new();
        let clock = RigClock::default();
        let (store, engine) = open(&folder, &chain, &assets, &options.engine, &clock).await;
        let (url, stop, served) = listen(&engine).await;
        let configure = options.engine;
        let rig = Self { wallets, engine, clock, store, url, folder, stop: Some(stop), served: Some(served), assets, configure };
        rig.until_ready().await;
        rig
    }

    /// Stops as SIGTERM does, and starts again on the same ledger and chain, at another port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.reopen().await;
        self.until_ready().await;
    }

    /// Starts again on the same ledger and chain after [`Rig::stop`]; perhaps it is not ready yet.
    pub async fn reopen(&mut self) {
        (self.store, self.engine) = open(&self.folder, &self.chain, &self.assets, &self.configure, &self.clock).await;
        let (url, stop, served) = listen(&self.engine).await;
        (self.url, self.stop, self.served) = (url, Some(stop), Some(served));
    }

    /// Waits until the engine has recovered and everything is well.
    pub async fn until_ready(&self) {
        let began = tokio::time::Instant::now();
        while !self.engine.ready().await.is_ready() {
            assert!(began.elapsed() < Duration::from_secs(60), "not ready: {:?}", self.engine.ready().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the server as SIGTERM does, and closes the ledger.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            served.await.unwrap();
        }
        self.store.close().await.unwrap();
    }

    /// Posts a payment to `/verify` or `/settle`; the status and the body.
    pub async fn post(&self, path: &str, payment: &PaymentPayload, amount: u128, caller: Option<&str>) -> (u16, String) {
        let body = h402::encode_request(payment, &self.requirements(amount)).unwrap();
        self.post_body(path, body, caller).await
    }

    /// Posts any body.
    pub async fn post_body(&self, path: &str, body: Vec<u8>, caller: Option<&str>) -> (u16, String) {
        let mut request = http::Request::post(format!("{}{path}", self.url)).header("content-type", "application/json");
        if let Some(caller) = caller {
            request = request.header("idempotency-key", caller);
        }
        crate::http::send(request.body(body.into()).unwrap()).await
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> (u16, String) {
        crate::http::send(http::Request::get(format!("{}{path}", self.url)).body(Default::default()).unwrap()).await
    }
}

/// Opens the ledger in a folder and starts an engine on it.
async fn open(
    folder: &Folder,
    chain: &Chain,
    assets: &Assets,
    configure: &Configure,
    clock: &RigClock,
) -> (SqliteStore, Engine<SqliteStore, RigClock>) {
    // The tasks of an engine that was stopped may hold the ledger for a moment longer.
    let options = OpenOptions::default().with_lock_wait(Duration::from_secs(20));
    let store = SqliteStore::open(folder.path().join("ledger.sqlite"), options).await.unwrap();
    let mut config = EngineConfig::new(assets.clone(), vec![network(chain).into()]);
    configure(&mut config);
    let engine = Engine::start(config, store.clone(), clock.clone()).await.unwrap();
    (store, engine)
}

pub(crate) async fn listen(engine: &Engine<SqliteStore, RigClock>) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = h402_facilitator::server::serve(listener, engine.clone(), async move { drop(stopped.await) });
    (url, stop, tokio::spawn(async move { server.await.unwrap() }))
}

/// The network of a local chain, looked at often.
pub fn network(chain: &Chain) -> EvmNetwork {
    network_of(chain, GAS)
}

/// The network of a local chain, with another account to pay for gas.
pub fn network_of(chain: &Chain, gas: usize) -> EvmNetwork {
    let signer = Signer::Local(key(gas));
    let rpc = Rpc::new(RpcConfig::new(vec![chain.url().parse().unwrap()]));
    let config = EvmConfig { chain_id: chain.chain_id(), multicall3: Some(chain.multicall3()), simulate_from: signer.address(), rpc };
    EvmNetwork { poll: Duration::from_millis(50), ..EvmNetwork::new(EvmChain::new(config), signer) }
}

/// The EVM network of an engine's configuration.
pub fn evm(config: &mut EngineConfig) -> &mut EvmNetwork {
    let NetworkConfig::Evm(evm) = config.networks.first_mut().unwrap() else { panic!("no EVM network") };
    evm
}
