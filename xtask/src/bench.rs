//! The measurements: every bench target of the workspace, from a release build.

use crate::{
    metadata,
    step::{Failure, Line},
};

/// `rest` names the benches to run; none means all.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let mut ran = 0;
    for package in metadata::workspace()? {
        for (_, bench) in package.targets.iter().filter(|(kind, _)| kind == "bench") {
            if rest.is_empty() || rest.contains(&bench.as_str()) {
                Line::new(&format!("cargo bench --locked -p {} --bench {bench}", package.name)).run()?;
                ran += 1;
            }
        }
    }
    if ran == 0 { Err(Failure::new("there is no such bench in the workspace")) } else { Ok(()) }
}
