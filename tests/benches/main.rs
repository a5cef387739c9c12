//! What is fast and what it costs, as ratios against a floor measured in the same run.
//!
//! `cargo bench -p h402-tests --bench h402 -- check solana-check gate claims claims-postgres claims-many verify settle recovery proxy memory` runs the named parts, or all.
//! Nothing here fails for being slow: the figures are read by people, beside the goal that is printed with them.

#![allow(clippy::float_arithmetic, reason = "figures for people, not money")]

mod backlog;
mod check;
mod claims;
mod gate;
mod measure;
mod memory;
mod proxy;
mod recovery;
mod settle;
mod solana_check;
mod verify;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if wanted("check") {
        check::run();
    }
    if wanted("solana-check") {
        solana_check::run();
    }
    if wanted("claims") {
        runtime.block_on(claims::run());
    }
    if wanted("claims-postgres") {
        runtime.block_on(claims::postgres::run());
    }
    if wanted("claims-many") {
        runtime.block_on(claims::many::run());
    }
    if wanted("gate") {
        runtime.block_on(gate::run());
    }
    if wanted("verify") {
        runtime.block_on(verify::run());
    }
    if wanted("settle") {
        runtime.block_on(settle::run());
    }
    if wanted("recovery") {
        runtime.block_on(recovery::run());
    }
    if wanted("proxy") {
        runtime.block_on(proxy::run());
    }
    if wanted("memory") {
        runtime.block_on(memory::run());
    }
}
