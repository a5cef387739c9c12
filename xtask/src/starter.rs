//! The facilitator's first steps, as the README shows them: `init`, `check-config`, `serve`.

use crate::step::{Failure, Line, command, scratch};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

pub(crate) const INIT: &str = "cargo run -p h402-facilitator --features server -- init";
pub(crate) const CHECK: &str = "cargo run -p h402-facilitator --features server -- check-config";
pub(crate) const SERVE: &str = "cargo run -p h402-facilitator --features server -- serve";

/// A key that everybody has: the first account of every development chain.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

pub(crate) fn run() -> Result<(), Failure> {
    let folder = scratch("starter")?;
    let file = folder.join("h402.toml");
    for name in ["h402.toml", "h402.sqlite", "h402.sqlite-wal", "h402.sqlite-shm"] {
        drop(std::fs::remove_file(folder.join(name)));
    }
    let config = file.display().to_string();
    Line::new(INIT).arg("--config").arg(&config).run()?;
    Line::new(CHECK).arg("--config").arg(&config).env("H402_KEY_84532", KEY).run()?;
    serve(&config, &folder)
}

/// No chain answers here; the server must come up all the same, alive and not ready, and stop when told.
fn serve(config: &str, folder: &Path) -> Result<(), Failure> {
    eprintln!("\n$ {SERVE}");
    let failed = |what: &str| Failure::new(format!("{SERVE}: {what}"));
    let mut words = SERVE.split_whitespace();
    let mut child = command(words.next().unwrap_or_default())
        .args(words)
        .args(["--config", config])
        .envs([("H402_KEY_84532", KEY), ("H402_LISTEN", "127.0.0.1:0"), ("H402_RPC_84532", "http://127.0.0.1:9")])
        .env("H402_DATABASE", folder.join("h402.sqlite"))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    let answers = ask(&mut child);
    let stopped = stop(&mut child);
    let (health, ready) = answers.map_err(|why| failed(&why))?;
    eprintln!("/health: {health}, /ready: {ready}");
    if (health.as_str(), ready.as_str()) != ("200", "503") {
        return Err(failed("/health is to be 200 and /ready 503 while no chain answers"));
    }
    stopped.map_err(|why| failed(&why))
}

fn ask(child: &mut Child) -> Result<(String, String), String> {
    let output = child.stdout.take().ok_or("no standard output")?;
    let mut said = String::new();
    BufReader::new(output).read_line(&mut said).map_err(|error| error.to_string())?;
    let address = said.trim().strip_prefix("h402-facilitator listens on http://").ok_or_else(|| format!("said {said:?}"))?;
    Ok((get(address, "/health")?, get(address, "/ready")?))
}

/// The status of one answer.
fn get(address: &str, path: &str) -> Result<String, String> {
    let text = |error: std::io::Error| format!("GET {path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(40))).map_err(text)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    answer.split_whitespace().nth(1).map(str::to_owned).ok_or_else(|| format!("GET {path}: no answer"))
}

/// On Unix `cargo run` becomes the program that it runs, so the signal reaches the server.
fn stop(child: &mut Child) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    command("kill").args(["-TERM", &child.id().to_string()]).status().map_err(text)?;
    let status = child.wait().map_err(text)?;
    if status.success() { Ok(()) } else { Err(format!("after SIGTERM: {status}")) }
}
