//! A wallet that counts, a shop that does as it is told, and what the layer makes of both.

mod budget;
mod captures;
mod hints;
mod hostile;
mod journal;
mod once;
mod permit2;
mod signing;
mod sockets;
mod solana;
mod x402;

use super::{Cap, EvmWallet, Means, Pay, PayError, SignError, Terms, Wallet};
use bytes::Bytes;
use core::task::{Context, Poll};
use futures_util::future::BoxFuture;
use h402_core::{
    Amount, Assets, Clock, EvmKey, Hints, HintsNeeded, Network, Payload, PaymentPayload, Requirements, TransactionHints, Undecided,
    UnixMillis, wire::h402,
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tower::{Layer, Service, ServiceExt};

const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const URL: &str = "https://api.example/item?id=1";
const NOW: UnixMillis = UnixMillis(1_795_170_338_980);

fn key() -> EvmKey {
    EvmKey::from_hex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
}

/// At most 0.02 of a dollar, and a hundredth of a coin on Base.
fn cap() -> Cap {
    let assets = Assets::known();
    let coin = assets.by_symbol(Network::Evm(8453), "ETH").unwrap().clone();
    Cap::usd("0.02", &assets).unwrap().allow(coin, Amount::from_units("0.01", 18).unwrap())
}

/// A 402 that asks 0.01 USDC on Base for the resource at [`URL`].
fn challenge() -> String {
    format!(
        r#"{{"h402Version":1,"error":"X-PAYMENT header is required","accepts":[{{"scheme":"exact","namespace":"evm","networkId":"8453","amountRequired":10000,"amountRequiredFormat":"smallestUnit","payToAddress":"{PAYEE}","tokenAddress":"{USDC}","tokenDecimals":6,"tokenSymbol":"USDC","resource":"{URL}","estimatedProcessingTime":70,"extra":{{"name":"USD Coin","version":"2"}}}}]}}"#
    )
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> UnixMillis {
        NOW
    }
}

/// Signs as its inner wallet does, and counts.
#[derive(Clone)]
struct Spy<W>(Arc<W>, Arc<AtomicUsize>);

impl<W: Wallet> Spy<W> {
    fn new(wallet: W) -> Self {
        Self(Arc::new(wallet), Arc::default())
    }

    fn signatures(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl<W: Wallet> Wallet for Spy<W> {
    fn can_pay(&self, requirements: &Requirements) -> Option<Means> {
        self.0.can_pay(requirements)
    }

    async fn sign(&self, terms: &Terms) -> Result<PaymentPayload, SignError> {
        let signed = self.0.sign(terms).await?;
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(signed)
    }
}

fn spy() -> Spy<EvmWallet> {
    Spy::new(EvmWallet::from_key(key()))
}

/// Always the same facts.
#[derive(Clone, Copy)]
struct FixedHints(TransactionHints);

impl Hints for FixedHints {
    async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
        Ok(self.0)
    }

    async fn blockhash(&self, _: Network) -> Result<[u8; 32], Undecided> {
        Err(Undecided::Chain)
    }
}

/// What the shop does with one request.
#[derive(Clone)]
enum Act {
    Answer(Response<Full<Bytes>>),
    /// The connection is lost without an answer.
    Lose,
    /// No answer ever comes.
    Hang,
}

/// The connection was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connection lost")]
struct Lost;

fn answer(status: u16, body: impl Into<Bytes>) -> Act {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Act::Answer(response)
}

fn with(act: Act, name: &'static str, value: &str) -> Act {
    match act {
        Act::Answer(mut response) => {
            response.headers_mut().insert(name, value.parse().unwrap());
            Act::Answer(response)
        }
        Act::Lose | Act::Hang => act,
    }
}

/// Does one act after the other, the last one for ever, and remembers every request. Panics if it is called
/// without having been polled ready, as tower allows it to.
struct Shop {
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Request<Full<Bytes>>>>>,
    ready: bool,
}

impl Shop {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: Arc::new(Mutex::new(acts.into_iter().collect())), seen: Arc::default(), ready: false }
    }

    /// Asks for [`challenge`], then does `acts`.
    fn asking(acts: impl IntoIterator<Item = Act>) -> Self {
        Self::new([answer(402, challenge())].into_iter().chain(acts))
    }

    /// The payment header of each request, in order.
    fn payments(&self) -> Vec<Option<String>> {
        let header = |request: &Request<_>| request.headers().get("x-payment").map(|value| value.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().iter().map(header).collect()
    }

    /// The one payment that came, however often.
    fn payment(&self) -> String {
        let mut payments: Vec<String> = self.payments().into_iter().flatten().collect();
        payments.dedup();
        assert_eq!(payments.len(), 1, "payments: {}", payments.len());
        payments.remove(0)
    }
}

impl Clone for Shop {
    fn clone(&self) -> Self {
        Self { acts: self.acts.clone(), seen: self.seen.clone(), ready: false }
    }
}

impl Service<Request<Full<Bytes>>> for Shop {
    type Response = Response<Full<Bytes>>;
    type Error = Lost;
    type Future = BoxFuture<'static, Result<Self::Response, Lost>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(core::mem::take(&mut self.ready), "called without being ready");
        self.seen.lock().unwrap().push(request);
        let mut acts = self.acts.lock().unwrap();
        let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
        Box::pin(async move {
            match act.unwrap() {
                Act::Answer(response) => Ok(response),
                Act::Lose => Err(Lost),
                Act::Hang => core::future::pending().await,
            }
        })
    }
}

type Outcome = Result<Response<Full<Bytes>>, PayError<Lost>>;

fn get() -> Request<Full<Bytes>> {
    Request::get(URL).body(Full::default()).unwrap()
}

/// One call through the layer, with a stopped clock.
async fn call<W: Wallet, J: super::Journal>(pay: &Pay<W, J>, shop: &Shop, request: Request<Full<Bytes>>) -> Outcome {
    pay.clone().with_clock(Stopped).layer(shop.clone()).oneshot(request).await
}

fn authorization(header: &str) -> h402_core::SignedAuthorization {
    match h402::decode_payment(header.as_bytes()).unwrap().payload {
        Payload::Authorization(signed) => signed,
        other => panic!("{other:?}"),
    }
}
