//! libFuzzer around each decoder of untrusted bytes, and a line in docs/fuzz.md about what came of it.

use crate::step::{Failure, Line, command, root, scratch};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

/// How long each target runs, if nothing else is asked for, in seconds.
const SECONDS: u64 = 600;
const RUNS: &str = "docs/fuzz.md";
const CORPUS: &str = "fuzz/corpus";

/// What makes rustc tell libFuzzer where inputs lead: what cargo-fuzz passes, without the sanitizers that only nightly has. None
/// of our code is `unsafe`.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// `rest` is a target, or `all` of them, and the seconds that each runs; `keep` takes what they found into the corpus.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let (wanted, seconds) = match rest {
        ["keep"] => return keep(&build()?),
        [] => ("all", SECONDS),
        [target] => (*target, SECONDS),
        [target, seconds] => (*target, seconds.parse().map_err(|_| Failure::new("fuzz takes a target and a number of seconds"))?),
        _ => return Err(Failure::new("fuzz takes a target and a number of seconds")),
    };
    let targets: Vec<String> = targets()?.into_iter().filter(|name| wanted == "all" || wanted == name).collect();
    if targets.is_empty() {
        return Err(Failure::new(format!("{wanted} is no folder of {CORPUS}")));
    }
    let program = build()?;
    let commit = commit()?;
    let failed: Vec<String> =
        targets.iter().filter_map(|target| one(&program, target, seconds, &commit).err().map(|why| why.to_string())).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join("\nxtask: "))) }
}

/// Each target has a corpus; the replaying test sees to that.
fn targets() -> Result<BTreeSet<String>, Failure> {
    let entries = fs::read_dir(root().join(CORPUS)).map_err(|error| Failure::new(format!("{CORPUS}: {error}")))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// For the machine that builds, and named: so that build scripts and macros stay as they are.
fn build() -> Result<PathBuf, Failure> {
    let rustc = Line::new("rustc -vV").read()?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).ok_or_else(|| Failure::new("rustc names no host"))?;
    let folder = scratch("fuzz")?.join("target");
    let line = Line::new("cargo build --locked --profile fuzz -p h402-fuzz --features libfuzzer --target").arg(host);
    line.env("RUSTFLAGS", INSTRUMENTED).env("CARGO_TARGET_DIR", folder.display().to_string()).run()?;
    Ok(folder.join(host).join("fuzz/fuzz"))
}

/// Where what a target finds is kept until `fuzz keep`.
fn found(target: &str) -> Result<PathBuf, Failure> {
    scratch(&format!("fuzz/corpus/{target}"))
}

/// One target for some time. What it finds of interest goes to the scratch folder; an input that breaks something lies beside it.
fn one(program: &Path, target: &str, seconds: u64, commit: &str) -> Result<(), Failure> {
    let log = scratch("fuzz")?.join(format!("{target}.log"));
    let broken = scratch(&format!("fuzz/broken/{target}"))?;
    let output = fs::File::create(&log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    eprintln!("{target}: {seconds} s, see {}", log.display());
    let started = Instant::now();
    let status = command(&program.display().to_string())
        .args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", broken.display()))
        .arg(found(target)?)
        .arg(root().join(CORPUS).join(target))
        .env("H402_FUZZ_TARGET", target)
        .stderr(Stdio::from(output))
        .status()
        .map_err(|error| Failure::new(format!("{}: {error}", program.display())))?;
    let took = started.elapsed().as_secs();
    let text = fs::read_to_string(&log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    let executions = statistic(&text, "number_of_executed_units").unwrap_or(0);
    let coverage = text.lines().rev().find_map(|line| after(line, "cov: "));
    let outcome = if status.success() { "none" } else { "see below" };
    let row = format!("| {target} | {executions} | {took} | {} | {commit} | {outcome} |\n", coverage.unwrap_or_default());
    eprint!("{row}");
    let file = fs::File::options().append(true).open(root().join(RUNS));
    file.and_then(|mut file| file.write_all(row.as_bytes())).map_err(|error| Failure::new(format!("{RUNS}: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{target}: an input in {} breaks something; {}", broken.display(), log.display())))
    }
}

fn statistic(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

/// The number behind a word.
fn after(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.1.split_whitespace().next()?.parse().ok()
}

/// Most inputs of a target that are kept: those that lead furthest together. Whoever fuzzes finds the rest again.
const KEPT: usize = 20;

/// Makes the corpora anew, out of the old inputs and the found ones.
fn keep(program: &Path) -> Result<(), Failure> {
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error| Failure::new(format!("{path}: {error}"))
    };
    for target in targets()? {
        let (old, found) = (root().join(CORPUS).join(&target), found(&target)?);
        let fewest = scratch(&format!("fuzz/fewest/{target}"))?;
        fs::remove_dir_all(&fewest).and_then(|()| fs::create_dir_all(&fewest)).map_err(io(&fewest))?;
        // Written in order: first what leads to the most places, then what leads to the most others.
        let status = command(&program.display().to_string())
            .args(["-set_cover_merge=1", "-use_counters=0", "-max_len=4096"])
            .args([&fewest, &old, &found])
            .env("H402_FUZZ_TARGET", &target)
            .stderr(Stdio::null())
            .status()
            .map_err(io(program))?;
        if !status.success() {
            return Err(Failure::new(format!("{target}: {status}")));
        }
        let mut inputs = Vec::new();
        for entry in fs::read_dir(&fewest).map_err(io(&fewest))?.flatten() {
            inputs.push((entry.metadata().and_then(|about| about.modified()).map_err(io(&fewest))?, entry.path()));
        }
        inputs.sort();
        inputs.truncate(KEPT);
        fs::remove_dir_all(&old).and_then(|()| fs::create_dir_all(&old)).map_err(io(&old))?;
        for (_, input) in &inputs {
            fs::copy(input, old.join(input.file_name().unwrap_or_default())).map_err(io(input))?;
        }
        eprintln!("{target}: {} inputs", inputs.len());
    }
    Ok(())
}

/// What is built: the commit, and whether anything besides the corpora and the runs differs from it.
fn commit() -> Result<String, Failure> {
    let commit = Line::new("git rev-parse --short=12 HEAD").read()?;
    let changed = Line::new("git status --porcelain -- . :!docs/fuzz.md :!fuzz/corpus").read()?;
    Ok(format!("{}{}", commit.trim(), if changed.trim().is_empty() { "" } else { " and changes" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_libfuzzer_prints() {
        let text = "#2\tINITED cov: 41 ft: 42\n#99\tDONE   cov: 1234 ft: 5678 corp: 9/99b\nstat::number_of_executed_units: 99\n";
        assert_eq!(statistic(text, "number_of_executed_units"), Some(99));
        assert_eq!(statistic(text, "average_exec_per_sec"), None);
        assert_eq!(text.lines().rev().find_map(|line| after(line, "cov: ")), Some(1234));
    }
}
