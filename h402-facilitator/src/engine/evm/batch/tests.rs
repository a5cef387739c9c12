use super::*;
use crate::engine::{lease::Term, open::OpenPayment, signal::Signal};
use alloy_primitives::B256;
use h402_core::{Address, Amount, AssetId, Fence, Network, PaymentKey, PaymentKind, PaymentRow, Settlement, UnixMillis};
use std::sync::Arc;

const NOW: UnixSeconds = UnixSeconds(1_000);

fn job(number: u16, gas: u64) -> Job {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    let payer = Address::Evm(Default::default());
    let row = PaymentRow {
        key: PaymentKey::from_bytes(key),
        asset: AssetId { network: Network::Evm(1), address: payer },
        payer,
        pay_to: payer,
        amount: Amount::from_atomic(1),
        kind: PaymentKind::Authorization,
        nonce: Some([0; 32]),
        caller: None,
        state: Settlement::Claimed,
        answer: None,
        expires: Some(UnixSeconds(NOW.0 + 100)),
        last_block_height: None,
        raw: None,
        claimed_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        version: 1,
    };
    let term = Arc::new(Term::new(Fence { network: Network::Evm(1), epoch: 1 }));
    let open = Arc::new(OpenPayment { news: Signal::new(row.clone()), row: tokio::sync::Mutex::new(row), term });
    Job { open, gas, company: true, after: None }
}

fn expiring(job: Job, left: u64) -> Job {
    let row = job.open.news.borrow().clone();
    job.open.news.set(PaymentRow { expires: Some(UnixSeconds(NOW.0 + left)), ..row });
    job
}

fn sizes(jobs: Vec<Job>, limits: Limits) -> Vec<usize> {
    portions(jobs, limits).iter().map(Vec::len).collect()
}

fn some(count: u16, gas: u64) -> Vec<Job> {
    (0..count).map(|number| job(number, gas)).collect()
}

#[test]
fn at_most_fifty_go_together_and_one_goes_alone() {
    let limits = Limits::new(MEMBERS, Some(30_000_000), NOW);
    for (count, want) in [(0, vec![]), (1, vec![1]), (2, vec![2]), (50, vec![50]), (51, vec![50, 1]), (120, vec![50, 50, 20])] {
        assert_eq!(sizes(some(count, 60_000), limits), want, "{count}");
    }
    assert_eq!(sizes(some(3, 60_000), Limits::new(1, Some(30_000_000), NOW)), [1, 1, 1], "no Multicall3");
}

/// 1.3 x 10 x 100 000 + 30 000 + 10 x 5 000 is 1 380 000.
#[test]
fn gas_is_three_tenths_more_and_at_most_half_a_block() {
    assert_eq!(gas_limit(&some(10, 100_000)), 1_380_000);
    assert_eq!(gas_limit(&some(1, 90_000)), 120_000);
    assert_eq!(sizes(some(10, 100_000), Limits::new(MEMBERS, Some(2 * 1_380_000), NOW)), [10]);
    assert_eq!(sizes(some(10, 100_000), Limits::new(MEMBERS, Some(2 * 1_379_999), NOW)), [9, 1]);
    // One that is too big for half a block goes alone.
    assert_eq!(sizes(some(2, 9_000_000), Limits::new(MEMBERS, Some(10_000_000), NOW)), [1, 1]);
    // Without a block limit that of a transaction holds: 2^24 = 16 777 216.
    assert_eq!(sizes(some(3, 6_000_000), Limits::new(MEMBERS, None, NOW)), [2, 1]);
    let (carried, rest) = split_at_gas(some(10, 100_000), 1_379_999);
    assert_eq!((carried.len(), rest.len()), (9, 1));
    assert_eq!(rest[0].key(), job(9, 1).key(), "the first stay");
    let (carried, rest) = split_at_gas(some(2, 100_000), 1);
    assert_eq!((carried.len(), rest.len()), (0, 2));
}

#[test]
fn some_always_go_alone() {
    let limits = Limits::new(MEMBERS, Some(30_000_000), NOW);
    let with_code = Job { company: false, ..job(1, 60_000) };
    let again = Job { after: Some(B256::ZERO), ..job(2, 60_000) };
    let late = expiring(job(3, 60_000), 30);
    let in_time = expiring(job(4, 60_000), 31);
    let portions = portions(vec![job(0, 60_000), with_code, again, late, in_time], limits);
    let keys: Vec<Vec<PaymentKey>> = portions.iter().map(|jobs| jobs.iter().map(Job::key).collect()).collect();
    let key = |number| job(number, 0).key();
    assert_eq!(keys, [vec![key(1)], vec![key(2)], vec![key(3)], vec![key(0), key(4)]]);
}
