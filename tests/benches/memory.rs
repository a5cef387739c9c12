//! What an idle facilitator holds in memory: the real program, from the same release build.

use crate::measure::line;
use h402_devnet::evm::{Chain, account};
use h402_tests::rig::Folder;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

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
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndatabase = {:?}\n[[network]]\nid = \"eip155:{}\"\nrpc = [{:?}]\nassets = [\"USDC\"]\n",
        folder.path().join("ledger.sqlite"),
        chain.chain_id(),
        chain.url()
    );
    let path = folder.path().join("h402.toml");
    std::fs::write(&path, config).unwrap();
    let mut child = Command::new(program)
        .args(["serve", "--config", path.to_str().unwrap()])
        .env(format!("H402_KEY_{}", chain.chain_id()), alloy_primitives::hex::encode(account(0).secret_key))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let url = first.split_whitespace().last().unwrap().to_owned();
    let mut ready = 0;
    while ready != 200 {
        ready = h402_tests::http::send(http::Request::get(format!("{url}/ready")).body(Default::default()).unwrap()).await.0;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    line("idle facilitator, resident MiB (goal <= 32)", format!("{:.1}", kib / 1024.0));
    child.kill().unwrap();
    child.wait().unwrap();
}
