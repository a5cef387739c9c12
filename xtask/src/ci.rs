//! Everything that must hold, in order. `.ci/run` prepares a machine and calls this.

use crate::{
    anvil, features, interop, package, proxy, starter,
    step::{Failure, Line, Timings},
    suite, tidy,
};

/// The README's two commands.
pub(crate) const TEST: &str = "cargo test --workspace";
pub(crate) const QUICKSTART: &str = "cargo run -p h402-examples --bin quickstart";

type Step = (&'static str, fn() -> Result<(), Failure>);

const STEPS: [Step; 12] = [
    ("format", || Line::new("cargo fmt --all --check").run()),
    ("clippy", || Line::new("cargo clippy --workspace --all-targets --all-features --locked -- -D warnings").run()),
    ("tidy", tidy::run),
    ("tests and doctests", || suite::run(&Line::new(TEST))),
    ("end to end, on anvil", || anvil::run(&[])),
    ("everybody against everybody", || interop::run(&[])),
    ("quickstart", || Line::new(QUICKSTART).run()),
    ("facilitator's first steps", starter::run),
    ("Solana RPC proxy, as it invites", proxy::run),
    ("features", features::run),
    ("documentation", documentation),
    ("package", || package::run(&[])),
];

/// Runs every step, also after one has failed: one run tells all there is to repair.
pub(crate) fn run() -> Result<(), Failure> {
    Line::new("cargo fetch --locked").run()?;
    let mut timings = Timings::default();
    let mut failures = Vec::new();
    for (name, step) in STEPS {
        if let Err(failure) = timings.time(name, step) {
            failures.push(format!("{name}: {failure}"));
        }
    }
    eprintln!("\n{timings}");
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\nxtask: "))) }
}

/// Broken links and unclosed examples in what docs.rs would show.
fn documentation() -> Result<(), Failure> {
    let line = "cargo doc --no-deps --all-features --locked -p h402-core -p h402-tower -p h402-facilitator";
    Line::new(line).env("RUSTDOCFLAGS", "-D warnings").run()
}
