//! A short run of what `cargo xtask torture` does for long.

use h402_tests::{
    dice::Dice,
    torture::{Programs, run},
};

/// T014, T142: facilitator and shop are killed under load, at moments that chance decides, on either kind of chain. Every payment
/// is charged once and served, or told to be neither; no answer is taken back; ledger, chain, handlers and payers agree.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t142_killed_under_load_nobody_pays_for_nothing_or_twice() {
    let programs = Programs { facilitator: env!("CARGO_BIN_EXE_facilitator-under-test"), shop: env!("CARGO_BIN_EXE_shop-under-test") };
    let tally = run(&programs, 40, &mut Dice::seeded(), |_| ()).await;
    println!("{tally}");
    assert!(tally.is_clean(), "{:#?}", tally.findings);
    assert!(tally.payments >= 40, "{tally}");
}
