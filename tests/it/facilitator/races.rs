//! One payment, many copies at once.

use super::{PRICE, Reply, broadcasts};
use crate::gate::race::rounds_asked_for;
use alloy_primitives::U256;
use futures_util::future::join_all;
use h402_core::wire::h402;
use h402_tests::{
    http::Connection,
    rig::{PAYER, Rig},
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

const COPIES: usize = 64;
const ROUNDS: usize = 1000;
/// How long they may take unless `H402_ROUNDS` asks for them.
const BUDGET: Duration = Duration::from_secs(40);

/// Who the copies of a round say they come from.
#[derive(Debug, Clone, Copy)]
enum Callers {
    /// Nobody says anything: every copy may be another server.
    Nobody,
    /// One server that repeats itself.
    One,
    /// All different.
    Each,
    /// Half of them one server, half nobody.
    Half,
}

impl Callers {
    fn key(self, copy: usize) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::One => Some("shop".into()),
            Self::Each => Some(format!("shop-{copy}")),
            Self::Half => copy.is_multiple_of(2).then(|| "shop".into()),
        }
    }
}

/// T003, T011, T072: 1 000 rounds of 64 copies, or as many as fit into 40 seconds; `H402_ROUNDS=1000` runs them all. In each one caller succeeds, however often it asks; one
/// transaction is sent, the chain is asked once, and the price is paid once.
#[tokio::test(flavor = "multi_thread")]
async fn t003_t011_of_64_copies_one_caller_succeeds_and_one_transaction_is_sent() {
    let rig = Rig::start().await;
    let (began, asked_for) = (Instant::now(), rounds_asked_for());
    let mut connections = join_all((0..COPIES).map(|_| Connection::open(&rig.url))).await;
    let rounds = [Callers::Nobody, Callers::One, Callers::Each, Callers::Half].into_iter().cycle().take(asked_for.unwrap_or(ROUNDS));
    for (round, callers) in rounds.enumerate() {
        if asked_for.is_none() && round >= 20 && began.elapsed() > BUDGET {
            break;
        }
        let (sent, received) = (broadcasts(&rig), rig.received());
        let tried = rig.chain.faults().calls("eth_estimateGas");
        let payment = rig.payment(PAYER + round % 4, PRICE);
        let body = String::from_utf8(h402::encode_request(&payment, &rig.requirements(PRICE)).unwrap()).unwrap();
        let replies = join_all(connections.iter_mut().enumerate().map(|(copy, connection)| {
            let key = callers.key(copy).map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
            let request = format!("POST /settle HTTP/1.1\r\nhost: a\r\n{key}content-length: {}\r\n\r\n{body}", body.len());
            async move {
                connection.write(request.as_bytes()).await;
                (copy, Reply::from(connection.read().await))
            }
        }))
        .await;
        let mut winners = HashSet::new();
        let mut receipts = HashSet::new();
        for (copy, reply) in replies {
            if reply.is_settled() {
                // A copy without a key is a caller of its own.
                winners.insert(callers.key(copy).unwrap_or_else(|| format!("nobody-{copy}")));
                receipts.insert(reply.text);
            } else {
                let word = reply.word();
                assert!(["settlement_pending", "duplicate_settlement"].contains(&word.as_str()), "{round} {callers:?}: {reply:?}");
                assert!(!matches!(callers, Callers::One), "{round}: who repeats itself gets its answer: {reply:?}");
            }
        }
        assert_eq!((winners.len(), receipts.len()), (1, 1), "{round} {callers:?}: {winners:?}");
        assert_eq!(broadcasts(&rig) - sent, 1, "{round} {callers:?}");
        assert_eq!(rig.chain.faults().calls("eth_estimateGas") - tried, 1, "{round}: the chain is asked for one of them");
        assert_eq!(rig.received() - received, U256::from(PRICE), "{round} {callers:?}");
    }
}
