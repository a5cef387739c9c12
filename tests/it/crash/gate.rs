//! The shop's process, with the gate in it.

use super::{SIGABRT, all};
use h402_core::PaymentPayload;
use h402_tests::{
    market::{Kind, Market},
    process::{Place, Process, ProcessOptions},
    raw::{Ask, Reply},
    rig::Folder,
    shop::{
        HOST, header, is_wait,
        process::{Counter, ShopProcess, ShopSetup},
    },
};
use h402_tower::chaos::POINTS;
use std::{collections::HashSet, os::unix::process::ExitStatusExt as _, time::Duration};

const FACILITATOR: &str = env!("CARGO_BIN_EXE_facilitator-under-test");
const SHOP: &str = env!("CARGO_BIN_EXE_shop-under-test");

/// Each point with the time it is reached, whether the payment is settled after the handler, before it, or both; and how often the
/// handler has run in the end.
const TABLE: &[(&str, u32, &[Flow], u64)] = &[
    ("claim.pre", 1, &Flow::BOTH, 1),
    ("intent.pre_fsync", 1, &Flow::BOTH, 1),
    ("intent.post_fsync", 1, &Flow::BOTH, 1),
    ("grant.reserve", 1, &Flow::BOTH, 1),
    // Here the run is not counted yet.
    ("handler.start", 1, &Flow::BOTH, 1),
    // What was made and is not stored is made again.
    ("handler.end", 1, &Flow::BOTH, 2),
    // After the handler: that it is being settled, with the answer. Before the handler: the same, without.
    ("intent.pre_fsync", 2, &[Flow::Capture], 2),
    ("intent.pre_fsync", 2, &[Flow::Upfront], 1),
    ("intent.post_fsync", 2, &Flow::BOTH, 1),
    ("send.pre", 1, &Flow::BOTH, 1),
    ("receipt.pre", 1, &Flow::BOTH, 1),
    ("receipt.post", 1, &Flow::BOTH, 1),
    // That it was settled.
    ("intent.pre_fsync", 3, &Flow::BOTH, 1),
    ("intent.post_fsync", 3, &Flow::BOTH, 1),
    // That it was served, where that is a step of its own.
    ("intent.pre_fsync", 4, &[Flow::Upfront], 2),
    ("intent.post_fsync", 4, &[Flow::Upfront], 1),
    ("resp.head", 1, &Flow::BOTH, 1),
    // The first body was that of the 402.
    ("resp.body", 2, &Flow::BOTH, 1),
    ("resp.end", 2, &Flow::BOTH, 1),
];

/// When the money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Capture,
    Upfront,
}

impl Flow {
    const BOTH: [Self; 2] = [Self::Capture, Self::Upfront];
}

/// Points that a payment comes to only after many failures, tried in [`t006_t014_killed_when_a_credit_is_stored_a_payer_has_it`].
const ELSEWHERE: [&str; 1] = ["credit.post"];

/// Every point is tried, and none that there is not.
#[test]
fn the_table_of_the_gates_crashes_is_complete() {
    let tried: HashSet<&str> =
        TABLE.iter().map(|(point, ..)| *point).filter(|point| !point.starts_with("intent.")).chain(ELSEWHERE).collect();
    assert_eq!(tried, POINTS.iter().copied().collect());
}

/// T014, T142: killed at each point, then started again: the same payment gets what it paid for, it is charged once, and it is
/// never asked for again. How often the handler ran is counted outside.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t142_killed_at_each_point_a_payer_is_served_and_charged_once() {
    let mut cases = Vec::new();
    for (point, time, flows, runs) in TABLE {
        for flow in *flows {
            for kind in Kind::ALL {
                // What is sent is always settled first.
                if kind.is_sent() && *flow == Flow::Capture {
                    continue;
                }
                let case = Case { armed: format!("{point}:{time}"), kind, flow: *flow, runs: *runs };
                cases.push((format!("{case:?}"), case.run()));
            }
        }
    }
    all(cases).await;
}

/// T006, T014: what was charged is never delivered, and the process that has stored the credit dies before it has said so. Started
/// again, it tells the payer of the credit, every time, with the receipt; nothing runs any more and nothing more is charged.
#[tokio::test(flavor = "multi_thread")]
async fn t006_t014_killed_when_a_credit_is_stored_a_payer_has_it() {
    let kinds = Kind::ALL.map(|kind| {
        (format!("{kind:?}"), async move {
            let town = Town::new(kind).await;
            town.counter.fail();
            let mut dying = town.open(Some("credit.post")).await;
            let (ask, payment) = town.buy(&dying, kind, 0, Flow::Upfront).await;
            for run in 1..=2 {
                assert_eq!(until_decided(&dying, &ask).await.status, 500, "run {run}");
            }
            assert!(dying.try_ask(&ask).await.is_none_or(|reply| !reply.whole), "it dies before it has answered");
            assert_eq!(dying.ended().await.signal(), Some(SIGABRT));
            let shop = town.open(None).await;
            for _ in 0..2 {
                let told = until_decided(&shop, &ask).await;
                assert_eq!((told.status, &*told.word()), (409, "payment_credited"), "{told:?}");
                assert!(told.has("x-payment-response"), "{told:?}");
            }
            assert_eq!((town.market.received(), town.market.carriers().len()), (1, 1));
            assert_eq!(town.counter.total(), 3, "runs of the handler for {payment:?}");
        })
    });
    all(kinds.into_iter().collect()).await;
}

/// Failpoints do nothing unless the environment names them.
#[tokio::test(flavor = "multi_thread")]
async fn failpoints_of_the_gate_are_off_unless_they_are_named() {
    let mut cases = Vec::new();
    for chaos in [None, Some(""), Some("no such point"), Some("send.pre:1000")] {
        cases.push((format!("{chaos:?}"), async move {
            let town = Town::new(Kind::Authorization).await;
            let mut shop = town.open(chaos).await;
            for payer in 0..4 {
                let ask = town.buy(&shop, Kind::Authorization, payer, if payer < 2 { Flow::Capture } else { Flow::Upfront }).await.0;
                assert_eq!(until_decided(&shop, &ask).await.status, 200);
            }
            assert!(shop.is_running());
        }));
    }
    all(cases).await;
}

#[derive(Debug)]
struct Case {
    armed: String,
    kind: Kind,
    flow: Flow,
    runs: u64,
}

impl Case {
    async fn run(self) {
        let town = Town::new(self.kind).await;
        let mut dying = town.open(Some(&self.armed)).await;
        let (ask, payment) = town.buy(&dying, self.kind, 0, self.flow).await;
        assert!(dying.try_ask(&ask).await.is_none_or(|reply| !reply.whole), "it dies before it has answered");
        assert_eq!(dying.ended().await.signal(), Some(SIGABRT));
        let shop = town.open(None).await;
        let served = until_decided(&shop, &ask).await;
        assert_eq!(served.status, 200, "{served:?}");
        assert_eq!(until_decided(&shop, &ask).await.content(), served.content());
        assert_eq!((town.market.received(), town.market.carriers().len()), (1, 1));
        assert_eq!(town.market.broadcasts(self.kind), u64::from(!self.kind.is_sent()), "one transaction");
        assert_eq!(town.counter.total(), self.runs, "runs of the handler for {payment:?}");
    }
}

/// A chain, a facilitator, and a counter, for shops that come and go.
struct Town {
    market: Market,
    facilitator: Process,
    counter: Counter,
    grants: Folder,
    _ledger: Folder,
}

impl Town {
    async fn new(kind: Kind) -> Self {
        let (market, ledger) = (Market::of(kind).await, Folder::new());
        let (network, rpc, key) = market.place();
        let place = Place { network: &network, assets: r#"["USDC"]"#, rpc: &rpc, key: &key };
        let options = ProcessOptions { settings: "accept_sent = true".to_owned(), ..ProcessOptions::default() };
        let facilitator = Process::start_on(FACILITATOR, &ledger, &place, &options).await;
        facilitator.until_ready().await;
        Self { market, facilitator, counter: Counter::open().await, grants: Folder::new(), _ledger: ledger }
    }

    async fn open(&self, chaos: Option<&str>) -> ShopProcess {
        let grants = self.grants.path().join("grants.sqlite");
        let (facilitator, asset, pay_to) = (&*self.facilitator.url, &**self.market.asset(), self.market.payee());
        ShopProcess::start(SHOP, &self.counter, &ShopSetup { facilitator, asset, pay_to, grants, chaos }).await
    }

    /// A request that is paid for; what a payment is for that names it, the shop's 402 has said.
    async fn buy(&self, shop: &ShopProcess, kind: Kind, payer: usize, flow: Flow) -> (Ask, PaymentPayload) {
        let target = if flow == Flow::Upfront { "/upfront/a" } else { "/capture/a" };
        let ask = Ask::new("GET", target, HOST);
        let unpaid = shop.try_ask(&ask).await.expect("an answer");
        assert_eq!(unpaid.status, 402, "{unpaid:?}");
        let resource = unpaid.json()["accepts"][0]["resource"].as_str().expect("a resource").to_owned();
        let payment = self.market.payment(kind, payer, &resource).await;
        (ask.paying(&header(&payment)), payment)
    }
}

/// Asks until there is an answer that does not tell to wait.
async fn until_decided(shop: &ShopProcess, ask: &Ask) -> Reply {
    for _ in 0..1500 {
        let reply = shop.try_ask(ask).await.expect("an answer");
        assert_ne!(reply.status, 402, "{reply:?}");
        if !is_wait(&reply) {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never decided");
}
