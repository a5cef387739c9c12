//! The house's own commands: `cargo xtask ci`, `cargo xtask tidy` and the rest. `justfile` is a face over this.

mod anvil;
mod bench;
mod built;
mod ci;
mod features;
mod fuzz;
mod interop;
mod metadata;
mod package;
mod profile;
mod proxy;
mod sim;
mod starter;
mod step;
mod suite;
mod tidy;
mod torture;

use std::process::ExitCode;
use step::Failure;

const USAGE: &str = "\
cargo xtask <command>

  ci          every check, in the order of .ci/run, with the time of each
  tidy        the rules of the house that no compiler checks
  features    lint each published crate with no feature, each feature alone, and all
  package     build each published crate from its own package
  anvil       the tests of the whole story, on an Ethereum node that is not ours
  interop     clients, gates and facilitators of others and ours against each other; `--write` notes it in docs/interop.md
  starter     the facilitator's `init` and `check-config`, as the README shows them
  proxy       the Solana RPC proxy on its own chains, and every line it invites to type
  sim         simulated days of gate, engine and client, 10000 seeds; `sim N SEED` for others
  torture     kill -9 under load, 200 times; `torture N SEED` for more; the result goes to docs/trials.md
  fuzz        libFuzzer around each decoder, ten minutes each; `fuzz TARGET SECONDS` for one; `fuzz keep` makes the corpora anew
  bench       the measurements, from a release build; `bench NAME` for one
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["features"] => features::run(),
        ["package", rest @ ..] => package::run(rest),
        ["anvil", rest @ ..] => anvil::run(rest),
        ["interop", rest @ ..] => interop::run(rest),
        ["starter"] => starter::run(),
        ["proxy"] => proxy::run(),
        ["sim", rest @ ..] => sim::run(rest),
        ["torture", rest @ ..] => torture::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new(format!("unknown command\n\n{USAGE}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
