//! The end-to-end suite over and over, until something breaks. Its nonces and interleavings differ every time.

use crate::{
    step::{Failure, Line},
    suite,
};

pub(crate) fn run(rounds: &str) -> Result<(), Failure> {
    let rounds: u64 = rounds.parse().map_err(|_| Failure::new("torture takes the number of rounds"))?;
    for round in 1..=rounds {
        eprintln!("\nround {round} of {rounds}");
        suite::run(&Line::new("cargo test --locked --workspace --test it"))?;
    }
    Ok(())
}
