//! Payments on Solana at a gate: many copies, each in other bytes, open one door.

use super::{race::rounds_asked_for, sells_all};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use h402_core::{Offer, Payload, PaymentPayload, SignedSolanaTransaction};
use h402_tests::{
    cluster::{ClusterRig, PAYER, SPONSOR},
    raw::{Ask, Line, Reply},
    shop::{ORIGIN, PRICE, Runs, Shop, get, header, is_wait},
};
use h402_tower::{
    gate::{Gate, MemoryGrants, Origin, Price},
    remote::RemoteFacilitator,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Barrier;

const COPIES: usize = 32;
const ROUNDS: usize = 1000;
/// Without a number from outside, rounds go on for as long as this.
const BUDGET: Duration = Duration::from_secs(60);

/// A gate that sells for the cluster's token or its coin.
async fn shop(rig: &ClusterRig, runs: &Runs) -> Shop {
    let offers = [&rig.usdc, &rig.sol].map(|asset| Offer::clone(&rig.requirements(asset, PRICE).offer));
    let facilitator = RemoteFacilitator::new(&rig.url).unwrap();
    let price = Price::offers(offers).unwrap();
    let gate = Gate::new(facilitator, MemoryGrants::new().unwrap(), Origin::parse(ORIGIN).unwrap(), price);
    Shop::open(sells_all(gate.build().unwrap(), runs)).await
}

/// The same payment in other bytes: another spelling of its JSON, and anything in the slot of the sponsor's signature.
fn copy(payment: &PaymentPayload, number: usize, sponsored: bool) -> Ask {
    let mut payment = PaymentPayload { resource: None, ..payment.clone() };
    if let (Payload::SolanaTransaction(signed), true) = (&payment.payload, sponsored) {
        let mut transaction = signed.transaction.to_vec();
        getrandom::fill(&mut transaction[1..65]).unwrap();
        payment.payload = Payload::SolanaTransaction(SignedSolanaTransaction { transaction: transaction.into(), ..signed.clone() });
    }
    let json = STANDARD.decode(header(&payment)).unwrap();
    let spaced = [" ".repeat(number).as_bytes(), &json].concat();
    get("/a").paying(&STANDARD.encode(spaced))
}

/// Sends everything but the last byte on every connection, then all last bytes, and reads the answers.
async fn fire(lines: &mut Vec<Line>, asks: Vec<Ask>) -> Vec<Reply> {
    let barrier = Arc::new(Barrier::new(asks.len()));
    let copies = std::mem::take(lines).into_iter().zip(asks).map(|(mut line, ask)| {
        let barrier = barrier.clone();
        tokio::spawn(async move {
            let bytes = ask.bytes();
            let (last, most) = bytes.split_last().unwrap();
            line.send(most).await;
            barrier.wait().await;
            line.send(&[*last]).await;
            let reply = line.reply(false).await.expect("an answer");
            (line, reply)
        })
    });
    let (back, replies) = join_all(copies).await.into_iter().map(Result::unwrap).unzip();
    *lines = back;
    replies
}

async fn connect(address: SocketAddr) -> Vec<Line> {
    join_all((0..COPIES).map(|_| Line::open(address))).await
}

/// T003, T072, T073: 1 000 rounds of 32 copies, or as many as fit into a minute. `H402_ROUNDS=1000` runs them all.
#[tokio::test(flavor = "multi_thread")]
async fn t072_t073_of_32_copies_in_other_bytes_one_opens_the_door() {
    let rig = Arc::new(ClusterRig::start().await);
    let runs = Runs::default();
    let shop = shop(&rig, &runs).await;
    let (began, asked_for, received) = (Instant::now(), rounds_asked_for(), rig.received(&rig.usdc));
    let begun = Runs::default();
    let payers = (PAYER..PAYER + 4).map(|payer| {
        let (rig, begun, address) = (rig.clone(), begun.clone(), shop.address);
        tokio::spawn(async move {
            let mut lines = connect(address).await;
            while asked_for.is_some() || began.elapsed() < BUDGET {
                let round = begun.add();
                if round > asked_for.unwrap_or(ROUNDS) as u64 {
                    return;
                }
                let sponsored = round.is_multiple_of(2);
                let payment = rig.payment(payer, &rig.usdc, PRICE, sponsored.then_some(SPONSOR));
                let replies = fire(&mut lines, (0..COPIES).map(|number| copy(&payment, number, sponsored)).collect()).await;
                let served: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
                assert!(!served.is_empty(), "{round}: {replies:?}");
                assert!(served.iter().all(|reply| reply.content() == served[0].content()), "{round}: {served:?}");
                assert!(replies.iter().all(|reply| reply.status == 200 || is_wait(reply)), "{round}: {replies:?}");
            }
        })
    });
    join_all(payers).await.into_iter().for_each(|payer| payer.unwrap());
    let rounds = rig.chain.landed().len() as u64;
    eprintln!("{rounds} rounds of {COPIES} copies in {:?}: {} doors", began.elapsed(), runs.count());
    assert!(rounds >= 20, "only {rounds} rounds");
    assert_eq!(asked_for.map_or(rounds, |rounds| rounds as u64), rounds);
    // Every round had one answer. Were there a round with two doors or two transactions, one of these would be larger.
    assert_eq!((runs.count(), u128::from(rig.received(&rig.usdc) - received)), (rounds, u128::from(rounds) * PRICE));
}

/// Either asset opens the door, paid by whomever; what pays too little does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_on_solana_opens_the_door() {
    let rig = ClusterRig::start().await;
    let runs = Runs::default();
    let shop = shop(&rig, &runs).await;
    for (asset, sponsor) in [(&rig.usdc, None), (&rig.usdc, Some(SPONSOR)), (&rig.sol, None), (&rig.sol, Some(SPONSOR))] {
        let before = rig.received(asset);
        let short = shop.ask(&copy(&rig.payment(PAYER, asset, PRICE - 1, sponsor), 0, false)).await;
        assert_eq!(short.status, 402, "{short:?}");
        let served = shop.ask(&copy(&rig.payment(PAYER, asset, PRICE, sponsor), 0, false)).await;
        assert_eq!(served.status, 200, "{served:?}");
        assert_eq!(u128::from(rig.received(asset) - before), PRICE);
    }
    assert_eq!(runs.count(), 4);
}
