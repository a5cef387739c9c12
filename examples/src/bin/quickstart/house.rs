//! The parties, each as it would run in earnest: two chains, a facilitator, a shop, an agent.

use crate::say;
use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use h402_core::{Address, Asset, Assets, EvmKey, GenesisPrefix, Network, Peg, SolanaAddress, SolanaKey, asset_id};
use h402_devnet::{
    BlockTime,
    evm::{Account, Chain, account},
    solana::{self, Pubkey, SolanaChain},
};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, Signer, SolanaNetwork, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    solana as cluster,
    sqlite::{OpenOptions, SqlGrants, SqliteStore},
};
use h402_tower::{
    gate::{Gate, Origin, Payee, Payment, Price},
    pay::{Cap, EvmWallet, Pay, SolanaWallet, Wallet},
    remote::RemoteFacilitator,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{path::PathBuf, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tower::{ServiceBuilder, ServiceExt};

type Error = Box<dyn std::error::Error>;

/// What the Solana cluster in this process passes for: it has the name, the token and nothing else of it.
pub(crate) const SOLANA: Network = Network::Solana(GenesisPrefix::DEVNET);

/// Everything that runs.
pub(crate) struct House {
    pub(crate) chain: Chain,
    pub(crate) cluster: SolanaChain,
    pub(crate) facilitator: String,
    pub(crate) api: String,
    pub(crate) asset: Asset,
    pub(crate) assets: Assets,
    folder: PathBuf,
    stops: Vec<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
    ledger: SqliteStore,
    grants: SqlGrants,
}

/// Who owns which development account.
pub(crate) fn operator() -> &'static Account {
    account(0)
}
pub(crate) fn shop() -> &'static Account {
    account(1)
}
pub(crate) fn agent() -> &'static Account {
    account(2)
}

/// The same on Solana.
pub(crate) fn solana_operator() -> SolanaKey {
    solana_key(0)
}
pub(crate) fn solana_shop() -> SolanaKey {
    solana_key(1)
}
pub(crate) fn solana_agent() -> SolanaKey {
    solana_key(2)
}

fn solana_key(index: usize) -> SolanaKey {
    SolanaKey::from_seed(solana::account(index).secret_bytes())
}

impl House {
    pub(crate) async fn start() -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("h402-quickstart-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        say("Starting, all of it on this machine:")?;

        let chain = Chain::builder().start().await?;
        say(format!("  chain        {}  (EVM, chain id {})", chain.url(), chain.chain_id()))?;

        let slots = solana::SolanaConfig::default().slot_time(BlockTime::Every(Duration::from_millis(400)));
        let cluster = SolanaChain::start(slots).await?;
        say(format!("  chain        {}  (Solana, {SOLANA})", cluster.url()))?;

        // The operator's part: the tokens this facilitator accepts, the keys that pay for gas and fees, the ledger.
        let network = Network::Evm(chain.chain_id());
        let id = asset_id(network, &chain.usdc().to_string())?;
        let asset = Asset::new(id, 6, "USDC").with_eip3009(chain.usdc_name(), chain.usdc_version()).with_peg(Peg::Usd);
        let known = Assets::known();
        let on_solana = known.by_symbol(SOLANA, "USDC").ok_or("the built-in table has no USDC on Solana's devnet")?;
        let assets = Assets::none().with(asset.clone()).with(Asset::clone(on_solana));
        let signer = Signer::Local(EvmKey::from_bytes(&operator().secret_key)?);
        let rpc = Rpc::new(RpcConfig::new(vec![chain.url().parse()?]));
        let evm = EvmConfig { chain_id: chain.chain_id(), multicall3: Some(chain.multicall3()), simulate_from: signer.address(), rpc };
        let evm = EvmNetwork::new(EvmChain::new(evm), signer);
        let rpc = Rpc::new(RpcConfig::new(vec![cluster.url().parse()?]));
        let node = cluster::SolanaChain::new(cluster::SolanaConfig { genesis: GenesisPrefix::DEVNET, rpc });
        let solana = SolanaNetwork::new(node).with_sponsor(solana_operator());
        let config = EngineConfig::new(assets.clone(), vec![evm.into(), solana.into()]);
        let ledger = SqliteStore::open(folder.join("ledger.sqlite"), OpenOptions::default()).await?;
        let engine = Engine::start(config, ledger.clone(), SystemClock).await?;
        let (facilitator, stop_facilitator, listener) = listen().await?;
        let served = h402_facilitator::server::serve(listener, engine.clone(), async move { drop(stop_facilitator.1.await) });
        let facilitator_task = tokio::spawn(report("facilitator", served));
        while !engine.ready().await.is_ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say(format!("  facilitator  {facilitator}  (verifies, settles, remembers in SQLite)"))?;

        // The API developer's part: a price, and the gate on the routes that cost.
        let (api, stop_api, listener) = listen().await?;
        let payees = [Payee::new(network, Address::Evm(shop().address)), Payee::new(SOLANA, solana_shop().address().into())];
        let grants = SqlGrants::open(folder.join("grants.sqlite"), OpenOptions::default()).await?;
        let remote = RemoteFacilitator::new(&facilitator)?;
        let price = Price::usd("0.01").to(&payees, &assets)?;
        let gate = Gate::new(remote, grants.clone(), Origin::parse(&api)?, price).with_description("One weather report").build()?;
        let routes = Router::new().route("/report/{city}", get(report_for)).route_layer(gate).route("/", get(async || "free\n"));
        let served = axum::serve(listener, routes).with_graceful_shutdown(async move { drop(stop_api.1.await) });
        let api_task = tokio::spawn(report("api", async move { served.await }));
        say(format!("  paid API     {api}  (axum; GET /report/{{city}} costs 0.01 USDC, on either chain)"))?;

        let (stops, tasks) = (vec![stop_api.0, stop_facilitator.0], vec![api_task, facilitator_task]);
        Ok(Self { chain, cluster, facilitator, api, asset, assets, folder, stops, tasks, ledger, grants })
    }

    /// The agent's part: a key, and how much one call may cost at most.
    pub(crate) async fn call(&self, wallet: impl Wallet, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let cap = Cap::usd("0.05", &self.assets)?;
        let agent = ServiceBuilder::new().layer(Pay::new(wallet, cap)).service(Self::client());
        Ok(agent.oneshot(request).await?)
    }

    /// A wallet that signs authorizations on EVM.
    pub(crate) fn evm_wallet() -> Result<EvmWallet, Error> {
        Ok(EvmWallet::from_key(EvmKey::from_bytes(&agent().secret_key)?))
    }

    /// A wallet that asks no node of Solana for anything: what it needs to know stands in the 402.
    pub(crate) fn solana_wallet() -> SolanaWallet {
        SolanaWallet::from_key(solana_agent()).with_key_of_cluster_only(SOLANA)
    }

    /// The same client, without money.
    pub(crate) fn client() -> Client<HttpConnector, Full<Bytes>> {
        Client::builder(TokioExecutor::new()).build_http()
    }

    /// What an account holds of the token, in token units.
    pub(crate) fn balance(&self, of: &Account) -> String {
        let held = self.chain.balance_of(self.chain.usdc(), of.address);
        h402_core::Amount::from(held).to_units(self.asset.decimals)
    }

    /// What an account holds of the token on Solana, in its smallest unit.
    pub(crate) fn solana_balance(&self, of: SolanaAddress) -> u64 {
        self.cluster.token_balance(pubkey(of), self.cluster.usdc())
    }

    /// What an account holds in lamports.
    pub(crate) fn lamports(&self, of: SolanaAddress) -> u64 {
        self.cluster.lamports(pubkey(of))
    }

    pub(crate) async fn stop(self) -> Result<(), Error> {
        drop(self.stops);
        for task in self.tasks {
            task.await?;
        }
        self.grants.close().await?;
        self.ledger.close().await?;
        self.chain.stop().await;
        self.cluster.stop().await;
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

fn pubkey(address: SolanaAddress) -> Pubkey {
    Pubkey::new_from_array(*address.as_bytes())
}

/// What is sold. The gate lets a request in only with a payment, and tells who paid.
async fn report_for(axum::extract::Path(city): axum::extract::Path<String>, payment: Extension<Payment>) -> String {
    format!("Sunny in {city}. Paid for by {}.\n", payment.payer)
}

type Stop = (oneshot::Sender<()>, oneshot::Receiver<()>);

async fn listen() -> Result<(String, Stop, TcpListener), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((url, oneshot::channel(), listener))
}

async fn report(who: &'static str, served: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = served.await {
        eprintln!("{who}: {error}");
    }
}
