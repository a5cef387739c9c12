//! Transactions that the payer signed and has not sent: bearer instruments, sent by the facilitator.

use super::{PRICE, Reply, ask, broadcasts, requirements, sends, settle, settle_until_ended, told, transfers, until_pending, verify};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::{eip2718::Encodable2718, eip2930::AccessList};
use alloy_primitives::{B256, Bytes, TxKind, U256};
use h402_core::{Asset, EvmKey, Network, Payload, PaymentPayload, Requirements, SignedEvmTransaction, SignedTransaction};
use h402_devnet::evm::{BlockTime, account};
use h402_tests::{
    rig::{GAS, PAYEE, PAYER, Rig, RigOptions, key},
    transactions::{GWEI, sign},
};

/// A price in the native coin.
const WEI: u128 = 1_000_000_000_000_000;

fn ether(rig: &Rig) -> Asset {
    Asset::native(Network::Evm(rig.chain.chain_id()), "ETH")
}

async fn with_native(block_time: BlockTime) -> Rig {
    let native = Asset::native(Network::Evm(84532), "ETH");
    Rig::with(RigOptions { block_time, more_assets: vec![native], ..RigOptions::default() }).await
}

/// The price in the native coin, to the payee.
fn native_terms(rig: &Rig) -> Requirements {
    requirements(&ether(rig), account(PAYEE).address, WEI)
}

fn native(rig: &Rig, payer: usize) -> TxEip1559 {
    rig.native_transfer(payer, account(PAYEE).address, WEI)
}

fn token(rig: &Rig, payer: usize) -> TxEip1559 {
    rig.token_transfer(payer, account(PAYEE).address, PRICE)
}

/// A signed transaction of another kind than EIP-1559.
fn signed<T: SignableTransaction<alloy_primitives::Signature>>(from: &EvmKey, transaction: T) -> SignedTransaction
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = from.sign_hash(&transaction.signature_hash()).unwrap();
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    SignedTransaction { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() }
}

fn presented(rig: &Rig, by: &EvmKey, raw: Bytes) -> PaymentPayload {
    let signed_message = by.sign_message("http://127.0.0.1/paid").unwrap();
    rig.payload(Payload::EvmTransaction(SignedEvmTransaction { raw, signed_message }))
}

/// T041: the honest ones, in the token and in the native coin, in all three kinds of transaction: sent by us, paid by
/// the payer, gas and all.
#[tokio::test(flavor = "multi_thread")]
async fn t041_a_payers_transaction_is_sent_and_found() {
    let rig = with_native(BlockTime::Auto).await;
    let payee = account(PAYEE).address;
    let legacy = |rig: &Rig| {
        let TxEip1559 { chain_id, nonce, gas_limit, max_fee_per_gas, to, value, input, .. } = token(rig, PAYER);
        TxLegacy { chain_id: Some(chain_id), nonce, gas_price: max_fee_per_gas, gas_limit, to, value, input }
    };
    let listed = |rig: &Rig| {
        let TxEip1559 { chain_id, nonce, gas_limit, max_fee_per_gas, to, value, input, .. } = token(rig, PAYER);
        TxEip2930 { chain_id, nonce, gas_price: max_fee_per_gas, gas_limit, to, value, input, access_list: AccessList::default() }
    };
    type Make<'a> = Box<dyn Fn(&Rig) -> SignedTransaction + Sync + Send + 'a>;
    let kinds: [(&str, Make<'_>, Requirements); 4] = [
        ("token", Box::new(|rig| sign(PAYER, token(rig, PAYER))), rig.requirements(PRICE)),
        ("token, legacy", Box::new(|rig| signed(&key(PAYER), legacy(rig))), rig.requirements(PRICE)),
        ("token, with an access list", Box::new(|rig| signed(&key(PAYER), listed(rig))), rig.requirements(PRICE)),
        ("native", Box::new(|rig| sign(PAYER, native(rig, PAYER))), native_terms(&rig)),
    ];
    for (name, make, terms) in kinds {
        let (tokens, coins) = (rig.received(), rig.chain.native_balance(payee));
        let transaction = make(&rig);
        let payment = rig.by_transaction(PAYER, &transaction);
        let verified = ask(&rig, "/verify", &payment, &terms, Some("shop-1")).await;
        assert!(verified.is_valid(), "{name}: {verified:?}");
        assert_eq!(verified.json()["type"], "payload", "{name}");
        assert_eq!(sends(&rig), 0, "{name}: verifying sends nothing");
        let settled = ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await;
        assert!(settled.is_settled(), "{name}: {settled:?}");
        assert_eq!(settled.transaction(), Some(transaction.hash), "{name}");
        let moved = rig.received() - tokens + (rig.chain.native_balance(payee) - coins);
        assert_eq!(moved, U256::from(terms.offer.amount.to_u256()), "{name}");
        assert_eq!(broadcasts(&rig), 0, "{name}: the payer paid the gas");
        let state = told(&rig, &verified.payment_id()).await;
        assert_eq!(state["transaction"], transaction.hash.to_string(), "{name}");
        assert_eq!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await, settled, "{name}");
        assert_eq!(ask(&rig, "/settle", &payment, &terms, None).await.word(), "duplicate_settlement", "{name}");
        rig.chain.faults().reset_counts();
    }
}

/// T041, T042, T043, T046, T048, T049, T050: one thing wrong at a time. Both answers say the same, and nothing ever
/// leaves for the chain, so nobody's transactions are relayed.
#[tokio::test(flavor = "multi_thread")]
async fn t041_t042_t043_t046_t048_t049_t050_what_is_not_the_payment_is_never_relayed() {
    const STATE: &str = "invalid_transaction_state";
    const KIND: &str = "unsupported_transaction_type";
    const SIGNATURE: &str = "invalid_exact_evm_payload_signature";
    let rig = with_native(BlockTime::Auto).await;
    let poor = EvmKey::from_bytes(&[0x42; 32]).unwrap();
    let by_payer = |transaction: TxEip1559| rig.by_transaction(PAYER, &sign(PAYER, transaction));
    let by_poor = |transaction: TxEip1559| presented(&rig, &poor, poor.sign_eip1559(TxEip1559 { nonce: 0, ..transaction }).unwrap().raw);
    let calldata = |edit: fn(&mut Vec<u8>)| {
        let mut transaction = token(&rig, PAYER);
        let mut data = transaction.input.to_vec();
        edit(&mut data);
        transaction.input = data.into();
        by_payer(transaction)
    };
    let legacy = TxLegacy {
        chain_id: None,
        gas_price: 10 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(account(PAYEE).address),
        value: U256::from(WEI),
        ..TxLegacy::default()
    };
    let delegating = TxEip7702 {
        chain_id: 84532,
        gas_limit: 100_000,
        max_fee_per_gas: 10 * GWEI,
        to: account(PAYEE).address,
        value: U256::from(WEI),
        ..TxEip7702::default()
    };
    let (coin, usd) = (native_terms(&rig), rig.requirements(PRICE));
    let cases: Vec<(&str, PaymentPayload, &Requirements, &str)> = vec![
        ("T041 without funds", by_poor(native(&rig, PAYER)), &coin, "insufficient_funds"),
        ("T041 without tokens", rig.by_transaction(9, &sign(9, token(&rig, 9))), &usd, "insufficient_funds"),
        (
            "T041 more value than there is",
            by_payer(TxEip1559 { value: U256::MAX >> 1, ..native(&rig, PAYER) }),
            &coin,
            "insufficient_funds",
        ),
        ("T042 another chain", by_payer(TxEip1559 { chain_id: 1, ..native(&rig, PAYER) }), &coin, "invalid_network"),
        ("T042 no chain at all", presented(&rig, &key(PAYER), signed(&key(PAYER), legacy).raw), &coin, KIND),
        ("T043 deploys a contract", by_payer(TxEip1559 { to: TxKind::Create, ..native(&rig, PAYER) }), &coin, KIND),
        (
            "T043 pays somebody else",
            by_payer(rig.native_transfer(PAYER, account(7).address, WEI)),
            &coin,
            "invalid_exact_evm_payload_recipient_mismatch",
        ),
        (
            "T043 tokens for somebody else",
            by_payer(rig.token_transfer(PAYER, account(7).address, PRICE)),
            &usd,
            "invalid_exact_evm_payload_recipient_mismatch",
        ),
        (
            "T043 another contract",
            by_payer(TxEip1559 { to: TxKind::Call(rig.chain.multicall3()), ..token(&rig, PAYER) }),
            &usd,
            "unsupported_asset",
        ),
        (
            "T043 less than the price",
            by_payer(TxEip1559 { value: U256::from(WEI - 1), ..native(&rig, PAYER) }),
            &coin,
            "invalid_exact_evm_payload_authorization_value",
        ),
        (
            "T043 fewer tokens",
            by_payer(rig.token_transfer(PAYER, account(PAYEE).address, PRICE - 1)),
            &usd,
            "invalid_exact_evm_payload_authorization_value",
        ),
        ("T043 coins for tokens", by_payer(native(&rig, PAYER)), &usd, KIND),
        ("T046 bytes after the call", calldata(|data| data.push(0)), &usd, KIND),
        ("T046 a short call", calldata(|data| data.truncate(67)), &usd, KIND),
        ("T046 a dirty address", calldata(|data| data[4] = 1), &usd, KIND),
        ("T046 approve", calldata(|data| data[..4].copy_from_slice(&[0x09, 0x5e, 0xa7, 0xb3])), &usd, KIND),
        ("T046 transferFrom", calldata(|data| data[..4].copy_from_slice(&[0x23, 0xb8, 0x72, 0xdd])), &usd, KIND),
        ("T046 coins with the tokens", by_payer(TxEip1559 { value: U256::from(1), ..token(&rig, PAYER) }), &usd, KIND),
        ("T046 EIP-7702", presented(&rig, &key(PAYER), signed(&key(PAYER), delegating).raw), &coin, KIND),
        (
            "T046 bytes after the transaction",
            presented(&rig, &key(PAYER), [&sign(PAYER, native(&rig, PAYER)).raw[..], &[0]].concat().into()),
            &coin,
            "invalid_payload",
        ),
        ("T046 noise", presented(&rig, &key(PAYER), Bytes::from_static(&[0x02, 0xc0])), &coin, "invalid_payload"),
        ("T048 no fee", by_payer(TxEip1559 { max_fee_per_gas: 0, max_priority_fee_per_gas: 0, ..native(&rig, PAYER) }), &coin, STATE),
        ("T048 the base fee and a fifth", by_payer(TxEip1559 { max_fee_per_gas: GWEI + GWEI / 5, ..native(&rig, PAYER) }), &coin, STATE),
        ("T048 too little gas", by_payer(TxEip1559 { gas_limit: 30_000, ..token(&rig, PAYER) }), &usd, STATE),
        ("T049 a nonce too far", by_payer(TxEip1559 { nonce: 99_999, ..native(&rig, PAYER) }), &coin, STATE),
        ("T049 the nonce after", by_payer(TxEip1559 { nonce: 1, ..native(&rig, PAYER) }), &coin, STATE),
        ("T050 somebody else's", rig.by_transaction(6, &sign(PAYER, native(&rig, PAYER))), &coin, SIGNATURE),
        (
            "T050 signed for another resource",
            {
                let raw = sign(PAYER, native(&rig, PAYER)).raw;
                let signed_message = key(PAYER).sign_message("http://127.0.0.1/other").unwrap();
                rig.payload(Payload::EvmTransaction(SignedEvmTransaction { raw, signed_message }))
            },
            &coin,
            SIGNATURE,
        ),
    ];
    assert_eq!(rig.chain.nonce(account(PAYER).address), 0);
    for (name, payment, terms, word) in &cases {
        let verified = ask(&rig, "/verify", payment, terms, None).await;
        let settled = ask(&rig, "/settle", payment, terms, None).await;
        assert!(!verified.is_valid() && !settled.is_settled(), "{name}");
        assert_eq!((verified.word().as_str(), settled.word().as_str()), (*word, *word), "{name}: {verified:?} {settled:?}");
        assert_eq!(settled.transaction(), None, "{name}");
    }
    assert_eq!(sends(&rig), 0, "something was relayed");
    for (terms, transaction) in [(&coin, native(&rig, PAYER)), (&usd, TxEip1559 { nonce: 1, ..token(&rig, PAYER) })] {
        assert!(ask(&rig, "/settle", &by_payer(transaction), terms, None).await.is_settled());
    }
}

/// T050: without a resource nothing ties a signed transaction to whoever presents it.
#[tokio::test(flavor = "multi_thread")]
async fn t050_requirements_without_a_resource_take_no_bearer_instrument() {
    let rig = with_native(BlockTime::Auto).await;
    let payment = rig.by_transaction(PAYER, &sign(PAYER, native(&rig, PAYER)));
    let terms = native_terms(&rig);
    let nowhere = Requirements {
        resource: std::sync::Arc::new(h402_core::Resource { url: String::new(), ..(*terms.resource).clone() }),
        ..terms.clone()
    };
    let refused = ask(&rig, "/settle", &payment, &nowhere, None).await;
    assert_eq!(refused.word(), "invalid_payment_requirements");
    assert_eq!(sends(&rig), 0);
    assert!(ask(&rig, "/settle", &payment, &terms, None).await.is_settled());
}

/// T044: after we sent it, the payer replaces the transaction by one to himself. That is no success, and it ends.
#[tokio::test(flavor = "multi_thread")]
async fn t044_a_replaced_transaction_is_no_success() {
    let rig = with_native(BlockTime::Manual).await;
    let transaction = sign(PAYER, native(&rig, PAYER));
    let payment = rig.by_transaction(PAYER, &transaction);
    let terms = native_terms(&rig);
    let replacing = async {
        until_pending(&rig, 1).await;
        let to_himself = rig.native_transfer(PAYER, account(PAYER).address, 1);
        rig.send(PAYER, TxEip1559 { max_fee_per_gas: 100 * GWEI, max_priority_fee_per_gas: 50 * GWEI, ..to_himself }).await;
        rig.chain.mine().await;
    };
    let before = rig.chain.native_balance(account(PAYEE).address);
    let (failed, ()) = tokio::join!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")), replacing);
    assert_eq!((failed.is_settled(), failed.word().as_str()), (false, "invalid_transaction_state"), "{failed:?}");
    assert_eq!(failed.transaction(), Some(transaction.hash), "what was sent is told");
    assert_eq!(rig.chain.native_balance(account(PAYEE).address), before);
    assert_eq!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await, failed, "and it stays so");
}

/// T044: replaced by a transaction that pays the payee even more: not the one that was presented, so no success, and
/// the payer's other transaction is no second payment either.
#[tokio::test(flavor = "multi_thread")]
async fn t044_a_replacement_that_pays_is_another_transaction() {
    let rig = with_native(BlockTime::Manual).await;
    let payment = rig.by_transaction(PAYER, &sign(PAYER, native(&rig, PAYER)));
    let terms = native_terms(&rig);
    let richer =
        TxEip1559 { max_fee_per_gas: 100 * GWEI, max_priority_fee_per_gas: 50 * GWEI, value: U256::from(2 * WEI), ..native(&rig, PAYER) };
    let other = rig.by_transaction(PAYER, &sign(PAYER, richer.clone()));
    let replacing = async {
        until_pending(&rig, 1).await;
        // The same nonce is the same payment: it is in progress.
        assert_eq!(ask(&rig, "/settle", &other, &terms, Some("shop-2")).await.word(), "duplicate_settlement");
        rig.send(PAYER, richer).await;
        rig.chain.mine().await;
    };
    let (failed, ()) = tokio::join!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")), replacing);
    assert_eq!(failed.word(), "invalid_transaction_state");
    assert!(!ask(&rig, "/settle", &other, &terms, Some("shop-2")).await.is_settled());
}

/// T045: the payer has sent it already. The node knows it, and it is waited for like any other: one success.
#[tokio::test(flavor = "multi_thread")]
async fn t045_a_transaction_that_is_known_already_is_waited_for() {
    let rig = with_native(BlockTime::Manual).await;
    let transaction = sign(PAYER, token(&rig, PAYER));
    rig.submit(&transaction.raw).await.unwrap();
    let payment = rig.by_transaction(PAYER, &transaction);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    let sent = sends(&rig);
    let mining = async {
        super::until("it was sent", async || sends(&rig) > sent).await;
        rig.chain.mine().await;
    };
    let (settled, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), mining);
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!((settled.transaction(), transfers(&rig)), (Some(transaction.hash), 1));
    assert_eq!(settle(&rig, &payment, Some("shop-2")).await.word(), "duplicate_settlement");
}

/// T045, T052: it is in a block already. Old payments prove nothing new, so as a signed transaction it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn t045_t052_a_signed_transaction_that_is_mined_is_refused() {
    let rig = with_native(BlockTime::Auto).await;
    let transaction = sign(PAYER, token(&rig, PAYER));
    rig.submit(&transaction.raw).await.unwrap();
    let sent = sends(&rig);
    let payment = rig.by_transaction(PAYER, &transaction);
    assert_eq!(verify(&rig, &payment, None).await.word(), "invalid_transaction_state");
    assert_eq!(settle(&rig, &payment, None).await.word(), "invalid_transaction_state");
    assert_eq!(sends(&rig), sent);
    assert!(settle(&rig, &rig.by_transaction(PAYER, &sign(PAYER, token(&rig, PAYER))), None).await.is_settled());
}

/// T045: verified, and then the payer sends it himself: it is mined before we come to send it. The payee has the
/// money, so it is a success, once, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t045_a_transaction_mined_between_verify_and_settle_is_a_success() {
    let rig = with_native(BlockTime::Auto).await;
    for terms in [rig.requirements(PRICE), native_terms(&rig)] {
        let transaction = sign(PAYER, if terms.offer.asset.is_native() { native(&rig, PAYER) } else { token(&rig, PAYER) });
        let payment = rig.by_transaction(PAYER, &transaction);
        assert!(ask(&rig, "/verify", &payment, &terms, Some("shop-1")).await.is_valid());
        rig.submit(&transaction.raw).await.unwrap();
        let sent = sends(&rig);
        let settled = ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await;
        assert!(settled.is_settled(), "{settled:?}");
        assert_eq!((settled.transaction(), sends(&rig)), (Some(transaction.hash), sent));
        assert_eq!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await, settled);
        assert_eq!(ask(&rig, "/settle", &payment, &terms, Some("shop-2")).await.word(), "duplicate_settlement");
    }
    // Verified too long ago; or another transaction of the same nonce was mined.
    let late = sign(PAYER, token(&rig, PAYER));
    let payment = rig.by_transaction(PAYER, &late);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    rig.submit(&late.raw).await.unwrap();
    rig.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "invalid_transaction_state");
    let payment = rig.by_transaction(PAYER, &sign(PAYER, token(&rig, PAYER)));
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    rig.send(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, 2 * PRICE)).await;
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "invalid_transaction_state");
}

/// T047: a payee that does not take the coin, a paused token, a payer or payee on its blacklist: refused by trying,
/// before anything is sent. Each way of paying, and each time the honest twin.
#[tokio::test(flavor = "multi_thread")]
async fn t047_a_transfer_that_would_revert_is_not_sent() {
    let rig = with_native(BlockTime::Auto).await;
    let stubborn = rig.chain.deploy_rejects_ether().unwrap();
    let payment = rig.by_transaction(PAYER, &sign(PAYER, rig.native_transfer(PAYER, stubborn, WEI)));
    let terms = requirements(&ether(&rig), stubborn, WEI);
    assert_eq!(ask(&rig, "/verify", &payment, &terms, None).await.word(), "transfer_reverts");
    assert_eq!(ask(&rig, "/settle", &payment, &terms, None).await.word(), "transfer_reverts");
    let usdc = rig.chain.usdc();
    type Block = fn(&Rig, bool);
    let blocks: [(&str, Block); 3] = [
        ("paused", |rig, on| rig.chain.set_paused(rig.chain.usdc(), on).unwrap()),
        ("payer", |rig, on| rig.chain.blacklist(rig.chain.usdc(), account(PAYER).address, on).unwrap()),
        ("payee", |rig, on| rig.chain.blacklist(rig.chain.usdc(), account(PAYEE).address, on).unwrap()),
    ];
    for (name, block) in blocks {
        block(&rig, true);
        let payments = [rig.payment(PAYER, PRICE), rig.by_transaction(PAYER, &sign(PAYER, token(&rig, PAYER)))];
        let sent = sends(&rig);
        for payment in &payments {
            assert_eq!(verify(&rig, payment, Some("shop-1")).await.word(), "transfer_reverts", "{name}");
            assert_eq!(settle(&rig, payment, Some("shop-1")).await.word(), "transfer_reverts", "{name}");
        }
        assert_eq!(sends(&rig), sent, "{name}");
        block(&rig, false);
        for payment in &payments {
            assert!(settle(&rig, payment, Some("shop-1")).await.is_settled(), "{name}");
        }
    }
    assert_eq!(rig.chain.transfers(usdc).len(), 6);
}

/// T047, T069: the token is paused when the transaction is on its way already. It fails with its hash, once: no
/// second try, and the answer stays.
#[tokio::test(flavor = "multi_thread")]
async fn t047_t069_a_token_that_stops_on_the_way_is_one_failure() {
    for own_transaction in [false, true] {
        let rig = with_native(BlockTime::Manual).await;
        let payment = if own_transaction { rig.by_transaction(PAYER, &sign(PAYER, token(&rig, PAYER))) } else { rig.payment(PAYER, PRICE) };
        assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
        let stopping = async {
            until_pending(&rig, 1).await;
            let hash = rig.chain.pending()[0];
            rig.chain.set_paused(rig.chain.usdc(), true).unwrap();
            rig.chain.mine().await;
            hash
        };
        let (failed, hash) = tokio::join!(settle(&rig, &payment, Some("shop-1")), stopping);
        assert_eq!((failed.is_settled(), failed.word().as_str()), (false, "transfer_reverts"), "{failed:?}");
        assert_eq!(failed.transaction(), Some(hash));
        rig.chain.set_paused(rig.chain.usdc(), false).unwrap();
        rig.chain.mine().await;
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await, failed);
        assert_eq!((transfers(&rig), rig.chain.nonce(account(if own_transaction { PAYER } else { GAS }).address)), (0, 1));
        // The next payment goes through.
        let next = rig.payment(PAYER, PRICE);
        let mining = async {
            until_pending(&rig, 1).await;
            rig.chain.mine().await;
        };
        let (settled, ()) = tokio::join!(settle(&rig, &next, Some("shop-1")), mining);
        assert!(settled.is_settled(), "{settled:?}");
    }
}

/// T048: the base fee rises. Before the send it is refused; after it, the transaction is pending until it falls.
#[tokio::test(flavor = "multi_thread")]
async fn t048_a_fee_that_became_too_low() {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.answer_within = std::time::Duration::from_millis(400));
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let cheap = TxEip1559 { max_fee_per_gas: 2 * GWEI, ..token(&rig, PAYER) };
    let payment = rig.by_transaction(PAYER, &sign(PAYER, cheap));
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    rig.chain.set_next_base_fee(20 * 1_000_000_000);
    rig.chain.mine().await;
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "invalid_transaction_state");
    assert_eq!(sends(&rig), 0);
    rig.chain.set_next_base_fee(1_000_000_000);
    rig.chain.mine().await;
    let pending = settle(&rig, &payment, Some("shop-1")).await;
    assert_eq!(pending.word(), "settlement_pending");
    for _ in 0..3 {
        rig.chain.set_next_base_fee(20 * 1_000_000_000);
        rig.chain.mine().await;
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await, pending);
    }
    rig.chain.set_next_base_fee(1_000_000_000);
    rig.chain.mine().await;
    let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
    assert!(settled.is_settled());
    assert_eq!(settled.transaction(), pending.transaction());
}

/// T041: several payers at once, each with a nonce of its own.
#[tokio::test(flavor = "multi_thread")]
async fn t041_many_payers_send_at_once() {
    let rig = with_native(BlockTime::Auto).await;
    let payments: Vec<_> = (2..9).map(|payer| (payer, rig.by_transaction(payer, &sign(payer, token(&rig, payer))))).collect();
    let replies: Vec<Reply> = futures_util::future::join_all(payments.iter().map(async |(payer, payment)| {
        let caller = format!("shop-{payer}");
        settle(&rig, payment, Some(&caller)).await
    }))
    .await;
    let hashes: std::collections::HashSet<Option<B256>> = replies.iter().map(Reply::transaction).collect();
    assert!(replies.iter().all(Reply::is_settled), "{replies:?}");
    assert_eq!((hashes.len(), transfers(&rig), broadcasts(&rig)), (7, 7, 0));
}
