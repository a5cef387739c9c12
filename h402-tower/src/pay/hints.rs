//! Facts for transactions, read from an RPC endpoint over the caller's own HTTP service.

use super::{body, error::BoxError};
use alloy_primitives::{B256, Bytes as CallData, U64, U128, U256};
use bytes::Bytes;
use core::{fmt, time::Duration};
use h402_core::{Hints, HintsNeeded, Network, Permit2Hints, Permit2Needed, SolanaAddress, TransactionHints, Undecided, evm};
use http::{Request, Response, StatusCode, Uri, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tokio::time::timeout;
use tower_service::Service;

/// Longest RPC answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How long an RPC endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads account nonce, gas price and gas from Ethereum JSON-RPC endpoints, and recent blockhashes from Solana's, one HTTP
/// request per payment.
///
/// Sends over any HTTP service, so that it can share the client, proxies and certificates of the calls themselves.
/// Gas and price get a margin: the price half as much again, and the gas a quarter where a contract is called. The
/// facilitator wants a fee above the base fee of some blocks ahead.
///
/// ```
/// use bytes::Bytes;
/// use h402_core::{Amount, EvmKey, Network};
/// use h402_tower::pay::{EvmWallet, HttpHints};
/// use http::{Request, Response, Uri};
/// use http_body_util::Full;
///
/// // A hyper client in real life.
/// let client = tower::service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default())) });
/// let hints = HttpHints::new(client).with_rpc(Network::Evm(8453), Uri::from_static("https://rpc.example/secret"));
/// assert!(!format!("{hints:?}").contains("secret"));
/// let wallet = EvmWallet::from_key(EvmKey::from_bytes(&[1; 32])?).with_transactions(hints, Amount::from_atomic(50_000_000_000_000));
/// # Ok::<(), h402_core::BadKey>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct HttpHints<S> {
    service: S,
    endpoints: HashMap<Network, Uri>,
}

impl<S> HttpHints<S> {
    /// Sends over `service`; no endpoint is known yet.
    pub fn new(service: S) -> Self {
        Self { service, endpoints: HashMap::new() }
    }

    /// Asks `url` about `network`.
    pub fn with_rpc(mut self, network: Network, url: Uri) -> Self {
        self.endpoints.insert(network, url);
        self
    }
}

impl<S> fmt::Debug for HttpHints<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs of RPC endpoints often hold a key (T134).
        f.debug_struct("HttpHints").field("networks", &self.endpoints.keys()).finish_non_exhaustive()
    }
}

impl<S, RB> Hints for HttpHints<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Send,
    RB: Body + Send,
    RB::Data: Send,
    RB::Error: Into<BoxError>,
{
    async fn transaction(&self, needed: HintsNeeded) -> Result<TransactionHints, Undecided> {
        let Network::Evm(chain) = needed.network else { return Err(Undecided::WrongChain) };
        let answer = self.post(needed.network, &batch(&needed)).await?;
        let answers: Vec<Answer> = serde_json::from_slice(&answer).map_err(|_| Undecided::Chain)?;
        if quantity::<U64>(&answers, CHAIN_ID)? != U64::from(chain) {
            return Err(Undecided::WrongChain);
        }
        let price: u128 = quantity::<U128>(&answers, GAS_PRICE)?.to();
        let gas: u64 = quantity::<U64>(&answers, GAS)?.to();
        let margin = if needed.input.is_empty() { 0 } else { gas / 4 };
        Ok(TransactionHints {
            nonce: quantity::<U64>(&answers, NONCE)?.to(),
            gas_price: price.saturating_add(price / 2),
            gas: gas.saturating_add(margin),
        })
    }

    async fn permit2(&self, needed: Permit2Needed) -> Result<Permit2Hints, Undecided> {
        let Network::Evm(chain) = needed.network else { return Err(Undecided::WrongChain) };
        let answer = self.post(needed.network, &approvals(&needed)).await?;
        let answers: Vec<Answer> = serde_json::from_slice(&answer).map_err(|_| Undecided::Chain)?;
        if quantity::<U64>(&answers, CHAIN_ID)? != U64::from(chain) {
            return Err(Undecided::WrongChain);
        }
        let allowance = word(&answers, ALLOWANCE).ok_or(Undecided::Chain)?.into();
        // A token without EIP-2612 has no such function, which is no trouble of the node's.
        Ok(Permit2Hints { allowance, permit_nonce: word(&answers, PERMIT_NONCE) })
    }

    /// Whose cluster answers need not be asked: on another one the blockhash is unknown, and nothing moves there.
    async fn blockhash(&self, network: Network) -> Result<[u8; 32], Undecided> {
        let Network::Solana(_) = network else { return Err(Undecided::WrongChain) };
        let question = Call::new(0, "getLatestBlockhash", Params::Commitment([Commitment { commitment: "confirmed" }]));
        let answer = self.post(network, &question).await?;
        let answer: BlockhashAnswer = serde_json::from_slice(&answer).map_err(|_| Undecided::Chain)?;
        let blockhash: SolanaAddress = answer.result.value.blockhash.parse().map_err(|_| Undecided::Chain)?;
        Ok(*blockhash.as_bytes())
    }
}

impl<S> HttpHints<S> {
    /// Asks the endpoint of a network one thing.
    async fn post<RB>(&self, network: Network, question: &impl Serialize) -> Result<Bytes, Undecided>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<RB>> + Clone,
        RB: Body,
        RB::Error: Into<BoxError>,
    {
        let url = self.endpoints.get(&network).ok_or(Undecided::Chain)?;
        let body = serde_json::to_vec(question).map_err(|_| Undecided::Chain)?;
        let request = Request::post(url).header(CONTENT_TYPE, "application/json").body(Full::from(body)).map_err(|_| Undecided::Chain)?;
        timeout(TIMEOUT, ask(self.service.clone(), request)).await.map_err(|_| Undecided::Chain)?
    }
}

async fn ask<S, RB>(mut service: S, request: Request<Full<Bytes>>) -> Result<Bytes, Undecided>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>>,
    RB: Body,
    RB::Error: Into<BoxError>,
{
    core::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(|_| Undecided::Chain)?;
    let response = service.call(request).await.map_err(|_| Undecided::Chain)?;
    if response.status() != StatusCode::OK {
        return Err(Undecided::Chain);
    }
    body::read(response.into_body(), MAX_ANSWER).await.map_err(|_| Undecided::Chain)
}

const CHAIN_ID: u8 = 0;
const NONCE: u8 = 1;
const GAS_PRICE: u8 = 2;
const GAS: u8 = 3;
const ALLOWANCE: u8 = 4;
const PERMIT_NONCE: u8 = 5;

fn batch(needed: &HintsNeeded) -> [Call<'static>; 4] {
    let from = needed.from.to_string();
    let transfer =
        Transfer { from: from.clone(), to: needed.to.to_string(), value: format!("{:#x}", needed.value), data: needed.input.to_string() };
    [
        Call::new(CHAIN_ID, "eth_chainId", Params::None([])),
        // Pending, so that a transaction of the payer that is not mined yet keeps its nonce.
        Call::new(NONCE, "eth_getTransactionCount", Params::Count(from, "pending")),
        Call::new(GAS_PRICE, "eth_gasPrice", Params::None([])),
        Call::new(GAS, "eth_estimateGas", Params::Estimate([transfer])),
    ]
}

/// What is asked of a token before it is paid through Permit2.
fn approvals(needed: &Permit2Needed) -> [Call<'static>; 3] {
    let Permit2Needed { owner, token, .. } = *needed;
    let view = |data: CallData| Params::View(View { to: token.to_string(), data: data.to_string() }, "latest");
    [
        Call::new(CHAIN_ID, "eth_chainId", Params::None([])),
        Call::new(ALLOWANCE, "eth_call", view(evm::allowance_call(owner))),
        Call::new(PERMIT_NONCE, "eth_call", view(evm::permit_nonce_call(owner))),
    ]
}

#[derive(Serialize)]
struct Call<'a> {
    jsonrpc: &'a str,
    id: u8,
    method: &'a str,
    params: Params,
}

impl Call<'static> {
    fn new(id: u8, method: &'static str, params: Params) -> Self {
        Self { jsonrpc: "2.0", id, method, params }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Params {
    None([u8; 0]),
    Count(String, &'static str),
    Estimate([Transfer; 1]),
    Commitment([Commitment; 1]),
    View(View, &'static str),
}

#[derive(Serialize)]
struct View {
    to: String,
    data: String,
}

#[derive(Serialize)]
struct Commitment {
    commitment: &'static str,
}

#[derive(Serialize)]
struct Transfer {
    from: String,
    to: String,
    value: String,
    data: String,
}

#[derive(Deserialize)]
struct Answer {
    id: u8,
    result: Option<String>,
}

/// What is read of Solana's answer.
#[derive(Deserialize)]
struct BlockhashAnswer {
    result: Contextual,
}

#[derive(Deserialize)]
struct Contextual {
    value: LatestBlockhash,
}

#[derive(Deserialize)]
struct LatestBlockhash {
    blockhash: String,
}

/// The one word that a contract answered to the call of this id; none if it has no such function.
fn word(answers: &[Answer], id: u8) -> Option<U256> {
    let mut found = answers.iter().filter(|answer| answer.id == id);
    let (Some(answer), None) = (found.next(), found.next()) else { return None };
    answer.result.as_deref().filter(|text| text.len() == 66)?.parse::<B256>().ok().map(Into::into)
}

/// The one answer of this id, which must be a quantity.
fn quantity<T: core::str::FromStr>(answers: &[Answer], id: u8) -> Result<T, Undecided> {
    let mut found = answers.iter().filter(|answer| answer.id == id);
    let (Some(answer), None) = (found.next(), found.next()) else { return Err(Undecided::Chain) };
    let text = answer.result.as_deref().filter(|text| text.starts_with("0x") && text.len() > 2).ok_or(Undecided::Chain)?;
    text.parse().map_err(|_| Undecided::Chain)
}
