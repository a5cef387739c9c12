//! Transactions from sending to the record.

use h402_devnet::solana::{Keypair, Signature, account};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_rpc_client::rpc_client::GetConfirmedSignaturesForAddress2Config;
use solana_rpc_client_api::config::{RpcSendTransactionConfig, RpcTransactionConfig};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{UiTransactionEncoding, option_serializer::OptionSerializer};

use crate::client::{SOL, chain, client, id, key, pay, refusal, sign, sign_v0, usdc_transfer};

fn blind() -> RpcSendTransactionConfig {
    RpcSendTransactionConfig { skip_preflight: true, encoding: Some(UiTransactionEncoding::Base64), ..Default::default() }
}

fn asked(encoding: UiTransactionEncoding) -> RpcTransactionConfig {
    RpcTransactionConfig {
        encoding: Some(encoding),
        commitment: Some(CommitmentConfig::confirmed()),
        max_supported_transaction_version: Some(0),
    }
}

#[tokio::test]
async fn a_payment_is_confirmed_and_its_record_has_the_same_bytes() {
    let chain = chain().await;
    let client = client(&chain);
    let step = usdc_transfer(&chain, 0, key(1), 250_000);
    for transaction in [sign(std::slice::from_ref(&step), &[&account(0)], chain.latest_blockhash().0), {
        sign_v0(&[step], &[&account(0)], client.get_latest_blockhash().await.unwrap())
    }] {
        let before = (chain.token_balance(key(0), chain.usdc()), chain.token_balance(key(1), chain.usdc()));
        let signature = client.send_and_confirm_transaction(&transaction).await.unwrap();
        assert_eq!(signature, id(&transaction));
        let after = (chain.token_balance(key(0), chain.usdc()), chain.token_balance(key(1), chain.usdc()));
        assert_eq!(after, (before.0 - 250_000, before.1 + 250_000));

        let record = client.get_transaction_with_config(&signature, asked(UiTransactionEncoding::Base64)).await.unwrap();
        assert_eq!(record.transaction.transaction.decode().unwrap(), transaction);
        let meta = record.transaction.meta.unwrap();
        assert_eq!((meta.err, meta.fee), (None, 5_000));
        assert_eq!(meta.pre_balances[0] - meta.post_balances[0], 5_000);
        let moved = |balances: OptionSerializer<Vec<_>>| {
            let balances: Vec<solana_transaction_status::UiTransactionTokenBalance> = Option::from(balances).unwrap();
            balances.into_iter().map(|one| (one.owner, one.ui_token_amount.amount)).collect::<Vec<_>>()
        };
        let of = |index: usize, amount: u64| (OptionSerializer::Some(key(index).to_string()), amount.to_string());
        let (pre, post) = (moved(meta.pre_token_balances), moved(meta.post_token_balances));
        assert!(pre.contains(&of(0, before.0)) && pre.contains(&of(1, before.1)), "{pre:?}");
        assert!(post.contains(&of(0, after.0)) && post.contains(&of(1, after.1)), "{post:?}");
        let record = client.get_transaction_with_config(&signature, asked(UiTransactionEncoding::Json)).await.unwrap();
        assert!(record.block_time.is_some_and(|time| time > 1_600_000_000));
    }
}

#[tokio::test]
async fn a_version_that_was_not_asked_for_is_not_shown() {
    let chain = chain().await;
    let client = client(&chain);
    let transaction = sign_v0(&[transfer(&key(0), &key(1), 1)], &[&account(0)], chain.latest_blockhash().0);
    let signature = client.send_and_confirm_transaction(&transaction).await.unwrap();
    let config = RpcTransactionConfig { max_supported_transaction_version: None, ..asked(UiTransactionEncoding::Base64) };
    let error = client.get_transaction_with_config(&signature, config).await.unwrap_err();
    assert_eq!(refusal(&error).0, -32015);
}

#[tokio::test]
async fn a_transaction_lands_once() {
    let chain = chain().await;
    let client = client(&chain);
    let transaction = pay(&chain, 0, 1, SOL);
    client.send_and_confirm_transaction(&transaction).await.unwrap();
    let had = chain.lamports(key(1));
    let error = client.send_transaction(&transaction).await.unwrap_err();
    let (code, text, result) = refusal(&error);
    assert_eq!((code, text.as_str()), (-32002, "Transaction simulation failed: This transaction has already been processed"));
    assert_eq!(result.unwrap().err, Some(TransactionError::AlreadyProcessed.into()));
    // A node that does not look first says nothing of it.
    assert_eq!(client.send_transaction_with_config(&transaction, blind()).await.unwrap(), id(&transaction));
    assert_eq!(chain.lamports(key(1)), had);
    assert_eq!(chain.landed(), [id(&transaction)]);
}

#[tokio::test]
async fn a_forged_signature_is_refused_or_lost() {
    let chain = chain().await;
    let client = client(&chain);
    let mut forged = pay(&chain, 0, 1, SOL);
    forged.signatures[0] = account(1).sign_message(&forged.message.serialize());
    let error = client.send_transaction(&forged).await.unwrap_err();
    let (code, text, _) = refusal(&error);
    assert_eq!((code, text.as_str()), (-32003, "Transaction signature verification failure"));
    assert_eq!(client.send_transaction_with_config(&forged, blind()).await.unwrap(), id(&forged));
    assert_eq!(chain.landed(), []);
    client.send_and_confirm_transaction(&pay(&chain, 0, 1, SOL)).await.unwrap();
}

#[tokio::test]
async fn an_overdraft_is_refused_with_the_programs_words_and_pays_its_fee_if_forced() {
    let chain = chain().await;
    let client = client(&chain);
    let step = usdc_transfer(&chain, 0, key(1), 1_000_000_000_001);
    let transaction = sign(&[step], &[&account(0)], chain.latest_blockhash().0);
    let error = client.send_transaction(&transaction).await.unwrap_err();
    let (code, text, result) = refusal(&error);
    assert_eq!((code, text.as_str()), (-32002, "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"));
    let logs = result.unwrap().logs.unwrap();
    assert!(logs.iter().any(|line| line.contains("failed: custom program error: 0x1")), "{logs:?}");
    assert_eq!(chain.landed(), []);

    let had = chain.lamports(key(0));
    client.send_transaction_with_config(&transaction, blind()).await.unwrap();
    let outcome = chain.outcome(&id(&transaction)).unwrap();
    assert!(matches!(outcome.error, Some(TransactionError::InstructionError(0, _))), "{outcome:?}");
    assert_eq!(chain.lamports(key(0)), had - 5_000);
    assert_eq!(chain.token_balance(key(0), chain.usdc()), 1_000_000_000_000);
    let status = client.get_signature_status(&id(&transaction)).await.unwrap();
    assert_eq!(status, Some(Err(outcome.error.unwrap())));
}

#[tokio::test]
async fn a_payer_without_lamports_pays_nothing_and_is_in_no_block() {
    let chain = chain().await;
    let client = client(&chain);
    let poor = Keypair::new();
    let transaction = sign(&[transfer(&poor.pubkey(), &key(1), 1)], &[&poor], chain.latest_blockhash().0);
    let error = client.send_transaction(&transaction).await.unwrap_err();
    let (code, _, result) = refusal(&error);
    assert_eq!((code, result.unwrap().err), (-32002, Some(TransactionError::AccountNotFound.into())));
    client.send_transaction_with_config(&transaction, blind()).await.unwrap();
    assert_eq!(chain.outcome(&id(&transaction)), None);
}

#[tokio::test]
async fn a_blockhash_lives_for_150_blocks() {
    let chain = chain().await;
    let client = client(&chain);
    let (old, last) = client.get_latest_blockhash_with_commitment(CommitmentConfig::confirmed()).await.unwrap();
    assert_eq!(last, chain.block_height() - 1 + 150);
    let signed = |lamports| sign(&[transfer(&key(0), &key(1), lamports)], &[&account(0)], old);
    chain.advance_slots(149);
    assert_eq!(chain.block_height(), last);
    assert!(client.is_blockhash_valid(&old, CommitmentConfig::processed()).await.unwrap());
    let config = RpcSendTransactionConfig { preflight_commitment: Some(CommitmentLevel::Processed), ..Default::default() };
    client.send_transaction_with_config(&signed(1), config).await.unwrap();
    // Landing took a block, and that was the last one.
    assert!(!client.is_blockhash_valid(&old, CommitmentConfig::processed()).await.unwrap());
    // A finalized block is 32 behind, and knows less.
    assert!(client.is_blockhash_valid(&old, CommitmentConfig::finalized()).await.unwrap());
    let error = client.send_transaction_with_config(&signed(2), config).await.unwrap_err();
    let (code, text, result) = refusal(&error);
    assert_eq!((code, text.as_str()), (-32002, "Transaction simulation failed: Blockhash not found"));
    assert_eq!(result.unwrap().err, Some(TransactionError::BlockhashNotFound.into()));
    client.send_transaction_with_config(&signed(2), blind()).await.unwrap();
    assert_eq!(chain.landed(), [id(&signed(1))]);
    chain.finalize();
    assert!(!client.is_blockhash_valid(&old, CommitmentConfig::finalized()).await.unwrap());
}

#[tokio::test]
async fn an_airdrop_is_a_transaction() {
    let chain = chain().await;
    let client = client(&chain);
    let new = Keypair::new().pubkey();
    let first = client.request_airdrop(&new, SOL).await.unwrap();
    let second = client.request_airdrop(&new, SOL).await.unwrap();
    assert_ne!(first, second);
    assert!(client.confirm_transaction(&second).await.unwrap());
    assert_eq!(client.get_balance(&new).await.unwrap(), 2 * SOL);
}

#[tokio::test]
async fn the_transactions_of_an_address_are_listed_the_newest_first() {
    let chain = chain().await;
    let client = client(&chain);
    let mut sent = Vec::new();
    for lamports in 1..=5 {
        sent.push(client.send_and_confirm_transaction(&pay(&chain, 0, 1, lamports)).await.unwrap());
    }
    let failed = sign(&[usdc_transfer(&chain, 0, key(2), u64::MAX)], &[&account(0)], chain.latest_blockhash().0);
    sent.push(client.send_transaction_with_config(&failed, blind()).await.unwrap());
    sent.reverse();
    let list = async |who: usize, level, before, until, limit| {
        let config = GetConfirmedSignaturesForAddress2Config { before, until, limit, commitment: Some(level) };
        let listed = client.get_signatures_for_address_with_config(&key(who), config).await.unwrap();
        listed.iter().map(|one| one.signature.parse().unwrap()).collect::<Vec<Signature>>()
    };
    assert_eq!(list(0, CommitmentConfig::finalized(), None, None, None).await, []);
    chain.finalize();
    let level = CommitmentConfig::finalized();
    assert_eq!(list(0, level, None, None, None).await, sent, "what it paid for, also what failed");
    assert_eq!(list(1, level, None, None, None).await, sent[1..], "and what only names it");
    assert_eq!(list(0, level, Some(sent[1]), None, Some(2)).await, sent[2..4]);
    assert_eq!(list(0, level, Some(sent[0]), Some(sent[3]), None).await, sent[1..3]);
    assert_eq!(list(0, level, Some(Signature::default()), None, None).await, [], "after one that nobody knows");
    let all = client.get_signatures_for_address(&key(0)).await.unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all[0].slot, chain.outcome(&sent[0]).unwrap().slot);
    assert!(all[0].err.is_some() && all[1..].iter().all(|one| one.err.is_none()));
}
