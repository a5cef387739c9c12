//! A shop behind a gate with its failpoints: `H402_CHAOS` names one (h402-tower/src/chaos.rs).

fn main() {
    h402_tests::shop::process::run();
}
