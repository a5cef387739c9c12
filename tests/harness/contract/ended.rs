//! What an operator has lost: payments that failed, and payments whose fee may have been paid for their payers.

use super::{
    fixture::{BASE, key, payment},
    store::{apply, claim, every_state},
};
use h402_core::{Applied, Network, PaymentKind, PaymentRow, Store, UnixMillis};

const THEN: u64 = 1_800_000_000_000;

pub(super) async fn failed_payments_are_found<S: Store>(store: S) {
    let mut expected = Vec::new();
    for (n, state) in (0u64..).zip(every_state().into_iter().cycle().take(60)) {
        let row = PaymentRow { state, updated_at: UnixMillis(THEN + n), ..payment(key(1000 + n)) };
        assert_eq!(apply(&store, claim(row.clone(), &[])).await, Applied::Applied);
        if ["rejected", "reverted", "failed", "abandoned"].contains(&state.as_str()) {
            expected.insert(0, row);
        }
    }
    assert!(expected.len() >= 12);
    assert_eq!(store.failed(BASE, UnixMillis(0), 1000).await.as_ref(), Ok(&expected), "the latest first");
    assert_eq!(store.failed(BASE, expected[3].updated_at, 1000).await.as_deref(), Ok(&expected[..4]), "since then, inclusively");
    assert_eq!(store.failed(BASE, UnixMillis(0), 5).await.as_deref(), Ok(&expected[..5]));
    assert_eq!(store.failed(Network::Evm(1), UnixMillis(0), 5).await, Ok(vec![]));
}

pub(super) async fn signed_payments_come_in_pages<S: Store>(store: S) {
    let mut expected = Vec::new();
    for n in 0..40 {
        let kind = if n % 2 == 0 { PaymentKind::SolanaTransaction } else { PaymentKind::Authorization };
        // Younger keys are older payments, and four payments each are of one age.
        let row = PaymentRow { kind, claimed_at: UnixMillis(THEN - n / 4), ..payment(key(1000 + n)) };
        assert_eq!(apply(&store, claim(row.clone(), &[])).await, Applied::Applied);
        if kind == PaymentKind::SolanaTransaction && n / 4 <= 7 {
            expected.push(row);
        }
    }
    expected.sort_by_key(|row| (row.claimed_at, row.key));
    assert_eq!(expected.len(), 16);
    let since = UnixMillis(THEN - 7);
    for limit in [1, 3, 16, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.signed_since(BASE, since, after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            found.extend(page);
            assert!(found.len() <= expected.len(), "pages of {limit} do not end");
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    assert_eq!(store.signed_since(Network::Evm(1), since, None, 5).await, Ok(vec![]));
}
