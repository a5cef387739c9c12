//! Each published crate must be clean with no feature, with each feature alone, and with all.

use crate::{
    metadata::{self, PUBLISHED, Package},
    step::{Failure, Line},
};

pub(crate) fn run() -> Result<(), Failure> {
    for package in metadata::workspace()?.iter().filter(|package| PUBLISHED.contains(&package.name.as_str())) {
        for set in sets(package) {
            // Clippy, because `cargo check` would let the unused code through that a missing feature leaves behind.
            Line::new(&format!("cargo clippy --locked -p {} {set} -- -D warnings", package.name)).run()?;
        }
    }
    without_an_operating_system()
}

fn sets(package: &Package) -> Vec<String> {
    let mut sets = vec!["--no-default-features".to_owned()];
    sets.extend(package.features.iter().map(|feature| format!("--no-default-features --features {feature}")));
    sets.push("--all-features".to_owned());
    sets
}

/// The core must build where there is no clock, no thread and no socket to be had.
fn without_an_operating_system() -> Result<(), Failure> {
    let target = "wasm32-unknown-unknown";
    let library = Line::new("rustc --print target-libdir --target").arg(target).read()?;
    if std::path::Path::new(library.trim()).is_dir() {
        return Line::new(&format!("cargo check --locked -p h402-core --target {target}")).run();
    }
    eprintln!("\nnot done: h402-core for {target}, since that target is not installed (rustup target add {target})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_feature_is_left_out() {
        let package = Package { features: ["default", "evm", "sqlite"].into_iter().map(str::to_owned).collect(), ..Package::default() };
        let expected = [
            "--no-default-features",
            "--no-default-features --features default",
            "--no-default-features --features evm",
            "--no-default-features --features sqlite",
            "--all-features",
        ];
        assert_eq!(sets(&package), expected);
    }
}
