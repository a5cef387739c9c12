//! The four parties, each as it would run in earnest.

use crate::say;
use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use h402_core::{Address, Asset, Assets, EvmKey, Network, Peg, asset_id};
use h402_devnet::evm::{Account, Chain, account};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, Signer, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    sqlite::{OpenOptions, SqlGrants, SqliteStore},
};
use h402_tower::{
    gate::{Gate, Origin, Payee, Payment, Price},
    pay::{Cap, EvmWallet, Pay, PayService},
    remote::RemoteFacilitator,
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{path::PathBuf, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tower::ServiceBuilder;

type Error = Box<dyn std::error::Error>;

/// A hyper client that pays.
pub(crate) type Agent = PayService<Client<HttpConnector, Full<Bytes>>, EvmWallet>;

/// Everything that runs.
pub(crate) struct House {
    pub(crate) chain: Chain,
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

impl House {
    pub(crate) async fn start() -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("h402-quickstart-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        say("Starting, all of it on this machine:")?;

        let chain = Chain::builder().start().await?;
        say(format!("  chain        {}  (EVM, chain id {})", chain.url(), chain.chain_id()))?;

        // The operator's part: the one token this facilitator accepts, the key that pays for gas, the ledger.
        let network = Network::Evm(chain.chain_id());
        let id = asset_id(network, &chain.usdc().to_string())?;
        let asset = Asset::new(id, 6, "USDC").with_eip3009(chain.usdc_name(), chain.usdc_version()).with_peg(Peg::Usd);
        let assets = Assets::none().with(asset.clone());
        let signer = Signer::Local(EvmKey::from_bytes(&operator().secret_key)?);
        let rpc = Rpc::new(RpcConfig::new(vec![chain.url().parse()?]));
        let evm = EvmConfig { chain_id: chain.chain_id(), multicall3: Some(chain.multicall3()), simulate_from: signer.address(), rpc };
        let config = EngineConfig::new(assets.clone(), vec![EvmNetwork::new(EvmChain::new(evm), signer).into()]);
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
        let payee = Payee::new(network, Address::Evm(shop().address));
        let grants = SqlGrants::open(folder.join("grants.sqlite"), OpenOptions::default()).await?;
        let remote = RemoteFacilitator::new(&facilitator)?;
        let price = Price::usd("0.01").to(&[payee], &assets)?;
        let gate = Gate::new(remote, grants.clone(), Origin::parse(&api)?, price).with_description("One weather report").build()?;
        let routes = Router::new().route("/report/{city}", get(report_for)).route_layer(gate).route("/", get(async || "free\n"));
        let served = axum::serve(listener, routes).with_graceful_shutdown(async move { drop(stop_api.1.await) });
        let api_task = tokio::spawn(report("api", async move { served.await }));
        say(format!("  paid API     {api}  (axum; GET /report/{{city}} costs 0.01 USDC)"))?;

        let (stops, tasks) = (vec![stop_api.0, stop_facilitator.0], vec![api_task, facilitator_task]);
        Ok(Self { chain, facilitator, api, asset, assets, folder, stops, tasks, ledger, grants })
    }

    /// The agent's part: a key, and how much one call may cost at most.
    pub(crate) fn agent(&self) -> Result<Agent, Error> {
        let wallet = EvmWallet::from_key(EvmKey::from_bytes(&agent().secret_key)?);
        let cap = Cap::usd("0.05", &self.assets)?;
        Ok(ServiceBuilder::new().layer(Pay::new(wallet, cap)).service(Self::client()))
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

    pub(crate) async fn stop(self) -> Result<(), Error> {
        drop(self.stops);
        for task in self.tasks {
            task.await?;
        }
        self.grants.close().await?;
        self.ledger.close().await?;
        self.chain.stop().await;
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
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
