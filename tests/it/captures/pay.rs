//! The recorded 402, given to our pay layer with the recorded client's key.

use super::{
    difference::{Found, unpacked},
    gate::Then,
    recording::{ChainHints, Exchange, Recording},
};
use bytes::Bytes;
use h402_core::{
    Amount, Assets, EvmKey, Hints, HintsNeeded, Network, Payload, SolanaAddress, SolanaKey, TransactionHints, Undecided, UnixMillis,
    evm::EvmTransaction,
    solana::{SolanaMessage, SolanaTransaction},
    wire::h402,
};
use h402_tower::pay::{Cap, EvmWallet, Pay, PayError, SolanaWallet};
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

/// The first account of the usual development mnemonic, which every recorded EVM client pays from.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// What every recorded Solana client pays with.
pub(super) const SOLANA_SEED: [u8; 32] = [7; 32];

/// What the chain said to the recorded client.
struct Recorded(Option<TransactionHints>);

/// What the cluster said to the recorded client.
struct RecordedCluster(Option<[u8; 32]>);

impl Hints for RecordedCluster {
    async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
        Err(Undecided::Chain)
    }

    async fn blockhash(&self, _: Network) -> Result<[u8; 32], Undecided> {
        self.0.ok_or(Undecided::Chain)
    }
}

impl Hints for Recorded {
    async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
        self.0.ok_or(Undecided::Chain)
    }

    async fn blockhash(&self, _: Network) -> Result<[u8; 32], Undecided> {
        Err(Undecided::Chain)
    }
}

/// Compares whether, what and how often is paid.
pub(super) async fn compare(recording: &Recording, found: &mut Found) {
    let visits: Vec<&Exchange> = recording.visits().collect();
    let theirs: Vec<Option<String>> = visits.iter().map(|visit| visit.request.header("x-payment").map(str::to_owned)).collect();
    let (ours, outcome) = pay(recording, &visits).await;
    let payment = |sent: &[Option<String>]| sent.iter().flatten().next().cloned();
    match (payment(&theirs), payment(&ours)) {
        (None, None) => {}
        (Some(theirs), None) => found.differs(format!("pay: pays {}, ours nothing: {}", terms(&theirs), outcome.unwrap_err())),
        (None, Some(ours)) => found.differs(format!("pay: pays nothing, ours {}", terms(&ours))),
        (Some(theirs), Some(ours)) if terms(&theirs) != terms(&ours) => {
            found.differs(format!("pay: pays {}, ours {}", terms(&theirs), terms(&ours)));
        }
        (Some(theirs), Some(own)) if on_solana(&theirs).is_some() => {
            solana(&theirs, &own, found);
            if visits.len() != ours.len() {
                found.differs(format!("pay: {} requests, ours {}", visits.len(), ours.len()));
            }
        }
        (Some(theirs), Some(own)) => {
            // Both sign deterministically, so not even the signatures may differ.
            found.json("pay", "payment", &unpacked(&theirs), &unpacked(&own));
            if theirs != own {
                found.differs("pay: the header is spelled otherwise");
            }
            if visits.len() != ours.len() {
                found.differs(format!("pay: {} requests, ours {}", visits.len(), ours.len()));
            }
        }
    }
}

/// The payment header of each request, and the word for what came of the call.
async fn pay(recording: &Recording, visits: &[&Exchange]) -> (Vec<Option<String>>, Result<u16, &'static str>) {
    let sent: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let answers: Vec<Response<Full<Bytes>>> = visits.iter().map(|visit| answered(visit)).collect();
    let server = service_fn({
        let (sent, answers) = (sent.clone(), Arc::new(answers));
        move |request: Request<Full<Bytes>>| {
            let mut sent = sent.lock().unwrap();
            sent.push(request.headers().get("x-payment").map(|value| value.to_str().unwrap().to_owned()));
            let answer = answers.get(sent.len() - 1).cloned().unwrap_or_default();
            std::future::ready(Ok::<_, Infallible>(answer))
        }
    });
    let most = recording.pay.cap.as_deref().map_or(Amount::from_atomic(u128::MAX), |cap| Amount::from_atomic_text(cap).unwrap());
    let cap = Assets::known().iter().fold(Cap::new(), |cap, asset| cap.allow(asset.clone(), most));
    let wallet =
        EvmWallet::from_key(EvmKey::from_hex(KEY).unwrap()).with_transactions(Recorded(hints(recording)), Amount::from_atomic(u128::MAX));
    let blockhash = recording.cluster("getLatestBlockhash").map(|value| value["blockhash"].as_str().unwrap().parse::<SolanaAddress>());
    let blockhash = blockhash.map(|blockhash| *blockhash.unwrap().as_bytes());
    // Where the recorded client had no Solana key, ours can pay nothing with it.
    let most_lamports = if blockhash.is_some() { 3_000_000 } else { 0 };
    let solana =
        SolanaWallet::from_key(SolanaKey::from_seed(&SOLANA_SEED)).with_max_cost(most_lamports).with_hints(RecordedCluster(blockhash));
    let layer = Pay::new((wallet, solana), cap).with_clock(Then(clock(visits)));
    let url = format!("http://{}{}", visits[0].request.header("host").unwrap(), visits[0].request.path);
    let request = Request::builder().method(&*visits[0].request.method).uri(url).body(Full::<Bytes>::default()).unwrap();
    let outcome = ServiceBuilder::new().layer(layer).service(server).oneshot(request).await;
    let sent = sent.lock().unwrap().clone();
    (sent, outcome.map(|response| response.status().as_u16()).map_err(|error| word(&error)))
}

fn answered(visit: &Exchange) -> Response<Full<Bytes>> {
    let answer = visit.response.as_ref().unwrap();
    let body = answer.body.as_ref().map(|body| body.bytes()).unwrap_or_default();
    Response::builder().status(answer.status).body(Full::from(body)).unwrap()
}

fn hints(recording: &Recording) -> Option<TransactionHints> {
    if let Some(ChainHints { nonce, gas_price, gas }) = &recording.pay.hints {
        return Some(TransactionHints { nonce: *nonce, gas_price: gas_price.parse().unwrap(), gas: *gas });
    }
    let header = recording.visits().find_map(|visit| visit.request.header("x-payment"))?;
    let transaction = transaction(header)?;
    Some(TransactionHints { nonce: transaction.nonce, gas_price: transaction.max_fee_per_gas, gas: transaction.gas_limit })
}

/// When the recorded client signed: it says so where there was no resource to sign.
fn clock(visits: &[&Exchange]) -> UnixMillis {
    let payment = visits.iter().find_map(|visit| visit.request.header("x-payment")).map(unpacked);
    let invented = payment.and_then(|payment| payment["resource"].as_str()?.strip_prefix("402 signature ")?.parse().ok());
    invented.map_or(visits[0].at(), UnixMillis)
}

fn transaction(header: &str) -> Option<EvmTransaction> {
    match h402::decode_payment(header.as_bytes()).unwrap().payload {
        Payload::EvmTransaction(signed) => Some(EvmTransaction::decode(&signed.raw).unwrap()),
        _ => None,
    }
}

/// The transaction in a header, if it is one of Solana.
fn on_solana(header: &str) -> Option<SolanaTransaction> {
    match h402::decode_payment(header.as_bytes()).unwrap().payload {
        Payload::SolanaTransaction(signed) => Some(SolanaTransaction::decode(&signed.transaction).unwrap()),
        _ => None,
    }
}

/// Compares two payments on Solana: everything but the signatures, and the unit limit by itself.
fn solana(theirs: &str, own: &str, found: &mut Found) {
    let without = |header: &str| {
        let mut payment = unpacked(header);
        for signed in ["signature", "transaction"] {
            assert!(payment["payload"].as_object_mut().unwrap().remove(signed).is_some(), "{signed}");
        }
        payment
    };
    found.json("pay", "payment", &without(theirs), &without(own));
    let (theirs, own) = (on_solana(theirs).unwrap().message, on_solana(own).unwrap().message);
    let (mut limits, mut instructions) = (Vec::new(), Vec::new());
    for message in [&theirs, &own] {
        let (limit, rest): (Vec<_>, Vec<_>) =
            message.instructions().iter().cloned().partition(|it| it.data.first() == Some(&2) && it.data.len() == 5);
        limits.push(limit);
        instructions.push(rest);
    }
    let head = |message: &SolanaMessage| (message.version(), message.signers().to_vec(), message.keys().to_vec(), *message.blockhash());
    if head(&theirs) != head(&own) || instructions[0] != instructions[1] {
        found.differs("pay: another message");
    }
    if limits[0] != limits[1] {
        found.differs("pay: another unit limit");
    }
}

/// What a header pays: how much of what.
fn terms(header: &str) -> String {
    if let Some(transaction) = on_solana(header) {
        let message = transaction.message;
        let last = message.instructions().last().unwrap();
        return format!("{} on Solana", last.data);
    }
    let Some(transaction) = transaction(header) else { return unpacked(header)["payload"]["type"].to_string() };
    if transaction.input.is_empty() {
        return format!("{} wei", transaction.value);
    }
    let transfer = h402_core::evm::Erc20Transfer::decode(&transaction.input).unwrap();
    format!("{} of {}", transfer.amount, transaction.to.unwrap())
}

fn word(error: &PayError<Infallible>) -> &'static str {
    match error {
        PayError::OverCap { .. } => "over the cap",
        PayError::NothingAffordable(_) => "no offer is usable",
        PayError::ForeignResource { .. } => "the resource is of another origin",
        PayError::Sign(_) => "not signed",
        PayError::Challenge(_) => "the 402 cannot be read",
        _ => "another reason",
    }
}
