use super::*;
use proptest::prelude::*;

fn tx(byte: u8) -> TransactionId {
    TransactionId::Evm(B256::repeat_byte(byte))
}

fn block() -> BlockRef {
    BlockRef { number: 7, hash: B256::repeat_byte(7) }
}

fn states() -> [Settlement; 9] {
    let transaction = tx(1);
    let block = block();
    [
        Settlement::Claimed,
        Settlement::Signed { transaction },
        Settlement::Broadcast { transaction },
        Settlement::Included { transaction, block },
        Settlement::Final { transaction, block },
        Settlement::Reorged { transaction },
        Settlement::Reverted { transaction, block },
        Settlement::Rejected,
        Settlement::Abandoned { transaction: Some(transaction) },
    ]
}

fn events() -> [SettlementEvent; 8] {
    let block = block();
    [
        SettlementEvent::Sign(tx(1)),
        SettlementEvent::Sent,
        SettlementEvent::Paid { transaction: tx(1), block },
        SettlementEvent::Failed { transaction: tx(1), block },
        SettlementEvent::Deep,
        SettlementEvent::Vanished,
        SettlementEvent::Refuse,
        SettlementEvent::Expired,
    ]
}

/// Every (state, event) pair, written by hand; `.` is refused.
#[test]
fn every_state_and_event() {
    // Columns: Sign Sent Paid Failed Deep Vanished Refuse Expired
    let table = [
        "signed . included . . . rejected abandoned",
        ". broadcast included reverted . . . abandoned",
        ". broadcast included reverted . . . abandoned",
        ". . . . final reorged . .",
        ". . . . . . . .",
        ". broadcast included reverted . . . abandoned",
        ". . . . . reorged . .",
        ". . . . . . . .",
        ". . included . . . . .",
    ];
    for (state, row) in states().into_iter().zip(table) {
        for (event, want) in events().into_iter().zip(row.split(' ')) {
            let got = state.step(event).map(|next| next.as_str());
            assert_eq!(got.unwrap_or("."), want, "{state:?} {event:?}");
        }
    }
}

#[test]
fn a_state_survives_the_store() {
    for state in states() {
        assert_eq!(Settlement::from_parts(state.as_str(), state.transaction(), state.block()), Some(state));
    }
    assert_eq!(Settlement::from_parts("included", Some(tx(1)), None), None);
    assert_eq!(Settlement::from_parts("made up", None, None), None);
}

proptest! {
    /// Any order of events signs once, and what is final or rejected stays so.
    #[test]
    fn one_signature_and_one_ending(picks in proptest::collection::vec(0usize..8, 0..40)) {
        let mut state = Settlement::Claimed;
        let mut signed = 0;
        for pick in picks {
            let event = events()[pick];
            let Ok(next) = state.step(event) else { continue };
            let ended = matches!(state, Settlement::Final { .. } | Settlement::Rejected);
            prop_assert!(!ended);
            signed += usize::from(matches!(event, SettlementEvent::Sign(_)));
            state = next;
        }
        prop_assert!(signed <= 1);
    }
}
