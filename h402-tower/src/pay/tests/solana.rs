//! Payments on Solana: what is signed, at whose cost, and what a server can make of a wallet.

use super::{journal::Scratch, *};
use crate::{
    loopback::{Behaviour, Server},
    pay::{HttpHints, SolanaWallet, Unusable},
};
use h402_core::{
    Asset, GenesisPrefix, SolanaAddress, SolanaKey, TokenProgram, asset_id,
    solana::{SolanaTransaction, associated_token_account, program},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use std::slice;

const MAIN: Network = Network::Solana(GenesisPrefix::MAINNET);
const PLAY: Network = Network::Solana(GenesisPrefix::DEVNET);
const SELLER: &str = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";
const USDC_MAIN: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const SOL: &str = "11111111111111111111111111111111";
/// 32 bytes of 7 and 9 in base58, by another program.
const SEVENS: &str = "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx";
const NINES: &str = "cGfHiC6Kgg3FpFZvgwGcswsCRtp4aBP2fzuXRQPizuN";

fn solana_key() -> SolanaKey {
    SolanaKey::from_seed(&[7; 32])
}

fn wallet() -> SolanaWallet {
    SolanaWallet::from_key(solana_key())
}

/// Any amount of SOL and USDC, on the main and the development cluster, and of a Token-2022 token.
fn solana_cap() -> Cap {
    let known = Assets::known();
    let most = Amount::from_atomic(u128::from(u64::MAX));
    let cap = known
        .iter()
        .filter(|asset| matches!(asset.id.network, Network::Solana(_)))
        .fold(Cap::new(), |cap, asset| cap.allow(asset.clone(), most));
    cap.allow(Asset::new(asset_id(MAIN, NINES).unwrap(), 6, "T22").with_token_2022(), most)
}

/// An offer of 258 units.
fn offer(cluster: &str, token: &str, decimals: u8, extra: &Value) -> Value {
    json!({
        "scheme": "exact", "namespace": "solana", "networkId": cluster, "amountRequired": 258,
        "amountRequiredFormat": "smallestUnit", "payToAddress": SELLER, "tokenAddress": token, "tokenDecimals": decimals,
        "tokenSymbol": "X", "resource": URL, "estimatedProcessingTime": 70, "extra": extra,
    })
}

fn asking(offers: &[Value]) -> Act {
    answer(402, json!({"h402Version": 1, "error": "x", "accepts": offers}).to_string())
}

fn sponsored() -> Value {
    json!({"feePayer": NINES, "recentBlockhash": SEVENS, "lastValidBlockHeight": "1000"})
}

fn unsponsored() -> Value {
    json!({"recentBlockhash": SEVENS})
}

async fn pays(wallet: impl Wallet, offers: &[Value]) -> Result<SolanaTransaction, PayError<Lost>> {
    let shop = Shop::new([asking(offers), answer(200, "ok")]);
    call(&Pay::new(wallet, solana_cap()).with_any_offer(), &shop, get()).await?;
    Ok(transaction(&shop.payment()))
}

fn transaction(header: &str) -> SolanaTransaction {
    let payment = h402::decode_payment(header.as_bytes()).unwrap();
    assert_eq!(payment.resource.as_deref(), Some(URL));
    match payment.payload {
        Payload::SolanaTransaction(signed) => SolanaTransaction::decode(&signed.transaction).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Programs and data, in order.
fn instructions(transaction: &SolanaTransaction) -> Vec<(SolanaAddress, Vec<u8>)> {
    let message = &transaction.message;
    message.instructions().iter().map(|it| (*message.key(it.program).unwrap(), it.data.to_vec())).collect()
}

fn programs(transaction: &SolanaTransaction) -> Vec<SolanaAddress> {
    instructions(transaction).into_iter().map(|(program, _)| program).collect()
}

fn refusal(outcome: Result<SolanaTransaction, PayError<Lost>>) -> Vec<Unusable> {
    match outcome {
        Err(PayError::NothingAffordable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// From the 402 alone: no hints, no endpoint. The fee payer that the server names pays, and signs for nothing else.
#[tokio::test]
async fn a_402_with_hints_is_paid_without_asking_anybody() {
    for (token, decimals, of, data) in [
        (USDC_MAIN, 6, program::TOKEN, &b"\x0c\x02\x01\0\0\0\0\0\0\x06"[..]),
        (NINES, 6, program::TOKEN_2022, b"\x0c\x02\x01\0\0\0\0\0\0\x06"),
        (SOL, 9, program::SYSTEM, b"\x02\0\0\0\x02\x01\0\0\0\0\0\0"),
    ] {
        let extra = json!({"feePayer": "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx", "recentBlockhash": SEVENS});
        let paid = pays(wallet(), &[offer("mainnet", token, decimals, &extra)]).await.unwrap();
        assert_eq!(paid.message.blockhash(), &[7; 32]);
        assert_eq!(paid.message.signers(), [SEVENS.parse().unwrap(), solana_key().address()]);
        assert_eq!(paid.signatures[0], [0; 64], "the sponsor's slot is the sponsor's");
        assert_eq!(paid.signatures[1], solana_key().sign(paid.message.bytes()));
        assert_eq!(programs(&paid), [program::COMPUTE_BUDGET, program::COMPUTE_BUDGET, of, program::MEMO]);
        assert_eq!(instructions(&paid)[2].1, data);
        assert!(paid.message.instructions().iter().all(|it| !it.accounts.contains(&0)), "the fee payer is in no instruction");
    }
}

/// T082: what a payment costs beside its price is the user's to allow: nothing, a fee, a deposit.
#[tokio::test]
async fn t082_fee_and_deposit_are_paid_within_the_limit_only() {
    let usdc = [offer("mainnet", USDC_MAIN, 6, &unsponsored())];
    let budget = [program::COMPUTE_BUDGET; 2];
    let why = refusal(pays(wallet(), &usdc).await);
    assert_eq!(why, [Unusable::Fee { lamports: 5_001, limit: 0 }]);
    assert!(matches!(refusal(pays(wallet().with_max_cost(5_000), &usdc).await)[..], [Unusable::Fee { limit: 5_000, .. }]));
    for lamports in [5_001, 2_044_280] {
        let paid = pays(wallet().with_max_cost(lamports), &usdc).await.unwrap();
        assert_eq!(programs(&paid), [&budget[..], &[program::TOKEN]].concat(), "{lamports}");
        assert_eq!(paid.message.signers(), [solana_key().address()]);
    }
    for extra in [unsponsored(), sponsored()] {
        let usdc = [offer("mainnet", USDC_MAIN, 6, &extra)];
        let paid = pays(wallet().with_max_cost(2_044_281), &usdc).await.unwrap();
        let made = paid.message.instructions().iter().find(|it| paid.message.key(it.program) == Some(&program::ASSOCIATED_TOKEN)).unwrap();
        let funder = *paid.message.key(made.accounts[0]).unwrap();
        assert_eq!(funder, solana_key().address(), "the payer's cost, and nobody else's");
        let mint = USDC_MAIN.parse().unwrap();
        let account = associated_token_account(&SELLER.parse().unwrap(), &mint, TokenProgram::Token);
        assert_eq!(paid.message.key(made.accounts[1]), account.as_ref());
    }
    // Token-2022 accounts are larger.
    let larger = [offer("mainnet", NINES, 6, &unsponsored())];
    let paid = pays(wallet().with_max_cost(2_044_281), &larger).await.unwrap();
    assert!(!programs(&paid).contains(&program::ASSOCIATED_TOKEN));
    let paid = pays(wallet().with_max_cost(2_505_001), &larger).await.unwrap();
    assert!(programs(&paid).contains(&program::ASSOCIATED_TOKEN));
}

#[tokio::test]
async fn a_payer_may_insist_on_paying_its_own_fee() {
    let usdc = [offer("mainnet", USDC_MAIN, 6, &sponsored())];
    let paid = pays(wallet().with_max_cost(5_001).with_own_fee(), &usdc).await.unwrap();
    assert_eq!(paid.message.signers(), [solana_key().address()]);
    assert!(matches!(refusal(pays(wallet().with_own_fee(), &usdc).await)[..], [Unusable::Fee { .. }]));
}

/// T077: whoever the server names to pay the fee pays nothing but the fee. One who could be anything else is not believed.
#[tokio::test]
async fn t077_a_server_cannot_name_just_anybody_as_fee_payer() {
    let payer = solana_key().address();
    let mint: SolanaAddress = USDC_MAIN.parse().unwrap();
    let account = |owner: &SolanaAddress| associated_token_account(owner, &mint, TokenProgram::Token).unwrap();
    let seller: SolanaAddress = SELLER.parse().unwrap();
    let cases = [payer, seller, account(&payer), account(&seller), mint, program::TOKEN, program::COMPUTE_BUDGET, program::SYSTEM];
    for named in cases {
        let extra = json!({"feePayer": named.to_string(), "recentBlockhash": SEVENS});
        let usdc = [offer("mainnet", USDC_MAIN, 6, &extra)];
        assert!(matches!(refusal(pays(wallet(), &usdc).await)[..], [Unusable::Fee { .. }]), "{named}");
        // A payer that may pay its own fee does.
        let paid = pays(wallet().with_max_cost(5_001), &usdc).await.unwrap();
        assert_eq!(paid.message.signers(), [payer], "{named}");
    }
}

/// T117: a blockhash is all that ties a transaction to a cluster. One that a server names is used where it can do no
/// harm: on the main network, and where the key holds nothing elsewhere.
#[tokio::test]
async fn t117_a_server_cannot_move_a_payment_to_another_cluster() {
    let play = [offer("devnet", SOL, 9, &sponsored())];
    let shop = Shop::new([asking(&play)]);
    let outcome = call(&Pay::new(wallet(), solana_cap()), &shop, get()).await;
    assert!(matches!(outcome, Err(PayError::NothingAffordable(why)) if why == [Unusable::Cluster]));
    assert_eq!(shop.payments(), [None], "asking again would change nothing");
    assert!(pays(wallet(), &[offer("mainnet", SOL, 9, &sponsored())]).await.is_ok());
    assert!(pays(wallet().with_key_of_cluster_only(PLAY), &play).await.is_ok());
    let elsewhere = refusal(pays(wallet().with_key_of_cluster_only(PLAY), &[offer("mainnet", SOL, 9, &sponsored())]).await);
    assert_eq!(elsewhere, [Unusable::Wallet]);
    // A wallet that asks the cluster itself takes the cluster's.
    let paid = pays(wallet().with_hints(Cluster), &play).await.unwrap();
    assert_eq!(paid.message.blockhash(), &[5; 32]);
}

/// Knows a blockhash.
#[derive(Clone)]
struct Cluster;

impl Hints for Cluster {
    async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
        Err(Undecided::Chain)
    }

    async fn blockhash(&self, network: Network) -> Result<[u8; 32], Undecided> {
        assert_eq!(network, PLAY);
        Ok([5; 32])
    }
}

/// Without a blockhash in the 402 the cluster is asked, once, over the caller's own HTTP service.
#[tokio::test]
async fn without_a_blockhash_one_question_is_asked() {
    let latest = json!({"jsonrpc": "2.0", "id": 0, "result": {"context": {"slot": 1000}, "value": {"blockhash": NINES, "lastValidBlockHeight": 5000}}});
    let server = Server::start(vec![Behaviour::json(200, &latest.to_string())]).await;
    let hints = || HttpHints::new(Client::builder(TokioExecutor::new()).build_http()).with_rpc(MAIN, server.url("/key").parse().unwrap());
    let paying = || wallet().with_max_cost(5_001).with_hints(hints());
    let paid = pays(paying(), &[offer("mainnet", SOL, 9, &Value::Null)]).await.unwrap();
    assert_eq!(paid.message.blockhash(), &[9; 32]);
    let received = server.received();
    assert_eq!((received.len(), received[0].line.as_str()), (1, "POST /key HTTP/1.1"));
    let asked: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(asked, json!({"jsonrpc": "2.0", "id": 0, "method": "getLatestBlockhash", "params": [{"commitment": "confirmed"}]}));
    // With one, nobody is asked.
    let paid = pays(paying(), &[offer("mainnet", SOL, 9, &unsponsored())]).await.unwrap();
    assert_eq!(paid.message.blockhash(), &[7; 32]);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn bad_answers_are_no_blockhash() {
    let with = |blockhash: Value| Behaviour::json(200, &json!({"id": 0, "result": {"value": {"blockhash": blockhash}}}).to_string());
    let cases = [
        ("short", with("3".into())),
        ("a number", with(7.into())),
        ("null", with(Value::Null)),
        ("an error", Behaviour::json(200, r#"{"id":0,"error":{"code":-32005,"message":"behind"}}"#)),
        ("HTML", Behaviour::json(200, "<html>")),
        ("500", Behaviour::json(500, "{}")),
        ("closes", Behaviour::Close),
    ];
    for (case, behaviour) in cases {
        let server = Server::start(vec![behaviour]).await;
        let hints = HttpHints::new(Client::builder(TokioExecutor::new()).build_http()).with_rpc(MAIN, server.url("/").parse().unwrap());
        assert_eq!(hints.blockhash(MAIN).await, Err(Undecided::Chain), "{case}");
        assert_eq!(hints.blockhash(PLAY).await, Err(Undecided::Chain), "no endpoint");
        assert_eq!(hints.blockhash(Network::Evm(1)).await, Err(Undecided::WrongChain));
    }
}

/// A server that was not asked for a while names no blockhash at first; it is asked once more, not for ever.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_finding_out_is_asked_once_more() {
    let (bare, told) = (offer("mainnet", USDC_MAIN, 6, &Value::Null), offer("mainnet", USDC_MAIN, 6, &sponsored()));
    let pay = || Pay::new(wallet(), solana_cap());
    let shop = Shop::new([asking(slice::from_ref(&bare)), asking(&[told]), answer(200, "ok")]);
    assert_eq!(call(&pay(), &shop, get()).await.unwrap().status(), 200);
    assert_eq!(shop.payments().iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
    let shop = Shop::new([asking(slice::from_ref(&bare))]);
    assert!(matches!(call(&pay(), &shop, get()).await, Err(PayError::NothingAffordable(why)) if why == [Unusable::NoHints]));
    assert_eq!(shop.payments(), [None, None]);
    // It may have changed its mind.
    let shop = Shop::new([asking(&[bare]), answer(200, "free now")]);
    assert_eq!(call(&pay(), &shop, get()).await.unwrap().status(), 200);
    // Who has no Solana key has nothing to ask for.
    let shop = Shop::new([asking(&[offer("mainnet", USDC_MAIN, 6, &Value::Null)])]);
    let outcome = call(&Pay::new(spy(), solana_cap()), &shop, get()).await;
    assert!(matches!(outcome, Err(PayError::NothingAffordable(why)) if why == [Unusable::Wallet]));
    assert_eq!(shop.payments().len(), 1);
}

/// Payments of one wallet differ, even of one amount to one payee with one blockhash: else two would be one.
#[tokio::test]
async fn every_payment_is_another_transaction() {
    let wallet = wallet().with_max_cost(5_001);
    for extra in [sponsored(), unsponsored()] {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            let paid = pays(wallet.clone(), &[offer("mainnet", SOL, 9, &extra)]).await.unwrap();
            assert!(seen.insert(paid.message.hash()), "payment {}", seen.len());
        }
    }
}

/// A wallet of two keys pays by authorization before it pays on Solana, and there before it signs an EVM transaction.
#[tokio::test]
async fn two_wallets_pay_by_the_better_means() {
    let hints = FixedHints(TransactionHints { nonce: 3, gas_price: 7, gas: 60_000 });
    let evm: Value = serde_json::from_str(&challenge()).unwrap();
    let usdc = evm["accepts"][0].clone();
    let mut usdt = usdc.clone();
    usdt["tokenAddress"] = "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2".into();
    let solana = offer("mainnet", SOL, 9, &sponsored());
    let all = Assets::known().iter().fold(Cap::new(), |cap, asset| cap.allow(asset.clone(), Amount::from_atomic(u128::MAX)));
    let means = async |offers: &[&Value]| {
        let both = (EvmWallet::from_key(key()).with_transactions(hints, Amount::from_atomic(u128::MAX)), wallet());
        let offers: Vec<Value> = offers.iter().map(|offer| (*offer).clone()).collect();
        let shop = Shop::new([asking(&offers), answer(200, "ok")]);
        call(&Pay::new(both, all.clone()).with_any_offer(), &shop, get()).await.unwrap();
        match h402::decode_payment(shop.payment().as_bytes()).unwrap().payload {
            Payload::Authorization(_) => Means::Authorization,
            Payload::SolanaTransaction(_) => Means::SolanaTransaction,
            Payload::EvmTransaction(_) => Means::EvmTransaction,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(means(&[&usdt, &solana, &usdc]).await, Means::Authorization);
    assert_eq!(means(&[&usdt, &solana]).await, Means::SolanaTransaction);
    assert_eq!(means(&[&usdt]).await, Means::EvmTransaction);
    assert!(Means::Authorization < Means::SolanaTransaction && Means::SolanaTransaction < Means::EvmTransaction);
    // In either order of the pair.
    let swapped = (wallet(), EvmWallet::from_key(key()));
    let shop = Shop::new([asking(&[solana.clone(), usdc]), answer(200, "ok")]);
    call(&Pay::new(swapped, all), &shop, get()).await.unwrap();
    assert_eq!(authorization(&shop.payment()).authorization.from, key().address());
}

/// T123: an unknown outcome is asked after with the same bytes. What is on record is presented again even when its
/// blockhash must have expired: whether it has landed is not for the payer's clock to say, and nothing is signed anew.
#[tokio::test(start_paused = true)]
async fn t123_an_expired_payment_is_not_replaced() {
    let scratch = Scratch::new("solana");
    let wallet = Spy::new(wallet());
    let pay = Pay::new(wallet.clone(), solana_cap()).with_journal(scratch.open_for(&solana_cap()));
    let keyed = || Request::get(URL).extension(crate::pay::CallKey::new("order-1")).body(Full::default()).unwrap();
    let shop = Shop::new([asking(&[offer("mainnet", SOL, 9, &sponsored())]), Act::Lose]);
    let outcome = call(&pay, &shop, keyed()).await;
    let Err(PayError::OutcomeUnknown { sends, payment, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(sends > 5);
    let first = shop.payment();
    // Hours later, whatever the server says to it.
    tokio::time::advance(core::time::Duration::from_secs(7200)).await;
    let fresh = offer("mainnet", SOL, 9, &json!({"feePayer": NINES, "recentBlockhash": NINES}));
    for status in [402, 409, 200] {
        let shop = Shop::new([if status == 402 { asking(slice::from_ref(&fresh)) } else { answer(status, "x") }]);
        let answer = call(&pay, &shop, keyed()).await.unwrap();
        assert_eq!((answer.status().as_u16(), shop.payment()), (status, first.clone()));
        let resumed = Request::get(URL).extension((*payment).clone()).body(Full::default()).unwrap();
        let shop = Shop::new([super::answer(status, "x")]);
        call(&pay, &shop, resumed).await.unwrap();
        assert_eq!(shop.payment(), first);
    }
    assert_eq!(wallet.signatures(), 1);
}

/// T115: cap and budget hold for payments on Solana, and count what is paid, not what it costs.
#[tokio::test]
async fn t115_cap_and_budget_hold_on_solana() {
    let usdc = Assets::known().by_symbol(MAIN, "USDC").unwrap().clone();
    let of = |units| Cap::new().allow(usdc.clone(), Amount::from_atomic(units));
    let shop = || Shop::new([asking(&[offer("mainnet", USDC_MAIN, 6, &sponsored())]), answer(200, "ok")]);
    assert!(matches!(call(&Pay::new(wallet(), of(257)), &shop(), get()).await, Err(PayError::OverCap { .. })));
    let budget = crate::pay::Budget::per(core::time::Duration::from_secs(60)).allow(usdc.id, Amount::from_atomic(258));
    let pay = Pay::new(wallet(), of(258)).with_budget(budget);
    assert!(call(&pay, &shop(), get()).await.is_ok());
    assert!(matches!(call(&pay, &shop(), get()).await, Err(PayError::OverBudget { .. })));
}

#[test]
fn the_key_is_not_shown() {
    let shown = format!("{:?}", wallet().with_max_cost(5));
    assert_eq!(shown, "SolanaWallet { address: GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB, max_lamports: 5, only: None, .. }");
}
