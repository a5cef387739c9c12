//! The gate and the pay layer on Solana: real shops, real sockets, a real facilitator on a local cluster.

use super::{
    race::{Volley, one_answer, rounds_asked_for},
    sells_all,
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE},
};
use bytes::Bytes;
use futures_util::future::join_all;
use h402_core::{Amount, Asset, Offer, Payload, PaymentPayload, TransactionId};
use h402_devnet::solana::{SolanaChain, SolanaConfig};
use h402_tests::{
    cluster::{Cluster, ClusterRig, PAYEE, PAYER, SPONSOR, address, key, network, pubkey, solana},
    raw::{Ask, Reply},
    shop::{PRICE, Runs, Shop, header, is_wait},
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Price},
    pay::{Cap, Paid, Pay, PayError, SolanaWallet, Unusable},
    remote::RemoteFacilitator,
};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

/// A shop that is known by its address, and sells for one asset of the cluster.
struct Till {
    shop: Shop,
    url: String,
    runs: Runs,
}

impl Till {
    async fn open(rig: &ClusterRig, asset: &Arc<Asset>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let runs = Runs::default();
        let offer = Offer::new(asset.clone(), Amount::from_atomic(PRICE), address(PAYEE).into()).unwrap();
        let facilitator = RemoteFacilitator::new(&rig.url).unwrap();
        let origin = Origin::parse(&url).unwrap();
        let gate = Gate::new(facilitator, MemoryGrants::new().unwrap(), origin, Price::offers([offer]).unwrap());
        let shop = Shop::at(listener, sells_all(gate.build().unwrap(), &runs));
        Self { shop, url, runs }
    }

    fn get(&self, target: &str) -> Ask {
        Ask::new("GET", target, self.url.strip_prefix("http://").unwrap())
    }

    async fn pay(&self, payment: &PaymentPayload) -> Reply {
        self.shop.ask(&self.get("/a").paying(&header(payment))).await
    }

    /// What a 402 tells payers.
    async fn told(&self) -> Value {
        let asked = self.shop.ask(&self.get("/a")).await;
        assert_eq!(asked.status, 402, "{asked:?}");
        asked.json()["accepts"][0]["extra"].clone()
    }
}

/// A payment that does not say what it is for.
fn bearer(rig: &ClusterRig, asset: &Arc<Asset>, amount: u128, sponsor: Option<usize>) -> PaymentPayload {
    PaymentPayload { resource: None, ..rig.payment(PAYER, asset, amount, sponsor) }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Calls a shop as an agent does that has a key, a cap, and no node to ask.
async fn call(
    till: &Till,
    wallet: SolanaWallet,
    cluster: &Cluster,
) -> Result<(u16, String, Paid), PayError<hyper_util::client::legacy::Error>> {
    let most = Amount::from_atomic(PRICE);
    let cap = Cap::new().allow(cluster.sol.clone(), most).allow(cluster.usdc.clone(), most);
    let agent = ServiceBuilder::new().layer(Pay::new(wallet, cap)).service(client());
    let answer = agent.oneshot(Request::get(format!("{}/a", till.url)).body(Full::<Bytes>::default()).unwrap()).await?;
    let paid = answer.extensions().get::<Paid>().expect("it was paid for").clone();
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8(text.to_vec()).unwrap(), paid))
}

fn wallet(cluster: &Cluster) -> SolanaWallet {
    SolanaWallet::from_key(key(PAYER)).with_key_of_cluster_only(network(&cluster.chain))
}

/// From 402 to goods with nothing but the 402 to go by: SOL and tokens, the fee paid by the facilitator or by the payer.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_key_pays_on_solana_without_asking_a_node() {
    for sponsored in [true, false] {
        let rig = ClusterRig::with(move |config| {
            if !sponsored {
                solana(config).sponsor = None;
            }
        })
        .await;
        for asset in [&rig.sol, &rig.usdc] {
            let till = Till::open(&rig, asset).await;
            let holds = |who: usize| match asset.token_program {
                Some(_) => rig.chain.token_balance(pubkey(address(who)), pubkey(asset.id.address.solana().unwrap())),
                None => rig.chain.lamports(pubkey(address(who))),
            };
            let (payer, received, fees) = (holds(PAYER), rig.received(asset), rig.chain.lamports(pubkey(address(SPONSOR))));
            let payers_lamports = rig.chain.lamports(pubkey(address(PAYER)));
            let max_cost = if sponsored { 0 } else { 5_001 };
            let (status, text, paid) = call(&till, wallet(&rig).with_max_cost(max_cost), &rig).await.unwrap();
            assert_eq!((status, text), (200, format!("goods 1 for {}", address(PAYER))));
            let receipt = paid.receipt.expect("a receipt");
            assert!(receipt.success && matches!(receipt.transaction, Some(TransactionId::Solana(_))), "{receipt:?}");
            let price = u64::try_from(PRICE).unwrap();
            assert_eq!(rig.received(asset) - received, price);
            let fee = if sponsored { 0 } else { 5_001 };
            let native = asset.token_program.is_none();
            assert_eq!(payer - holds(PAYER), price + if native { fee } else { 0 });
            assert_eq!(payers_lamports - rig.chain.lamports(pubkey(address(PAYER))), fee + if native { price } else { 0 });
            let signatures = if sponsored { 10_001 } else { 0 };
            assert_eq!(fees - rig.chain.lamports(pubkey(address(SPONSOR))), signatures, "the facilitator pays for two signatures");
            assert_eq!(till.told().await.get("feePayer").is_some(), sponsored);
        }
        // A wallet that may spend nothing beside the price pays nowhere but where somebody else pays the fee.
        let till = Till::open(&rig, &rig.usdc).await;
        let outcome = call(&till, wallet(&rig), &rig).await;
        match outcome {
            Ok((status, ..)) => assert!(sponsored && status == 200),
            Err(PayError::NothingAffordable(why)) => {
                assert_eq!((sponsored, why), (false, vec![Unusable::Fee { lamports: 5_001, limit: 0 }]))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// T002, T084: too little, somewhere else, too late, nobody to ask; and each time the honest twin.
#[tokio::test(flavor = "multi_thread")]
async fn t002_t084_a_payment_on_solana_buys_one_thing_in_time() {
    let mut rig = ClusterRig::start().await;
    for sponsor in [Some(SPONSOR), None] {
        let till = Till::open(&rig, &rig.usdc).await;
        let received = rig.received(&rig.usdc);
        let short = till.pay(&bearer(&rig, &rig.usdc, PRICE - 1, sponsor)).await;
        assert_eq!(short.status, 402, "{short:?}");
        assert!(short.word().starts_with("invalid_exact_solana_payload_authorization_value"), "{short:?}");
        let coin = till.pay(&bearer(&rig, &rig.sol, PRICE, sponsor)).await;
        assert_eq!(coin.status, 402, "another asset: {coin:?}");

        let late = bearer(&rig, &rig.usdc, PRICE, sponsor);
        rig.chain.expire_blockhashes();
        let expired = till.pay(&late).await;
        assert_eq!(expired.status, 402, "{expired:?}");
        assert!(expired.word().starts_with("invalid_exact_solana_payload_authorization_valid_before"), "{expired:?}");
        assert_eq!((till.runs.count(), rig.received(&rig.usdc) - received), (0, 0));

        let good = bearer(&rig, &rig.usdc, PRICE, sponsor);
        let first = till.pay(&good).await;
        assert_eq!(first.status, 200, "{first:?}");
        for _ in 0..10 {
            assert_eq!(till.pay(&good).await.content(), first.content(), "the same request gets the same answer");
            let elsewhere = till.shop.ask(&till.get("/b").paying(&header(&good))).await;
            assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
        }
        // Long after its blockhash has gone, too.
        rig.chain.expire_blockhashes();
        rig.clock.advance(Duration::from_secs(300));
        assert_eq!(till.shop.ask(&till.get("/b").paying(&header(&good))).await.status, 409);
        let price = u64::try_from(PRICE).unwrap();
        assert_eq!((till.runs.count(), rig.received(&rig.usdc) - received), (1, price));
    }
    let till = Till::open(&rig, &rig.usdc).await;
    till.told().await;
    let payment = bearer(&rig, &rig.usdc, PRICE, None);
    rig.stop().await;
    let away = till.pay(&payment).await;
    assert_eq!(away.status, 503, "{away:?}");
    assert!(is_wait(&away), "{away:?}");
    assert_eq!(till.shop.ask(&till.get("/a")).await.status, 402, "a 402 needs nobody");
    assert_eq!(till.runs.count(), 0);
}

/// How many copies of a payment arrive at once.
const COPIES: usize = 32;
/// Without a number from outside, rounds go on for as long as this and no longer than [`ROUNDS`].
const BUDGET: Duration = Duration::from_secs(45);
const ROUNDS: usize = 1000;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// The payment in other bytes: the fee payer's slot and the named signature are anybody's to fill, JSON and base64 have
/// many spellings.
fn respelled(payment: &PaymentPayload) -> String {
    let Payload::SolanaTransaction(signed) = &payment.payload else { panic!("{payment:?}") };
    let mut transaction = signed.transaction.to_vec();
    let [layout, slot, spaces] = random::<3>();
    // Of a payer that pays the fee itself, the one signature is the payer's.
    let sponsored = transaction[0] == 2;
    if sponsored && slot % 4 == 0 {
        transaction[1..65].fill(0);
    } else if sponsored {
        transaction[1..65].copy_from_slice(&random::<64>());
    }
    let inner = [BASE64_STANDARD.encode(&transaction), BASE64_STANDARD_NO_PAD.encode(&transaction), BASE64_URL_SAFE.encode(&transaction)];
    let (inner, signature) = (&inner[usize::from(layout % 3)], TransactionId::Solana(random::<64>()));
    let plain: Value = serde_json::from_slice(&BASE64_STANDARD.decode(header(payment)).unwrap()).unwrap();
    let cluster = plain["networkId"].as_str().unwrap();
    let space = " ".repeat(usize::from(spaces % 7));
    let json = match layout % 2 {
        0 => format!(
            r#"{{"h402Version":1,"scheme":"exact","namespace":"solana","networkId":"{cluster}",{space}"payload":{{"type":"signTransaction","signature":"{signature}","transaction":"{inner}"}}}}"#
        ),
        _ => format!(
            r#"{space}{{"payload":{{"transaction":"{inner}",{space}"type":"signTransaction"}},"networkId":"{cluster}","namespace":"solana","scheme":"exact","h402Version":1}}"#
        ),
    };
    match slot % 2 {
        0 => BASE64_STANDARD.encode(json),
        _ => BASE64_URL_SAFE.encode(json),
    }
}

/// T072, T073: 1 000 rounds of 32 copies of one payment, each in other bytes and with another fee payer's slot, or
/// as many as fit into the time. `H402_ROUNDS=1000` runs them all, however long it takes.
#[tokio::test(flavor = "multi_thread")]
async fn t072_t073_of_32_copies_in_other_bytes_one_opens_the_door() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let rig = Arc::new(ClusterRig::on(&chain, Vec::new(), Box::new(|_| ())).await);
    let till = Till::open(&rig, &rig.usdc).await;
    let (began, asked_for, received) = (Instant::now(), rounds_asked_for(), rig.received(&rig.usdc));
    let landed = rig.chain.landed().len();
    let begun = Runs::default();
    // Several payers at once: most of a round is waiting.
    let payers = (PAYER..PAYER + 4).map(|payer| {
        let (rig, begun, shop, ask) = (rig.clone(), begun.clone(), till.shop.address, till.get("/a"));
        tokio::spawn(async move {
            let mut volley = Volley::of(COPIES, &[shop]).await;
            let mut rounds = 0;
            while (asked_for.is_some() || began.elapsed() < BUDGET) && begun.add() <= asked_for.unwrap_or(ROUNDS) as u64 {
                let sponsor = (rounds % 2 == 0).then_some(SPONSOR);
                let payment = rig.payment(payer, &rig.usdc, PRICE, sponsor);
                let copies = (0..COPIES).map(|_| ask.clone().paying(&respelled(&payment))).collect();
                one_answer(&volley.fire_each(copies).await);
                rounds += 1;
            }
            rounds
        })
    });
    let rounds: u64 = join_all(payers).await.into_iter().map(|payer| payer.unwrap()).sum();
    eprintln!("{rounds} rounds of {COPIES} copies in {:?}: {} doors", began.elapsed(), till.runs.count());
    assert!(rounds >= 20, "only {rounds} rounds");
    assert_eq!(asked_for.map_or(rounds, |asked_for| asked_for as u64), rounds);
    // Every round had one answer. Were there a round with two doors or two transfers, one of these would be larger.
    let transfers = (rig.received(&rig.usdc) - received) / u64::try_from(PRICE).unwrap();
    let transactions = u64::try_from(rig.chain.landed().len() - landed).unwrap();
    assert_eq!((till.runs.count(), transfers, transactions), (rounds, rounds, rounds));
}
