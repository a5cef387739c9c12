//! Transactions that are lost, held or late.

use h402_devnet::solana::Delivery;
use solana_rpc_client_api::config::RpcSendTransactionConfig;

use crate::client::{SOL, chain, client, id, key, pay};

#[tokio::test]
async fn a_lost_transaction_lands_when_it_is_sent_again() {
    let chain = chain().await;
    let client = client(&chain);
    chain.deliver_next(2, Delivery::Drop);
    let transaction = pay(&chain, 0, 1, SOL);
    for _ in 0..2 {
        assert_eq!(client.send_transaction(&transaction).await.unwrap(), id(&transaction));
        assert_eq!(client.get_signature_status(&id(&transaction)).await.unwrap(), None);
    }
    client.send_transaction(&transaction).await.unwrap();
    assert_eq!(client.get_signature_status(&id(&transaction)).await.unwrap(), Some(Ok(())));
    assert_eq!(chain.sent(), [id(&transaction); 3]);
}

#[tokio::test]
async fn held_transactions_land_in_order_when_they_are_released() {
    let chain = chain().await;
    let client = client(&chain);
    chain.set_delivery(Delivery::Hold);
    let had = chain.lamports(key(1));
    let transactions = [1, 2].map(|number| pay(&chain, 0, 1, number * SOL));
    for transaction in &transactions {
        client.send_transaction(transaction).await.unwrap();
    }
    // Sent twice, it still lands once.
    client.send_transaction(&transactions[0]).await.unwrap();
    chain.advance_slots(3);
    assert_eq!(chain.lamports(key(1)), had);
    assert_eq!(chain.held(), [id(&transactions[0]), id(&transactions[1]), id(&transactions[0])]);
    chain.release();
    assert_eq!(chain.lamports(key(1)), had + 3 * SOL);
    assert_eq!(chain.landed(), [id(&transactions[0]), id(&transactions[1])]);
}

#[tokio::test]
async fn what_is_held_for_too_long_does_not_land() {
    let chain = chain().await;
    let client = client(&chain);
    chain.set_delivery(Delivery::Hold);
    let blind = RpcSendTransactionConfig { skip_preflight: true, ..Default::default() };
    let transaction = pay(&chain, 0, 1, SOL);
    client.send_transaction_with_config(&transaction, blind).await.unwrap();
    chain.expire_blockhashes();
    chain.release();
    assert_eq!(chain.landed(), []);
    chain.set_delivery(Delivery::Land);
    client.send_and_confirm_transaction(&pay(&chain, 0, 1, SOL)).await.unwrap();
}
