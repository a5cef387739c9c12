//! Runs commands, shows them, and keeps their times.

use std::{
    fmt,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Why a command of xtask failed, in words for whoever ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    // Asked of cargo each time: with a common target directory this program may have been built in another clone.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Where cargo builds, for files of ours that should outlive a run and stay outside the work tree.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("xtask").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("create {}: {error}", folder.display())))?;
    Ok(folder)
}

/// One command line with its environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    words: Vec<String>,
    env: Vec<(String, String)>,
}

impl Line {
    /// Splits at spaces; no word of ours holds one.
    pub(crate) fn new(text: &str) -> Self {
        Self { words: text.split_whitespace().map(str::to_owned).collect(), env: Vec::new() }
    }

    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it with our own output and input closed.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        eprintln!("\n$ {self}");
        let status = self.command()?.status().map_err(|error| Failure::new(format!("{self}: {error}")))?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("{self}: {status}"))) }
    }

    /// Runs it, shows what it prints, and hands each line of its standard output on.
    pub(crate) fn watch(&self, mut each: impl FnMut(&str)) -> Result<(), Failure> {
        eprintln!("\n$ {self}");
        let io = |error: std::io::Error| Failure::new(format!("{self}: {error}"));
        let mut child = self.command()?.stdout(Stdio::piped()).spawn().map_err(io)?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = line.map_err(io)?;
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                each(&line);
            }
        }
        let status = child.wait().map_err(io)?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("{self}: {status}"))) }
    }

    /// Runs it silently and takes its standard output.
    pub(crate) fn read(&self) -> Result<String, Failure> {
        let output = self.command()?.stderr(Stdio::inherit()).output().map_err(|error| Failure::new(format!("{self}: {error}")))?;
        if !output.status.success() {
            return Err(Failure::new(format!("{self}: {}", output.status)));
        }
        String::from_utf8(output.stdout).map_err(|_| Failure::new(format!("{self}: prints no UTF-8")))
    }

    fn command(&self) -> Result<Command, Failure> {
        let Some((program, rest)) = self.words.split_first() else { return Err(Failure::new("an empty command")) };
        let mut command = command(program);
        command.args(rest).envs(self.env.iter().cloned());
        Ok(command)
    }
}

/// A command in the workspace's root, without what cargo has told this program about itself: build scripts look at
/// that, and everything after them would be built again.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start)));
        if told {
            command.env_remove(name);
        }
    }
    command
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={value} ")?;
        }
        f.write_str(&self.words.join(" "))
    }
}

/// What was done, and how long each part took.
#[derive(Debug, Default)]
pub(crate) struct Timings(Vec<(String, Duration)>);

impl Timings {
    /// Does one part; the summary names it even if it fails.
    pub(crate) fn time(&mut self, name: &str, part: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let outcome = part();
        let took = start.elapsed();
        let name = if outcome.is_ok() { name.to_owned() } else { format!("{name} (failed)") };
        eprintln!("=== {name}: {:.1} s", took.as_secs_f64());
        self.0.push((name, took));
        outcome
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: Duration = self.0.iter().map(|(_, took)| took).sum();
        for (name, took) in &self.0 {
            writeln!(f, "{:>8.1} s  {name}", took.as_secs_f64())?;
        }
        writeln!(f, "{:>8.1} s  in all", total.as_secs_f64())
    }
}
