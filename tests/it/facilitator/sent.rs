//! Transactions that the payer has sent: their hashes are public, so everything about them is checked.

use super::{PRICE, Reply, ask, broadcasts, requirements, sends, settle, told, verify};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, sol};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use h402_core::{Asset, Network, PaymentPayload, evm::Erc20Transfer, wire::h402};
use h402_devnet::evm::{BlockTime, TokenKind, account};
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{PAYEE, PAYER, Rig, RigOptions},
    transactions::GWEI,
};
use std::time::Duration;

sol! {
    interface Multicall {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        function aggregate3(Call3[] calls) external payable;
    }

    interface Allowance {
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
    }
}

const STATE: &str = "invalid_transaction_state";
const OTHERS: &str = "invalid_exact_evm_payload_signature";

async fn accepting(block_time: BlockTime) -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| config.accept_sent = true);
    let native = Asset::native(Network::Evm(84532), "ETH");
    Rig::with(RigOptions { block_time, engine, more_assets: vec![native], ..RigOptions::default() }).await
}

/// The payer has sent the price; the hash of that.
async fn paid(rig: &Rig, payer: usize) -> B256 {
    rig.send(payer, rig.token_transfer(payer, account(PAYEE).address, PRICE)).await
}

/// Unless it was switched on, a payment that is sent already is refused, whatever it is.
#[tokio::test(flavor = "multi_thread")]
async fn t051_sent_payments_are_refused_unless_switched_on() {
    let rig = Rig::start().await;
    let payment = rig.by_hash(PAYER, paid(&rig, PAYER).await);
    for reply in [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await] {
        assert_eq!(reply.word(), "unsupported_payload_type", "{reply:?}");
    }
    let rig = accepting(BlockTime::Auto).await;
    let payment = rig.by_hash(PAYER, paid(&rig, PAYER).await);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    assert!(settle(&rig, &payment, Some("shop-1")).await.is_settled());
}

/// T051: one transaction opens one door, for ever: other callers, other spellings, after restarts.
#[tokio::test(flavor = "multi_thread")]
async fn t051_t059_a_hash_is_used_once_for_ever() {
    let mut rig = accepting(BlockTime::Auto).await;
    let sent = paid(&rig, PAYER).await;
    let payment = rig.by_hash(PAYER, sent);
    let counted = sends(&rig);
    let verified = verify(&rig, &payment, Some("shop-1")).await;
    assert!(verified.is_valid(), "{verified:?}");
    assert_eq!((verified.json()["type"].as_str(), verified.json()["txHash"].as_str()), (Some("transaction"), Some(&*sent.to_string())));
    let settled = settle(&rig, &payment, Some("shop-1")).await;
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(settled.transaction(), Some(sent));
    assert_eq!(told(&rig, &verified.payment_id()).await["transaction"], sent.to_string());
    for days in [0, 0, 30] {
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await, settled);
        assert_eq!(verify(&rig, &payment, Some("shop-1")).await.word(), "duplicate_settlement");
        for other in [Some("shop-2"), None] {
            assert_eq!(settle(&rig, &payment, other).await.word(), "duplicate_settlement");
            assert_eq!(verify(&rig, &payment, other).await.word(), "duplicate_settlement");
            let shouted = hex_as(&rig, &payment, |digits| digits.to_uppercase());
            assert_eq!(Reply::from(rig.post_body("/settle", shouted, other).await).word(), "duplicate_settlement");
        }
        rig.clock.advance(Duration::from_secs(days * 86_400));
        rig.restart().await;
    }
    assert_eq!((sends(&rig), broadcasts(&rig)), (counted, 0), "nothing is sent for what is sent");
}

/// The request with the hash's digits spelled otherwise.
fn hex_as(rig: &Rig, payment: &PaymentPayload, spell: impl Fn(&str) -> String) -> Vec<u8> {
    spelled(rig, payment, |hash| format!("0x{}", spell(&hash[2..])))
}

fn spelled(rig: &Rig, payment: &PaymentPayload, spell: impl Fn(&str) -> String) -> Vec<u8> {
    let body = h402::encode_request(payment, &rig.requirements(PRICE)).unwrap();
    let mut body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let payload = BASE64_STANDARD.decode(body["payload"].as_str().unwrap()).unwrap();
    let mut payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let hash = payload["payload"]["transactionHash"].as_str().unwrap().to_owned();
    payload["payload"]["transactionHash"] = spell(&hash).into();
    body["payload"] = BASE64_STANDARD.encode(payload.to_string()).into();
    serde_json::to_vec(&body).unwrap()
}

/// T059: what is no hash of 32 bytes is refused; case is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn t059_a_hash_has_one_meaning() {
    let rig = accepting(BlockTime::Auto).await;
    let payment = rig.by_hash(PAYER, paid(&rig, PAYER).await);
    type Spell = fn(&str) -> String;
    let bad: [(&str, Spell); 7] = [
        ("without 0x", |hash| hash[2..].to_owned()),
        ("0X", |hash| hash.replacen("0x", "0X", 1)),
        ("a space before", |hash| format!(" {hash}")),
        ("a space after", |hash| format!("{hash} ")),
        ("a byte less", |hash| hash[..64].to_owned()),
        ("a byte more", |hash| format!("{hash}00")),
        ("twice 0x", |hash| format!("0x{hash}")),
    ];
    for (name, spell) in bad {
        let reply = Reply::from(rig.post_body("/verify", spelled(&rig, &payment, spell), None).await);
        assert_eq!(reply.word(), "invalid_payload", "{name}: {reply:?}");
    }
    let shouted = Reply::from(rig.post_body("/verify", hex_as(&rig, &payment, str::to_uppercase), Some("shop-1")).await);
    let verified = verify(&rig, &payment, Some("shop-1")).await;
    assert!(verified.is_valid());
    assert_eq!(verified, shouted);
}

/// T052: what was paid before the service was there, or more than an hour ago, is nobody's ticket.
#[tokio::test(flavor = "multi_thread")]
async fn t052_old_payments_cannot_be_claimed() {
    let mut rig = accepting(BlockTime::Auto).await;
    let before_start = rig.by_hash(PAYER, paid(&rig, PAYER).await);
    rig.clock.advance(Duration::from_secs(5));
    rig.restart().await;
    for reply in [verify(&rig, &before_start, None).await, settle(&rig, &before_start, None).await] {
        assert_eq!(reply.word(), "payment_expired_for_claim", "{reply:?}");
    }
    rig.chain.advance_time(10);
    let late = rig.by_hash(PAYER, paid(&rig, PAYER).await);
    let fresh = rig.by_hash(PAYER, paid(&rig, PAYER).await);
    assert!(verify(&rig, &fresh, Some("shop-1")).await.is_valid());
    assert!(settle(&rig, &fresh, Some("shop-1")).await.is_settled());
    rig.clock.advance(Duration::from_secs(3610));
    assert_eq!(verify(&rig, &late, None).await.word(), "payment_expired_for_claim");
    assert_eq!(settle(&rig, &late, None).await.word(), "payment_expired_for_claim");
    assert!(settle(&rig, &fresh, Some("shop-1")).await.is_settled(), "what was claimed in time keeps its answer");
}

/// T053, T054: only the sender of the transaction can claim it, and only for the resource that he signed.
#[tokio::test(flavor = "multi_thread")]
async fn t053_t054_only_the_sender_claims_and_only_what_he_signed() {
    let rig = accepting(BlockTime::Auto).await;
    let sent = paid(&rig, PAYER).await;
    let thief = rig.by_hash(6, sent);
    assert_eq!(verify(&rig, &thief, Some("shop-1")).await.word(), OTHERS);
    assert_eq!(settle(&rig, &thief, Some("shop-1")).await.word(), OTHERS);
    let payment = rig.by_hash(PAYER, sent);
    let terms = rig.requirements(PRICE);
    let elsewhere = h402_core::Requirements {
        resource: std::sync::Arc::new(h402_core::Resource { url: "http://127.0.0.1/other".into(), ..(*terms.resource).clone() }),
        ..terms.clone()
    };
    assert_eq!(ask(&rig, "/settle", &payment, &elsewhere, None).await.word(), "resource_mismatch");
    let unnamed = PaymentPayload { resource: None, ..payment.clone() };
    assert_eq!(ask(&rig, "/settle", &unnamed, &elsewhere, None).await.word(), OTHERS);
    let settled = settle(&rig, &payment, Some("shop-1")).await;
    assert!(settled.is_settled());
    // The same door, the same caller, another claimant: the hash is public, the goods are not.
    for reply in [verify(&rig, &thief, Some("shop-1")).await, settle(&rig, &thief, Some("shop-1")).await] {
        assert_eq!(reply.word(), "duplicate_settlement", "{reply:?}");
    }
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await, settled);
}

/// What the payer sends and what he says it pays: nothing but a plain transfer of the price to the payee counts.
#[tokio::test(flavor = "multi_thread")]
async fn t054_t055_t056_t060_only_a_direct_transfer_counts() {
    let rig = accepting(BlockTime::Auto).await;
    let payee = account(PAYEE).address;
    let usdc = rig.chain.usdc();
    let look_alike = rig.chain.deploy(TokenKind::usdc("USDC")).unwrap();
    rig.chain.mint(look_alike, account(PAYER).address, U256::from(PRICE)).unwrap();
    rig.chain.mint(usdc, rig.chain.multicall3(), U256::from(10 * PRICE)).unwrap();
    let transfer = |to, units| Bytes::from(Erc20Transfer { to, amount: h402_core::Amount::from_atomic(units) }.encode());
    let call = |target, data| Multicall::Call3 { target, allowFailure: false, callData: data };
    let several = |calls: Vec<Multicall::Call3>| Bytes::from(Multicall::aggregate3Call { calls }.abi_encode());
    let to = |target, input| TxEip1559 { to: TxKind::Call(target), input, gas_limit: 300_000, ..rig.native_transfer(PAYER, payee, 0) };
    let multicall = rig.chain.multicall3();
    // T054: the payer himself, through an allowance.
    rig.send(PAYER, to(usdc, Allowance::approveCall { spender: account(PAYER).address, value: U256::from(PRICE) }.abi_encode().into()))
        .await;
    let cases = [
        (
            "T054 through an allowance",
            to(usdc, Allowance::transferFromCall { from: account(PAYER).address, to: payee, value: U256::from(PRICE) }.abi_encode().into()),
        ),
        ("T054 T055 through a router", to(multicall, several(vec![call(usdc, transfer(payee, PRICE))]))),
        (
            "T055 the first log pays",
            to(multicall, several(vec![call(usdc, transfer(payee, PRICE)), call(usdc, transfer(account(7).address, 1))])),
        ),
        (
            "T055 the last log pays",
            to(multicall, several(vec![call(usdc, transfer(account(7).address, 1)), call(usdc, transfer(payee, PRICE))])),
        ),
        (
            "T060 several payments in one",
            to(multicall, several(vec![call(usdc, transfer(payee, PRICE)), call(usdc, transfer(payee, PRICE))])),
        ),
        ("T056 a token of the same name", to(look_alike, transfer(payee, PRICE))),
        ("T055 to somebody else", rig.token_transfer(PAYER, account(7).address, PRICE)),
        ("T055 one less", rig.token_transfer(PAYER, payee, PRICE - 1)),
        ("T056 coins, not tokens", rig.native_transfer(PAYER, payee, PRICE)),
        ("T056 bytes after the call", to(usdc, [&transfer(payee, PRICE)[..], &[0; 32]].concat().into())),
    ];
    for (name, transaction) in cases {
        let transaction = TxEip1559 { nonce: rig.chain.nonce(account(PAYER).address), ..transaction };
        let sent = rig.send(PAYER, transaction).await;
        assert!(rig.chain.outcome(sent).unwrap().success, "{name} must be a good transaction");
        let payment = rig.by_hash(PAYER, sent);
        let replies = [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await];
        assert!(!replies[0].is_valid() && !replies[1].is_settled(), "{name}: {replies:?}");
        let words = [
            "unsupported_transaction_type",
            "unsupported_asset",
            "invalid_exact_evm_payload_recipient_mismatch",
            "invalid_exact_evm_payload_authorization_value",
        ];
        assert!(replies.iter().all(|reply| words.contains(&reply.word().as_str())), "{name}: {replies:?}");
    }
    assert!(settle(&rig, &rig.by_hash(PAYER, paid(&rig, PAYER).await), None).await.is_settled());
}

/// T060: twice the price in one transaction is one purchase.
#[tokio::test(flavor = "multi_thread")]
async fn t060_paying_double_buys_once() {
    let rig = accepting(BlockTime::Auto).await;
    let sent = rig.send(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, 2 * PRICE)).await;
    let payment = rig.by_hash(PAYER, sent);
    assert!(settle(&rig, &payment, Some("shop-1")).await.is_settled());
    assert_eq!(settle(&rig, &payment, Some("shop-2")).await.word(), "duplicate_settlement");
}

/// T058: unknown, waiting, dropped, failed: none of them is paid. When it is mined after all, it is.
#[tokio::test(flavor = "multi_thread")]
async fn t058_what_is_not_in_a_block_or_failed_is_not_paid() {
    let rig = accepting(BlockTime::Manual).await;
    let unknown = rig.by_hash(PAYER, B256::repeat_byte(7));
    assert_eq!(settle(&rig, &unknown, None).await.word(), STATE);
    let sent = paid(&rig, PAYER).await;
    let payment = rig.by_hash(PAYER, sent);
    for reply in [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await] {
        assert_eq!((reply.status, reply.word().as_str()), (503, "payment_unconfirmed"), "it waits: {reply:?}");
    }
    rig.chain.drop_pending(sent);
    assert_eq!(settle(&rig, &payment, None).await.word(), STATE, "it is dropped");
    let again = paid(&rig, PAYER).await;
    assert_eq!(again, sent, "the same transaction");
    rig.chain.mine().await;
    assert!(settle(&rig, &payment, None).await.is_settled());
    // A transaction that fails in its block: more than there is.
    let poor = rig.token_transfer(9, account(PAYEE).address, PRICE);
    let failed = rig.send(9, poor).await;
    rig.chain.mine().await;
    assert!(!rig.chain.outcome(failed).unwrap().success);
    let payment = rig.by_hash(9, failed);
    assert_eq!(verify(&rig, &payment, None).await.word(), STATE);
    assert_eq!(settle(&rig, &payment, None).await.word(), STATE);
}

/// The native coin, which logs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t051_t058_coins_are_seen_in_the_transaction_itself() {
    let rig = accepting(BlockTime::Auto).await;
    let ether = Asset::native(Network::Evm(84532), "ETH");
    let terms = requirements(&ether, account(PAYEE).address, GWEI);
    let good = rig.send(PAYER, rig.native_transfer(PAYER, account(PAYEE).address, GWEI)).await;
    let payment = rig.by_hash(PAYER, good);
    assert!(ask(&rig, "/verify", &payment, &terms, Some("shop-1")).await.is_valid());
    assert!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await.is_settled());
    // The coin was sent by a transaction that failed: with call data, to a contract that takes neither.
    let stubborn = rig.chain.deploy_rejects_ether().unwrap();
    let failed = rig.send(PAYER, rig.native_transfer(PAYER, stubborn, GWEI)).await;
    assert!(!rig.chain.outcome(failed).unwrap().success);
    let terms = requirements(&ether, stubborn, GWEI);
    assert_eq!(ask(&rig, "/settle", &rig.by_hash(PAYER, failed), &terms, None).await.word(), STATE);
}

/// A payer may send one payment after the other: what is settled is not open any more.
#[tokio::test(flavor = "multi_thread")]
async fn t051_a_payer_may_send_many_payments() {
    let rig = accepting(BlockTime::Auto).await;
    for number in 0..20 {
        let payment = rig.by_hash(PAYER, paid(&rig, PAYER).await);
        let caller = format!("shop-{number}");
        assert!(verify(&rig, &payment, Some(&caller)).await.is_valid(), "{number}");
        let settled = settle(&rig, &payment, Some(&caller)).await;
        assert!(settled.is_settled(), "{number}: {settled:?}");
    }
}
