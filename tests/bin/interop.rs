//! `cargo xtask interop` runs this: the whole matrix, its page into the file that is named, what is wrong onto standard error.

use h402_tests::interop::{Tools, run};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let page = std::env::args_os().nth(1).expect("the file for the page");
    let report = run(Tools::from_env()).await;
    std::fs::write(page, &report.page).expect("the page can be written");
    report.findings.iter().for_each(|finding| eprintln!("{finding}"));
    if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
