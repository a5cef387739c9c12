//! The programs of others, from the registries, and ours: who can buy from whom, and what becomes of payments that are wrong.
//!
//! Each client buys through each gate and each facilitator, on anvil and on the local Solana cluster. A cell is one such
//! combination: a good payment, one that pays too little, the good one again, and one while the facilitator is away. What is
//! charged is read from the chain. `cargo xtask interop` installs the programs and runs this.

mod cell;
mod chains;
mod middle;
mod own;
mod parties;
mod program;
mod report;
mod street;

pub use program::Tools;

use cell::Seen;
use chains::Chains;
use futures_util::future::join_all;
use parties::{Chain, Client, Facilitator};
use program::Buyer;
use std::{collections::BTreeMap, sync::Arc};
use street::Street;

/// What became of one cell, or what is wrong with it.
type Outcome = Result<Seen, String>;

/// All cells in the order of their parties.
type Cells = BTreeMap<parties::Cell, Outcome>;

/// What a run saw: the page that says so, and what is not as it must be.
pub struct Report {
    /// docs/interop.md.
    pub page: String,
    /// One sentence each.
    pub findings: Vec<String>,
}

/// Runs the whole matrix.
pub async fn run(tools: Tools) -> Report {
    let tools = Arc::new(tools);
    let chains = Arc::new(Chains::start().await);
    let buyers = join_all(Client::ALL.map(|client| Buyer::start(&tools, client, &chains))).await;
    let buyers: Arc<BTreeMap<Client, Buyer>> = Arc::new(Client::ALL.into_iter().zip(buyers).collect());
    // One facilitator settles one payment after the other: some of theirs lose nonces otherwise.
    let streets = join_all(Facilitator::ALL.map(|facilitator| Street::open(&tools, facilitator, &chains))).await;
    let mut running = tokio::task::JoinSet::new();
    for street in streets.into_iter().map(Arc::new) {
        for chain in Chain::ALL {
            let (street, buyers, chains) = (street.clone(), buyers.clone(), chains.clone());
            running.spawn(async move { street.walk(chain, &buyers, &chains).await });
        }
    }
    let cells: Cells = running.join_all().await.into_iter().flatten().collect();
    report::write(&cells)
}
