//! One facilitator with a shop behind each gate.

use super::{
    Outcome,
    cell::{self, Running, Shop},
    chains::{Chains, Person, operator},
    own,
    parties::{Cell, Chain, Client, Facilitator, Gate},
    program::{Buyer, Server, Tools},
};
use crate::relay::Relay;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
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
        let keys = operator(facilitator);
        let log = format!("facilitator-{facilitator:?}");
        let command = match facilitator {
            Facilitator::Ours => tools.ours(chains, keys.clone()),
            Facilitator::NodeV2 => tools.theirs("facilitator-v2.mjs", &log),
            Facilitator::NodeV1 => tools.theirs("facilitator-v1.mjs", &log),
            Facilitator::Python => tools.theirs("facilitator.py", &log),
        };
        let env = [&chains.env()[..], &[("EVM_KEY", keys.0), ("SVM_KEY", keys.1)]].concat();
        let server = Server::start(command, &env).await.unwrap_or_else(|| panic!("{log} ended"));
        if facilitator == Facilitator::Ours {
            until_ready(&server.url).await;
        }
        let mut shops = BTreeMap::new();
        for gate in Gate::ALL {
            shops.insert(gate, open_shop(tools, gate, facilitator, &server.url, chains).await);
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

/// Waits until ours takes payments: it looks at its chains first.
async fn until_ready(url: &str) {
    for _ in 0..6000 {
        let request = http::Request::get(format!("{url}/ready")).body(Default::default()).unwrap();
        if crate::http::send(request).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("our facilitator is never ready");
}

/// A gate that leads to the facilitator by an address of its own; `None` if it does not want to run.
async fn open_shop(tools: &Tools, gate: Gate, facilitator: Facilitator, url: &str, chains: &Chains) -> Option<Shop> {
    let relay = Arc::new(Relay::open(Some(url.trim_start_matches("http://").parse().unwrap())).await);
    let name = format!("gate-{gate:?}-{facilitator:?}");
    let payee = Person::named(&name);
    for chain in Chain::ALL {
        chains.fund(chain, &payee).await;
    }
    let file = match gate {
        Gate::Ours | Gate::OursV1 => {
            let shop = own::open(gate, facilitator, &relay.url(), &payee).await;
            let url = format!("http://{}", shop.address);
            return Some(Shop { url, payee, relay, quiet: RwLock::default(), _running: Running::Ours { _shop: shop } });
        }
        Gate::ExpressV2 => "server-v2.mjs",
        Gate::ExpressV1 => "server-v1.mjs",
        Gate::FastApi => "server.py",
    };
    let env = [
        ("FACILITATOR", relay.url()),
        ("EVM_PAYEE", payee.address(Chain::Evm)),
        ("SVM_PAYEE", payee.address(Chain::Solana)),
        ("PRICE", PRICE.to_owned()),
    ];
    let server = Server::start(tools.theirs(file, &name), &env).await?;
    Some(Shop { url: server.url.clone(), payee, relay, quiet: RwLock::default(), _running: Running::Theirs { _server: server } })
}
