//! Simulated transactions.

use h402_devnet::solana::{Hash, account};
use solana_rpc_client_api::config::{RpcSimulateTransactionAccountsConfig, RpcSimulateTransactionConfig};
use solana_system_interface::instruction::transfer;
use solana_transaction_error::TransactionError;

use crate::client::{SOL, chain, client, key, pay, refusal, sign, sign_v0, usdc_transfer};

#[tokio::test]
async fn signatures_matter_only_if_asked_for() {
    let chain = chain().await;
    let client = client(&chain);
    let mut unsigned = pay(&chain, 0, 1, SOL);
    unsigned.signatures[0] = Default::default();
    let result = client.simulate_transaction(&unsigned).await.unwrap().value;
    assert_eq!(result.err, None);
    let config = RpcSimulateTransactionConfig { sig_verify: true, ..Default::default() };
    let error = client.simulate_transaction_with_config(&unsigned, config.clone()).await.unwrap_err();
    assert_eq!(refusal(&error).0, -32003);
    let config = RpcSimulateTransactionConfig { commitment: Some(client.commitment()), ..config };
    let result = client.simulate_transaction_with_config(&pay(&chain, 0, 1, SOL), config.clone()).await.unwrap().value;
    assert_eq!(result.err, None);
    let both = RpcSimulateTransactionConfig { replace_recent_blockhash: true, ..config };
    let error = client.simulate_transaction_with_config(&unsigned, both).await.unwrap_err();
    let words = "sigVerify may not be used with replaceRecentBlockhash";
    assert_eq!(refusal(&error), (-32602, words.to_owned(), None));
    assert_eq!(chain.landed(), []);
}

#[tokio::test]
async fn a_dead_blockhash_is_replaced_only_if_asked_for() {
    let chain = chain().await;
    let client = client(&chain);
    let dead = sign(&[transfer(&key(0), &key(1), SOL)], &[&account(0)], Hash::default());
    let result = client.simulate_transaction(&dead).await.unwrap().value;
    assert_eq!(result.err, Some(TransactionError::BlockhashNotFound.into()));
    let config =
        RpcSimulateTransactionConfig { replace_recent_blockhash: true, commitment: Some(client.commitment()), ..Default::default() };
    let result = client.simulate_transaction_with_config(&dead, config).await.unwrap().value;
    assert_eq!(result.err, None);
    let (hash, last) = chain.latest_blockhash();
    let replacement = result.replacement_blockhash.unwrap();
    assert_eq!((replacement.blockhash, replacement.last_valid_block_height), (hash.to_string(), last));
}

#[tokio::test]
async fn a_simulation_tells_what_would_be_and_changes_nothing() {
    let chain = chain().await;
    let client = client(&chain);
    let destination = chain.token_account(key(1), chain.usdc()).unwrap();
    let transaction = sign_v0(&[usdc_transfer(&chain, 0, key(1), 30)], &[&account(0)], chain.latest_blockhash().0);
    let config = RpcSimulateTransactionConfig {
        commitment: Some(client.commitment()),
        accounts: Some(RpcSimulateTransactionAccountsConfig { encoding: None, addresses: vec![destination.to_string()] }),
        inner_instructions: true,
        ..Default::default()
    };
    let result = client.simulate_transaction_with_config(&transaction, config).await.unwrap().value;
    assert_eq!((result.err, result.fee), (None, Some(5_000)));
    assert!(result.units_consumed.unwrap() > 0);
    assert!(result.logs.unwrap().iter().any(|line| line.contains("success")));
    let shown = result.accounts.unwrap()[0].clone().unwrap().to_account().unwrap();
    assert_eq!(shown.data[64..72], (1_000_000_000_000u64 + 30).to_le_bytes());
    assert_eq!(result.pre_balances.unwrap()[0] - result.post_balances.unwrap()[0], 5_000);
    let amounts = |balances: Option<Vec<solana_transaction_status::UiTransactionTokenBalance>>| {
        let mut amounts: Vec<u64> = balances.unwrap().iter().map(|one| one.ui_token_amount.amount.parse().unwrap()).collect();
        amounts.sort_unstable();
        amounts
    };
    assert_eq!(amounts(result.pre_token_balances), [1_000_000_000_000; 2]);
    assert_eq!(amounts(result.post_token_balances), [1_000_000_000_000 - 30, 1_000_000_000_000 + 30]);
    assert_eq!(chain.token_balance(key(1), chain.usdc()), 1_000_000_000_000);
    let message = &transaction.message;
    let solana_message::VersionedMessage::V0(message) = message else { panic!("version 0") };
    assert_eq!(client.get_fee_for_message(message).await.unwrap(), 5_000);
}
