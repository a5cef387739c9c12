//! `cargo xtask torture`: kills the two programs beside this one so often, and ends well only if nothing was found.

use h402_tests::{
    dice::Dice,
    torture::{Programs, run},
};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let kills = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("the number of kills");
    let here = std::env::current_exe().unwrap();
    let beside = |name: &str| here.with_file_name(name).to_str().unwrap().to_owned();
    let (facilitator, shop) = (beside("facilitator-under-test"), beside("shop-under-test"));
    let programs = Programs { facilitator: &facilitator, shop: &shop };
    let tally = run(&programs, kills, &mut Dice::seeded(), |so_far| println!("{so_far}")).await;
    tally.findings.iter().for_each(|finding| eprintln!("{finding}"));
    println!("RESULT {} {} {} {} {}", tally.kills, tally.payments, tally.lost, tally.double, tally.contradicted);
    if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
