//! A facilitator on a local Solana cluster, over real sockets, as an operator runs it.

use crate::rig::{Configure, Folder, RigClock, listen};
use h402_core::{
    Address, Amount, Asset, Assets, Dialect, Network, Offer, Payload, PaymentPayload, Peg, Requirements, Resource, Scheme, SolanaAddress,
    SolanaHints, SolanaKey, asset_id,
    solana::{SolanaTerms, sign_payment},
    wire::h402,
};
use h402_devnet::solana::{Pubkey, SolanaChain, account};
use h402_facilitator::{
    Engine, EngineConfig, NetworkConfig, SolanaNetwork,
    rpc::{Rpc, RpcConfig},
    solana as adapter,
    sqlite::{OpenOptions, SqliteStore},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// The account that pays the fees of others.
pub const SPONSOR: usize = 0;
/// The account that is paid.
pub const PAYEE: usize = 1;
/// The account that pays unless a test says otherwise.
pub const PAYER: usize = 2;

/// The key of a development account.
pub fn key(index: usize) -> SolanaKey {
    SolanaKey::from_seed(account(index).secret_bytes())
}

/// The address of a development account.
pub fn address(index: usize) -> SolanaAddress {
    key(index).address()
}

/// An address as the chain's own crates have it.
pub fn pubkey(address: SolanaAddress) -> Pubkey {
    Pubkey::new_from_array(*address.as_bytes())
}

/// The network of a local cluster.
pub fn network(chain: &SolanaChain) -> Network {
    let genesis = chain.genesis_hash().to_string();
    Network::Solana(genesis[..32].parse().unwrap())
}

/// A local cluster and who pays on it.
#[derive(Clone)]
pub struct Cluster {
    /// The chain.
    pub chain: SolanaChain,
    /// Its coin.
    pub sol: Arc<Asset>,
    /// Its token.
    pub usdc: Arc<Asset>,
}

impl Cluster {
    /// The development accounts of a chain.
    pub fn new(chain: &SolanaChain) -> Self {
        let network = network(chain);
        let usdc = Asset::new(asset_id(network, &chain.usdc().to_string()).unwrap(), 6, "USDC").with_peg(Peg::Usd);
        Self { chain: chain.clone(), sol: Arc::new(Asset::native(network, "SOL")), usdc: Arc::new(usdc) }
    }

    /// Another mint of the chain.
    pub fn token(&self, mint: Pubkey, decimals: u8) -> Asset {
        Asset::new(asset_id(network(&self.chain), &mint.to_string()).unwrap(), decimals, "MINT")
    }

    /// Requirements of so much of an asset to the payee.
    pub fn requirements(&self, asset: &Arc<Asset>, amount: u128) -> Requirements {
        let offer = Offer::new(asset.clone(), Amount::from_atomic(amount), Address::Solana(address(PAYEE))).unwrap();
        let resource = Arc::new(Resource { url: "http://127.0.0.1/paid".into(), description: None, mime_type: None });
        Requirements { offer: Arc::new(offer), resource, lifetime_seconds: Some(70), solana: None, facilitator: None }
    }

    /// A fresh payment with the newest blockhash; the sponsor pays its fee if there is one.
    pub fn payment(&self, payer: usize, asset: &Arc<Asset>, amount: u128, sponsor: Option<usize>) -> PaymentPayload {
        self.payment_with(self.chain.latest_blockhash().0.to_bytes(), payer, asset, amount, sponsor)
    }

    /// A fresh payment with another blockhash.
    pub fn payment_with(
        &self,
        blockhash: [u8; 32],
        payer: usize,
        asset: &Arc<Asset>,
        amount: u128,
        sponsor: Option<usize>,
    ) -> PaymentPayload {
        let mut unique = [0; 16];
        getrandom::fill(&mut unique).unwrap();
        let terms = SolanaTerms { blockhash, fee_payer: sponsor.map(address), creates_account: sponsor.is_none(), unique };
        let offer = self.requirements(asset, amount).offer;
        let signed = sign_payment(&key(payer), &offer, Amount::from_atomic(amount), &terms).unwrap();
        self.presented(Payload::SolanaTransaction(signed))
    }

    /// A payload as a payer presents it.
    pub fn presented(&self, payload: Payload) -> PaymentPayload {
        PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: Scheme::Exact,
            network: network(&self.chain),
            resource: Some("http://127.0.0.1/paid".into()),
            payload,
        }
    }

    /// What the payee holds of an asset.
    pub fn received(&self, asset: &Asset) -> u64 {
        let payee = pubkey(address(PAYEE));
        match asset.token_program {
            Some(_) => self.chain.token_balance(payee, pubkey(asset.id.address.solana().unwrap())),
            None => self.chain.lamports(payee),
        }
    }

    /// The cluster as an operator configures it, looked at often, with a sponsor.
    pub fn network(&self) -> SolanaNetwork {
        let rpc = Rpc::new(RpcConfig::new(vec![self.chain.url().parse().unwrap()]));
        let Network::Solana(genesis) = network(&self.chain) else { panic!("not Solana") };
        let chain = adapter::SolanaChain::new(adapter::SolanaConfig { genesis, rpc });
        SolanaNetwork { poll: Duration::from_millis(30), ..SolanaNetwork::new(chain) }.with_sponsor(key(SPONSOR))
    }
}

/// The Solana network of an engine's configuration.
pub fn solana(config: &mut EngineConfig) -> &mut SolanaNetwork {
    let NetworkConfig::Solana(solana) = config.networks.first_mut().unwrap() else { panic!("no Solana network") };
    solana
}

/// A running facilitator, on the chain of this cluster.
pub struct ClusterRig {
    /// The chain and who pays on it.
    pub cluster: Cluster,
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

impl std::ops::Deref for ClusterRig {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl ClusterRig {
    /// Starts a chain and a facilitator with the safe defaults and a sponsor.
    pub async fn start() -> Self {
        let chain = SolanaChain::start(h402_devnet::solana::SolanaConfig::default()).await.unwrap();
        Self::on(&chain, Vec::new(), Box::new(|_| ())).await
    }

    /// Starts a facilitator with another configuration.
    pub async fn with(configure: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Self {
        let chain = SolanaChain::start(h402_devnet::solana::SolanaConfig::default()).await.unwrap();
        Self::on(&chain, Vec::new(), Box::new(configure)).await
    }

    /// Starts a facilitator on a chain that runs already, with assets besides its coin and its token.
    pub async fn on(chain: &SolanaChain, more_assets: Vec<Asset>, configure: Configure) -> Self {
        let cluster = Cluster::new(chain);
        let mut assets = Assets::none().with((*cluster.sol).clone()).with((*cluster.usdc).clone());
        for more in more_assets {
            assets = assets.with(more);
        }
        let folder = Folder::new();
        let clock = RigClock::default();
        let (store, engine) = open(&folder, &cluster, &assets, &configure, &clock).await;
        let (url, stop, served) = listen(&engine).await;
        let rig = Self { cluster, engine, clock, store, url, folder, stop: Some(stop), served: Some(served), assets, configure };
        rig.until_ready().await;
        rig
    }

    /// Stops as SIGTERM does, and starts again on the same ledger and chain, at another port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.reopen().await;
        self.until_ready().await;
    }

    /// Starts again on the same ledger and chain after [`ClusterRig::stop`]; perhaps it is not ready yet.
    pub async fn reopen(&mut self) {
        (self.store, self.engine) = open(&self.folder, &self.cluster, &self.assets, &self.configure, &self.clock).await;
        let (url, stop, served) = listen(&self.engine).await;
        (self.url, self.stop, self.served) = (url, Some(stop), Some(served));
    }

    /// Waits until the engine has recovered and everything is well.
    pub async fn until_ready(&self) {
        for _ in 0..500 {
            if self.engine.ready().await.is_ready() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not ready: {:?}", self.engine.ready().await);
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
    pub async fn post(&self, path: &str, payment: &PaymentPayload, terms: &Requirements, caller: Option<&str>) -> (u16, String) {
        let mut request = http::Request::post(format!("{}{path}", self.url)).header("content-type", "application/json");
        if let Some(caller) = caller {
            request = request.header("idempotency-key", caller);
        }
        crate::http::send(request.body(h402::encode_request(payment, terms).unwrap().into()).unwrap()).await
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> (u16, String) {
        crate::http::send(http::Request::get(format!("{}{path}", self.url)).body(Default::default()).unwrap()).await
    }

    /// What `/supported` tells payers on this cluster.
    pub async fn hints(&self) -> SolanaHints {
        self.engine.supported().await.kinds.into_iter().find_map(|kind| kind.solana).unwrap()
    }
}

async fn open(
    folder: &Folder,
    cluster: &Cluster,
    assets: &Assets,
    configure: &Configure,
    clock: &RigClock,
) -> (SqliteStore, Engine<SqliteStore, RigClock>) {
    // The tasks of an engine that was stopped may hold the ledger for a moment longer.
    let options = OpenOptions::default().with_lock_wait(Duration::from_secs(20));
    let store = SqliteStore::open(folder.path().join("ledger.sqlite"), options).await.unwrap();
    let mut config = EngineConfig::new(assets.clone(), vec![cluster.network().into()]);
    configure(&mut config);
    let engine = Engine::start(config, store.clone(), clock.clone()).await.unwrap();
    (store, engine)
}
