//! What payers are told that the facilitator knows.

use super::kit::*;
use crate::gate::Price;
use bytes::Bytes;
use futures_util::FutureExt;
use h402_core::{Amount, Assets, Dialect, GenesisPrefix, Network, Offer, Scheme, SolanaHints, SupportedKind, Undecided, wire::x402::v2};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::{Value, json};
use std::convert::Infallible;
use tower::{Layer, Service, service_fn};

const SOLANA: Network = Network::Solana(GenesisPrefix::MAINNET);
const SELLER: &str = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";
/// 32 bytes of 7, 8 and 9 in base58, by another program.
const SEVENS: &str = "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx";
const EIGHTS: &str = "YMN9Qj5jPNp7j14VPcML1B6xGgcPWVZUGLFU3Mnyfaf";
const NINES: &str = "cGfHiC6Kgg3FpFZvgwGcswsCRtp4aBP2fzuXRQPizuN";

/// USDC on Base, SOL and USDC on Solana.
fn mixed() -> Price {
    let assets = Assets::known();
    let solana = |symbol| {
        let asset = assets.by_symbol(SOLANA, symbol).unwrap().clone();
        Offer::new(asset, Amount::from_atomic(PRICE), SELLER.parse().unwrap()).unwrap()
    };
    let base = Offer::new(usdc(), Amount::from_atomic(PRICE), PAYEE.parse().unwrap()).unwrap();
    Price::offers([base, solana("SOL"), solana("USDC")]).unwrap()
}

fn kinds(blockhash: u8) -> Vec<SupportedKind> {
    let kind = |network, solana| SupportedKind { dialect: Dialect::H402V1, scheme: Scheme::Exact, network, solana, facilitator: None };
    let hints = |blockhash: u8| SolanaHints {
        fee_payer: Some([9; 32].into()),
        blockhash: Some([blockhash; 32]),
        last_valid_block_height: Some(1000 + u64::from(blockhash)),
    };
    let other = Network::Solana(GenesisPrefix::DEVNET);
    vec![kind(Network::Evm(8453), None), kind(other, Some(hints(1))), kind(SOLANA, Some(hints(blockhash)))]
}

fn told(blockhash: &str, height: &str) -> Value {
    json!({"feePayer": NINES, "recentBlockhash": blockhash, "lastValidBlockHeight": height})
}

/// What the three offers say besides their price.
async fn extras<S, B>(service: &S) -> [Value; 3]
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Error: std::fmt::Debug>,
{
    let answer = send(service, get("/item")).now_or_never().expect("a 402 never waits");
    assert_eq!(answer.status, 402);
    settle_down().await;
    [0, 1, 2].map(|at| answer.json()["accepts"][at]["extra"].clone())
}

/// Payers on Solana are told what the facilitator knows, which is read anew every few seconds while they are told.
#[tokio::test]
async fn payers_on_solana_are_told_a_fresh_blockhash_and_who_pays_the_fee() {
    let shop = Shop::new();
    shop.bank.can(Some(kinds(7)));
    let service = shop.open(shop.gate_at(mixed()), hello);
    let domain = json!({"name": "USD Coin", "version": "2"});
    assert_eq!(extras(&service).await, [domain.clone(), Value::Null, Value::Null], "nothing is known yet, and nothing waited for");
    assert_eq!(extras(&service).await, [domain.clone(), told(SEVENS, "1007"), told(SEVENS, "1007")]);
    shop.bank.can(Some(kinds(8)));
    for _ in 0..20 {
        assert_eq!(extras(&service).await[1], told(SEVENS, "1007"));
    }
    assert_eq!(shop.bank.supported_calls(), 1);
    shop.clock.move_on(4);
    assert_eq!(extras(&service).await[1], told(SEVENS, "1007"), "this one asks");
    assert_eq!(extras(&service).await[2], told(EIGHTS, "1008"), "and the next one tells");
    assert_eq!(shop.bank.supported_calls(), 2);
}

/// A gate that has asked before its first request leaves nothing out of its first 402, in either dialect; one that has not, or
/// was not answered, has no offer for x402 on Solana yet.
#[tokio::test]
async fn a_prepared_gate_tells_everything_at_once() {
    for (answers, prepared) in [(true, true), (false, true), (true, false)] {
        let shop = Shop::new();
        shop.bank.can(answers.then(|| kinds(7)));
        let gate = shop.gate_at(mixed()).build().unwrap();
        if prepared {
            assert_eq!(gate.prepare().await, if answers { Ok(()) } else { Err(Undecided::Facilitator) });
        }
        let first = send(&gate.layer(service_fn(async |request| Ok::<_, Infallible>(hello(request).await))), get("/item")).await;
        let in_x402 = v2::decode_challenge(first.header("payment-required").unwrap().as_bytes(), &Assets::known()).unwrap();
        let whole = answers && prepared;
        // SOL itself has no words there.
        assert_eq!(in_x402.offers.len(), if whole { 2 } else { 1 }, "{answers} {prepared}");
        assert_eq!(first.json()["accepts"][1]["extra"], if whole { told(SEVENS, "1007") } else { Value::Null });
    }
}

/// While the facilitator does not answer, what ages is left out after twenty seconds and the rest goes on being told.
#[tokio::test]
async fn t084_an_old_blockhash_is_not_told() {
    let shop = Shop::new();
    shop.bank.can(Some(kinds(7)));
    let service = shop.open(shop.gate_at(mixed()), hello);
    extras(&service).await;
    shop.bank.can(None);
    shop.clock.move_on(20);
    assert_eq!(extras(&service).await[1], told(SEVENS, "1007"), "twenty seconds");
    shop.clock.move_on(1);
    assert_eq!(extras(&service).await[1], json!({"feePayer": NINES}), "twenty-one");
    assert_eq!(shop.bank.supported_calls(), 2, "a facilitator that fails is asked every five seconds, not with every 402");
    shop.clock.move_on(3600);
    assert_eq!(extras(&service).await[1], json!({"feePayer": NINES}));
    shop.bank.can(Some(kinds(8)));
    shop.clock.move_on(5);
    extras(&service).await;
    assert_eq!(extras(&service).await[1], told(EIGHTS, "1008"));
    // And who stops paying for others is not named any more.
    shop.bank.can(Some(Vec::new()));
    shop.clock.move_on(5);
    extras(&service).await;
    assert_eq!(extras(&service).await[1], Value::Null);
}

/// A gate that sells nothing on Solana has no use for fresh hints.
#[tokio::test]
async fn only_offers_on_solana_make_a_gate_ask_often() {
    let shop = Shop::new();
    shop.bank.can(Some(kinds(7)));
    let service = shop.open(shop.gate(), hello);
    for _ in 0..50 {
        send(&service, get("/item")).await;
        settle_down().await;
        shop.clock.move_on(5);
    }
    assert_eq!(shop.bank.supported_calls(), 1);
}

/// T167: a thousand 402s cost the facilitator one question, however long it takes to answer, and no other; while it does not answer
/// anew, what it has said before is told.
// Time stands still: however slow this machine is, nobody gives up waiting.
#[tokio::test(start_paused = true)]
async fn t167_a_402_costs_the_facilitator_nothing() {
    let shop = Shop::new();
    shop.bank.can(Some(kinds(7)));
    let service = shop.open(shop.gate_at(mixed()), hello);
    let brake = shop.bank.brake_supported();
    for _ in 0..1_000 {
        assert_eq!(extras(&service).await[1], Value::Null);
    }
    assert_eq!(shop.bank.supported_calls(), 1, "one at a time");
    brake.add_permits(1);
    settle_down().await;
    for _ in 0..1_000 {
        assert_eq!(extras(&service).await[1], told(SEVENS, "1007"));
    }
    assert_eq!(shop.bank.supported_calls(), 1, "and none while the answer is fresh");
    brake.add_permits(1_000);
    shop.bank.can(None);
    shop.clock.move_on(4);
    for _ in 0..1_000 {
        assert_eq!(extras(&service).await[1], told(SEVENS, "1007"), "what was said is told on");
    }
    assert_eq!(shop.bank.supported_calls(), 2, "and who fails is not asked again at once");
    assert_eq!((shop.bank.verified(), shop.bank.settle_calls()), (0, 0));
    // Twin: who pays makes it verify and settle.
    assert_eq!(send(&service, paid(&Cheque::default().header())).await.status, 200);
    assert_eq!((shop.bank.verified(), shop.bank.settle_calls()), (1, 1));
}
