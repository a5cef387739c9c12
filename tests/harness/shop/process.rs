//! A shop in a process of its own, so that it can die, and a counter outside of it, so that it is known what it did.

use super::{HOST, ORIGIN, PRICE, Runs, grants};
use crate::{
    raw::{Ask, Line, Reply},
    rig::{PAYEE, Rig, RigClock},
};
use axum::{Extension, Router, routing::any};
use h402_core::{Amount, Asset, Network, Offer, asset_id};
use h402_devnet::evm::account;
use h402_tower::{
    gate::{Gate, Origin, Payment, Price},
    remote::RemoteFacilitator,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts, for each payment, the runs of handlers in other processes.
pub struct Counter {
    address: SocketAddr,
    runs: Arc<Mutex<HashMap<String, u64>>>,
    total: watch::Sender<u64>,
}

impl Counter {
    /// Listens.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let counter = Self { address: listener.local_addr().unwrap(), runs: Arc::default(), total: watch::Sender::new(0) };
        let (runs, total) = (counter.runs.clone(), counter.total.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (runs, total) = (runs.clone(), total.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut payment = String::new();
                    if stream.read_line(&mut payment).await.is_ok() && payment.ends_with('\n') {
                        *runs.lock().unwrap().entry(payment.trim_end().to_owned()).or_default() += 1;
                        total.send_modify(|total| *total += 1);
                        drop(stream.write_all(b"\n").await);
                    }
                });
            }
        });
        counter
    }

    /// How often a handler ran for a payment.
    pub fn runs(&self, payment: &str) -> u64 {
        self.runs.lock().unwrap().get(payment).copied().unwrap_or_default()
    }

    /// How often handlers ran.
    pub fn total(&self) -> u64 {
        *self.total.borrow()
    }

    /// Waits until handlers have run so often.
    pub async fn reached(&self, total: u64) {
        let mut seen = self.total.subscribe();
        drop(tokio::time::timeout(PATIENCE, seen.wait_for(|now| *now >= total)).await.expect("they run"));
    }
}

/// What a process is told, by its environment.
pub struct ShopSetup<'a> {
    /// Where it keeps its grants.
    pub grants: PathBuf,
    /// The failpoint that ends it, if any.
    pub chaos: Option<&'a str>,
}

/// A running shop, killed when dropped. It sells all below `/capture/` and `/upfront/`.
pub struct ShopProcess {
    pub address: SocketAddr,
    id: u32,
    child: Child,
}

impl ShopProcess {
    /// Starts `program`, which calls [`run`], and waits until it listens.
    pub async fn start(program: &str, rig: &Rig, counter: &Counter, setup: &ShopSetup<'_>) -> Self {
        let domain = rig.asset.eip712_domain().unwrap();
        let mut command = Command::new(program);
        command
            .env("SHOP_FACILITATOR", &rig.url)
            .env("SHOP_GRANTS", &setup.grants)
            .env("SHOP_COUNTER", counter.address.to_string())
            .env("SHOP_CHAIN", rig.chain.chain_id().to_string())
            .env("SHOP_TOKEN", rig.chain.usdc().to_string())
            .env("SHOP_TOKEN_NAME", domain.name.unwrap_or_default().as_ref())
            .env("SHOP_TOKEN_VERSION", domain.version.unwrap_or_default().as_ref())
            .env_remove("H402_CHAOS");
        if let Some(chaos) = setup.chaos {
            command.env("H402_CHAOS", chaos);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it starts").unwrap();
        Self { address: line.expect("it listens").parse().unwrap(), id: child.id().expect("it runs"), child }
    }

    /// One request on a connection of its own; `None` if the process ends before it has answered.
    pub async fn try_ask(&self, ask: &Ask) -> Option<Reply> {
        Line::try_open(self.address).await?.ask(ask).await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }

    /// Ends it as `kill -9` does, while others may still talk to it.
    pub fn kill(&self) {
        let status = std::process::Command::new("kill").arg("-KILL").arg(self.id.to_string()).status();
        assert!(status.unwrap().success());
    }
}

/// A request to such a shop.
pub fn buy(upfront: bool, payment: &str) -> Ask {
    Ask::new("GET", if upfront { "/upfront/a" } else { "/capture/a" }, HOST).paying(payment)
}

/// What the process does.
pub fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve());
}

async fn serve() {
    let told = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let grants = grants(&PathBuf::from(told("SHOP_GRANTS")), &RigClock::default()).await;
    let token = asset_id(Network::Evm(told("SHOP_CHAIN").parse().unwrap()), &told("SHOP_TOKEN")).unwrap();
    let token = Asset::new(token, 6, "USDC").with_eip3009(&told("SHOP_TOKEN_NAME"), &told("SHOP_TOKEN_VERSION"));
    let payee = account(PAYEE).address.into();
    let price = Price::offers([Offer::new(token.into(), Amount::from_atomic(PRICE), payee).unwrap()]).unwrap();
    let gate = |price| {
        let facilitator = RemoteFacilitator::new(&told("SHOP_FACILITATOR")).unwrap();
        Gate::new(facilitator, grants.clone(), Origin::parse(ORIGIN).unwrap(), price).build().unwrap()
    };
    let counter: SocketAddr = told("SHOP_COUNTER").parse().unwrap();
    let sold = Runs::default();
    let handler = any(async move |Extension(payment): Extension<Payment>| {
        let mut stream = TcpStream::connect(counter).await.unwrap();
        stream.write_all(format!("{}\n", payment.idempotency_key()).as_bytes()).await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        format!("goods {} for {}", sold.add(), payment.payer)
    });
    let routes = Router::new()
        .route("/capture/{*path}", handler.clone().layer(gate(price.clone())))
        .route("/upfront/{*path}", handler.layer(gate(price.upfront())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, routes).await.unwrap();
}
