use super::*;
use crate::{AssetId, BlockRef, PaymentKind, Settlement};
use alloy_primitives::B256;

const NOW: UnixMillis = UnixMillis(5);

fn key(n: u8) -> PaymentKey {
    PaymentKey::from_bytes([n; 32])
}

fn who(n: u8) -> Address {
    Address::Evm([n; 20].into())
}

fn id() -> TransactionId {
    TransactionId::Evm(B256::repeat_byte(9))
}

/// Payment `n`: 100 + n units of token 1 from account 2 to account 3, by authorization.
fn row(n: u8) -> PaymentRow {
    PaymentRow {
        key: key(n),
        asset: AssetId { network: Network::Evm(1), address: who(1) },
        payer: who(2),
        pay_to: who(3),
        amount: Amount::from_atomic(100 + u128::from(n)),
        kind: PaymentKind::Authorization,
        nonce: Some([n; 32]),
        caller: None,
        state: Settlement::Final { transaction: id(), block: BlockRef { number: 1, hash: B256::ZERO } },
        answer: None,
        expires: None,
        last_block_height: None,
        raw: None,
        claimed_at: NOW,
        updated_at: NOW,
        version: 1,
    }
}

fn movement(n: u8) -> Movement {
    Movement { asset: who(1), from: Some(who(2)), to: who(3), amount: Amount::from_atomic(100 + u128::from(n)) }
}

/// A transaction of ours that carries these payments.
fn carries(payments: &[u8]) -> ShownTransaction {
    ShownTransaction {
        id: id(),
        ours: true,
        known: true,
        movements: payments.iter().map(|n| movement(*n)).collect(),
        payments: payments.iter().map(|n| key(*n)).collect(),
    }
}

fn kinds(shown: Option<&ShownTransaction>, rows: &[PaymentRow]) -> Vec<(DifferenceKind, Option<PaymentKey>)> {
    differences(shown, rows, NOW).into_iter().map(|difference| (difference.kind, difference.payment)).collect()
}

use DifferenceKind::{Altered, Missing, Refused, Unexplained};

#[test]
fn what_agrees_has_no_difference() {
    for payments in [&[1][..], &[1, 2, 3], &[]] {
        let rows: Vec<PaymentRow> = payments.iter().map(|n| row(*n)).collect();
        assert_eq!(kinds(Some(&carries(payments)), &rows), []);
    }
    // Two payments of one amount from one payer to one payee, and two movements.
    let (one, two) = (row(1), PaymentRow { key: key(2), nonce: Some([2; 32]), ..row(1) });
    let both = ShownTransaction { movements: vec![movement(1); 2], ..carries(&[1, 2]) };
    assert_eq!(kinds(Some(&both), &[one, two]), []);
}

/// T159: a row too much, a row too few, another amount, another payee: each is told as what it is, once.
#[test]
fn t159_each_way_to_differ_is_told() {
    let all = [row(1), row(2)];
    // The row of a payment is gone.
    assert_eq!(
        kinds(Some(&carries(&[1, 2])), &all[..1]),
        [(Unexplained, Some(key(2))), (Unexplained, None)],
        "its authorization and its transfer"
    );
    // A row without a payment: the transaction has only the other one.
    assert_eq!(kinds(Some(&carries(&[1])), &all), [(Missing, Some(key(2)))]);
    // No such transaction at all.
    assert_eq!(kinds(None, &all[..1]), [(Missing, Some(key(1)))]);
    // Other terms.
    let dearer = PaymentRow { amount: Amount::from_atomic(7), ..row(1) };
    let elsewhere = PaymentRow { pay_to: who(8), ..row(1) };
    for bent in [dearer, elsewhere] {
        assert_eq!(kinds(Some(&carries(&[1])), &[bent]), [(Altered, Some(key(1)))]);
    }
    // A transfer that is counted twice pays once (T061).
    let twin = PaymentRow { key: key(2), nonce: Some([2; 32]), ..row(1) };
    let once = ShownTransaction { movements: vec![movement(1)], ..carries(&[1, 2]) };
    assert_eq!(kinds(Some(&once), &[row(1), twin]), [(Missing, Some(key(2)))]);
    // The transfer is there, and the authorization is another's.
    let other = ShownTransaction { payments: vec![], ..carries(&[1]) };
    assert_eq!(kinds(Some(&other), &[row(1)]), [(Missing, Some(key(1))), (Unexplained, None)]);
}

/// T159: what a key of ours does outside of the ledger is told, whether it moves tokens or only burns gas; what others do is theirs.
#[test]
fn t159_a_key_used_outside_of_the_ledger_is_told() {
    let outside = ShownTransaction { known: false, payments: vec![], ..carries(&[1]) };
    assert_eq!(kinds(Some(&outside), &[]), [(Unexplained, None)]);
    let bare = ShownTransaction { movements: vec![], ..outside.clone() };
    assert_eq!(kinds(Some(&bare), &[]), [(Unexplained, None)]);
    assert_eq!(kinds(Some(&ShownTransaction { ours: false, ..outside.clone() }), &[]), []);
    assert_eq!(kinds(Some(&ShownTransaction { known: true, ..bare }), &[]), [], "a nonce that was filled");
    let overtaken = ShownTransaction { ours: false, known: false, movements: vec![movement(1), movement(9)], ..carries(&[1]) };
    assert_eq!(kinds(Some(&overtaken), &[row(1)]), [], "somebody else brought it, among other things");
}

/// What is on its way is neither missed nor unexplained.
#[test]
fn what_is_open_is_not_missed() {
    let open = PaymentRow { state: Settlement::Broadcast { transaction: id() }, ..row(1) };
    assert_eq!(kinds(None, std::slice::from_ref(&open)), []);
    assert_eq!(kinds(Some(&carries(&[1])), &[open]), []);
}

/// T159: a payer was told that the payment failed, and the chain shows it: that is told, whatever else the transaction carries.
/// A failure that the chain shows no payment for is none.
#[test]
fn t159_what_was_told_as_failed_and_is_paid_is_told() {
    let block = BlockRef { number: 1, hash: B256::ZERO };
    let other = TransactionId::Evm(B256::repeat_byte(8));
    for state in [
        Settlement::Rejected,
        Settlement::Abandoned { transaction: None },
        Settlement::Abandoned { transaction: Some(other) },
        Settlement::Reverted { transaction: other, block },
        Settlement::Failed { transaction: id(), block },
    ] {
        let failed = PaymentRow { state, ..row(1) };
        let found = differences(Some(&carries(&[1, 2])), &[failed.clone(), row(2)], NOW);
        assert_eq!(found.len(), 1, "{state:?}");
        assert_eq!((found[0].kind, found[0].payment, found[0].transaction), (Refused, Some(key(1)), id()), "{state:?}");
        assert_eq!((found[0].amount, found[0].pay_to), (Some(Amount::from_atomic(101)), Some(who(3))));
        assert_eq!(kinds(Some(&carries(&[2])), &[failed, row(2)]), [], "{state:?}");
    }
}

#[test]
fn the_same_difference_is_one() {
    let network = Network::Evm(1);
    let all: Vec<Difference> = [
        differences(None, &[row(1)], NOW),
        differences(None, &[row(2)], NOW),
        differences(Some(&carries(&[1, 2])), &[], NOW),
        differences(Some(&carries(&[1])), &[PaymentRow { amount: Amount::from_atomic(7), ..row(1) }], NOW),
    ]
    .concat();
    for (at, one) in all.iter().enumerate() {
        for (other_at, other) in all.iter().enumerate() {
            assert_eq!(one.id(network) == other.id(network), at == other_at);
        }
        let later = Difference { found_at: UnixMillis(9), ..one.clone() };
        assert_eq!(later.id(network), one.id(network));
        assert_ne!(one.id(network), one.id(Network::Evm(2)));
    }
    for kind in DifferenceKind::ALL {
        assert_eq!(DifferenceKind::from_word(kind.as_str()), Some(kind));
    }
}
