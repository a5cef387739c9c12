//! T173: one transfer, presented as several kinds of proof, opens one door.

use super::{PRICE, broadcasts, settle, transfers, verify};
use alloy_primitives::B256;
use h402_core::PaymentPayload;
use h402_devnet::evm::account;
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{PAYEE, PAYER, Rig, RigOptions},
    transactions::sign,
};

/// What can be presented of a payer's own transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SignedTransaction,
    Hash,
}

async fn accepting() -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| config.accept_sent = true);
    Rig::with(RigOptions { engine, ..RigOptions::default() }).await
}

/// The caller that comes second: the same server, another one, or one without a name.
const SECOND: [Option<&str>; 3] = [Some("shop-1"), Some("shop-2"), None];

/// Presents `second` after `first` was settled for shop-1. Shop-1 may hear its one answer again, nobody else any.
async fn nobody_else_gets_in(rig: &mut Rig, first: &PaymentPayload, second: &PaymentPayload, what: &str) {
    let opened = settle(rig, first, Some("shop-1")).await;
    assert!(opened.is_settled(), "{what}: {opened:?}");
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        for caller in SECOND {
            let verified = verify(rig, second, caller).await;
            let settled = settle(rig, second, caller).await;
            let what = format!("{what}, by {caller:?}, restarted: {restarted}");
            if settled.is_settled() {
                // The one answer there is, to the caller that has it.
                assert_eq!((caller, &settled), (Some("shop-1"), &opened), "{what}");
            } else {
                let words = ["duplicate_settlement", "payment_already_used", "payment_in_progress"];
                assert!(words.contains(&settled.word().as_str()), "{what}: {settled:?}");
                assert!(!verified.is_valid(), "{what}: {verified:?}");
            }
        }
        assert_eq!(settle(rig, first, Some("shop-1")).await, opened, "{what}");
    }
}

/// A payer's transaction as it was signed, then by its hash, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn t173_a_payers_transaction_and_its_hash_are_one_payment() {
    for kinds in [[Kind::SignedTransaction, Kind::Hash], [Kind::Hash, Kind::SignedTransaction]] {
        let mut rig = accepting().await;
        let transaction = sign(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE));
        let present = |rig: &Rig, kind| match kind {
            Kind::SignedTransaction => rig.by_transaction(PAYER, &transaction),
            Kind::Hash => rig.by_hash(PAYER, transaction.hash),
        };
        if kinds[0] == Kind::Hash {
            rig.submit(&transaction.raw).await.unwrap();
        }
        let [first, second] = kinds.map(|kind| present(&rig, kind));
        nobody_else_gets_in(&mut rig, &first, &second, &format!("{kinds:?}")).await;
        assert_eq!((transfers(&rig), broadcasts(&rig)), (1, 0));
    }
}

/// An authorization, then the hash of the transaction in which we settled it; by anybody who reads the chain.
#[tokio::test(flavor = "multi_thread")]
async fn t173_the_transaction_that_settled_an_authorization_pays_for_nothing_else() {
    let mut rig = accepting().await;
    let payment = rig.payment(PAYER, PRICE);
    let settled = settle(&rig, &payment, Some("shop-1")).await;
    let ours: B256 = settled.transaction().unwrap();
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        // The payer, the facilitator's own account, a stranger.
        for claimant in [PAYER, h402_tests::rig::GAS, 7] {
            for caller in SECOND {
                let claim = rig.by_hash(claimant, ours);
                let verified = verify(&rig, &claim, caller).await;
                let again = settle(&rig, &claim, caller).await;
                assert_eq!(
                    (verified.word(), again.word()),
                    ("payment_already_used".into(), "payment_already_used".into()),
                    "{claimant} {caller:?}"
                );
            }
        }
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await, settled);
    }
    assert_eq!((transfers(&rig), broadcasts(&rig)), (1, 1));
}

/// The hash of our transaction first, while the authorization is still under way, then the authorization.
#[tokio::test(flavor = "multi_thread")]
async fn t173_a_hash_seen_under_way_does_not_come_before_its_authorization() {
    let rig = accepting().await;
    rig.chain.set_block_time(h402_devnet::evm::BlockTime::Manual);
    let payment = rig.payment(PAYER, PRICE);
    let claiming = async {
        super::until_pending(&rig, 1).await;
        let ours = rig.chain.pending()[0];
        for caller in SECOND {
            assert_eq!(settle(&rig, &rig.by_hash(PAYER, ours), caller).await.word(), "payment_already_used");
        }
        rig.chain.mine().await;
        for caller in SECOND {
            assert_eq!(settle(&rig, &rig.by_hash(PAYER, ours), caller).await.word(), "payment_already_used");
        }
    };
    let (settled, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), claiming);
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(settle(&rig, &payment, None).await.word(), "duplicate_settlement");
}

/// The authorization was carried by somebody else's transaction: its hash is no payment by that somebody.
#[tokio::test(flavor = "multi_thread")]
async fn t173_a_stranger_who_carried_an_authorization_has_not_paid() {
    let rig = accepting().await;
    rig.chain.set_block_time(h402_devnet::evm::BlockTime::Manual);
    let payment = rig.payment(PAYER, PRICE);
    let carried = alloy_consensus::TxEip1559 {
        to: alloy_primitives::TxKind::Call(rig.chain.usdc()),
        input: super::settlement_call(&rig, &payment),
        max_fee_per_gas: 100 * h402_tests::transactions::GWEI,
        max_priority_fee_per_gas: 50 * h402_tests::transactions::GWEI,
        ..rig.native_transfer(5, rig.chain.usdc(), 0)
    };
    let carrying = async {
        super::until_pending(&rig, 1).await;
        let foreign = rig.send(5, carried).await;
        rig.chain.mine().await;
        foreign
    };
    let (settled, foreign) = tokio::join!(settle(&rig, &payment, Some("shop-1")), carrying);
    assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(foreign)));
    for claimant in [5, PAYER] {
        for caller in SECOND {
            let claim = rig.by_hash(claimant, foreign);
            let (verified, again) = (verify(&rig, &claim, caller).await, settle(&rig, &claim, caller).await);
            assert!(!verified.is_valid() && !again.is_settled(), "{claimant} {caller:?}: {again:?}");
        }
    }
}

/// Both kinds at the same moment, by different callers: one door.
#[tokio::test(flavor = "multi_thread")]
async fn t173_both_kinds_at_once_open_one_door() {
    for _ in 0..20 {
        let rig = accepting().await;
        let transaction = sign(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE));
        rig.submit(&transaction.raw).await.unwrap();
        let (raw, hash) = (rig.by_transaction(PAYER, &transaction), rig.by_hash(PAYER, transaction.hash));
        let replies = futures_util::future::join_all(
            [(&raw, "shop-1"), (&hash, "shop-2"), (&hash, "shop-3"), (&raw, "shop-4")]
                .map(|(payment, caller)| settle(&rig, payment, Some(caller))),
        )
        .await;
        assert_eq!(replies.iter().filter(|reply| reply.is_settled()).count(), 1, "{replies:?}");
    }
}
