//! The whole story on anvil, an Ethereum node that we did not write.
//!
//! The tests are the same; they read `H402_TEST_EVM=anvil` and start the program that `ANVIL` names.

use crate::{
    step::{Failure, Line, scratch},
    suite,
};
use std::path::{Path, PathBuf};

/// The tests that run on a chain of either make, built with the features of the whole workspace so that nothing is
/// built again. The others bend the chain itself, which only ours lets them do.
const SUITE: &str = "cargo test --locked --workspace --test it -- chains::";
const PACKAGE: &str = "@foundry-rs/anvil-linux-amd64";
const VERSION: &str = "1.7.1";

/// `rest` goes to the test program: names of tests, while working.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let anvil = locate()?;
    Line::new(&anvil.display().to_string()).arg("--version").run()?;
    let starts = scratch("anvil")?.join("starts");
    remove(&starts)?;
    let counted = counted(&anvil, &starts)?;
    let line = Line::new(SUITE).env("H402_TEST_EVM", "anvil").env("ANVIL", counted.display().to_string());
    suite::run_part(&rest.iter().fold(line, |line, word| line.arg(*word)))?;
    // A suite that fell back to another chain would pass and prove nothing.
    let starts = std::fs::read_to_string(&starts).map_or(0, |text| text.lines().count());
    eprintln!("anvil was started {starts} times");
    if starts == 0 { Err(Failure::new("the suite passed without starting anvil")) } else { Ok(()) }
}

/// `ANVIL`, or `anvil` on the path, or the npm package kept beside the build.
pub(crate) fn locate() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os("ANVIL").map(PathBuf::from) {
        return if named.is_file() { Ok(named) } else { Err(Failure::new(format!("ANVIL: {} is no file", named.display()))) };
    }
    let on_path =
        std::env::var_os("PATH").and_then(|path| std::env::split_paths(&path).map(|dir| dir.join("anvil")).find(|file| file.is_file()));
    if let Some(found) = on_path {
        return Ok(found);
    }
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return Err(Failure::new("install anvil (https://getfoundry.sh) or name it in ANVIL"));
    }
    let folder = scratch(&format!("npm-anvil-{VERSION}"))?;
    let program = folder.join("node_modules").join(PACKAGE).join("bin/anvil");
    if !program.is_file() {
        // No scripts run: the package is the binary.
        Line::new("npm install --ignore-scripts --no-audit --no-fund --save-exact --prefix")
            .arg(folder.display().to_string())
            .arg(format!("{PACKAGE}@{VERSION}"))
            .run()?;
    }
    if program.is_file() { Ok(program) } else { Err(Failure::new(format!("{PACKAGE}@{VERSION} holds no bin/anvil"))) }
}

/// A script that notes each start and becomes anvil.
fn counted(anvil: &Path, starts: &Path) -> Result<PathBuf, Failure> {
    let script = scratch("anvil")?.join("counted");
    let text = format!("#!/bin/sh\necho start >> '{}'\nexec '{}' \"$@\"\n", starts.display(), anvil.display());
    std::fs::write(&script, text).map_err(|error| Failure::new(format!("{}: {error}", script.display())))?;
    Line::new("chmod +x").arg(script.display().to_string()).run()?;
    Ok(script)
}

fn remove(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(format!("{}: {error}", file.display()))),
        _ => Ok(()),
    }
}
