//! The end-to-end suite over and over, each time with another seed, until something breaks.

use crate::{
    anvil::SUITE,
    step::{Failure, Line},
    suite,
};

pub(crate) fn run(rounds: &str) -> Result<(), Failure> {
    let rounds: u64 = rounds.parse().map_err(|_| Failure::new("torture takes the number of rounds"))?;
    for seed in 1..=rounds {
        eprintln!("\nround {seed} of {rounds}");
        suite::run(&Line::new(SUITE).env("H402_TEST_SEED", seed.to_string()))?;
    }
    Ok(())
}
