//! The measurements: every bench target of the workspace, from a release build.

use crate::{
    metadata,
    step::{Failure, Line},
};

/// `rest` goes to the bench programs, which take the names of measurements; none means all.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let mut ran = 0;
    for package in metadata::workspace()? {
        for (_, bench) in package.targets.iter().filter(|(kind, _)| kind == "bench") {
            let line = Line::new(&format!("cargo bench --locked -p {} --bench {bench} --", package.name));
            rest.iter().fold(line, |line, word| line.arg(*word)).run()?;
            ran += 1;
        }
    }
    if ran == 0 { Err(Failure::new("there is no bench in the workspace")) } else { Ok(()) }
}
