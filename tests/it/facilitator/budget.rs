//! What an attack can cost the operator at most: gas within a day, gas that payers waste, payments that are not worth it.

use super::{PRICE, Reply, authorization::cancelling, broadcasts, sends, settle, until, until_pending, verify};
use alloy_primitives::{Address, U256, address};
use alloy_sol_types::{SolCall, sol};
use futures_util::future::join_all;
use h402_core::{Amount, Authorization, EvmKey, Payload, PaymentPayload, wire::h402};
use h402_devnet::evm::{BlockTime, Contract, account};
use h402_facilitator::{CostLimit, EngineConfig};
use h402_tests::rig::{self, GAS, PAYER, Rig, RigOptions, nonce, now};
use std::time::Duration;

sol! {
    function set(uint256 perByte) external;
}

/// 0.0005 coins: of the devnet's gas that is some settlements, each of which could cost 0.0003.
const BUDGET: u128 = 500_000_000_000_000;

fn ether(text: &str) -> Amount {
    Amount::from_units(text, 18).unwrap()
}

async fn with(engine: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Rig {
    Rig::with(RigOptions { engine: Box::new(engine), ..RigOptions::default() }).await
}

/// T145: a key that cannot pay for twenty settlements is told of at `/ready`; one that cannot pay for two takes nothing on, and
/// says so when it is asked to verify, before any handler runs.
#[tokio::test(flavor = "multi_thread")]
async fn t145_a_key_without_gas_takes_nothing_on() {
    let rig = Rig::start().await;
    // The most that one settlement can cost here: 150 000 gas at twice the base fee and the tip.
    let one = U256::from(150_000) * U256::from(2_100_000_000_u64);
    let fill = |settlements: u64| rig.chain.set_balance(account(GAS).address, one * U256::from(settlements)).unwrap();
    fill(10);
    let ready = Reply::from(rig.get("/ready").await);
    assert_eq!((ready.status, ready.text.contains("cannot pay for gas")), (503, true), "{ready:?}");
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.is_settled(), "it can still pay for some");
    fill(0);
    rig.get("/ready").await;
    let payment = rig.payment(PAYER, PRICE);
    for reply in [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await] {
        assert_eq!((reply.status, reply.word().as_str()), (503, "dependency_unavailable"), "{reply:?}");
    }
    assert_eq!(broadcasts(&rig), 1);
    fill(100);
    rig.until_ready().await;
    assert!(verify(&rig, &payment, None).await.is_valid());
    assert!(settle(&rig, &payment, None).await.is_settled());
}

/// T172: once the daily budget is spent nothing is taken on or signed, a restart changes nothing about that, and a day later it
/// goes on. What the account has lost is never more than the budget.
#[tokio::test(flavor = "multi_thread")]
async fn t172_a_day_costs_no_more_than_its_budget() {
    let mut rig = with(|config| rig::evm(config).daily_budget = Some(U256::from(BUDGET))).await;
    let funds = rig.chain.native_balance(account(GAS).address);
    let mut settled = 0;
    let spent = loop {
        let reply = settle(&rig, &rig.payment(PAYER, PRICE), None).await;
        if reply.status == 503 {
            assert!(reply.text.contains("daily budget"), "{reply:?}");
            break funds - rig.chain.native_balance(account(GAS).address);
        }
        assert!(reply.is_settled(), "{reply:?}");
        settled += 1;
        assert!(settled < 50, "the budget has no end");
    };
    assert!(settled >= 2 && spent <= U256::from(BUDGET), "{settled} for {spent}");
    assert_eq!(verify(&rig, &rig.payment(PAYER, PRICE), None).await.status, 503, "before any handler");
    rig.restart().await;
    assert_eq!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.status, 503, "the ledger knows");
    assert_eq!(broadcasts(&rig), settled);

    let day = 25 * 3600;
    rig.clock.advance(Duration::from_secs(day));
    rig.chain.advance_time(day);
    let terms = Authorization { valid_before: U256::from(now() + day + 120), ..rig.authorization(PAYER, PRICE) };
    assert!(settle(&rig, &rig.signed(PAYER, terms), None).await.is_settled());
}

/// T172: a payment that settling would eat up is refused, by the price of gas and of the coin, and with the fee of the chain
/// below where there is one. The same payment is taken when any of them falls.
#[tokio::test(flavor = "multi_thread")]
async fn t172_payments_that_are_not_worth_their_gas_are_refused() {
    // Some 80 000 gas at about 1 gwei are 0.00008 coins.
    let dear = CostLimit { coin_usd: ether("2000"), percent: 50 };
    let cheap = CostLimit { coin_usd: ether("50"), percent: 50 };
    let rig = with(move |config| rig::evm(config).cost_limit = Some(dear)).await;
    let payment = rig.payment(PAYER, PRICE);
    for reply in [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await] {
        assert_eq!((reply.word().as_str(), sends(&rig)), ("settlement_cost_exceeds_limit", 0), "{reply:?}");
        assert!(reply.text.contains("invalid_payment_requirements"), "{reply:?}");
    }
    let one_dollar = rig.payment(PAYER, 1_000_000);
    assert!(Reply::from(rig.post("/settle", &one_dollar, 1_000_000, None).await).is_settled());
    let one_unit = rig.payment(PAYER, 1);
    assert_eq!(Reply::from(rig.post("/settle", &one_unit, 1, None).await).word(), "settlement_cost_exceeds_limit");

    let mut rig = with(move |config| {
        rig::evm(config).cost_limit = Some(cheap);
        rig::evm(config).l1_fee = true;
    })
    .await;
    let payment = rig.payment(PAYER, PRICE);
    assert_eq!(verify(&rig, &payment, None).await.status, 503, "without its oracle nothing is known");
    let oracle: Address = address!("420000000000000000000000000000000000000F");
    rig.chain.set_code(oracle, Contract::GasPriceOracle.code().unwrap()).unwrap();
    let below = |wei: u128| rig.chain.execute(oracle, setCall { perByte: U256::from(wei) }.abi_encode().into()).unwrap();
    // 512 bytes at this price are 0.0005 coins, more than all the gas.
    below(1_000_000_000_000);
    assert_eq!(verify(&rig, &payment, None).await.word(), "settlement_cost_exceeds_limit");
    below(0);
    // What was read is believed for some seconds.
    rig.restart().await;
    assert!(verify(&rig, &payment, None).await.is_valid());
    assert!(settle(&rig, &payment, None).await.is_settled());
}

/// T169: a payer that cancels what it has signed while it is under way burns gas twice, and then no more for an hour, also not
/// after a restart; others are settled all the time. What was burnt is counted.
#[tokio::test(flavor = "multi_thread")]
async fn t169_two_strikes_and_a_payer_burns_no_more_gas() {
    let mut rig = Rig::with(RigOptions { block_time: BlockTime::Manual, ..RigOptions::default() }).await;
    let funds = rig.chain.native_balance(account(GAS).address);
    for _ in 0..2 {
        let payment = rig.payment(PAYER, PRICE);
        let cancel = async {
            until_pending(&rig, 1).await;
            rig.send(PAYER, cancelling(&rig, &payment)).await;
            for _ in 0..7 {
                rig.chain.mine().await;
            }
        };
        let (failed, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), cancel);
        assert_eq!(failed.word(), "transfer_reverts", "{failed:?}");
    }
    let burnt = funds - rig.chain.native_balance(account(GAS).address);
    assert_eq!((rig.engine.ready().await.networks[0].burnt, broadcasts(&rig)), (burnt, 2));
    rig.chain.set_block_time(BlockTime::Auto);
    let third = rig.payment(PAYER, PRICE);
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        for reply in [verify(&rig, &third, None).await, settle(&rig, &third, None).await] {
            assert_eq!((reply.word().as_str(), broadcasts(&rig)), ("gas_wasted", 2 + u64::from(restarted)), "{reply:?}");
        }
        assert!(settle(&rig, &rig.payment(PAYER + 1, PRICE), None).await.is_settled(), "others have nothing to do with it");
    }
    rig.clock.advance(Duration::from_secs(3_601));
    rig.chain.advance_time(3_601);
    let terms = Authorization { valid_before: U256::from(now() + 3_720), ..rig.authorization(PAYER, PRICE) };
    assert!(settle(&rig, &rig.signed(PAYER, terms), None).await.is_settled(), "an hour later it may try again");
}

/// A payment of somebody who has nothing.
fn of_a_stranger(rig: &Rig) -> PaymentPayload {
    let key = EvmKey::from_bytes(&nonce()).unwrap();
    let terms = Authorization { from: key.address(), ..rig.authorization(PAYER, PRICE) };
    rig.payload(Payload::Authorization(key.sign_authorization(terms, &rig.asset.eip712_domain().unwrap()).unwrap()))
}

/// T161: a thousand fresh keys with nothing behind them cost two HTTP requests each at most, the same one asked again none for a
/// moment, and all together no more than the operator allows.
#[tokio::test(flavor = "multi_thread")]
async fn t161_empty_wallets_cost_little_and_are_bounded() {
    let rig = Rig::start().await;
    let strangers: Vec<_> = (0..1_000).map(|_| of_a_stranger(&rig)).collect();
    let before = rig.chain.faults().requests();
    for crowd in strangers.chunks(50) {
        for reply in join_all(crowd.iter().map(|payment| verify(&rig, payment, None))).await {
            assert_eq!(reply.word(), "insufficient_funds", "{reply:?}");
        }
    }
    let asked = rig.chain.faults().requests() - before;
    assert!(asked <= 2_000, "{asked} requests for a thousand payments");
    let one = of_a_stranger(&rig);
    assert_eq!(verify(&rig, &one, None).await.word(), "insufficient_funds");
    let before = rig.chain.faults().requests();
    for reply in [verify(&rig, &one, None).await, settle(&rig, &one, None).await] {
        assert_eq!(reply.word(), "insufficient_funds", "{reply:?}");
    }
    assert_eq!(rig.chain.faults().requests(), before, "it was just asked for");
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.is_settled());

    let rig = with(|config| (config.reads_overall, config.reads_per_payer) = (10, 2)).await;
    let bodies: Vec<_> = (0..200).map(|_| h402::encode_request(&of_a_stranger(&rig), &rig.requirements(PRICE)).unwrap()).collect();
    let before = (rig.chain.faults().requests(), std::time::Instant::now());
    let replies: Vec<Reply> =
        join_all(bodies.into_iter().map(|body| rig.post_body("/verify", body, None))).await.into_iter().map(Reply::from).collect();
    let seconds = before.1.elapsed().as_secs() + 1;
    let busy = replies.iter().filter(|reply| reply.status == 503 && reply.word() == "busy").count();
    // Two seconds' worth at first, and ten in each second that it took.
    let most = usize::try_from(20 + 10 * seconds).unwrap();
    assert!(busy >= 200_usize.saturating_sub(most), "{busy} of 200 were told to come again");
    assert!(rig.chain.faults().requests() - before.0 <= u64::try_from(2 * most).unwrap());
    until("there is room again", async || verify(&rig, &rig.payment(PAYER, PRICE), None).await.status == 200).await;
}

/// T161: strangers who use up what the chain may be asked leave all that is needed to whoever was verified before: it is settled,
/// with a handler's work behind it. Who was not verified is told to come again.
#[tokio::test(flavor = "multi_thread")]
async fn t161_strangers_do_not_starve_what_was_promised() {
    let rig = with(|config| (config.reads_overall, config.reads_per_payer) = (1, 1)).await;
    let promised = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &promised, Some("shop-1")).await.is_valid());
    until("it is used up", async || verify(&rig, &of_a_stranger(&rig), None).await.word() == "busy").await;
    assert!(settle(&rig, &promised, Some("shop-1")).await.is_settled());
    let honest: Vec<_> = (0..50).map(|index| rig.payment(PAYER + index % 3, PRICE)).collect();
    let replies = join_all(honest.iter().map(|payment| settle(&rig, payment, Some("shop-2")))).await;
    assert!(replies.iter().any(|reply| reply.status == 503 && reply.word() == "busy"), "{replies:?}");
}
