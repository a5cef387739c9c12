//! Programs in processes of their own: how they are started, and how clients among them are asked to pay.

use super::{
    chains::Chains,
    own,
    parties::{Chain, Client},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    time::timeout,
};

/// How long a start, or one payment, may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the programs are, as `cargo xtask interop` installed them.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Node.js.
    pub node: PathBuf,
    /// The folder of the programs for Node.js, beside their packages.
    pub node_programs: PathBuf,
    /// Python with its packages.
    pub python: PathBuf,
    /// The folder of the programs for Python.
    pub python_programs: PathBuf,
    /// Our facilitator.
    pub facilitator: PathBuf,
    /// Where each program's standard error goes, and what it writes.
    pub logs: PathBuf,
}

impl Tools {
    /// Reads the environment.
    pub fn from_env() -> Self {
        let path =
            |name: &str| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set; use `cargo xtask interop`")));
        Self {
            node: path("H402_INTEROP_NODE"),
            node_programs: path("H402_INTEROP_NODE_PROGRAMS"),
            python: path("H402_INTEROP_PYTHON"),
            python_programs: path("H402_INTEROP_PYTHON_PROGRAMS"),
            facilitator: path("H402_INTEROP_FACILITATOR"),
            logs: path("H402_INTEROP_LOGS"),
        }
    }

    /// A program of others by its file's name.
    pub(super) fn theirs(&self, file: &str, log: &str) -> Command {
        let (program, folder) =
            if file.ends_with(".py") { (&self.python, &self.python_programs) } else { (&self.node, &self.node_programs) };
        let mut command = self.command(program, log);
        // Nothing is written into the work tree, and no stack trace into an answer.
        command.arg(folder.join(file)).current_dir(folder).env("NODE_ENV", "production").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Our facilitator, on both chains, with a ledger that begins now.
    pub(super) fn ours(&self, chains: &Chains, (evm, svm): (String, String)) -> Command {
        let folder = self.logs.join("facilitator");
        let [evm_network, solana_network] = Chain::ALL.map(Chain::network);
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndatabase = {:?}\n[[network]]\nid = \"{evm_network}\"\nassets = [\"USDC\"]\npoll_ms = 50\n\
             [[network]]\nid = \"{solana_network}\"\nassets = [\"USDC\"]\npoll_ms = 50\n",
            folder.join("ledger.sqlite")
        );
        let config = folder.join("h402.toml");
        std::fs::write(&config, text).unwrap();
        let mut command = self.command(&self.facilitator, "facilitator-ours");
        command.arg("serve").arg("--config").arg(config).env("H402_LOG", "info").env_remove("H402_CHAOS").env_remove("H402_DATABASE");
        for (network, rpc, key) in [(evm_network, chains.evm.url.clone(), evm), (solana_network, chains.solana.url(), svm)] {
            let reference = network.split(':').next_back().unwrap();
            command.env(format!("H402_RPC_{reference}"), rpc).env(format!("H402_KEY_{reference}"), key);
        }
        command
    }

    fn command(&self, program: &Path, log: &str) -> Command {
        let log = std::fs::File::create(self.logs.join(format!("{log}.log"))).unwrap();
        let mut command = Command::new(program);
        command.stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        command
    }
}

/// A server in a process of its own, killed when dropped.
pub(super) struct Server {
    /// Where it listens.
    pub(super) url: String,
    _child: Child,
    // It may still have something to say.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts one; `None` if it ends without having listened.
    pub(super) async fn start(mut command: Command, env: &[(&str, String)]) -> Option<Self> {
        let mut child = command.stdin(Stdio::null()).envs(env.iter().cloned()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap_or_else(|_| panic!("{command:?} does not start")).unwrap()?;
        // Theirs say it in JSON, ours in a sentence.
        let said = serde_json::from_str::<Value>(&line).ok().and_then(|said| Some(said.get("url")?.as_str()?.to_owned()));
        let url = said.or_else(|| line.split_whitespace().last().map(str::to_owned)).filter(|url| url.starts_with("http://127.0.0.1:"));
        Some(Self { url: url.unwrap_or_else(|| panic!("said {line:?}")), _child: child, _lines: lines })
    }
}

/// What a client says of one request.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Bought {
    pub(super) id: u64,
    /// The last status it saw; `None` if it gave up before.
    pub(super) status: Option<u16>,
    /// The receipt, as the client decodes it.
    pub(super) receipt: Option<Value>,
    /// Why it gave up.
    pub(super) error: Option<String>,
}

impl Bought {
    /// The transaction of a receipt that says that it was paid.
    pub(super) fn transaction(&self) -> Option<&str> {
        let receipt = self.receipt.as_ref()?;
        if receipt.get("success")? != &json!(true) { None } else { receipt.get("transaction")?.as_str() }
    }
}

impl std::fmt::Display for Bought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.error, self.status) {
            (Some(error), _) => write!(f, "the client gave up: {error}"),
            (None, status) => write!(f, "the client got {status:?} with the receipt {:?}", self.receipt),
        }
    }
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Bought>>>>;

/// A client: ours, or one of theirs.
pub(super) enum Buyer {
    /// With a node of the cluster to ask, as theirs have.
    Ours {
        solana: String,
    },
    Theirs(Process),
}

impl Buyer {
    /// Starts one and waits until it takes requests.
    pub(super) async fn start(tools: &Tools, client: Client, chains: &Chains) -> Self {
        let (file, kind) = match client {
            Client::Ours => return Self::Ours { solana: chains.solana.url() },
            Client::FetchV2 => ("client.mjs", "fetch-v2"),
            Client::AxiosV2 => ("client.mjs", "axios-v2"),
            Client::FetchV1 => ("client.mjs", "fetch-v1"),
            Client::AxiosV1 => ("client.mjs", "axios-v1"),
            Client::Httpx => ("client.py", "httpx"),
            Client::Requests => ("client.py", "requests"),
        };
        let mut command = tools.theirs(file, &format!("client-{kind}"));
        command.env("KIND", kind).envs(chains.env());
        Self::Theirs(Process::start(command, kind).await)
    }

    /// Has it get a resource, with a key to pay with.
    pub(super) async fn buy(&self, url: &str, chain: Chain, key: &str) -> Result<Bought, String> {
        match self {
            Self::Ours { solana } => Ok(own::buy(url, chain, key, solana).await),
            Self::Theirs(process) => process.buy(url, chain, key).await,
        }
    }
}

/// A client in a process of its own, which pays for many, one request a line.
pub(super) struct Process {
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    _child: Child,
}

impl Process {
    async fn start(mut command: Command, kind: &'static str) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let input = tokio::sync::Mutex::new(child.stdin.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = timeout(PATIENCE, lines.next_line()).await.expect("a client starts").unwrap();
        assert!(ready.is_some(), "{kind} ended");
        let waiting = Waiting::default();
        let answers = waiting.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let bought: Bought = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{kind} said {line:?}"));
                if let Some(waits) = answers.lock().unwrap().remove(&bought.id) {
                    drop(waits.send(bought));
                }
            }
        });
        Self { input, waiting, next: AtomicU64::default(), _child: child }
    }

    async fn buy(&self, url: &str, chain: Chain, key: &str) -> Result<Bought, String> {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let (tell, told) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, tell);
        let line = format!("{}\n", json!({ "id": id, "url": url, "network": chain.word(), "key": key }));
        let mut input = self.input.lock().await;
        input.write_all(line.as_bytes()).await.map_err(|error| format!("the client is gone: {error}"))?;
        input.flush().await.map_err(|error| format!("the client is gone: {error}"))?;
        drop(input);
        let bought = timeout(PATIENCE, told).await.map_err(|_| "the client said nothing".to_owned())?;
        bought.map_err(|_| "the client is gone".to_owned())
    }
}
