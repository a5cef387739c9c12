//! A facilitator that does as it is told, a store that can fail, a clock that stands still, and a payer.

mod grants;

pub(in crate::gate) use grants::TestGrants;

use super::super::*;
use bytes::Bytes;
use h402_core::{
    Address, Amount, Asset, Assets, Attestation, Authorization, CallerKey, Checked, Claim, Claimed, Clock, Dialect, EvmKey, Exposure,
    Facilitator, Grant, GrantState, Grants, Lookup, Network, NewGrant, Offer, Payload, PaymentKey, PaymentPayload, Receipt, Scheme,
    SentEvmTransaction, SettleError, Settlement, StoreUnavailable, StoredAnswer, Supported, SupportedKind, TransactionId, Undecided,
    UnixMillis, Verified, VerifyError,
    wire::h402::{self, SettleAnswer},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};

pub(in crate::gate) const NOW: u64 = 1_795_170_338_000;
pub(in crate::gate) const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
pub(in crate::gate) const PRICE: u128 = 10_000;

/// Stands still until it is moved.
#[derive(Clone)]
pub(in crate::gate) struct StoppedClock(Arc<AtomicU64>);

impl StoppedClock {
    pub(in crate::gate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }

    pub(in crate::gate) fn move_on(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, SeqCst);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(SeqCst))
    }
}

/// Answers as scripted, yes if nothing is scripted. Keeps the books a chain would keep.
#[derive(Clone)]
pub(in crate::gate) struct Bank(Arc<Books>);

impl Default for Bank {
    fn default() -> Self {
        Self(Arc::new(Books::new()))
    }
}

#[derive(Default)]
struct Books {
    verify: Mutex<VecDeque<VerifyError>>,
    settle: Mutex<VecDeque<SettleError>>,
    verified: AtomicUsize,
    settle_calls: AtomicUsize,
    /// Where it says that a payment stands.
    known: Mutex<Option<Settlement>>,
    settled: Mutex<Vec<PaymentKey>>,
    asked: Mutex<Vec<(CallerKey, Amount, String)>>,
    supported_calls: AtomicUsize,
    /// What it can do; nothing while it does not answer.
    kinds: Mutex<Option<Vec<SupportedKind>>>,
    reserves_not: bool,
    /// While present, what is supported is told for a permit only.
    supported_brake: Mutex<Option<Arc<Semaphore>>>,
    /// While present, settle waits for a permit.
    brake: Mutex<Option<Arc<Semaphore>>>,
    /// While present, verify waits for a permit.
    verify_brake: Mutex<Option<Arc<Semaphore>>>,
}

impl Books {
    fn new() -> Self {
        Self { kinds: Mutex::new(Some(Vec::new())), ..Self::default() }
    }
}

impl Bank {
    pub(in crate::gate) fn without_reserves() -> Self {
        Self(Arc::new(Books { reserves_not: true, ..Books::new() }))
    }

    /// What it says from now on that it can do; `None` keeps it from answering.
    pub(in crate::gate) fn can(&self, kinds: Option<Vec<SupportedKind>>) {
        *self.0.kinds.lock().unwrap() = kinds;
    }

    pub(in crate::gate) fn next_verify(&self, error: impl Into<VerifyError>) {
        self.0.verify.lock().unwrap().push_back(error.into());
    }

    pub(in crate::gate) fn next_settle(&self, error: impl Into<SettleError>) {
        self.0.settle.lock().unwrap().push_back(error.into());
    }

    pub(in crate::gate) fn knows(&self, state: Settlement) {
        *self.0.known.lock().unwrap() = Some(state);
    }

    pub(in crate::gate) fn brake_supported(&self) -> Arc<Semaphore> {
        let brake = Arc::new(Semaphore::new(0));
        *self.0.supported_brake.lock().unwrap() = Some(brake.clone());
        brake
    }

    pub(in crate::gate) fn brake_settle(&self) -> Arc<Semaphore> {
        let brake = Arc::new(Semaphore::new(0));
        *self.0.brake.lock().unwrap() = Some(brake.clone());
        brake
    }

    pub(in crate::gate) fn brake_verify(&self) -> Arc<Semaphore> {
        let brake = Arc::new(Semaphore::new(0));
        *self.0.verify_brake.lock().unwrap() = Some(brake.clone());
        brake
    }

    pub(in crate::gate) fn verified(&self) -> usize {
        self.0.verified.load(SeqCst)
    }

    pub(in crate::gate) fn settle_calls(&self) -> usize {
        self.0.settle_calls.load(SeqCst)
    }

    /// Payments whose money has moved, each counted once as a chain would.
    pub(in crate::gate) fn settled(&self) -> usize {
        self.0.settled.lock().unwrap().len()
    }

    pub(in crate::gate) fn supported_calls(&self) -> usize {
        self.0.supported_calls.load(SeqCst)
    }

    /// Caller key, offered amount and resource of each call to settle.
    pub(in crate::gate) fn asked(&self) -> Vec<(CallerKey, Amount, String)> {
        self.0.asked.lock().unwrap().clone()
    }
}

impl Facilitator for Bank {
    async fn supported(&self) -> Result<Supported, Undecided> {
        self.0.supported_calls.fetch_add(1, SeqCst);
        let brake = self.0.supported_brake.lock().unwrap().clone();
        if let Some(brake) = brake {
            brake.acquire().await.unwrap().forget();
        }
        tokio::task::yield_now().await;
        let kinds = self.0.kinds.lock().unwrap().clone().ok_or(Undecided::Facilitator)?;
        Ok(Supported { kinds, reserves: !self.0.reserves_not, signers: Vec::new() })
    }

    async fn verify(&self, payment: Checked, _: CallerKey) -> Result<Verified, VerifyError> {
        self.0.verified.fetch_add(1, SeqCst);
        let brake = self.0.verify_brake.lock().unwrap().clone();
        if let Some(brake) = brake {
            brake.acquire().await.unwrap().forget();
        }
        tokio::task::yield_now().await;
        if let Some(error) = self.0.verify.lock().unwrap().pop_front() {
            return Err(error);
        }
        let matched = payment.matched();
        let (key, aliases, payer) = (matched.key(), matched.aliases(), matched.payer());
        Ok(Verified::attested(payment, Attestation { key, aliases, payer, transaction: None }))
    }

    async fn settle(&self, payment: &Claimed, caller: CallerKey) -> Result<Receipt, SettleError> {
        self.0.settle_calls.fetch_add(1, SeqCst);
        let requirements = payment.matched().requirements();
        self.0.asked.lock().unwrap().push((caller, requirements.offer.amount, requirements.resource.url.clone()));
        let brake = self.0.brake.lock().unwrap().clone();
        if let Some(brake) = brake {
            brake.acquire().await.unwrap().forget();
        }
        tokio::task::yield_now().await;
        if let Some(error) = self.0.settle.lock().unwrap().pop_front() {
            return Err(error);
        }
        let key = payment.grant().key;
        let mut settled = self.0.settled.lock().unwrap();
        if !settled.contains(&key) {
            settled.push(key);
        }
        Ok(receipt_of(&key, payment.matched().payer()))
    }

    async fn lookup(&self, _: &PaymentKey) -> Result<Lookup, Undecided> {
        Ok(self.0.known.lock().unwrap().map_or(Lookup::Unknown, Lookup::Known))
    }
}

pub(in crate::gate) fn receipt_of(key: &PaymentKey, payer: Address) -> Receipt {
    Receipt { network: Network::Evm(8453), transaction: TransactionId::Evm((*key.as_bytes()).into()), payer, signed: None }
}

/// A bank, a store, a clock and a handler that counts its runs.
#[derive(Clone)]
pub(in crate::gate) struct Shop {
    pub(in crate::gate) bank: Bank,
    pub(in crate::gate) grants: TestGrants,
    pub(in crate::gate) clock: StoppedClock,
    pub(in crate::gate) runs: Arc<AtomicUsize>,
}

impl Shop {
    pub(in crate::gate) fn new() -> Self {
        Self::with_bank(Bank::default())
    }

    pub(in crate::gate) fn with_bank(bank: Bank) -> Self {
        let clock = StoppedClock::new();
        Self { bank, grants: TestGrants::new(clock.clone()), clock, runs: Arc::default() }
    }

    /// A gate at 0.01 USDC.
    pub(in crate::gate) fn gate(&self) -> Gate<Bank, TestGrants> {
        self.gate_at(price())
    }

    pub(in crate::gate) fn gate_at(&self, price: impl Pricing) -> Gate<Bank, TestGrants> {
        Gate::new(self.bank.clone(), self.grants.clone(), Origin::parse("https://api.example").unwrap(), price)
            .with_clock(self.clock.clone())
    }

    pub(in crate::gate) fn runs(&self) -> usize {
        self.runs.load(SeqCst)
    }

    /// Puts a gate before a handler, and counts its runs.
    pub(in crate::gate) fn open<H, Fut, B>(
        &self,
        gate: Gate<Bank, TestGrants>,
        handler: H,
    ) -> impl Service<Request<Full<Bytes>>, Response = Response<GateBody<B>>, Error = Infallible, Future: Send> + Clone + Send + 'static
    where
        H: Fn(Request<Full<Bytes>>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body + Send + 'static,
    {
        let runs = self.runs.clone();
        gate.build().unwrap().layer(service_fn(move |request| {
            runs.fetch_add(1, SeqCst);
            let answer = handler(request);
            async move { Ok::<_, Infallible>(answer.await) }
        }))
    }
}

pub(in crate::gate) fn full(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

/// The handler of most tests.
pub(in crate::gate) async fn hello(_: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
    tokio::task::yield_now().await;
    Response::new(full("hello"))
}

pub(in crate::gate) async fn fails(_: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
    tokio::task::yield_now().await;
    Response::builder().status(500).body(full("oops")).unwrap()
}

pub(in crate::gate) fn usdc() -> Arc<Asset> {
    Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().clone()
}

pub(in crate::gate) fn price_of(amount: u128) -> Price {
    Price::offers([Offer::new(usdc(), Amount::from_atomic(amount), PAYEE.parse().unwrap()).unwrap()]).unwrap()
}

pub(in crate::gate) fn price() -> Price {
    price_of(PRICE)
}

pub(in crate::gate) fn payer() -> EvmKey {
    EvmKey::from_hex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
}

/// A payment by authorization: valid for five minutes from [`NOW`], told apart by its nonce.
#[derive(Debug, Clone)]
pub(in crate::gate) struct Cheque {
    pub(in crate::gate) value: u128,
    pub(in crate::gate) nonce: u8,
    pub(in crate::gate) to: &'static str,
    pub(in crate::gate) valid_after: u64,
    pub(in crate::gate) valid_before: u64,
    pub(in crate::gate) resource: Option<String>,
    pub(in crate::gate) asset: Arc<Asset>,
}

impl Default for Cheque {
    fn default() -> Self {
        let valid_before = NOW / 1000 + 300;
        Self { value: PRICE, nonce: 1, to: PAYEE, valid_after: 0, valid_before, resource: None, asset: usdc() }
    }
}

impl Cheque {
    pub(in crate::gate) fn nonce(nonce: u8) -> Self {
        Self { nonce, ..Self::default() }
    }

    pub(in crate::gate) fn payload(&self) -> PaymentPayload {
        let authorization = Authorization {
            from: payer().address(),
            to: self.to.parse().unwrap(),
            value: Amount::from_atomic(self.value),
            valid_after: alloy_primitives::U256::from(self.valid_after),
            valid_before: alloy_primitives::U256::from(self.valid_before),
            nonce: [self.nonce; 32].into(),
        };
        let signed = payer().sign_authorization(authorization, &self.asset.eip712_domain().unwrap()).unwrap();
        payload(Payload::Authorization(signed), self.resource.clone())
    }

    pub(in crate::gate) fn header(&self) -> String {
        h402::encode_payment(&self.payload()).unwrap()
    }

    pub(in crate::gate) fn key(&self) -> PaymentKey {
        let token = self.asset.id.address.evm().unwrap();
        h402_core::PaymentId::Eip3009 { chain: 8453, token, from: payer().address(), nonce: [self.nonce; 32].into() }.key()
    }
}

pub(in crate::gate) fn payload(payload: Payload, resource: Option<String>) -> PaymentPayload {
    PaymentPayload { dialect: Dialect::H402V1, scheme: Scheme::Exact, network: Network::Evm(8453), resource, payload }
}

/// A payment by a transaction that was sent already, signed by `key` for `resource`.
pub(in crate::gate) fn sent(key: &EvmKey, hash: [u8; 32], resource: &str) -> String {
    let signed_message = key.sign_message(resource).unwrap();
    let sent = SentEvmTransaction { hash: hash.into(), signed_message };
    h402::encode_payment(&payload(Payload::EvmSent(sent), Some(resource.to_owned()))).unwrap()
}

pub(in crate::gate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "api.example").body(Full::default()).unwrap()
}

/// `GET /item` with a payment.
pub(in crate::gate) fn paid(header: &str) -> Request<Full<Bytes>> {
    with_payment(get("/item"), header)
}

pub(in crate::gate) fn with_payment<B>(mut request: Request<B>, header: &str) -> Request<B> {
    request.headers_mut().append("x-payment", header.parse().unwrap());
    request
}

/// A response that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gate) struct Answer {
    pub(in crate::gate) status: u16,
    pub(in crate::gate) headers: http::HeaderMap,
    pub(in crate::gate) body: Bytes,
}

impl Answer {
    pub(in crate::gate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// `error` of a JSON body.
    pub(in crate::gate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(in crate::gate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(in crate::gate) fn receipt(&self) -> Option<SettleAnswer> {
        self.headers.get("x-payment-response").map(|value| h402::decode_receipt(value.as_bytes()).unwrap())
    }
}

pub(in crate::gate) async fn send<S, ReqBody, B>(service: &S, request: Request<ReqBody>) -> Answer
where
    S: Service<Request<ReqBody>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    read(service.clone().oneshot(request).await.unwrap()).await
}

pub(in crate::gate) async fn read<B: http_body::Body<Error: std::fmt::Debug>>(response: Response<B>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// Lets spawned tasks come to rest. The test runtime has one thread and nothing in these tests waits for the
/// outside, so a few hundred turns are more than any of them needs.
pub(in crate::gate) async fn settle_down() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}
