//! The paying client, whose server says what it likes: what is signed stays within the cap.

use crate::{header, wait};
use bytes::Bytes;
use h402_core::{
    Amount, Assets, Clock, EvmKey, GenesisPrefix, Network, Payload, PaymentPayload, SolanaKey, UnixMillis,
    solana::SolanaTransaction,
    wire::{self, h402, x402},
};
use h402_tower::pay::{Cap, EvmWallet, Pay, SolanaWallet};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use std::sync::{Arc, Mutex};
use tower::{Layer, ServiceExt, service_fn};

const URL: &str = "https://api.example/item?id=1";
const NOW: UnixMillis = UnixMillis(1_795_170_338_980);
/// Of any asset, in its smallest unit.
const MOST: u128 = 20_000;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> UnixMillis {
        NOW
    }
}

fn cap() -> Cap {
    let assets = Assets::known();
    let sold = |network: Network, symbol: &str| assets.by_symbol(network, symbol).expect("an asset of the table").clone();
    let (base, mainnet) = (Network::Evm(8453), Network::Solana(GenesisPrefix::MAINNET));
    [sold(base, "USDC"), sold(mainnet, "USDC"), sold(mainnet, "SOL")]
        .into_iter()
        .fold(Cap::new(), |cap, asset| cap.allow(asset, Amount::from_atomic(MOST)))
}

/// Body of the 402, the text in its header, and the receipt: parted by the character RS.
pub(crate) fn all(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == b'\x1e');
    let (body, challenge, receipt) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let server = {
        let (seen, body) = (seen.clone(), Bytes::copy_from_slice(body));
        let (challenge, receipt) = (challenge.map(header), receipt.map(header));
        service_fn(move |request: Request<Full<Bytes>>| {
            let mut seen = seen.lock().expect("nobody panicked");
            seen.push(request.headers().clone());
            let paid = request.headers().contains_key("x-payment") || request.headers().contains_key("payment-signature");
            let mut answer = Response::new(Full::new(if paid { Bytes::new() } else { body.clone() }));
            let mut put = |name: &'static str, text: &Option<Vec<u8>>| {
                if let Some(value) = text.as_ref().and_then(|text| HeaderValue::from_bytes(text).ok()) {
                    answer.headers_mut().insert(name, value);
                }
            };
            if paid {
                put("x-payment-response", &receipt);
                put("payment-response", &receipt);
            } else {
                put("payment-required", &challenge);
                *answer.status_mut() = http::StatusCode::PAYMENT_REQUIRED;
            }
            async move { Ok::<_, std::convert::Infallible>(answer) }
        })
    };
    let wallet = (
        EvmWallet::from_key(EvmKey::from_bytes(&[7; 32]).expect("a key")).with_permit2(),
        SolanaWallet::from_key(SolanaKey::from_seed(&[7; 32])),
    );
    let client = Pay::new(wallet, cap()).with_clock(Stopped).layer(server);
    let request = Request::get(URL).body(Empty::<Bytes>::new()).expect("a request");
    let _ = wait(client.oneshot(request));
    let seen = seen.lock().expect("nobody panicked");
    let payments: Vec<PaymentPayload> = seen.iter().filter_map(payment).collect();
    assert!(payments.windows(2).all(|two| two[0] == two[1]), "signed twice");
    payments.first().map(within_the_cap);
}

/// What a request carries must be read, whatever it repeats of the challenge.
fn payment(headers: &HeaderMap) -> Option<PaymentPayload> {
    let values = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let found = wire::presented(values("x-payment"), values("payment-signature")).expect("our own payment")?;
    Some(match found.dialect {
        h402_core::Dialect::H402V1 => h402::decode_payment(found.value).expect("our own payment"),
        h402_core::Dialect::X402V1 => x402::v1::decode_payment(found.value).expect("our own payment"),
        _ => x402::v2::decode_payment(found.value).expect("our own payment").payload,
    })
}

fn within_the_cap(payment: &PaymentPayload) {
    let most = Amount::from_atomic(MOST);
    let latest = alloy_primitives::U256::from(NOW.0 / 1000 + 600);
    match &payment.payload {
        Payload::Authorization(signed) => {
            assert_eq!(payment.network, Network::Evm(8453));
            assert!(signed.authorization.value <= most && signed.authorization.valid_before <= latest);
        }
        Payload::Permit2(signed) => {
            assert!(signed.authorization.amount <= most && signed.authorization.deadline <= latest);
        }
        Payload::SolanaTransaction(signed) => {
            let transaction = SolanaTransaction::decode(&signed.transaction).expect("our own payment");
            // A transfer's amount stands in one instruction of eight bytes and a tag, in both programs.
            let moved: u64 = transaction.message.instructions().iter().filter_map(|one| amount(&one.data)).sum();
            assert!(u128::from(moved) <= MOST, "{moved} is more than may be spent");
        }
        other => panic!("signed what it has no facts for: {other:?}"),
    }
}

/// Of `TransferChecked` and of the system's transfer.
fn amount(data: &[u8]) -> Option<u64> {
    match data {
        [12, amount @ .., _decimals] if amount.len() == 8 => Some(u64::from_le_bytes(amount.try_into().ok()?)),
        [2, 0, 0, 0, amount @ ..] if amount.len() == 8 => Some(u64::from_le_bytes(amount.try_into().ok()?)),
        _ => None,
    }
}
