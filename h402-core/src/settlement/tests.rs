use super::*;
use proptest::prelude::*;

fn tx(byte: u8) -> TransactionId {
    TransactionId::Evm(B256::repeat_byte(byte))
}

fn block() -> BlockRef {
    BlockRef { number: 7, hash: B256::repeat_byte(7) }
}

fn states() -> [Settlement; 10] {
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
        Settlement::Failed { transaction, block },
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
        "signed broadcast included reverted . . . abandoned",
        "signed broadcast included reverted . . . abandoned",
        ". . . . final reorged . .",
        ". . . . . . . .",
        "reorged reorged included reverted . . . abandoned",
        ". . . . failed reorged . .",
        ". . . . . . . .",
        ". . included . . . . .",
        ". . . . . . . .",
    ];
    for (state, row) in states().into_iter().zip(table) {
        for (event, want) in events().into_iter().zip(row.split(' ')) {
            let got = state.step(event).map(|next| next.as_str());
            assert_eq!(got.unwrap_or("."), want, "{state:?} {event:?}");
        }
    }
}

/// A second signature is what the state names from then on, and the first may still be what was mined.
#[test]
fn the_last_signature_counts_until_the_chain_says_otherwise() {
    let again = Settlement::Broadcast { transaction: tx(1) }.step(SettlementEvent::Sign(tx(2)));
    assert_eq!(again, Ok(Settlement::Signed { transaction: tx(2) }));
    let mined = again.and_then(|state| state.step(SettlementEvent::Paid { transaction: tx(1), block: block() }));
    assert_eq!(mined, Ok(Settlement::Included { transaction: tx(1), block: block() }));
}

#[test]
fn a_state_survives_the_store() {
    for state in states() {
        assert_eq!(Settlement::from_parts(state.as_str(), state.transaction(), state.block()), Some(state));
    }
    assert_eq!(Settlement::from_parts("included", Some(tx(1)), None), None);
    let open: Vec<_> = states().iter().filter(|state| state.is_open()).map(Settlement::as_str).collect();
    assert_eq!(Settlement::OPEN_WORDS[..], open);
    assert_eq!(Settlement::from_parts("made up", None, None), None);
}

proptest! {
    /// In any order of events nothing is signed for a payment that is in a block or has ended, a signature is what the
    /// state then names, and what is final or rejected stays so.
    #[test]
    fn one_ending_and_no_signature_after_it(picks in proptest::collection::vec(0usize..8, 0..40)) {
        let mut state = Settlement::Claimed;
        for pick in picks {
            let event = events()[pick];
            let Ok(next) = state.step(event) else { continue };
            let ended = matches!(state, Settlement::Final { .. } | Settlement::Failed { .. } | Settlement::Rejected);
            prop_assert!(!ended);
            if let SettlementEvent::Sign(transaction) = event {
                prop_assert!(!state.is_decided());
                // That it was in a block once is not forgotten.
                let reorged = matches!(state, Settlement::Reorged { .. });
                prop_assert_eq!(next, if reorged { Settlement::Reorged { transaction } } else { Settlement::Signed { transaction } });
            }
            state = next;
        }
    }
}
