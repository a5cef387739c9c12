//! Mints of both programs, and accounts of them.

use h402_devnet::solana::{MintConfig, account};
use serde_json::json;
use solana_account_decoder::UiAccountData;
use solana_rpc_client_api::{config::RpcAccountInfoConfig, request::TokenAccountsFilter};
use solana_transaction_error::TransactionError;

use crate::client::{call, chain, client, id, key, sign, token_transfer};

#[tokio::test]
async fn each_extension_does_what_it_is_for() {
    let chain = chain().await;
    let client = client(&chain);
    let stranger = key(7);
    let cases = [
        ("none", MintConfig::token_2022(), Some(1_000)),
        ("fee", MintConfig::token_2022().transfer_fee(100, 5_000), Some(990)),
        ("hook without a program", MintConfig::token_2022().transfer_hook(None), Some(1_000)),
        ("hook", MintConfig::token_2022().transfer_hook(Some(stranger)), None),
        ("delegate", MintConfig::token_2022().permanent_delegate(stranger), Some(1_000)),
        ("close authority", MintConfig::token_2022().close_authority(stranger), Some(1_000)),
        ("not transferable", MintConfig::token_2022().non_transferable(), None),
        ("pausable", MintConfig::token_2022().pausable(), Some(1_000)),
        ("spl token", MintConfig::token(), Some(1_000)),
    ];
    for (name, config, received) in cases {
        let mint = chain.create_mint(config).unwrap();
        chain.mint_to(key(0), mint, 10_000).unwrap();
        chain.create_token_account(key(1), mint).unwrap();
        let transaction = sign(&[token_transfer(&chain, mint, 0, key(1), 1_000)], &[&account(0)], chain.latest_blockhash().0);
        let sent = client.send_transaction(&transaction).await;
        assert_eq!(sent.is_ok(), received.is_some(), "{name}: {sent:?}");
        assert_eq!(chain.token_balance(key(1), mint), received.unwrap_or(0), "{name}");
        let shown = client.get_token_account_balance(&chain.token_account(key(0), mint).unwrap()).await.unwrap();
        assert_eq!(shown.amount, if received.is_some() { "9000" } else { "10000" }, "{name}");
    }
    chain.create_mint(MintConfig::token().pausable()).unwrap_err();
}

#[tokio::test]
async fn accounts_can_be_frozen_and_mints_paused() {
    let chain = chain().await;
    let client = client(&chain);
    let mint = chain.create_mint(MintConfig::token_2022().pausable()).unwrap();
    chain.mint_to(key(0), mint, 10_000).unwrap();
    chain.create_token_account(key(1), mint).unwrap();
    let mut amount = 0;
    let mut lands = async |expected: bool| {
        amount += 1;
        let transaction = sign(&[token_transfer(&chain, mint, 0, key(1), amount)], &[&account(0)], chain.latest_blockhash().0);
        assert_eq!(client.send_transaction(&transaction).await.is_ok(), expected, "transfer {amount}");
        assert_eq!(chain.outcome(&id(&transaction)).is_some(), expected, "transfer {amount}");
    };
    lands(true).await;
    chain.set_paused(mint, true).unwrap();
    lands(false).await;
    chain.set_paused(mint, false).unwrap();
    lands(true).await;
    chain.set_frozen(key(1), mint, true).unwrap();
    lands(false).await;
    chain.set_frozen(key(1), mint, false).unwrap();
    lands(true).await;

    let frozen = chain.create_mint(MintConfig::token_2022().default_frozen()).unwrap();
    chain.create_token_account(key(1), frozen).unwrap();
    chain.mint_to(key(1), frozen, 1).unwrap_err();
    chain.set_frozen(key(1), frozen, false).unwrap();
    chain.mint_to(key(1), frozen, 1).unwrap();
}

#[tokio::test]
async fn accounts_are_shown_parsed_and_in_slices() {
    let chain = chain().await;
    let client = client(&chain);
    let account = chain.token_account(key(0), chain.usdc()).unwrap();
    let parsed = client.get_token_account(&account).await.unwrap().unwrap();
    assert_eq!((parsed.mint, parsed.owner), (chain.usdc().to_string(), key(0).to_string()));
    assert_eq!(parsed.token_amount.ui_amount_string, "1000000");
    let answer = call(
        &chain,
        "getMultipleAccounts",
        json!([[chain.usdc().to_string(), chain.genesis_hash().to_string()], { "encoding": "jsonParsed" }]),
    )
    .await;
    assert_eq!(answer["result"]["value"][0]["data"]["parsed"]["info"]["decimals"], 6);
    assert_eq!(answer["result"]["value"][1], json!(null));
    let config = RpcAccountInfoConfig {
        encoding: Some(solana_account_decoder::UiAccountEncoding::Base64),
        data_slice: Some(solana_account_decoder::UiDataSliceConfig { offset: 64, length: 8 }),
        ..Default::default()
    };
    let sliced = client.get_ui_account_with_config(&account, config).await.unwrap().value.unwrap();
    assert_eq!(sliced.space, Some(165));
    let UiAccountData::Binary(..) = &sliced.data else { panic!("bytes") };
    assert_eq!(sliced.data.decode().unwrap(), 1_000_000_000_000u64.to_le_bytes());
    let answer = call(&chain, "getAccountInfo", json!([account.to_string()])).await;
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let owned = client.get_token_accounts_by_owner(&key(0), TokenAccountsFilter::Mint(chain.usdc())).await.unwrap();
    assert_eq!(owned.len(), 1);
    assert_eq!(owned[0].pubkey, account.to_string());
}

#[tokio::test]
async fn a_token_account_that_is_not_there_cannot_be_paid() {
    let chain = chain().await;
    let client = client(&chain);
    let mint = chain.create_mint(MintConfig::token()).unwrap();
    chain.mint_to(key(0), mint, 10_000).unwrap();
    let step = token_transfer(&chain, mint, 0, key(1), 1);
    let pay = |lamports: u64| {
        let more = solana_system_interface::instruction::transfer(&key(0), &key(2), lamports);
        sign(&[step.clone(), more], &[&account(0)], chain.latest_blockhash().0)
    };
    let result = client.simulate_transaction(&pay(1)).await.unwrap().value;
    assert!(matches!(result.err.map(TransactionError::from), Some(TransactionError::InstructionError(0, _))));
    chain.create_token_account(key(1), mint).unwrap();
    client.send_and_confirm_transaction(&pay(1)).await.unwrap();
}
