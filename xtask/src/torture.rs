//! `kill -9` under load, many times, and a line in docs/trials.md about what came of it.

use crate::{
    built,
    step::{Failure, Line, root, scratch},
};
use std::{
    fs,
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

/// How often, if nothing else is asked for.
const KILLS: u64 = 200;
const PROGRAMS: [&str; 3] = ["torture", "facilitator-under-test", "shop-under-test"];
const TRIALS: &str = "docs/trials.md";

/// `rest` is the number of kills and a seed; both have defaults.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let number = |text: &&str| text.parse::<u64>().map_err(|_| Failure::new("torture takes a number of kills and a seed"));
    let kills = rest.first().map_or(Ok(KILLS), number)?;
    let seed = rest.get(1).map_or_else(|| Ok(by_chance()), number)?;
    let commit = commit()?;
    // Copies, so that whoever builds meanwhile changes nothing.
    let folder = scratch(&format!("torture-{}", std::process::id()))?;
    for (name, built) in built::programs("cargo build --locked -p h402-tests", &PROGRAMS)? {
        fs::copy(&built, folder.join(&name)).map_err(|error| Failure::new(format!("copy {}: {error}", built.display())))?;
    }
    let mut result = None;
    let program = folder.join("torture").display().to_string();
    let ran = Line::default().arg(program).arg(kills.to_string()).env("H402_TEST_SEED", seed.to_string()).watch(|line| {
        result = line.strip_prefix("RESULT ").map(str::to_owned).or(result.take());
    });
    drop(fs::remove_dir_all(&folder));
    let result = result.ok_or_else(|| Failure::new("torture broke off before it had a result"))?;
    let [kills, payments, lost, double, contradicted] = result.split(' ').collect::<Vec<_>>()[..] else {
        return Err(Failure::new(format!("no result: {result}")));
    };
    let row = format!("| {} | {kills} | {seed} | {commit} | {payments} | {lost} | {double} | {contradicted} |\n", today()?);
    let path = root().join(TRIALS);
    let file = fs::File::options().append(true).open(&path);
    file.and_then(|mut file| file.write_all(row.as_bytes())).map_err(|error| Failure::new(format!("{TRIALS}: {error}")))?;
    ran
}

/// What is built: the commit, and whether anything besides the trials differs from it.
fn commit() -> Result<String, Failure> {
    let commit = Line::new("git rev-parse --short=12 HEAD").read()?;
    let changed = Line::new("git status --porcelain -- . :!docs/trials.md").read()?;
    Ok(format!("{}{}", commit.trim(), if changed.trim().is_empty() { "" } else { " and changes" }))
}

/// The date in UTC.
fn today() -> Result<String, Failure> {
    Ok(Line::new("date -u +%Y-%m-%d").read()?.trim().to_owned())
}

fn by_chance() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1_000_000 + u64::from(since.subsec_micros()))
}
