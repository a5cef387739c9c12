//! What a verify costs the chain: HTTP requests, counted at the chain.

use crate::measure::{line, percentile};
use futures_util::future::join_all;
use h402_core::Payload;
use h402_tests::rig::Rig;
use std::time::Instant;

const PRICE: u128 = 10_000;

pub(crate) async fn run() {
    let mut rig = Rig::start().await;
    // Nothing is open, so the watcher asks nothing and every request counted belongs to a verify.
    let requests = || rig.chain.faults().requests();

    let mut times = Vec::new();
    let before = requests();
    for _ in 0..100 {
        let payment = rig.payment(2, PRICE);
        let start = Instant::now();
        let (_, body) = rig.post("/verify", &payment, 1, Some("shop")).await;
        times.push(start.elapsed());
        assert!(body.contains("\"isValid\":true") || body.contains("too_many_open"), "{body}");
    }
    let one_by_one = requests() - before;
    line("100 verifies one by one: HTTP requests to the chain (goal 100)", one_by_one);
    line("verify p50 / p99, ms", format!("{:.2} / {:.2}", percentile(&mut times, 50), percentile(&mut times, 99)));

    let payments: Vec<_> = (0..64).map(|index| rig.payment(2 + index % 7, PRICE)).collect();
    let before = requests();
    join_all(payments.iter().map(|payment| rig.post("/verify", payment, 1, Some("shop")))).await;
    line("64 verifies at once: HTTP requests to the chain (goal: far below 64)", requests() - before);

    let before = requests();
    for _ in 0..100 {
        let mut junk = rig.payment(2, PRICE);
        if let Payload::Authorization(signed) = &mut junk.payload {
            signed.authorization.nonce[0] ^= 1;
        }
        let (_, body) = rig.post("/verify", &junk, 1, None).await;
        assert!(body.contains("\"isValid\":false"), "{body}");
    }
    line("100 payments with a bent field: HTTP requests to the chain (goal 0)", requests() - before);
    rig.stop().await;
}
