use super::*;
use crate::{Network, TransactionId};
use alloy_primitives::B256;
use proptest::prelude::*;

fn grant(flow: Flow) -> Grant {
    Grant {
        key: PaymentKey::from_bytes([1; 32]),
        fingerprint: Fingerprint::from_bytes([2; 32]),
        flow,
        payer: Address::Evm(Default::default()),
        asset: AssetId { network: Network::Evm(1), address: Address::Evm(Default::default()) },
        amount: Amount::from_atomic(1),
        state: GrantState::Running,
        runs: 1,
        busy_until: UnixMillis(0),
        receipt: None,
        claimed_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        expires_at: UnixMillis(1),
        version: 1,
    }
}

fn receipt() -> Receipt {
    Receipt { network: Network::Evm(1), transaction: TransactionId::Evm(B256::ZERO), payer: Address::Evm(Default::default()), signed: None }
}

fn events() -> Vec<GrantEvent> {
    vec![
        GrantEvent::RunAgain,
        GrantEvent::Settle,
        GrantEvent::Delivered,
        GrantEvent::NotDelivered,
        GrantEvent::Settled { receipt: receipt(), answer_held: true },
        GrantEvent::Settled { receipt: receipt(), answer_held: false },
        GrantEvent::SettleRefused,
        GrantEvent::Redeliver { limit: 9 },
        GrantEvent::Refunded,
    ]
}

/// Every (state, event) pair of both flows; `.` is refused. Written by hand from ARCHITECTURE.md.
#[test]
fn every_state_and_event() {
    use GrantState as S;
    let order = [S::Running, S::Released, S::Settling, S::Served, S::Owed, S::Credited, S::Refunded, S::Refused];
    // Columns: RunAgain Settle Delivered NotDelivered Settled(held) Settled(lost) SettleRefused Redeliver Refunded
    let capture = [
        ". t . l . . . . .",
        "n . . . . . . . .",
        ". . . . v o r . .",
        ". . . . . . . v .",
        "o . v o . . . . b",
        ". . . . . . . . b",
        ". . . . . . . . .",
        ". . . . v o r . .",
    ];
    let upfront = [
        ". t . l . . . . .",
        ". . . . . . . . .",
        ". . . . o o r . .",
        ". . . . . . . v .",
        "o . v o . . . . b",
        ". . . . . . . . b",
        ". . . . . . . . .",
        ". . . . o o r . .",
    ];
    for (flow, table) in [(Flow::Capture, capture), (Flow::Upfront, upfront)] {
        for (state, row) in order.into_iter().zip(table) {
            for (event, want) in events().into_iter().zip(row.split(' ')) {
                let next = Grant { state, ..grant(flow) }.step(event.clone(), UnixMillis(5));
                let got = next.map(|grant| match grant.state {
                    S::Running => "n",
                    S::Released => "l",
                    S::Settling => "t",
                    S::Served => "v",
                    S::Owed => "o",
                    S::Credited => "c",
                    S::Refunded => "b",
                    S::Refused => "r",
                });
                assert_eq!(got.unwrap_or("."), want, "{flow:?} {state:?} {event:?}");
            }
        }
    }
}

#[test]
fn the_third_failure_after_a_charge_is_a_credit() {
    let mut row = Grant { state: GrantState::Owed, ..grant(Flow::Upfront) };
    for _ in 0..2 {
        row = row.step(GrantEvent::NotDelivered, UnixMillis(1)).unwrap();
        assert_eq!(row.state, GrantState::Owed);
        row = row.step(GrantEvent::RunAgain, UnixMillis(1)).unwrap();
    }
    row = row.step(GrantEvent::NotDelivered, UnixMillis(1)).unwrap();
    assert_eq!(row.state, GrantState::Credited);
}

/// A day after the claim nobody runs the handler any more, however few its runs; a moment before it still does.
#[test]
fn what_is_owed_is_a_credit_after_a_day() {
    const DAY: u64 = 86_400_000;
    let row = Grant { state: GrantState::Owed, claimed_at: UnixMillis(7), ..grant(Flow::Upfront) };
    assert!(row.may_deliver(UnixMillis(7 + DAY - 1)) && !row.may_deliver(UnixMillis(7 + DAY)));
    for (now, runs, failed) in [(7 + DAY - 1, true, GrantState::Owed), (7 + DAY, false, GrantState::Credited)] {
        assert_eq!(row.clone().step(GrantEvent::RunAgain, UnixMillis(now)).is_ok(), runs);
        assert_eq!(row.clone().step(GrantEvent::NotDelivered, UnixMillis(now)).unwrap().state, failed);
        assert_eq!(row.clone().step(GrantEvent::Delivered, UnixMillis(now)).unwrap().state, GrantState::Served, "better late");
    }
}

#[test]
fn a_released_payment_runs_three_times_at_most() {
    let mut row = grant(Flow::Capture);
    for _ in 0..2 {
        row = row.step(GrantEvent::NotDelivered, UnixMillis(1)).unwrap();
        row = row.step(GrantEvent::RunAgain, UnixMillis(1)).unwrap();
    }
    row = row.step(GrantEvent::NotDelivered, UnixMillis(1)).unwrap();
    assert!(row.step(GrantEvent::RunAgain, UnixMillis(1)).is_err());
}

proptest! {
    /// Whatever happens in whatever order: served at most once, never served or owed without a receipt,
    /// and a charge is never forgotten.
    #[test]
    fn a_charge_is_never_forgotten(upfront: bool, picks in proptest::collection::vec(0usize..9, 0..40)) {
        let mut row = grant(if upfront { Flow::Upfront } else { Flow::Capture });
        let mut served = 0;
        for pick in picks {
            let before = row.clone();
            let Ok(next) = row.clone().step(events()[pick].clone(), UnixMillis(1)) else { continue };
            prop_assert_eq!(next.version, before.version + 1);
            if before.is_charged() { prop_assert!(next.is_charged()); }
            if next.is_charged() { prop_assert!(next.receipt.is_some()); }
            if before.state == GrantState::Refunded { prop_assert!(false, "nothing follows a refund"); }
            served += usize::from(next.state == GrantState::Served && before.state != GrantState::Served);
            row = next;
        }
        prop_assert!(served <= 1);
    }
}

#[test]
fn a_served_answer_is_made_again_as_often_as_the_route_says() {
    let mut row = Grant { state: GrantState::Served, receipt: Some(receipt()), ..grant(Flow::Capture) };
    for runs in 2..=3 {
        row = row.step(GrantEvent::Redeliver { limit: 3 }, UnixMillis(1)).unwrap();
        assert_eq!((row.state, row.runs), (GrantState::Served, runs));
    }
    assert!(row.clone().step(GrantEvent::Redeliver { limit: 3 }, UnixMillis(1)).is_err());
    for state in GrantState::ALL.into_iter().filter(|state| *state != GrantState::Served) {
        assert!(Grant { state, ..grant(Flow::Capture) }.step(GrantEvent::Redeliver { limit: 9 }, UnixMillis(1)).is_err(), "{state:?}");
    }
}
