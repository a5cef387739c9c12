//! `reconcile`: compares the ledger with its chains once.

use super::{CliError, from_env, ledger, say};
use crate::{
    Engine, SystemClock,
    postgres::{self, PostgresStore},
    server::config::{Config, Database},
    sqlite::{self, SqliteStore},
};
use clap::Args;
use h402_core::{Clock as _, Difference, Network, Store};

/// What is compared, and what is done about it.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Comparison {
    /// Compares this network only.
    #[arg(long)]
    network: Option<Network>,
    /// Looks again for what keys of ours have signed, after this block; after this slot on Solana.
    #[arg(long)]
    from_block: Option<u64>,
    /// Accepts all differences afterwards, so that payments are taken again.
    #[arg(long)]
    accept: bool,
}

pub(super) async fn run(config: &Config, comparison: Comparison) -> Result<(), CliError> {
    match &config.database {
        Database::File(path) => {
            let store = SqliteStore::open(path, sqlite::OpenOptions::default()).await.map_err(|error| match error {
                sqlite::OpenError::Locked { .. } => {
                    let instead = "stop the server first, or ask it for GET /reconciliation, on this machine";
                    CliError::NotCompared(format!("{error}; {instead}"))
                }
                error => unopened(error),
            })?;
            let compared = compare(config, store.clone(), comparison).await;
            store.close().await.map_err(ledger)?;
            compared
        }
        Database::Postgres(url) => {
            let store = PostgresStore::open(url.reveal(), postgres::OpenOptions::default()).await.map_err(unopened)?;
            let compared = compare(config, store.clone(), comparison).await;
            store.close().await;
            compared
        }
    }
}

fn unopened(error: impl std::fmt::Display) -> CliError {
    CliError::NotCompared(error.to_string())
}

async fn compare<S: Store + Clone>(config: &Config, store: S, comparison: Comparison) -> Result<(), CliError> {
    let Comparison { network, from_block, accept } = comparison;
    let mut engine = config.engine(from_env).map_err(unopened)?;
    if let Some(network) = network {
        engine.networks.retain(|config| config.network() == network);
    }
    match engine.networks.as_slice() {
        [] => return Err(unopened("no such network is configured")),
        [_, _, ..] if from_block.is_some() => return Err(unopened("--from-block is of one network; say which with --network")),
        _ => {}
    }
    let networks = Engine::reconcile_once(engine, store.clone(), SystemClock, from_block).await.map_err(unopened)?;
    let mut open = 0;
    for (network, outcome) in networks {
        let found = outcome.map_err(|error| CliError::NotCompared(format!("{network}: {error}")))?;
        let upto = found.reached.block.map_or_else(String::new, |block| format!(" up to block {block}"));
        say(&format!("{network}: {} difference(s){upto}", found.open))?;
        for difference in &found.differences {
            say(&line(difference))?;
        }
        if accept {
            let accepted = store.accept_differences(network, SystemClock.now()).await.map_err(unopened)?;
            say(&format!("{network}: accepted {accepted}"))?;
        } else {
            open += found.open;
        }
    }
    if open == 0 { Ok(()) } else { Err(CliError::Differ(open)) }
}

fn line(difference: &Difference) -> String {
    let Difference { kind, transaction, payment, asset, pay_to, amount, .. } = difference;
    let shown = |name: &str, value: Option<String>| value.map_or_else(String::new, |value| format!("  {name} {value}"));
    format!(
        "  {:<11}  {transaction}{}{}{}{}",
        kind.as_str(),
        shown("payment", payment.map(|payment| payment.to_string())),
        shown("amount", amount.map(|amount| amount.to_string())),
        shown("of", asset.map(|asset| asset.to_string())),
        shown("to", pay_to.map(|pay_to| pay_to.to_string())),
    )
}
