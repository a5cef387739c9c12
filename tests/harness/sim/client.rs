//! Those who pay, over a network that loses, delays and repeats; and what some of them try.

use super::{
    chain::Tx,
    handler::call_of,
    oracle,
    scenario::{Call, Fault, Replay, Route, Treason},
    token::{self, TOKEN, hash_of},
    town::{ORIGIN, Town, account, usdc},
    world::lock,
};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall as _;
use bytes::Bytes;
use h402_core::{Amount, Authorization, Clock, Dialect, EvmKey, Payload, PaymentPayload, Requirements, UnixMillis};
use h402_tower::pay::{CallKey, Cap, Journal, JournalUnavailable, Means, Pay, PayError, Refused, SignError, SignedPayment, Terms, Wallet};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};
use tower::{Layer as _, Service, ServiceExt as _};

/// What carries a payment of h402, and what carries one of x402 version 2.
const PAYMENTS: [HeaderName; 2] = [HeaderName::from_static("x-payment"), HeaderName::from_static("payment-signature")];

/// The network between a payer and the gates of one shop.
#[derive(Clone)]
pub struct Net {
    pub town: Arc<Town>,
    pub shop: usize,
}

/// The connection broke.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection broke")
    }
}

impl std::error::Error for Broken {}

impl Service<Request<Full<Bytes>>> for Net {
    type Response = Response<Full<Bytes>>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let net = self.clone();
        Box::pin(async move { net.carry(request).await })
    }
}

impl Net {
    async fn carry(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Broken> {
        let world = &self.town.world;
        let slow = if world.has(Fault::NetSlow) { [5, 200, 8_000][super::scenario::size_of(world, 3)] } else { 3 };
        world.pause(slow).await;
        if world.chance(Fault::NetDropRequest, 60) {
            return Err(Broken);
        }
        if world.chance(Fault::NetDuplicate, 120) {
            let (net, copy) = (self.clone(), copy(&request));
            tokio::spawn(async move {
                let most = if net.town.world.roll(2) == 0 { 2_000 } else { 40 };
                net.town.world.pause(most).await;
                drop(net.reach(copy, false).await);
            });
        }
        let hangs_up = world.chance(Fault::Disconnect, 120).then(|| Duration::from_millis(world.roll(3_000)));
        let reached = self.reach(request, true);
        let answer = match hangs_up {
            Some(after) => timeout(after, reached).await.map_err(|_| Broken)?,
            None => reached.await,
        };
        world.pause(slow).await;
        if world.chance(Fault::NetDropAnswer, 60) {
            return Err(Broken);
        }
        answer
    }

    /// At a gate, which works on a request for as long as the connection stands.
    async fn reach(&self, request: Request<Full<Bytes>>, abort: bool) -> Result<Response<Full<Bytes>>, Broken> {
        let world = self.town.world.clone();
        let route = if request.uri().path() == Route::Capture.path() { Route::Capture } else { Route::Upfront };
        let call = call_of(&request);
        let Some((life, service)) = self.town.gate(self.shop, route) else { return Err(Broken) };
        let paid = PAYMENTS.iter().find_map(|name| request.headers().get(name)).cloned();
        if let Some(header) = &paid {
            world.tell(format_args!("call {call} is presented at shop {}{}", self.shop, route.path()));
            lock(&world.oracle).presented(call, self.shop, route, header.clone());
        }
        let task = tokio::spawn(service.oneshot(request));
        let _connection = abort.then(|| Connection(task.abort_handle()));
        let answer = tokio::select! {
            biased;
            () = life.died() => return Err(Broken),
            answer = task => answer.map_err(|_| Broken)?,
        };
        let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
        let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
        if life.is_dead() {
            return Err(Broken);
        }
        if paid.is_some() {
            oracle::left(&world, call, self.shop, route, &Response::from_parts(parts.clone(), body.clone()));
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }
}

/// Ends a request's work at the gate when nobody waits for it any more.
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn copy(request: &Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut copy = Request::new(Full::default());
    (*copy.uri_mut(), *copy.headers_mut()) = (request.uri().clone(), request.headers().clone());
    copy
}

/// A request as a gate gets it from its server.
fn request(call: usize, route: Route) -> Request<Full<Bytes>> {
    let uri = format!("{ORIGIN}{}?call={call}", route.path());
    Request::get(uri).header(header::HOST, "shop.test").body(Full::default()).expect("a request")
}

/// True time; payers' clocks are their own trouble.
#[derive(Clone)]
struct TrueTime(Arc<Town>);

impl Clock for TrueTime {
    fn now(&self) -> UnixMillis {
        self.0.world.now()
    }
}

/// Signs with nonces that follow from the seed.
struct SimWallet {
    town: Arc<Town>,
    key: EvmKey,
    call: usize,
}

impl Wallet for SimWallet {
    fn can_pay(&self, _: &Requirements) -> Option<Means> {
        Some(Means::Authorization)
    }

    async fn sign(&self, terms: &Terms) -> Result<PaymentPayload, SignError> {
        let world = &self.town.world;
        let nonce = hash_of(&[b"nonce", &world.seed.to_be_bytes(), &self.call.to_be_bytes(), &world.roll(u64::MAX).to_be_bytes()]);
        let offer = &terms.requirements.offer;
        let authorization = Authorization {
            from: self.key.address(),
            to: offer.pay_to.evm().expect("an EVM payee"),
            value: terms.amount,
            valid_after: U256::from(terms.valid_after.0),
            valid_before: U256::from(terms.valid_before.0),
            nonce,
        };
        let payload = self.key.sign_authorization(authorization, &token::domain())?;
        world.tell(format_args!("call {} is signed, nonce {nonce}, until {}", self.call, terms.valid_before.0));
        lock(&world.oracle).signed(self.call, (self.key.address(), nonce), terms.amount.to_u256());
        if let Some((treason, after)) = world.scenario.calls[self.call].treason {
            tokio::spawn(betray(self.town.clone(), self.key.clone(), nonce, treason, after));
        }
        Ok(PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: offer.scheme,
            network: offer.network(),
            resource: Some(terms.resource.clone()),
            payload: Payload::Authorization(payload),
        })
    }
}

/// Takes back what was signed: cancels it, or moves the money away.
async fn betray(town: Arc<Town>, key: EvmKey, nonce: B256, treason: Treason, after: Duration) {
    sleep(after).await;
    let world = &town.world;
    let sender = key.address();
    let mut chain = lock(&world.chain);
    let next = chain.head().state.nonces.get(&sender).copied().unwrap_or_default();
    let free = (next..).find(|nonce| !chain.pool.contains_key(&(sender, *nonce))).unwrap_or(next);
    let balance = chain.head().state.tokens.get(&sender).copied().unwrap_or_default();
    let (input, cancels) = match treason {
        Treason::Cancel => (Vec::new(), Some(nonce)),
        Treason::Drain => (token::transferCall { to: sender.create(7), value: balance }.abi_encode(), None),
    };
    let hash = hash_of(&[sender.as_slice(), nonce.as_slice(), &free.to_be_bytes()]);
    let fee = 50_000_000_000;
    let tx = Tx { hash, sender, nonce: free, to: TOKEN, input: input.into(), gas_limit: 200_000, max_fee: fee, tip: fee, cancels };
    let outcome = chain.add(tx);
    drop(chain);
    world.tell(format_args!("payer {sender} turns to {treason:?}: {outcome:?}"));
}

/// Journals outlive their clients.
struct SimJournal(Arc<Town>);

impl Journal for SimJournal {
    async fn find(&self, call: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
        Ok(lock(&self.0.journal).get(call.as_str()).cloned())
    }

    async fn signed(&self, call: &CallKey, payment: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
        Ok(lock(&self.0.journal).entry(call.as_str().to_owned()).or_insert(payment).clone())
    }
}

/// Makes one call until its outcome is known, or the client gives up.
pub async fn pay(town: Arc<Town>, call: usize) {
    let plan = town.world.scenario.calls[call].clone();
    sleep(plan.at).await;
    if let Some(after) = plan.dies {
        if timeout(after, try_to_pay(&town, call, &plan)).await.is_ok() {
            return;
        }
        town.world.tell(format_args!("the client of call {call} dies"));
        town.world.pause(4_000).await;
    }
    try_to_pay(&town, call, &plan).await;
}

async fn try_to_pay(town: &Arc<Town>, call: usize, plan: &Call) {
    let wallet = SimWallet { town: town.clone(), key: account("payer", plan.payer), call };
    let cap = Cap::new().allow(usdc(), Amount::from_atomic(1_000_000));
    let pay = Pay::new(wallet, cap).with_journal(SimJournal(town.clone())).with_clock(TrueTime(town.clone()));
    let service = pay.with_plain_http_allowed_insecure().layer(Net { town: town.clone(), shop: plan.shop });
    for _ in 0..3 {
        let mut request = request(call, plan.route);
        request.extensions_mut().insert(CallKey::new(call.to_string()));
        match service.clone().oneshot(request).await {
            Ok(answer) => {
                let refused = answer.extensions().get::<Refused>().is_some();
                town.world.tell(format_args!("call {call} ends with {}{}", answer.status(), if refused { ", refused" } else { "" }));
                return;
            }
            Err(PayError::OutcomeUnknown { .. } | PayError::Inner(_)) => {
                town.world.tell(format_args!("call {call} has no outcome yet"));
                town.world.pause(5_000).await;
            }
            Err(error) => return town.world.violate("client", format_args!("call {call}: {error}")),
        }
    }
}

/// Presents a header again that somebody has seen.
pub async fn replay(town: Arc<Town>, call: usize, replay: Replay) {
    let Replay { after, route, shop } = replay;
    sleep(town.world.scenario.calls[call].at + after).await;
    drop(present(&town, call, shop, route).await);
}

async fn present(town: &Arc<Town>, call: usize, shop: usize, route: Route) -> Option<Result<Response<Full<Bytes>>, Broken>> {
    let header: HeaderValue = lock(&town.world.oracle).signed.get(&call)?.header.clone()?;
    let mut request = request(call, route);
    let [of_h402, of_x402] = PAYMENTS;
    let name = if h402_core::wire::h402::decode_payment(header.as_bytes()).is_ok() { of_h402 } else { of_x402 };
    request.headers_mut().insert(name, header);
    Some(Net { town: town.clone(), shop }.carry(request).await)
}

/// Presents a payment wherever it was presented before, until there is an answer that lasts.
pub async fn finish(town: Arc<Town>, call: usize) {
    let places = lock(&town.world.oracle).presented.get(&call).cloned().unwrap_or_default();
    for (shop, route) in places {
        if lock(&town.world.oracle).is_refused(call) {
            continue;
        }
        let mut last = None;
        for _ in 0..60 {
            match present(&town, call, shop, route).await {
                None => return,
                Some(Ok(answer)) if !is_wait(&answer) => {
                    last = None;
                    break;
                }
                Some(answer) => last = Some(answer.map(|answer| answer.status())),
            }
            sleep(Duration::from_secs(4)).await;
        }
        if let Some(last) = last {
            town.world.violate("I12", format_args!("call {call} never gets an answer, the last was {last:?}"));
        }
    }
}

fn is_wait(answer: &Response<Full<Bytes>>) -> bool {
    let waits = [StatusCode::CONFLICT, StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    answer.status().is_server_error() || waits.contains(&answer.status()) && answer.headers().contains_key(header::RETRY_AFTER)
}
