//! What is processed, confirmed and finalized.

use h402_devnet::solana::BlockTime;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::config::RpcTransactionConfig;
use solana_transaction_status::{TransactionConfirmationStatus, UiTransactionEncoding};

use crate::client::{SOL, chain, client, id, key, pay};

const LEVELS: [fn() -> CommitmentConfig; 3] = [CommitmentConfig::processed, CommitmentConfig::confirmed, CommitmentConfig::finalized];

#[tokio::test]
async fn a_transaction_becomes_confirmed_and_then_finalized() {
    let chain = chain().await;
    chain.set_slot_time(BlockTime::Manual);
    let client = client(&chain);
    let transaction = pay(&chain, 0, 1, SOL);
    client.send_transaction(&transaction).await.unwrap();
    let signature = id(&transaction);
    let expected = [
        (0, Some(0), TransactionConfirmationStatus::Processed, [11, 10, 10]),
        (1, Some(1), TransactionConfirmationStatus::Confirmed, [11, 11, 10]),
        (30, Some(31), TransactionConfirmationStatus::Confirmed, [11, 11, 10]),
        (1, None, TransactionConfirmationStatus::Finalized, [11, 11, 11]),
    ];
    for (slots, confirmations, level, thousands) in expected {
        chain.advance_slots(slots);
        let statuses = client.get_signature_statuses(&[signature]).await.unwrap().value;
        let status = statuses[0].clone().unwrap();
        assert_eq!((status.confirmations, status.confirmation_status), (confirmations, Some(level.clone())));
        for (commitment, thousand) in LEVELS.into_iter().zip(thousands) {
            let balance = client.get_balance_with_commitment(&key(1), commitment()).await.unwrap().value;
            assert_eq!(balance, thousand * 1_000 * SOL - (thousand - 10) * 999 * SOL, "{level:?} {:?}", commitment());
            let config = RpcTransactionConfig {
                encoding: Some(UiTransactionEncoding::Base64),
                commitment: Some(commitment()),
                max_supported_transaction_version: Some(0),
            };
            let record = client.get_transaction_with_config(&signature, config).await;
            // A processed record is never to be had.
            assert_eq!(record.is_ok(), thousand == 11 && !commitment().is_processed(), "{level:?} {:?}", commitment());
        }
    }
}

#[tokio::test]
async fn slots_and_heights_are_apart_and_each_commitment_has_its_own() {
    let chain = chain().await;
    let client = client(&chain);
    let [processed, confirmed, finalized] = LEVELS;
    let slot = |level: CommitmentConfig| client.get_slot_with_commitment(level);
    let height = |level: CommitmentConfig| client.get_block_height_with_commitment(level);
    let (tip, top) = (chain.slot(), chain.block_height());
    assert_eq!(slot(processed()).await.unwrap(), tip);
    assert_eq!(slot(confirmed()).await.unwrap(), tip - 1);
    assert_eq!(slot(finalized()).await.unwrap(), tip - 32);
    assert_eq!(height(processed()).await.unwrap(), top);
    assert_eq!(height(finalized()).await.unwrap(), top - 32);
    assert_ne!(tip, top);
    assert_eq!(client.get_epoch_info_with_commitment(processed()).await.unwrap().block_height, top);
    let mut hashes = Vec::new();
    for level in LEVELS {
        hashes.push(client.get_latest_blockhash_with_commitment(level()).await.unwrap());
    }
    assert_eq!(hashes.iter().map(|(_, last)| *last).collect::<Vec<_>>(), [top + 150, top - 1 + 150, top - 32 + 150]);
    // A hash that is only processed is unknown to a confirmed block.
    assert!(!client.is_blockhash_valid(&hashes[0].0, confirmed()).await.unwrap());
    assert!(client.is_blockhash_valid(&hashes[0].0, processed()).await.unwrap());
}

#[tokio::test]
async fn the_sysvar_has_the_last_150_hashes_newest_first() {
    let chain = chain().await;
    let client = client(&chain);
    chain.advance_slots(3);
    let sysvar = "SysvarRecentB1ockHashes11111111111111111111".parse().unwrap();
    for level in LEVELS {
        let account = client.get_account_with_commitment(&sysvar, level()).await.unwrap().value.unwrap();
        let (newest, _) = client.get_latest_blockhash_with_commitment(level()).await.unwrap();
        assert_eq!(account.data.len(), 8 + 150 * 40);
        assert_eq!(account.data[..8], 150u64.to_le_bytes());
        assert_eq!(account.data[8..40], newest.to_bytes());
        let entries: Vec<_> = account.data[8..].chunks(40).collect();
        assert!(entries.iter().all(|entry| entry[32..] == 5_000u64.to_le_bytes()));
        // The oldest of them is 149 blocks older.
        let oldest = h402_devnet::solana::Hash::new_from_array(entries[149][..32].try_into().unwrap());
        assert!(client.is_blockhash_valid(&oldest, level()).await.unwrap());
    }
    let (hash, _) = chain.latest_blockhash();
    chain.advance_slots(10);
    let account = client.get_account(&sysvar).await.unwrap();
    assert_eq!(account.data[8 + 40 * 10..][..32], hash.to_bytes(), "ten blocks later it is the eleventh");
}

#[tokio::test]
async fn what_the_owner_does_is_there_at_every_commitment() {
    let chain = chain().await;
    let client = client(&chain);
    client.send_and_confirm_transaction(&pay(&chain, 0, 1, SOL)).await.unwrap();
    let had = chain.lamports(key(5));
    chain.airdrop(key(5), SOL).unwrap();
    for level in LEVELS {
        assert_eq!(client.get_balance_with_commitment(&key(5), level()).await.unwrap().value, had + SOL);
    }
}

#[tokio::test]
async fn slots_pass_by_themselves_if_they_are_to() {
    let chain = chain().await;
    let before = chain.block_height();
    chain.set_slot_time(BlockTime::Every(std::time::Duration::from_millis(1)));
    let client = client(&chain);
    while client.get_block_height_with_commitment(CommitmentConfig::finalized()).await.unwrap() <= before {}
    chain.set_slot_time(BlockTime::Manual);
}
