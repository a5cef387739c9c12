//! A shop in a process of its own, so that it can die, and a counter outside of it, so that it is known what it did.

use super::{HOST, ORIGIN, PRICE, Runs, grants};
use crate::{
    raw::{Ask, Line, Reply},
    rig::{Folder, PAYEE, Rig, RigClock},
};
use axum::{Extension, Router, http::StatusCode, routing::any};
use h402_core::{Address, Amount, Asset, Network, Offer, asset_id};
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
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
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
    failing: Arc<AtomicBool>,
}

impl Counter {
    /// Listens.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let counter =
            Self { address: listener.local_addr().unwrap(), runs: Arc::default(), total: watch::Sender::new(0), failing: Arc::default() };
        let (runs, total, failing) = (counter.runs.clone(), counter.total.clone(), counter.failing.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (runs, total, failing) = (runs.clone(), total.clone(), failing.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut payment = String::new();
                    if stream.read_line(&mut payment).await.is_ok() && payment.ends_with('\n') {
                        *runs.lock().unwrap().entry(payment.trim_end().to_owned()).or_default() += 1;
                        total.send_modify(|total| *total += 1);
                        let verdict = if failing.load(Ordering::SeqCst) { b"!" } else { b"\n" };
                        drop(stream.write_all(verdict).await);
                    }
                });
            }
        });
        counter
    }

    /// Has every run fail from now on.
    pub fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
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
#[derive(Clone)]
pub struct ShopSetup<'a> {
    /// Who verifies and settles for it.
    pub facilitator: &'a str,
    /// What it is paid with.
    pub asset: &'a Asset,
    /// Who is paid.
    pub pay_to: Address,
    /// Where it keeps its grants.
    pub grants: PathBuf,
    /// The failpoint that ends it, if any.
    pub chaos: Option<&'a str>,
}

impl<'a> ShopSetup<'a> {
    /// Grants in this folder, and a facilitator and a token of this rig.
    pub fn on(rig: &'a Rig, folder: &Folder, chaos: Option<&'a str>) -> Self {
        let grants = folder.path().join("grants.sqlite");
        Self { facilitator: &rig.url, asset: &rig.asset, pay_to: account(PAYEE).address.into(), grants, chaos }
    }
}

/// A running shop, killed when dropped. It sells all below `/capture/` and `/upfront/`.
pub struct ShopProcess {
    pub address: SocketAddr,
    id: u32,
    child: Child,
}

impl ShopProcess {
    /// Starts `program`, which calls [`run`], and waits until it listens.
    pub async fn start(program: &str, counter: &Counter, setup: &ShopSetup<'_>) -> Self {
        let mut command = Command::new(program);
        command
            .env("SHOP_FACILITATOR", setup.facilitator)
            .env("SHOP_GRANTS", &setup.grants)
            .env("SHOP_COUNTER", counter.address.to_string())
            .env("SHOP_NETWORK", setup.asset.id.network.to_string())
            .env("SHOP_TOKEN", setup.asset.id.address.to_string())
            .env("SHOP_PAYEE", setup.pay_to.to_string())
            .env_remove("H402_CHAOS");
        if let Some(domain) = setup.asset.eip712_domain() {
            command
                .env("SHOP_TOKEN_NAME", domain.name.unwrap_or_default().as_ref())
                .env("SHOP_TOKEN_VERSION", domain.version.unwrap_or_default().as_ref());
        }
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

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
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

    /// As [`ShopProcess::kill`], and waits until it is gone.
    pub async fn killed(mut self) {
        self.child.kill().await.unwrap();
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
    let network: Network = told("SHOP_NETWORK").parse().unwrap();
    let token = Asset::new(asset_id(network, &told("SHOP_TOKEN")).unwrap(), 6, "USDC");
    let token = match std::env::var("SHOP_TOKEN_NAME") {
        Ok(name) => token.with_eip3009(&name, &told("SHOP_TOKEN_VERSION")),
        Err(_) => token,
    };
    let payee = asset_id(network, &told("SHOP_PAYEE")).unwrap().address;
    let price = Price::offers([Offer::new(token.into(), Amount::from_atomic(PRICE), payee).unwrap()]).unwrap();
    let gate = |price| {
        let facilitator = RemoteFacilitator::new(&told("SHOP_FACILITATOR")).unwrap();
        let gate = Gate::new(facilitator, grants.clone(), Origin::parse(ORIGIN).unwrap(), price);
        gate.accept_sent_payments([7; 32]).build().unwrap()
    };
    let counter: SocketAddr = told("SHOP_COUNTER").parse().unwrap();
    let sold = Runs::default();
    let handler = any(async move |Extension(payment): Extension<Payment>| {
        let mut stream = TcpStream::connect(counter).await.unwrap();
        stream.write_all(format!("{}\n", payment.idempotency_key()).as_bytes()).await.unwrap();
        let mut verdict = [0];
        stream.read_exact(&mut verdict).await.unwrap();
        match &verdict {
            b"!" => Err(StatusCode::INTERNAL_SERVER_ERROR),
            _ => Ok(format!("goods {} for {}", sold.add(), payment.payer)),
        }
    });
    let routes = Router::new()
        .route("/capture/{*path}", handler.clone().layer(gate(price.clone())))
        .route("/upfront/{*path}", handler.layer(gate(price.upfront())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, routes).await.unwrap();
}
