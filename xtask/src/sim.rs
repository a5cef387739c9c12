//! Simulated days, any number of them.

use crate::{
    step::{Failure, Line},
    suite,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many, if nothing else is asked for.
const SEEDS: u64 = 10_000;

/// `rest` is the number of seeds and the first of them; both have defaults.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let number = |text: &&str| text.parse::<u64>().map_err(|_| Failure::new("sim takes a number of seeds and the first of them"));
    let count = rest.first().map_or(Ok(SEEDS), number)?;
    let first = rest.get(1).map_or_else(|| Ok(by_chance()), number)?;
    eprintln!("{count} seeds from {first}");
    let line = Line::new("cargo test --locked -p h402-tests --test sim -- --nocapture every_seed_holds");
    suite::run_part(&line.env("H402_SIM_SEEDS", count.to_string()).env("H402_SIM_FROM", first.to_string()))
}

fn by_chance() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1_000_000)
}
