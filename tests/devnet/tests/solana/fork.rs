//! Blocks that go away again.

use h402_devnet::solana::{BlockTime, Orphans};
use solana_commitment_config::CommitmentConfig;

use crate::client::{SOL, chain, client, id, key, pay};

#[tokio::test]
async fn a_fork_undoes_a_confirmed_transaction_which_may_land_again() {
    let chain = chain().await;
    let client = client(&chain);
    let before = (chain.lamports(key(0)), chain.lamports(key(1)));
    let transaction = pay(&chain, 0, 1, SOL);
    client.send_and_confirm_transaction(&transaction).await.unwrap();
    let (slot, height) = (chain.slot(), chain.block_height());
    assert!(chain.fork_away(&id(&transaction), Orphans::Drop));
    assert_eq!((chain.lamports(key(0)), chain.lamports(key(1))), before);
    assert_eq!(client.get_signature_status(&id(&transaction)).await.unwrap(), None);
    assert_eq!(client.get_balance(&key(1)).await.unwrap(), before.1);
    assert!(chain.slot() > slot && chain.block_height() < height, "slots go on, heights do not");
    chain.advance_slots(3);
    assert_eq!(chain.landed(), []);
    client.send_and_confirm_transaction(&transaction).await.unwrap();
    assert_eq!(chain.lamports(key(1)), before.1 + SOL);
}

#[tokio::test]
async fn what_returns_from_a_fork_lands_with_the_next_block() {
    let chain = chain().await;
    let client = client(&chain);
    let first = pay(&chain, 0, 1, SOL);
    client.send_and_confirm_transaction(&first).await.unwrap();
    let second = pay(&chain, 1, 2, SOL);
    client.send_and_confirm_transaction(&second).await.unwrap();
    let had = chain.lamports(key(2));
    // The blockhash of the second came with the block after the first one's, so that one is gone for good.
    assert!(chain.fork_away(&id(&first), Orphans::Return));
    assert_eq!(chain.landed(), []);
    chain.advance_slots(1);
    assert_eq!(chain.landed(), [id(&first)]);
    assert_eq!(chain.lamports(key(2)), had - SOL);
}

#[tokio::test]
async fn the_hashes_of_dropped_blocks_are_dead_and_new_ones_differ() {
    let chain = chain().await;
    let client = client(&chain);
    chain.advance_slots(5);
    let (hash, height) = (chain.latest_blockhash().0, chain.block_height());
    assert_eq!(chain.fork(5, Orphans::Drop), 5);
    assert!(!client.is_blockhash_valid(&hash, CommitmentConfig::processed()).await.unwrap());
    chain.advance_slots(4);
    assert_eq!(chain.block_height(), height);
    assert_ne!(chain.latest_blockhash().0, hash);
}

#[tokio::test]
async fn what_the_owner_did_stays_and_older_blocks_are_as_they_were() {
    let chain = chain().await;
    chain.set_slot_time(BlockTime::Manual);
    let client = client(&chain);
    let kept = pay(&chain, 0, 1, SOL);
    client.send_transaction(&kept).await.unwrap();
    chain.advance_slots(1);
    let had = (chain.lamports(key(1)), chain.lamports(key(2)));
    client.send_transaction(&pay(&chain, 1, 2, 5 * SOL)).await.unwrap();
    chain.airdrop(key(2), 7).unwrap();
    chain.advance_slots(2);
    assert_eq!(chain.fork(3, Orphans::Drop), 3);
    assert_eq!((chain.lamports(key(1)), chain.lamports(key(2))), (had.0, had.1 + 7));
    assert_eq!(chain.landed(), [id(&kept)]);
    // Genesis stays, however deep the fork is to be.
    chain.fork(1_000, Orphans::Drop);
    assert_eq!(chain.lamports(key(0)), 10_000 * SOL);
    assert_eq!(chain.landed(), []);
}
