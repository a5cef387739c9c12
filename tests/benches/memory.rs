//! What a facilitator holds in memory, idle, with very many connections and with very many open payments: the real program,
//! from the same release build.

use crate::{backlog, measure::line};
use h402_devnet::evm::{Chain, account};
use h402_tests::rig::Folder;
use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

const CONNECTIONS: usize = 10_000;
const OPEN: u32 = 1_000_000;

pub(crate) async fn run() {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "-p", "h402-facilitator", "--features", "server"])
        .status()
        .unwrap();
    assert!(built.success());
    // This program is in target/release/deps.
    let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("h402-facilitator");
    let chain = Chain::builder().start().await.unwrap();
    let folder = Folder::new();
    let serving = Serving::start(&program, &chain, &folder).await;
    line("idle facilitator, resident MiB (goal <= 32)", serving.resident());
    serving.with_connections("connections", "256");
    drop(serving);

    let folder = Folder::new();
    let open: u32 = std::env::var("H402_BENCH_ROWS").ok().map_or(OPEN, |rows| rows.parse().unwrap());
    backlog::fill(&folder.path().join("ledger.sqlite"), &chain, open).await;
    let serving = Serving::start(&program, &chain, &folder).await;
    line(&format!("{open} open payments, resident MiB"), serving.resident());
    serving.with_connections(&format!("connections and {open} open payments"), "512");
}

/// A facilitator that takes payments; killed when dropped.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    async fn start(program: &PathBuf, chain: &Chain, folder: &Folder) -> Self {
        let config = format!(
            "listen = \"127.0.0.1:0\"\ndatabase = {:?}\n[connections]\nmax = 12000\nidle_seconds = 3600\n\
             [[network]]\nid = \"eip155:{}\"\nrpc = [{:?}]\nassets = [\"USDC\"]\n",
            folder.path().join("ledger.sqlite"),
            chain.chain_id(),
            chain.url()
        );
        let path = folder.path().join("h402.toml");
        std::fs::write(&path, config).unwrap();
        // Through a shell, which lets it have as many files open as the machine allows.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" serve --config \"$1\""])
            .args([program, &path])
            .env(format!("H402_KEY_{}", chain.chain_id()), alloy_primitives::hex::encode(account(0).secret_key))
            .env("H402_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.split_whitespace().last().unwrap().to_owned();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        let serving = Self { child, address };
        while h402_tests::http::send(http::Request::get(format!("{url}/ready")).body(Default::default()).unwrap()).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        serving
    }

    /// In MiB.
    fn resident(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        format!("{:.1}", kib / 1024.0)
    }

    /// Prints what is resident while connections are open that have each had one answer.
    fn with_connections(&self, what: &str, goal: &str) {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let files: usize = files.split_whitespace().next().unwrap().parse().unwrap();
        // A chain is in this process, too, and has connections of its own.
        let count = CONNECTIONS.min(files.saturating_sub(200));
        let connect = |_| {
            let mut stream = TcpStream::connect(self.address).unwrap();
            stream.write_all(b"GET /supported HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).unwrap();
            assert!(begin.starts_with(b"HTTP/1.1 200"));
            stream
        };
        let open: Vec<TcpStream> = (0..count).map(connect).collect();
        line(&format!("{} idle {what}, resident MiB (goal <= {goal} with {CONNECTIONS})", open.len()), self.resident());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
