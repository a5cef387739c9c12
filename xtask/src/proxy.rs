//! The Solana RPC proxy on its own chains: every line it invites its reader to type is typed.

use crate::step::{Failure, command};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::Duration,
};

pub(crate) const PROXY: &str = "cargo run -p h402-examples --bin solana-rpc-proxy";
const FORWARDER: &str = "--bin paying-forwarder";

/// What curl is to be answered, line by line: a free method, the price, a paid call, then two through the forwarder.
const STATUSES: [&str; 3] = ["200", "402", "200"];

pub(crate) fn run() -> Result<(), Failure> {
    eprintln!("\n$ {PROXY}");
    let mut words = PROXY.split_whitespace();
    let mut proxy = start(command(words.next().unwrap_or_default()).args(words).args(["--", "--listen", "127.0.0.1:0"]))?;
    let said = lines_until(&mut proxy, "Ctrl-C ends it.");
    let tried = said.and_then(|lines| try_all(&lines));
    let stopped = stop(&mut proxy);
    tried.and(stopped)
}

fn try_all(lines: &[String]) -> Result<(), Failure> {
    let commands: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("  ")).collect();
    let direct: Vec<&str> = commands.iter().copied().take_while(|line| line.starts_with("curl")).collect();
    if direct.len() != STATUSES.len() {
        return Err(Failure::new(format!("{PROXY}: shows {} lines for curl before the forwarder's", direct.len())));
    }
    for (line, status) in direct.iter().zip(STATUSES) {
        expect(line, status)?;
    }
    let mut rest = commands.iter().skip(direct.len());
    let (Some(forwarder), Some(through)) = (rest.next().filter(|line| line.contains(FORWARDER)), rest.next()) else {
        return Err(Failure::new(format!("{PROXY}: shows no forwarder and no call through it")));
    };
    eprintln!("\n$ {forwarder}");
    let mut child = start(command("sh").args(["-c", &format!("exec env {forwarder}")]))?;
    let paid = lines_until(&mut child, "paying-forwarder listens on").and_then(|_| expect(through, "200"));
    let stopped = stop(&mut child);
    paid.and(stopped)
}

/// Types one line, and reads the status that curl shows.
fn expect(line: &str, status: &str) -> Result<(), Failure> {
    let shown: String = line.chars().take(120).collect();
    let output = command("sh").args(["-c", line]).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::new(format!("{shown}: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let got = text.split_whitespace().nth(1).unwrap_or("nothing").to_owned();
    eprintln!("{got}: {shown}");
    if got == status { Ok(()) } else { Err(Failure::new(format!("answered {got}, {status} was expected: {shown}\n{text}"))) }
}

fn start(line: &mut std::process::Command) -> Result<Child, Failure> {
    line.stdout(Stdio::piped()).spawn().map_err(|error| Failure::new(format!("{line:?}: {error}")))
}

/// What a program says up to a line that begins so.
fn lines_until(child: &mut Child, last: &str) -> Result<Vec<String>, Failure> {
    let output = child.stdout.take().ok_or_else(|| Failure::new("no standard output"))?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| Failure::new(error.to_string()))?;
        lines.push(line);
        if lines.last().is_some_and(|line| line.starts_with(last)) {
            return Ok(lines);
        }
    }
    Err(Failure::new(format!("never said {last:?}, but {lines:?}")))
}

/// On Unix `cargo run` becomes the program that it runs, so the signal reaches it.
fn stop(child: &mut Child) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(error.to_string());
    command("kill").args(["-INT", &child.id().to_string()]).status().map_err(failed)?;
    for _ in 0..600 {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return if status.success() { Ok(()) } else { Err(Failure::new(format!("after SIGINT: {status}"))) };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().map_err(failed)?;
    Err(Failure::new("did not end after SIGINT"))
}
