//! One facilitator with a shop behind each gate.

use super::{
    Outcome,
    cell::{self, Shop},
    chains::{Chains, Person, operator},
    parties::{Cell, Chain, Client, Facilitator, Gate},
    program::{Buyer, Server, Tools},
};
use crate::relay::Relay;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::RwLock;

/// What one answer costs, as the gates are told.
pub(super) const PRICE: &str = "$0.01";

pub(super) struct Street {
    facilitator: Facilitator,
    shops: BTreeMap<Gate, Option<Shop>>,
    _server: Server,
}

impl Street {
    pub(super) async fn open(tools: &Tools, facilitator: Facilitator, chains: &Chains) -> Self {
        let (evm, svm) = operator(facilitator);
        let env = [&chains.env()[..], &[("EVM_KEY", evm), ("SVM_KEY", svm)]].concat();
        let (file, log) = match facilitator {
            Facilitator::NodeV2 => ("facilitator-v2.mjs", "facilitator-v2"),
            Facilitator::NodeV1 => ("facilitator-v1.mjs", "facilitator-v1"),
            Facilitator::Python => ("facilitator.py", "facilitator-python"),
        };
        let server = Server::start(tools, file, log, &env).await.unwrap_or_else(|| panic!("{log} ended"));
        let mut shops = BTreeMap::new();
        for gate in Gate::ALL {
            shops.insert(gate, open_shop(tools, gate, &server.url, log, chains).await);
        }
        Self { facilitator, shops, _server: server }
    }

    /// All cells of this street on one chain, one after the other.
    pub(super) async fn walk(&self, chain: Chain, buyers: &BTreeMap<Client, Buyer>, chains: &Chains) -> Vec<(Cell, Outcome)> {
        let mut seen = Vec::new();
        for (gate, shop) in &self.shops {
            for (client, buyer) in buyers {
                let cell = Cell { chain, facilitator: self.facilitator, gate: *gate, client: *client };
                seen.push((cell, cell::run(cell, shop.as_ref(), buyer, chains).await));
            }
        }
        seen
    }
}

/// A gate that leads to the facilitator by an address of its own; `None` if it does not want to run.
async fn open_shop(tools: &Tools, gate: Gate, facilitator: &str, street: &str, chains: &Chains) -> Option<Shop> {
    let relay = Relay::open(Some(facilitator.trim_start_matches("http://").parse().unwrap())).await;
    let file = match gate {
        Gate::ExpressV2 => "server-v2.mjs",
        Gate::ExpressV1 => "server-v1.mjs",
        Gate::FastApi => "server.py",
    };
    let log = format!("{file} at {street}");
    let payee = Person::named(&log);
    for chain in Chain::ALL {
        chains.fund(chain, &payee).await;
    }
    let env = [
        ("FACILITATOR", relay.url()),
        ("EVM_PAYEE", payee.address(Chain::Evm)),
        ("SVM_PAYEE", payee.address(Chain::Solana)),
        ("PRICE", PRICE.to_owned()),
    ];
    let server = Server::start(tools, file, &log, &env).await?;
    Some(Shop { url: server.url.clone(), payee, relay: Arc::new(relay), quiet: RwLock::default(), _server: server })
}
