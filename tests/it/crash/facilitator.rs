//! The facilitator's process.

use super::{SIGABRT, all};
use crate::facilitator::Reply;
use Kind::{Authorization, EvmSigned, SolanaSigned, SolanaSponsored};
use alloy_primitives::U256;
use h402_core::{PaymentPayload, wire::h402};
use h402_facilitator::chaos::POINTS;
use h402_tests::{
    market::{Kind, Market, PRICE},
    process::{Place, Process, ProcessOptions},
    rig::{Folder, PAYER, now},
};
use std::{
    collections::{HashMap, HashSet},
    os::unix::process::ExitStatusExt,
    sync::Arc,
    time::Duration,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");
const RESOURCE: &str = "http://shop.test/a";
/// What has to be sent.
const SENDING: &[Kind] = &[Authorization, EvmSigned, SolanaSigned, SolanaSponsored];

/// When a process comes to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum When {
    /// While it settles: nobody is answered.
    Settling,
    /// After it has answered, when the payment becomes final.
    Deep,
    /// After it has answered, in its own time.
    Later,
    /// When it is told to end while the payment is on its way, or if it never is, after it has answered.
    Ending,
    /// When it starts and the ledger has the payment unfinished.
    Starting,
    /// While another payment waits, for which it settles nothing until what was sent for a lapsed one is in a block.
    Filling,
}

/// Each point, which time it is reached, and the kinds of payment that come to it.
const TABLE: &[(&str, u32, When, &[Kind])] = &[
    ("claim.pre", 1, When::Settling, &Kind::ALL),
    // The first commit is the claim.
    ("intent.pre_fsync", 1, When::Settling, &Kind::ALL),
    ("intent.post_fsync", 1, When::Settling, &Kind::ALL),
    ("claim.post", 1, When::Settling, &Kind::ALL),
    ("nonce.alloc", 1, When::Settling, &[Authorization]),
    ("sign.post", 1, When::Settling, &[Authorization, SolanaSponsored]),
    // The second is what was signed, or that it was sent, or that it is in a block.
    ("intent.pre_fsync", 2, When::Settling, SENDING),
    ("intent.post_fsync", 2, When::Settling, SENDING),
    ("intent.pre_fsync", 3, When::Settling, &[Authorization]),
    ("intent.post_fsync", 3, When::Settling, &[Authorization]),
    ("send.pre", 1, When::Settling, SENDING),
    ("send.mid", 1, When::Settling, SENDING),
    ("send.post", 1, When::Settling, SENDING),
    ("receipt.pre", 1, When::Settling, SENDING),
    ("receipt.post", 1, When::Settling, SENDING),
    ("resp.head", 1, When::Settling, &Kind::ALL),
    ("final.pre", 1, When::Deep, &Kind::ALL),
    ("final.post", 1, When::Deep, &Kind::ALL),
    ("lease.renew", 1, When::Later, &Kind::ALL),
    ("shutdown.drain", 1, When::Ending, &Kind::ALL),
    ("recover.mid", 1, When::Starting, &Kind::ALL),
    ("nonce.fill", 1, When::Filling, &[Authorization]),
];

/// Points that kinds of payment never come to, and why.
const UNREACHED: &[(&str, &[Kind], &str)] = &[
    ("nonce.alloc", &[EvmSigned, Kind::EvmSent, SolanaSigned, SolanaSponsored, Kind::SolanaSent], "no nonce of ours is used"),
    ("sign.post", &[EvmSigned, Kind::EvmSent, SolanaSigned, Kind::SolanaSent], "the payer has signed all there is"),
    ("send.pre", &[Kind::EvmSent, Kind::SolanaSent], "nothing is sent"),
    ("send.mid", &[Kind::EvmSent, Kind::SolanaSent], "nothing is sent"),
    ("send.post", &[Kind::EvmSent, Kind::SolanaSent], "nothing is sent"),
    ("receipt.pre", &[Kind::EvmSent, Kind::SolanaSent], "claimed as what is in a block"),
    ("receipt.post", &[Kind::EvmSent, Kind::SolanaSent], "claimed as what is in a block"),
    ("nonce.fill", &[EvmSigned, Kind::EvmSent, SolanaSigned, SolanaSponsored, Kind::SolanaSent], "no nonce of ours is used"),
];

/// Every point is tried with every kind of payment, or it is said why not.
#[test]
fn the_table_of_crashes_is_complete() {
    let mut seen = HashMap::new();
    for (point, _, _, kinds) in TABLE {
        seen.entry(*point).or_insert_with(HashSet::new).extend(kinds.iter().copied());
    }
    for (point, kinds, _) in UNREACHED {
        for kind in *kinds {
            assert!(seen.entry(point).or_default().insert(*kind), "{point} is reached by {kind:?} and is not");
        }
    }
    for point in POINTS {
        let kinds = seen.remove(point).unwrap_or_default();
        assert_eq!(kinds.len(), Kind::ALL.len(), "{point}: {kinds:?}");
    }
    assert!(seen.is_empty(), "no such points: {seen:?}");
}

/// T009, T014, T142: killed at each point of a settlement, then started again: the same request has success, it is paid once, by
/// one transaction, and the ledger says what the chain says.
#[tokio::test(flavor = "multi_thread")]
async fn t009_t014_t142_killed_at_each_point_each_kind_of_payment_is_settled_once() {
    let mut cases = Vec::new();
    for (point, time, when, kinds) in TABLE {
        for kind in *kinds {
            // Without a name the same is true, but for who hears of a success.
            let callers: &[Option<&'static str>] =
                if matches!(*point, "claim.post" | "resp.head") { &[Some("shop-1"), None] } else { &[Some("shop-1")] };
            for caller in callers {
                let case = Case { armed: format!("{point}:{time}"), when: *when, kind: *kind, caller: *caller };
                cases.push((format!("{case:?}"), case.run()));
            }
        }
    }
    all(cases).await;
}

/// Failpoints do nothing unless the environment names them.
#[tokio::test(flavor = "multi_thread")]
async fn failpoints_are_off_unless_they_are_named() {
    let mut cases = Vec::new();
    for chaos in [None, Some(""), Some("no such point"), Some("claim.pre:1000")] {
        cases.push((format!("{chaos:?}"), async move {
            let (market, folder) = (Market::of(Authorization).await, Folder::new());
            let mut process = start(&market, &folder, chaos).await;
            for payer in 0..5 {
                let payment = market.payment(Authorization, payer, RESOURCE).await;
                let request = h402::encode_request(&payment, &market.requirements(RESOURCE)).unwrap();
                assert!(settle(&process, &request, Some("shop-1")).await.is_settled());
            }
            assert!(process.terminate().await.success());
        }));
    }
    all(cases).await;
}

#[derive(Debug)]
struct Case {
    armed: String,
    when: When,
    kind: Kind,
    caller: Option<&'static str>,
}

impl Case {
    async fn run(self) {
        let Self { armed, when, kind, caller } = self;
        let (market, folder) = (Arc::new(Market::of(kind).await), Folder::new());
        // One that is sent must not be older than the ledger.
        let first = match when {
            When::Starting => start(&market, &folder, Some("claim.post")).await,
            _ => start(&market, &folder, Some(&armed)).await,
        };
        let mut dying = first;
        let lapsed = match when {
            When::Filling => Some(lapse(&market, &dying).await),
            _ => None,
        };
        let payment = market.payment(kind, 0, RESOURCE).await;
        let request = h402::encode_request(&payment, &market.requirements(RESOURCE)).unwrap();
        let verified = Reply::from(dying.post("/verify", &request, caller).await.expect("an answer"));
        assert!(verified.is_valid(), "{verified:?}");
        let answered = match when {
            When::Settling | When::Starting | When::Filling => {
                assert_eq!(dying.post("/settle", &request, caller).await, None, "it dies before it answers");
                false
            }
            When::Deep | When::Later => {
                assert!(settle(&dying, &request, caller).await.is_settled());
                if when == When::Deep {
                    market.deepen().await;
                }
                true
            }
            When::Ending if kind.is_sent() => {
                assert!(settle(&dying, &request, caller).await.is_settled());
                dying.ask_to_end();
                true
            }
            When::Ending => {
                market.hold();
                let asked = dying.post("/settle", &request, caller);
                let ended = async {
                    until_state(&dying, &verified.payment_id(), "broadcast").await;
                    dying.ask_to_end();
                };
                assert_eq!(tokio::join!(asked, ended).0, None, "it dies before it answers");
                false
            }
        };
        assert_eq!(dying.ended().await.signal(), Some(SIGABRT));
        if when == When::Starting {
            // The second death is during recovery from the first.
            let mut recovering = launch(&market, &folder, Some(&armed)).await;
            assert_eq!(recovering.ended().await.signal(), Some(SIGABRT), "it dies while it recovers");
        }
        market.let_go().await;
        let process = start(&market, &folder, None).await;
        let settled = settle(&process, &request, caller).await;
        if caller.is_none() && (answered || armed.starts_with("resp.head")) {
            // It was told, or perhaps it was, and nobody else hears it as a success; but the ledger tells everybody.
            assert_eq!(settled.word(), "duplicate_settlement", "{settled:?}");
        } else {
            assert!(settled.is_settled(), "{settled:?}");
        }
        let hash = settled.json()["transaction"].as_str().unwrap().to_owned();
        assert_eq!((market.received(), market.carriers()), (1, HashSet::from([hash.clone()])), "paid once, by one transaction");
        assert!(market.is_paid(&payment, Some(&hash)));
        let of_its_own = u64::from(!kind.is_sent());
        assert_eq!(market.broadcasts(kind), of_its_own + u64::from(lapsed.is_some()), "one transaction was ever mined for it");
        if let Some(lapsed) = lapsed {
            assert_eq!(told(&process, &lapsed).await.0, "abandoned");
        }
        let (state, transaction) = told(&process, &verified.payment_id()).await;
        assert!(matches!(&*state, "included" | "final") && transaction == hash, "{state} {transaction}");
        let stranger = settle(&process, &request, Some("shop-2")).await;
        assert_eq!(stranger.word(), "duplicate_settlement");
    }
}

/// Has a payment lapse whose transaction is lost, so that a nonce of ours is in no block; the payment in the ledger.
async fn lapse(market: &Market, process: &Process) -> String {
    let Market::Evm { wallets, .. } = market else { panic!("no nonces of ours") };
    let chain = &wallets.chain;
    market.hold();
    let short = h402_core::Authorization { valid_before: U256::from(now() + 60), ..wallets.authorization(PAYER, PRICE) };
    let payment = PaymentPayload { resource: None, ..wallets.signed(PAYER, short) };
    let request = h402::encode_request(&payment, &market.requirements(RESOURCE)).unwrap();
    let id = market.key(&payment);
    let lapsing = async {
        until_state(process, &id, "broadcast").await;
        assert!(chain.drop_pending(chain.pending()[0]));
        chain.advance_time(130);
        chain.mine().await;
    };
    let (refused, ()) = tokio::join!(settle(process, &request, Some("shop-1")), lapsing);
    assert!(!refused.is_settled(), "{refused:?}");
    id
}

/// Starts a process that may die before it is ready.
async fn launch(market: &Market, folder: &Folder, chaos: Option<&str>) -> Process {
    let options =
        ProcessOptions { chaos: chaos.map(str::to_owned), settings: "accept_sent = true".to_owned(), ..ProcessOptions::default() };
    let (network, rpc, key) = market.place();
    let place = Place { network: &network, assets: r#"["USDC"]"#, rpc: &rpc, key: &key };
    Process::start_on(PROGRAM, folder, &place, &options).await
}

async fn start(market: &Market, folder: &Folder, chaos: Option<&str>) -> Process {
    let process = launch(market, folder, chaos).await;
    process.until_ready().await;
    process
}

/// Asks until the settlement is not pending any more.
async fn settle(process: &Process, body: &[u8], caller: Option<&str>) -> Reply {
    for _ in 0..1500 {
        let reply = Reply::from(process.post("/settle", body, caller).await.expect("an answer"));
        if reply.status == 200 && reply.word() != "settlement_pending" {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("pending for ever");
}

/// State and transaction of a payment in the ledger.
async fn told(process: &Process, id: &str) -> (String, String) {
    let (_, told) = process.get(&format!("/payments/{id}")).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("transaction"))
}

async fn until_state(process: &Process, id: &str, wanted: &str) {
    for _ in 0..3000 {
        if told(process, id).await.0 == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {wanted}");
}
