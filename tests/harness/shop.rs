//! Shops behind a gate: axum over real sockets, with every run of a handler counted.

pub mod process;

use crate::{
    raw::{Ask, Line, Reply},
    rig::{Rig, RigClock, key},
};
use axum::Router;
use h402_core::{
    Dialect, Offer, PaymentPayload, Resource,
    wire::{
        h402,
        x402::{v1, v2},
    },
};
use h402_facilitator::{
    LocalFacilitator,
    sqlite::{OpenOptions, SqlGrants, SqliteStore},
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Price},
    remote::RemoteFacilitator,
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What a call costs unless a test says otherwise.
pub const PRICE: u128 = 10_000;
/// What payers know every shop by, wherever it listens.
pub const HOST: &str = "shop.test";
/// The same as an origin.
pub const ORIGIN: &str = "http://shop.test";

/// A gate with a facilitator over HTTP and grants in memory.
pub type RemoteGate = Gate<RemoteFacilitator, MemoryGrants>;
/// A facilitator in the shop's own process.
pub type Local = LocalFacilitator<SqliteStore, RigClock>;

/// Counts runs of a handler.
#[derive(Debug, Clone, Default)]
pub struct Runs(Arc<AtomicU64>);

impl Runs {
    /// Counts one, and tells the how-many-eth it is.
    pub fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A running shop. Dropped, it stops at once, as a crash would have it.
pub struct Shop {
    pub address: SocketAddr,
    served: JoinHandle<()>,
}

impl Shop {
    /// Serves routes.
    pub async fn open(routes: Router) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), routes)
    }

    /// Serves routes that had to know their address before.
    pub fn at(listener: TcpListener, routes: Router) -> Self {
        let address = listener.local_addr().unwrap();
        Self { address, served: tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }) }
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, ask: &Ask) -> Reply {
        self.try_ask(ask).await.expect("an answer")
    }

    /// As [`Shop::ask`]; `None` if the connection ends without an answer.
    pub async fn try_ask(&self, ask: &Ask) -> Option<Reply> {
        Line::open(self.address).await.ask(ask).await
    }

    /// Asks, and again while the payment's last call is not over: one whose handler panicked is over a moment after
    /// its connection has ended.
    pub async fn try_ask_in_turn(&self, ask: &Ask) -> Option<Reply> {
        for _ in 0..600 {
            let reply = self.try_ask(ask).await;
            if reply.as_ref().is_none_or(|reply| reply.status != 409 || reply.word() != "payment_in_progress") {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("in progress for ever");
    }

    /// Asks until the answer is one that does not tell to wait: as a client does that is told to come back.
    pub async fn ask_until_decided(&self, ask: &Ask) -> Reply {
        for _ in 0..600 {
            let reply = self.ask(ask).await;
            if !is_wait(&reply) {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never decided: {:?}", self.ask(ask).await);
    }
}

/// Whether a client is told to come back with the same payment.
pub fn is_wait(reply: &Reply) -> bool {
    matches!(reply.status, 409 | 503) && reply.has("retry-after")
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// A request to a shop.
pub fn get(target: &str) -> Ask {
    Ask::new("GET", target, HOST)
}

/// A request with a body to a shop.
pub fn post(target: &str, body: &str) -> Ask {
    Ask::new("POST", target, HOST).body(body.to_owned())
}

/// The base of a gate: grants in memory, the rig's facilitator over HTTP.
pub fn gate(rig: &Rig, price: Price) -> RemoteGate {
    Gate::new(remote(rig), MemoryGrants::new().unwrap(), Origin::parse(ORIGIN).unwrap(), price)
}

/// The rig's facilitator over HTTP.
pub fn remote(rig: &Rig) -> RemoteFacilitator {
    RemoteFacilitator::new(&rig.url).unwrap()
}

/// The rig's engine without HTTP.
pub fn local(rig: &Rig) -> Local {
    LocalFacilitator::new(rig.engine.clone())
}

/// A static price in the rig's token.
pub fn price(rig: &Rig, amount: u128) -> Price {
    Price::offers([Offer::clone(&rig.offer(amount))]).unwrap()
}

/// Grants in a file.
pub async fn grants(path: &Path, clock: &RigClock) -> SqlGrants {
    // The tasks of a shop that was closed may hold the file for a moment longer.
    let options = OpenOptions::default().with_lock_wait(Duration::from_secs(20)).with_clock(clock.clone());
    SqlGrants::open(path, options).await.unwrap()
}

/// Writes a payment as it goes into `X-PAYMENT`.
pub fn header(payment: &PaymentPayload) -> String {
    h402::encode_payment(payment).unwrap()
}

impl Rig {
    /// A fresh payment by authorization, that does not say what it is for.
    pub fn bearer(&self, payer: usize, amount: u128) -> PaymentPayload {
        PaymentPayload { resource: None, ..self.payment(payer, amount) }
    }

    /// A fresh payment of the usual price, as a header.
    pub fn pay(&self, payer: usize) -> String {
        header(&self.bearer(payer, PRICE))
    }

    /// The same payment in x402, as its header and what that carries: version 1 where it says so, otherwise version 2, for the
    /// first offer of the 402 that was answered.
    pub fn credential(&self, payment: &PaymentPayload, dialect: Dialect, unpaid: &Reply) -> (&'static str, String) {
        let payload = PaymentPayload { dialect, resource: None, ..payment.clone() };
        match dialect {
            Dialect::X402V1 => ("X-PAYMENT", v1::encode_payment(&payload).unwrap()),
            Dialect::X402V2 => {
                let asked = self.offered_in_x402(unpaid);
                let accepted = asked.offers[0].accepted.clone().unwrap();
                let payment = v2::Payment { payload, accepted, resource: Some((*asked.resource).clone()), extensions: asked.extensions };
                ("PAYMENT-SIGNATURE", v2::encode_payment(&payment).unwrap())
            }
            _ => ("X-PAYMENT", header(&payload)),
        }
    }

    /// A fresh payment of the usual price in a dialect, as its header and what that carries.
    pub fn pay_in(&self, dialect: Dialect, payer: usize, unpaid: &Reply) -> (&'static str, String) {
        self.credential(&self.bearer(payer, PRICE), dialect, unpaid)
    }

    /// What the gate offers in the header of a 402.
    pub fn offered_in_x402(&self, reply: &Reply) -> v2::ReadChallenge {
        let assets = h402_core::Assets::none().with((*self.asset).clone());
        let header = reply.header("payment-required").unwrap_or_else(|| panic!("no offer: {reply:?}"));
        v2::decode_challenge(header.as_bytes(), &assets).unwrap()
    }

    /// A payment by a signed transaction for a resource of a shop.
    pub fn pay_by_transaction(&self, payer: usize, transaction: &h402_core::SignedTransaction, target: &str) -> PaymentPayload {
        let resource = format!("{ORIGIN}{target}");
        let signed_message = key(payer).sign_message(&resource).unwrap();
        let payload = h402_core::SignedEvmTransaction { raw: transaction.raw.clone(), signed_message };
        PaymentPayload { resource: Some(resource), ..self.payload(h402_core::Payload::EvmTransaction(payload)) }
    }

    /// How many transfers to the payee there are on chain.
    pub fn transfers(&self) -> usize {
        let payee = h402_devnet::evm::account(crate::rig::PAYEE).address;
        self.chain.transfers(self.chain.usdc()).iter().filter(|transfer| transfer.to == payee).count()
    }

    /// What the gate offers in a 402, as its own client reads it.
    pub fn offered(&self, reply: &Reply) -> Resource {
        let assets = h402_core::Assets::none().with((*self.asset).clone());
        let challenge = h402::decode_challenge(&reply.body, &assets).unwrap();
        let requirements = challenge.offers.into_iter().find_map(|offer| offer.requirements.ok());
        Resource::clone(&requirements.expect("an offer").resource)
    }
}
