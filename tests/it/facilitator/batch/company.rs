//! A payer that burns the gas of all who go with it.

use super::{super::verify, *};

/// Takes all the gas that it is given: a loop without an end.
const BURNER: [u8; 4] = [0x5b, 0x60, 0x00, 0x56];

/// T169: a plain account gets code after the dry run and before the block, as EIP-7702 lets it, and the token asks that code:
/// those after it in the transaction run out of gas. All honest payments settle, ever fewer are made to go twice, and whoever
/// did it is refused after the second time.
#[tokio::test(flavor = "multi_thread")]
async fn t169_code_that_comes_after_the_dry_run_harms_ever_fewer() {
    const ROUNDS: usize = 10;
    const HONEST: usize = 11;
    let rig = patient(true).await;
    let (mut late, mut first_round) = (0, 0);
    for round in 0..ROUNDS {
        // Each of five, twice.
        let burner = 4 + round % 5;
        let (mut crowd, gate) = Crowd::behind(&rig).await;
        crowd.settle(rig.payment(burner, PRICE));
        crowd.until_claimed(1).await;
        for index in 0..HONEST {
            crowd.settle(lucky(&rig, index));
        }
        crowd.until_claimed(HONEST + 1).await;
        gate.open();
        crowd.until_sent(HONEST + 1).await;
        let blind = Gate::new();
        rig.chain.faults().add("eth_getTransactionReceipt", Fault::Hold(blind.clone()), Times::Always);
        rig.chain.set_code(account(burner).address, Bytes::from_static(&BURNER)).unwrap();
        let block = rig.chain.mine().await;
        rig.chain.faults().clear();
        blind.open();
        until("all that were missed are settled", async || {
            if !rig.chain.pending().is_empty() {
                rig.chain.mine().await;
            }
            crowd.settling[1..].iter().all(JoinHandle::is_finished)
        })
        .await;
        // A plain account again: what it was in that block stays known.
        rig.chain.set_code(account(burner).address, Bytes::new()).unwrap();
        let settling = crowd.settling.split_off(1);
        crowd.settling.iter().for_each(JoinHandle::abort);
        let replies: Vec<Reply> = join_all(settling).await.into_iter().map(Result::unwrap).collect();
        all_settled(&replies);
        let twice = replies.iter().filter(|reply| rig.chain.outcome(reply.transaction().unwrap()).unwrap().block > block).count();
        late += twice;
        if round == 0 {
            first_round = twice;
        }
    }
    assert_eq!(first_round, HONEST, "the first time all of them are harmed");
    assert!(late <= 2 * HONEST, "{late} went twice");
    for burner in 4..9 {
        let refused = verify(&rig, &rig.payment(burner, PRICE), None).await;
        assert!(!refused.is_valid(), "{burner}: {refused:?}");
    }
    assert!(verify(&rig, &lucky(&rig, 0), None).await.is_valid());
}
