//! A facilitator in a process of its own, so that it can die.

use crate::rig::{Folder, GAS};
use alloy_primitives::hex;
use h402_devnet::evm::account;
use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a process is started.
#[derive(Debug, Clone, Default)]
pub struct ProcessOptions {
    /// The failpoint that ends it, if any.
    pub chaos: Option<String>,
    /// The log filter; nothing is logged without.
    pub log: Option<String>,
    /// Lines for the top of the configuration file.
    pub settings: String,
    /// A database to keep the ledger in instead of a file.
    pub database: Option<String>,
    /// By how many milliseconds its wall clock is wrong.
    pub clock: i64,
}

/// Where payments are settled.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// CAIP-2.
    pub network: &'a str,
    /// Symbols of the assets, as a TOML array.
    pub assets: &'a str,
    /// The node.
    pub rpc: &'a str,
    /// The key that pays for gas, or the fees of others.
    pub key: &'a str,
}

impl<'a> Place<'a> {
    /// A local EVM chain and the key that pays for its gas.
    pub fn evm(rpc: &'a str, key: &'a str) -> Self {
        Self { network: "eip155:84532", assets: r#"["USDC"]"#, rpc, key }
    }
}

/// The key that pays for gas on local EVM chains, as an operator writes it.
pub fn gas_key() -> String {
    hex::encode(account(GAS).secret_key)
}

/// The program with the configuration of a folder, as an operator runs it; what it is to do is not said yet.
pub fn command(program: &str, folder: &Folder, place: &Place<'_>, options: &ProcessOptions) -> Command {
    let path = folder.path();
    let settings = &options.settings;
    let database = path.join("ledger.sqlite");
    let Place { network, assets, rpc, key } = place;
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndatabase = {database:?}\n{settings}\n[[network]]\nid = \"{network}\"\nassets = {assets}\npoll_ms = 20\n"
    );
    let reference = network.split(':').next_back().unwrap();
    std::fs::write(path.join("h402.toml"), text).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(path.join("h402.toml"));
    command.env(format!("H402_RPC_{reference}"), rpc).env(format!("H402_KEY_{reference}"), key);
    command.env("H402_LOG", options.log.as_deref().unwrap_or("off")).env_remove("H402_CHAOS");
    command.env_remove("H402_DATABASE").env("H402_CLOCK", options.clock.to_string());
    if let Some(url) = &options.database {
        // As an operator gives it: it may hold a password.
        command.env("H402_DATABASE", url);
    }
    if let Some(chaos) = &options.chaos {
        command.env("H402_CHAOS", chaos);
    }
    command
}

/// What a run of the program came to that ends by itself.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it said.
    pub said: String,
    /// What it complained of.
    pub complained: String,
}

/// Runs a command of the program beside whatever else works on its ledger, and waits for its end.
pub async fn run(program: &str, folder: &Folder, place: &Place<'_>, options: &ProcessOptions, arguments: &[&str]) -> Ran {
    let mut command = command(program, folder, place, options);
    let ran = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let ran = tokio::time::timeout(PATIENCE, ran).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code().expect("an exit code"), said: text(ran.stdout), complained: text(ran.stderr) }
}

/// A running process, killed when dropped. Its ledger is in the folder, what it logged in `log` there.
pub struct Process {
    /// Where it listens.
    pub url: String,
    id: u32,
    child: Child,
}

impl Process {
    /// Starts `program` on the ledger of a folder and the node at `rpc`, and waits until it listens.
    pub async fn start(program: &str, folder: &Folder, rpc: &str, options: &ProcessOptions) -> Self {
        Self::start_on(program, folder, &Place::evm(rpc, &gas_key()), options).await
    }

    /// Starts `program` on the ledger of a folder and a node of any network, and waits until it listens.
    pub async fn start_on(program: &str, folder: &Folder, place: &Place<'_>, options: &ProcessOptions) -> Self {
        let path = folder.path();
        let log = std::fs::File::options().create(true).append(true).open(path.join("log")).unwrap();
        let mut command = command(program, folder, place, options);
        command.arg("serve");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it starts").unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended: {}", std::fs::read_to_string(path.join("log")).unwrap_or_default()));
        let url = line.split_whitespace().last().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { url, id: child.id().expect("it runs"), child }
    }

    /// Waits until payments are taken.
    pub async fn until_ready(&self) {
        for _ in 0..2000 {
            if self.get("/ready").await.is_some_and(|(status, _)| status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not ready: {:?}", self.get("/ready").await);
    }

    /// Gets a path; `None` if the connection broke.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        crate::http::try_send(http::Request::get(format!("{}{path}", self.url)).body(Default::default()).unwrap()).await
    }

    /// Posts a body; `None` if the connection broke before the answer.
    pub async fn post(&self, path: &str, body: &[u8], caller: Option<&str>) -> Option<(u16, String)> {
        let mut request = http::Request::post(format!("{}{path}", self.url)).header("content-type", "application/json");
        if let Some(caller) = caller {
            request = request.header("idempotency-key", caller);
        }
        crate::http::try_send(request.body(body.to_vec().into()).unwrap()).await
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
        self.signal("-KILL");
    }

    /// Stops it where it is, as `kill -STOP` does: it keeps what it holds, and does nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Memory that it holds, in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Files and sockets that it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id)).unwrap().count()
    }

    fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill").arg(signal).arg(self.id.to_string()).status();
        assert!(status.unwrap().success());
    }

    /// As [`Process::kill`], and waits until it is gone.
    pub async fn killed(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end, as `kill` does.
    pub fn ask_to_end(&self) {
        let status = std::process::Command::new("kill").arg("-TERM").arg(self.id.to_string()).status();
        assert!(status.unwrap().success());
    }

    /// Asks it to end, as `kill` does, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended().await
    }
}
