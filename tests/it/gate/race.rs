//! One payment, many copies at once: one door, one broadcast.

use super::{Door, sells_all};
use futures_util::future::join_all;
use h402_core::{Facilitator, Grants};
use h402_tests::{
    raw::{Ask, Line, Reply},
    rig::{Folder, PAYER, Rig, RigClock},
    shop::{ORIGIN, PRICE, Runs, Shop, gate, get, grants, is_wait, local, price, remote},
};
use h402_tower::gate::{Gate, MemoryGrants, Origin, Price};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Barrier;

const COPIES: usize = 64;
/// Without a number from outside, rounds go on for as long as this and no longer than [`ROUNDS`].
const BUDGET: Duration = Duration::from_secs(60);
const ROUNDS: usize = 1000;

/// Connections on which copies of a request arrive at the same moment.
pub(super) struct Volley {
    lines: Vec<Line>,
}

impl Volley {
    /// Connects to each of the shops in turn.
    async fn open(addresses: &[SocketAddr]) -> Self {
        Self::of(COPIES, addresses).await
    }

    /// As many connections as are wanted.
    pub(super) async fn of(copies: usize, addresses: &[SocketAddr]) -> Self {
        Self { lines: join_all((0..copies).map(|copy| Line::open(addresses[copy % addresses.len()]))).await }
    }

    /// Sends everything but the last byte on every connection, then all last bytes, and reads the answers.
    async fn fire(&mut self, ask: &Ask) -> Vec<Reply> {
        self.fire_each(vec![ask.clone(); self.lines.len()]).await
    }

    /// As [`Volley::fire`], with a request of its own on each connection.
    pub(super) async fn fire_each(&mut self, asks: Vec<Ask>) -> Vec<Reply> {
        assert_eq!(asks.len(), self.lines.len());
        let barrier = Arc::new(Barrier::new(asks.len()));
        let copies = std::mem::take(&mut self.lines).into_iter().zip(asks).map(|(mut line, ask)| {
            let (barrier, bytes) = (barrier.clone(), ask.bytes());
            tokio::spawn(async move {
                let (last, most) = bytes.split_last().unwrap();
                line.send(most).await;
                barrier.wait().await;
                line.send(&[*last]).await;
                let reply = line.reply(false).await.expect("an answer");
                (line, reply)
            })
        });
        let (lines, replies) = join_all(copies).await.into_iter().map(Result::unwrap).unzip();
        self.lines = lines;
        replies
    }
}

/// Every copy is told the one answer, or to come back for it.
pub(super) fn one_answer(replies: &[Reply]) {
    let served: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!(!served.is_empty(), "{replies:?}");
    assert!(served.iter().all(|reply| reply.content() == served[0].content()), "{served:?}");
    for told in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!((told.status, told.word().as_str()), (409, "payment_in_progress"), "{told:?}");
        assert!(is_wait(told));
    }
}

/// How many rounds are asked for by `H402_ROUNDS`.
pub(crate) fn rounds_asked_for() -> Option<usize> {
    std::env::var("H402_ROUNDS").ok().map(|rounds| rounds.parse().expect("H402_ROUNDS is a number"))
}

/// T003: 1 000 rounds of 64 copies at one gate, or as many as fit into a minute. `H402_ROUNDS=1000` runs them all,
/// however long it takes.
#[tokio::test(flavor = "multi_thread")]
async fn t003_of_64_copies_at_a_gate_one_opens_the_door() {
    let rig = Arc::new(Rig::start().await);
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let (began, asked_for, received) = (Instant::now(), rounds_asked_for(), rig.received());
    let begun = Runs::default();
    // Several payers at once: most of a round is waiting for blocks and disks.
    let payers = (PAYER..PAYER + 4).map(|payer| {
        let (rig, begun, address) = (rig.clone(), begun.clone(), shop.address);
        tokio::spawn(async move {
            let mut volley = Volley::open(&[address]).await;
            while (asked_for.is_some() || began.elapsed() < BUDGET) && begun.add() <= asked_for.unwrap_or(ROUNDS) as u64 {
                let replies = volley.fire(&get("/a").paying(&rig.pay(payer))).await;
                one_answer(&replies);
            }
        })
    });
    join_all(payers).await.into_iter().for_each(|payer| payer.unwrap());
    let rounds = rig.transfers();
    eprintln!("{rounds} rounds of {COPIES} copies in {:?}: {} doors", began.elapsed(), runs.count());
    assert!(rounds >= 20, "only {rounds} rounds");
    assert_eq!(asked_for.unwrap_or(rounds), rounds);
    // Every round had one answer. Were there a round with two doors or two transfers, one of these would be larger; several
    // rounds may share a transaction.
    assert_eq!(runs.count(), rounds as u64);
    assert!(rig.chain.transaction_count_seen() <= rounds as u64);
    assert_eq!(rig.received() - received, alloy_primitives::U256::from(rounds as u128 * PRICE));
}

/// Gates of one origin, each with a shop of its own.
async fn shops<F: Facilitator, G: Grants>(price: &Price, runs: &Runs, parts: Vec<(F, G)>) -> Vec<Shop> {
    let origin = Origin::parse(ORIGIN).unwrap();
    let open = parts.into_iter().map(async |(facilitator, grants)| {
        let gate = Gate::new(facilitator, grants, origin.clone(), price.clone()).build().unwrap();
        Shop::open(sells_all(gate, runs)).await
    });
    join_all(open).await
}

/// T003, T011: two gates that share their grants are one gate, for payments that arrive at both and after.
#[tokio::test(flavor = "multi_thread")]
async fn t003_t011_two_gates_with_one_grant_store_open_one_door() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let folder = Folder::new();
    let file = grants(&folder.path().join("grants.sqlite"), &RigClock::default()).await;
    let memory = MemoryGrants::new().unwrap();
    for price in [price(&rig, PRICE), price(&rig, PRICE).upfront()] {
        let in_file = shops(&price, &runs, vec![(remote(&rig), file.clone()), (remote(&rig), file.clone())]).await;
        let in_memory = shops(&price, &runs, vec![(remote(&rig), memory.clone()), (remote(&rig), memory.clone())]).await;
        for shops in [in_file, in_memory] {
            let mut volley = Volley::open(&[shops[0].address, shops[1].address]).await;
            for _ in 0..10 {
                let before = Door::look(&rig, &runs);
                let ask = get("/a").paying(&rig.pay(PAYER));
                let replies = volley.fire(&ask).await;
                one_answer(&replies);
                let served = replies.into_iter().find(|reply| reply.status == 200).unwrap();
                for shop in &shops {
                    assert_eq!(shop.ask(&ask).await.content(), served.content());
                }
                assert_eq!(before.since(&rig, &runs), Door::OPENED);
            }
        }
    }
}

/// T011: two gates that know nothing of each other, with one facilitator between them: at most one of them answers
/// 200, the payment is settled once, and upfront at most one handler runs.
#[tokio::test(flavor = "multi_thread")]
async fn t011_of_two_gates_without_a_common_store_one_opens() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let memory = || MemoryGrants::new().unwrap();
    let folder = Folder::new();
    let file = async |name| grants(&folder.path().join(name), &RigClock::default()).await;
    for (upfront, price) in [(false, price(&rig, PRICE)), (true, price(&rig, PRICE).upfront())] {
        let over_http = shops(&price, &runs, vec![(remote(&rig), memory()), (remote(&rig), memory())]).await;
        let in_process = shops(&price, &runs, vec![(local(&rig), memory()), (local(&rig), memory())]).await;
        let name = |index| format!("{index}-{upfront}.sqlite");
        let in_files = shops(&price, &runs, vec![(remote(&rig), file(name(0)).await), (remote(&rig), file(name(1)).await)]).await;
        for shops in [over_http, in_process, in_files] {
            let mut volley = Volley::open(&[shops[0].address, shops[1].address]).await;
            for _ in 0..10 {
                let (before, sent) = (Door::look(&rig, &runs), rig.chain.transaction_count_seen());
                let ask = get("/a").paying(&rig.pay(PAYER));
                let replies = volley.fire(&ask).await;
                let opened = |gate: usize| replies.iter().skip(gate).step_by(2).any(|reply| reply.status == 200);
                assert!(opened(0) != opened(1), "one of them: {replies:?}");
                assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 409)), "{replies:?}");
                // Later, too, the other one has nothing to give, and says so without a second charge.
                let (winner, loser) = if opened(0) { (&shops[0], &shops[1]) } else { (&shops[1], &shops[0]) };
                assert_eq!(winner.ask(&ask).await.status, 200);
                assert_eq!(loser.ask(&ask).await.status, 409);
                let since = before.since(&rig, &runs);
                assert_eq!(since.transfers, 1);
                assert!(since.runs == 1 || (since.runs == 2 && !upfront), "{since:?}");
                assert_eq!(rig.chain.transaction_count_seen() - sent, 1);
            }
        }
    }
}
