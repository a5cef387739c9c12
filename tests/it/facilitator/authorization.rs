//! Authorizations that are wrong, late, spent or promised twice.

use super::{PRICE, Reply, broadcasts, sends, settle, settle_until_ended, transfers, until, until_pending, verify};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Signature, TxKind, U256, hex};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, sol};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::join_all;
use h402_core::{Amount, Authorization, Payload, PaymentPayload, SignedAuthorization, wire::h402};
use h402_devnet::{
    evm::{BlockTime, account},
    fault::{ANY, Fault, Times},
};
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{PAYEE, PAYER, Rig, RigOptions, key, nonce, now},
    transactions::GWEI,
};
use serde_json::Value;
use std::time::Duration;

sol! {
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    interface Cancelling {
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
    }
}

/// The account that holds no tokens at first.
const POOR: usize = 9;

/// A request whose payload's JSON text was changed after it was signed.
fn edited(rig: &Rig, payment: &PaymentPayload, edit: impl FnOnce(String) -> String) -> Vec<u8> {
    let body = h402::encode_request(payment, &rig.requirements(PRICE)).unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let payload = BASE64_STANDARD.decode(body["payload"].as_str().unwrap()).unwrap();
    body["payload"] = BASE64_STANDARD.encode(edit(String::from_utf8(payload).unwrap())).into();
    serde_json::to_vec(&body).unwrap()
}

/// A request whose requirements were changed.
fn for_other_terms(rig: &Rig, payment: &PaymentPayload, field: &str, value: Value) -> Vec<u8> {
    let body = h402::encode_request(payment, &rig.requirements(PRICE)).unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["paymentRequirements"][field] = value;
    serde_json::to_vec(&body).unwrap()
}

fn request(rig: &Rig, payment: &PaymentPayload) -> Vec<u8> {
    edited(rig, payment, |text| text)
}

/// A payment whose authorization was changed before it was signed.
fn with(rig: &Rig, change: impl FnOnce(&mut Authorization)) -> PaymentPayload {
    let mut authorization = rig.authorization(PAYER, PRICE);
    change(&mut authorization);
    rig.signed(PAYER, authorization)
}

/// A payment signed under another domain than the token's.
fn under(rig: &Rig, change: impl FnOnce(&mut Eip712Domain)) -> PaymentPayload {
    let mut domain = rig.asset.eip712_domain().unwrap();
    change(&mut domain);
    let signed = key(PAYER).sign_authorization(rig.authorization(PAYER, PRICE), &domain).unwrap();
    rig.payload(Payload::Authorization(signed))
}

/// The same authorization under another signature.
fn signed_as(payment: &PaymentPayload, signature: impl FnOnce(&[u8]) -> Vec<u8>) -> PaymentPayload {
    let Payload::Authorization(SignedAuthorization { authorization, signature: old, version }) = payment.payload.clone() else { panic!() };
    let signature = signature(&old).into();
    PaymentPayload { payload: Payload::Authorization(SignedAuthorization { authorization, signature, version }), ..payment.clone() }
}

async fn ask_both(rig: &Rig, body: &[u8]) -> [Reply; 2] {
    [rig.post_body("/verify", body.to_vec(), None).await.into(), rig.post_body("/settle", body.to_vec(), None).await.into()]
}

/// T017, T018, T019, T020, T021, T025, T026, T027, T028, T029, T031: what is wrong by itself is refused in its own
/// words by `/verify` and `/settle` alike, and the chain is not asked anything.
#[tokio::test(flavor = "multi_thread")]
async fn t017_t018_t019_t020_t021_t025_t026_t027_t028_t029_t031_junk_costs_no_chain_request() {
    let rig = Rig::start().await;
    let good = rig.payment(PAYER, PRICE);
    let usdc = rig.chain.usdc();
    let received = {
        // T031: the other function of the same token, same fields.
        let a = rig.authorization(PAYER, PRICE);
        let message = ReceiveWithAuthorization {
            from: a.from,
            to: a.to,
            value: a.value.to_u256(),
            validAfter: a.valid_after,
            validBefore: a.valid_before,
            nonce: a.nonce,
        };
        let signature = key(PAYER).sign_hash(&message.eip712_signing_hash(&rig.asset.eip712_domain().unwrap())).unwrap();
        let signature = signature.as_bytes().to_vec().into();
        rig.payload(Payload::Authorization(SignedAuthorization { authorization: a, signature, version: None }))
    };
    const SIGNATURE: &str = "invalid_exact_evm_payload_signature";
    const BEFORE: &str = "invalid_exact_evm_payload_authorization_valid_before";
    const AFTER: &str = "invalid_exact_evm_payload_authorization_valid_after";
    const VALUE: &str = "invalid_exact_evm_payload_authorization_value";
    const RECIPIENT: &str = "invalid_exact_evm_payload_recipient_mismatch";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("T017 domain's name", request(&rig, &under(&rig, |domain| domain.name = Some("USD Coin".into()))), SIGNATURE),
        ("T017 domain's version", request(&rig, &under(&rig, |domain| domain.version = Some("1".into()))), SIGNATURE),
        ("T017 another token", request(&rig, &under(&rig, |domain| domain.verifying_contract = Some(Address::repeat_byte(1)))), SIGNATURE),
        ("T018 another chain", request(&rig, &under(&rig, |domain| domain.chain_id = Some(U256::from(8453)))), SIGNATURE),
        ("T018 named network", edited(&rig, &good, |text| text.replace(r#""84532""#, r#""8453""#)), "invalid_network"),
        ("T019 over", request(&rig, &with(&rig, |a| a.valid_before = U256::from(now() - 1))), BEFORE),
        ("T019 nearly over", request(&rig, &with(&rig, |a| a.valid_before = U256::from(now() + 8))), BEFORE),
        ("T020 tomorrow", request(&rig, &with(&rig, |a| a.valid_after = U256::from(now() + 3600))), AFTER),
        ("T021 too long", request(&rig, &with(&rig, |a| a.valid_before = U256::from(now() + 660))), BEFORE),
        ("T021 for ever", request(&rig, &with(&rig, |a| a.valid_before = U256::MAX)), BEFORE),
        ("T025 one less", request(&rig, &with(&rig, |a| a.value = Amount::from_atomic(PRICE - 1))), VALUE),
        ("T026 to another", request(&rig, &with(&rig, |a| a.to = account(7).address)), RECIPIENT),
        ("T027 nothing", request(&rig, &with(&rig, |a| a.value = Amount::ZERO)), VALUE),
        ("T027 price of nothing", for_other_terms(&rig, &good, "amountRequired", 0.into()), "invalid_payment_requirements"),
        (
            "T027 to nobody",
            for_other_terms(&rig, &good, "payToAddress", format!("{:?}", Address::ZERO).into()),
            "invalid_payment_requirements",
        ),
        ("T027 to the token", for_other_terms(&rig, &good, "payToAddress", usdc.to_string().into()), "invalid_payment_requirements"),
        (
            "T027 to oneself",
            {
                let signed = rig.signed(PAYER, Authorization { to: account(PAYER).address, ..rig.authorization(PAYER, PRICE) });
                for_other_terms(&rig, &signed, "payToAddress", account(PAYER).address.to_string().into())
            },
            "invalid_payload",
        ),
        ("T028 recovery id", request(&rig, &signed_as(&good, |old| [&old[..64], &[29]].concat())), SIGNATURE),
        ("T028 r is zero", request(&rig, &signed_as(&good, |old| [&[0; 32], &old[32..]].concat())), SIGNATURE),
        ("T028 s is zero", request(&rig, &signed_as(&good, |old| [&old[..32], &[0; 32], &old[64..]].concat())), SIGNATURE),
        ("T029 66 bytes", request(&rig, &signed_as(&good, |_| vec![0xa5; 66])), SIGNATURE),
        ("T029 65 bytes of noise", request(&rig, &signed_as(&good, |old| [&[0x5a; 64], &old[64..]].concat())), SIGNATURE),
        ("T029 one byte", request(&rig, &signed_as(&good, |_| vec![1])), SIGNATURE),
        ("T029 a wallet's kilobytes", request(&rig, &signed_as(&good, |_| vec![7; 4096])), SIGNATURE),
        ("T029 another account's", request(&rig, &rig.signed(6, rig.authorization(PAYER, PRICE))), SIGNATURE),
        ("T031 receive", request(&rig, &received), SIGNATURE),
    ];
    let asked = rig.chain.faults().calls(ANY);
    for (name, body, word) in &cases {
        let [verified, settled] = ask_both(&rig, body).await;
        assert!(!verified.is_valid() && !settled.is_settled(), "{name}");
        assert_eq!(verified.word(), *word, "{name}: {verified:?}");
        assert_eq!(settled.word(), *word, "{name}: {settled:?}");
    }
    assert_eq!(rig.chain.faults().calls(ANY), asked, "the chain was asked");
    let [verified, settled] = ask_both(&rig, &request(&rig, &good)).await;
    assert!(verified.is_valid() && settled.is_settled(), "{verified:?} {settled:?}");
    assert!(rig.chain.faults().calls(ANY) > asked);
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
}

/// T019, T020, T021, T025: the same fields one step inside the limits.
#[tokio::test(flavor = "multi_thread")]
async fn t019_t020_t021_t025_what_is_just_inside_the_limits_is_settled() {
    let rig = Rig::start().await;
    let cases: [(&str, fn(&mut Authorization)); 5] = [
        ("half a minute left", |a| a.valid_before = U256::from(now() + 30)),
        ("ten minutes left, less what the test takes", |a| a.valid_before = U256::from(now() + 590)),
        ("valid since now", |a| a.valid_after = U256::from(now() - 1)),
        ("valid since ever", |a| a.valid_after = U256::ZERO),
        ("more than the price", |a| a.value = Amount::from_atomic(PRICE + 1)),
    ];
    for (name, change) in cases {
        let before = rig.received();
        let payment = with(&rig, change);
        let settled = settle(&rig, &payment, None).await;
        assert!(settled.is_settled(), "{name}: {settled:?}");
        assert!(rig.received() - before >= U256::from(PRICE), "{name}");
    }
}

/// T019: on a chain that was seen to take long for its blocks a payment must live until the second from now, or until the next
/// if it was verified before. Otherwise nothing is sent for it, and nothing burnt.
#[tokio::test(flavor = "multi_thread")]
async fn t019_a_slow_chain_takes_only_what_lives_until_its_block() {
    const SLOW: u64 = 24;
    let engine = Box::new(|config: &mut EngineConfig| config.answer_within = Duration::from_millis(400));
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let lasting = |clock: u64, left: u64| with(&rig, |a| a.valid_before = U256::from(now() + clock + left));
    assert!(verify(&rig, &lasting(0, 20), None).await.is_valid(), "nothing is known of blocks yet");
    settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await;
    until_pending(&rig, 1).await;
    let looked = rig.chain.faults().requests();
    until("the head was seen", async || rig.chain.faults().requests() > looked + 4).await;
    rig.clock.advance(Duration::from_secs(SLOW));
    rig.chain.advance_time(SLOW);
    rig.chain.mine().await;
    until("it is slow", async || !verify(&rig, &lasting(SLOW, 20), None).await.is_valid()).await;
    let sent = sends(&rig);
    for left in [14, 25] {
        let reply = settle(&rig, &lasting(SLOW, left), None).await;
        assert_eq!(reply.word(), "invalid_exact_evm_payload_authorization_valid_before", "{reply:?}");
    }
    // Verified in time, and then its handler took too long.
    let late = lasting(SLOW, 60);
    assert!(verify(&rig, &late, Some("shop-1")).await.is_valid());
    let promised = lasting(SLOW, 66);
    assert!(verify(&rig, &promised, Some("shop-1")).await.is_valid());
    rig.clock.advance(Duration::from_secs(35));
    settle(&rig, &promised, Some("shop-1")).await;
    until("one block is enough for what was verified", async || sends(&rig) == sent + 1).await;
    rig.clock.advance(Duration::from_secs(8));
    assert!(!settle(&rig, &late, Some("shop-1")).await.is_settled());
    assert_eq!(sends(&rig), sent + 1);
}

/// T026: an address is twenty bytes, however it is spelled, as long as a wrong checksum cannot be one's own typing error.
#[tokio::test(flavor = "multi_thread")]
async fn t026_addresses_are_bytes() {
    let rig = Rig::start().await;
    let payee = account(PAYEE).address.to_string();
    let upper = format!("0x{}", payee[2..].to_uppercase());
    let mixed = payee.replacen('C', "c", 1);
    assert_ne!(payee, mixed);
    let spelled = [
        (payee.clone(), true),
        (payee.to_lowercase(), true),
        (upper.clone(), true),
        (mixed, false),
        (payee[2..].to_owned(), false),
        (upper.replacen("0x", "0X", 1), false),
        (format!(" {payee}"), false),
    ];
    for (spelling, good) in spelled {
        let payment = rig.payment(PAYER, PRICE);
        let [in_payload, _] = ask_both(&rig, &edited(&rig, &payment, |text| text.replace(&payee, &spelling))).await;
        assert_eq!(in_payload.is_valid(), good, "{spelling}: {in_payload:?}");
        let payment = rig.payment(PAYER, PRICE);
        let [in_terms, _] = ask_both(&rig, &for_other_terms(&rig, &payment, "payToAddress", spelling.clone().into())).await;
        assert_eq!(in_terms.is_valid(), good, "{spelling}: {in_terms:?}");
    }
}

/// T027: dust is not worth its gas.
#[tokio::test(flavor = "multi_thread")]
async fn t027_less_than_the_minimum_is_not_settled() {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| {
        let asset = config.assets.iter().next().unwrap().id.address;
        h402_tests::rig::evm(config).minimums = vec![(asset, Amount::from_atomic(5_000))];
    });
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    for (units, good) in [(1, false), (4_999, false), (5_000, true)] {
        let payment = rig.payment(PAYER, units);
        let reply = Reply::from(rig.post("/settle", &payment, units, None).await);
        assert_eq!(reply.is_settled(), good, "{reply:?}");
        assert_eq!(reply.word() == "settlement_cost_exceeds_limit", !good, "{reply:?}");
    }
    assert_eq!(sends(&rig), 1);
}

/// T012, T028: every spelling of a good signature is the same payment, accepted by `/verify` as by `/settle`, and
/// settled once in the spelling that tokens take.
#[tokio::test(flavor = "multi_thread")]
async fn t012_t028_all_spellings_of_a_signature_are_one_payment() {
    let rig = Rig::start().await;
    let spellings: [(&str, fn(&[u8]) -> Vec<u8>); 5] = [
        ("as it is", <[u8]>::to_vec),
        ("recovery id 0 or 1", |old| [&old[..64], &[old[64] - 27]].concat()),
        ("high s", |old| {
            let parsed = Signature::from_raw(old).unwrap();
            // The order of the curve, from SEC 2.
            let order = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
            Signature::new(parsed.r(), order - parsed.s(), !parsed.v()).as_bytes().to_vec()
        }),
        ("64 bytes, EIP-2098", |old| {
            let mut short = old[..64].to_vec();
            short[32] |= (old[64] - 27) << 7;
            short
        }),
        ("upper-case hex", <[u8]>::to_vec),
    ];
    let payment = rig.payment(PAYER, PRICE);
    let id = verify(&rig, &payment, Some("shop-1")).await.payment_id();
    let mut receipts = std::collections::HashSet::new();
    for (first, (name, spelling)) in spellings.iter().enumerate() {
        let respelled = signed_as(&payment, spelling);
        let body = edited(&rig, &respelled, |text| match *name {
            "upper-case hex" => {
                let (head, tail) = text.split_once(r#""signature":"0x"#).unwrap();
                let (digits, tail) = tail.split_once('"').unwrap();
                format!(r#"{head}"signature":"0x{}"{tail}"#, digits.to_uppercase())
            }
            _ => text,
        });
        let verified = Reply::from(rig.post_body("/verify", body.clone(), Some("shop-1")).await);
        match first {
            0 => assert_eq!(verified.payment_id(), id, "{name}: {verified:?}"),
            _ => assert_eq!(verified.word(), "duplicate_settlement", "{name}: the same payment"),
        }
        let settled = Reply::from(rig.post_body("/settle", body.clone(), Some("shop-1")).await);
        assert!(settled.is_settled(), "{name}: {settled:?}");
        receipts.insert(settled.text);
        let stranger = Reply::from(rig.post_body("/settle", body, Some("shop-2")).await);
        assert_eq!(stranger.word(), "duplicate_settlement", "{name}");
        // Each spelling must also be good and settle by itself.
        let alone = signed_as(&rig.payment(PAYER + 1, PRICE), spelling);
        assert!(verify(&rig, &alone, Some("shop-1")).await.is_valid(), "{name} alone");
        assert!(settle(&rig, &alone, Some("shop-1")).await.is_settled(), "{name} alone");
        assert_eq!(broadcasts(&rig), first as u64 + 2);
    }
    assert_eq!(receipts.len(), 1);
}

/// T012: one nonce signed twice, for other terms, is one payment: the second is not answered with the first's receipt.
#[tokio::test(flavor = "multi_thread")]
async fn t012_a_nonce_signed_again_for_more_is_not_the_payment_it_was() {
    let rig = Rig::start().await;
    let authorization = rig.authorization(PAYER, PRICE);
    let cheap = rig.signed(PAYER, authorization.clone());
    let dear = rig.signed(PAYER, Authorization { value: Amount::from_atomic(100 * PRICE), ..authorization });
    assert!(settle(&rig, &cheap, Some("shop-1")).await.is_settled());
    let verified = Reply::from(rig.post("/verify", &dear, 100 * PRICE, Some("shop-1")).await);
    let settled = Reply::from(rig.post("/settle", &dear, 100 * PRICE, Some("shop-1")).await);
    assert_eq!((verified.word(), settled.word()), ("duplicate_settlement".into(), "duplicate_settlement".into()));
    assert!(settle(&rig, &cheap, Some("shop-1")).await.is_settled(), "the first keeps its answer");
    assert_eq!(broadcasts(&rig), 1);
}

/// T019: whatever is left of its time and however slow the node: no success without a transfer.
#[tokio::test(flavor = "multi_thread")]
async fn t019_what_expires_on_the_way_is_never_an_unpaid_success() {
    let rig = Rig::start().await;
    rig.chain.faults().add("eth_call", Fault::Delay(Duration::from_millis(700)), Times::Always);
    let replies = join_all((0..=15).chain([60]).map(async |left| {
        let payment = with(&rig, |a| a.valid_before = U256::from(now() + left));
        (left, settle(&rig, &payment, None).await)
    }))
    .await;
    let successes = replies.iter().filter(|(_, reply)| reply.is_settled()).count();
    assert_eq!(successes, transfers(&rig));
    for (left, reply) in &replies {
        match left {
            0..12 => assert_eq!(reply.word(), "invalid_exact_evm_payload_authorization_valid_before", "{left}"),
            60 => assert!(reply.is_settled(), "{left}: {reply:?}"),
            _ => {}
        }
    }
    rig.chain.faults().clear();
    // It was in time when it was sent, and expired before a block came.
    rig.chain.set_block_time(BlockTime::Manual);
    let paid = transfers(&rig);
    let payment = rig.payment(PAYER, PRICE);
    let expiring = async {
        until_pending(&rig, 1).await;
        rig.chain.advance_time(130);
        rig.chain.mine().await;
    };
    let (settled, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), expiring);
    assert!(!settled.is_settled());
    assert_eq!(settled.word(), "transfer_reverts", "{settled:?}");
    assert!(settled.transaction().is_some());
    assert_eq!(transfers(&rig), paid);
}

/// The payer's own transaction that cancels an authorization.
pub(crate) fn cancelling(rig: &Rig, payment: &PaymentPayload) -> TxEip1559 {
    let Payload::Authorization(signed) = &payment.payload else { panic!() };
    let message = CancelAuthorization { authorizer: signed.authorization.from, nonce: signed.authorization.nonce };
    let hash = message.eip712_signing_hash(&rig.asset.eip712_domain().unwrap());
    let signature = key(PAYER).sign_hash(&hash).unwrap().as_bytes().to_vec().into();
    let call = Cancelling::cancelAuthorizationCall { authorizer: message.authorizer, nonce: message.nonce, signature };
    TxEip1559 {
        to: TxKind::Call(rig.chain.usdc()),
        input: call.abi_encode().into(),
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: 50 * GWEI,
        ..rig.native_transfer(PAYER, rig.chain.usdc(), 0)
    }
}

/// T022: an authorization that was cancelled after it was verified is refused, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t022_a_cancelled_authorization_is_never_sent() {
    let rig = Rig::start().await;
    let (cancelled, kept) = (rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE));
    for payment in [&cancelled, &kept] {
        assert!(verify(&rig, payment, Some("shop-1")).await.is_valid());
    }
    rig.send(PAYER, cancelling(&rig, &cancelled)).await;
    let sent = sends(&rig);
    let refused = settle(&rig, &cancelled, Some("shop-1")).await;
    assert_eq!((refused.is_settled(), refused.word().as_str()), (false, "authorization_used"));
    assert_eq!(refused.json()["errorReason"], "invalid_transaction_state");
    assert_eq!((sends(&rig), transfers(&rig)), (sent, 0));
    assert!(settle(&rig, &kept, Some("shop-1")).await.is_settled());
    assert_eq!((sends(&rig), transfers(&rig)), (sent + 1, 1));
}

/// T022: cancelled while our transaction waits for a block: it fails, with its hash, once the node has had time to
/// show whether somebody else carried it.
#[tokio::test(flavor = "multi_thread")]
async fn t022_an_authorization_cancelled_under_way_fails() {
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, ..RigOptions::default() }).await;
    let payment = rig.payment(PAYER, PRICE);
    let cancel = async {
        until_pending(&rig, 1).await;
        rig.send(PAYER, cancelling(&rig, &payment)).await;
        for _ in 0..7 {
            rig.chain.mine().await;
        }
    };
    let (failed, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), cancel);
    assert_eq!((failed.is_settled(), failed.word().as_str()), (false, "transfer_reverts"));
    assert!(failed.transaction().is_some());
    assert_eq!(transfers(&rig), 0);
}

/// T023: the balance went away between verify and settle: refused before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t023_a_drained_balance_is_seen_before_sending() {
    let rig = Rig::start().await;
    let mint = |units| rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(units)).unwrap();
    mint(PRICE - 1);
    assert_eq!(verify(&rig, &rig.payment(POOR, PRICE), Some("shop-1")).await.word(), "insufficient_funds");
    mint(1);
    rig.clock.advance(Duration::from_secs(5));
    let payment = rig.payment(POOR, PRICE);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    rig.send(POOR, rig.token_transfer(POOR, account(8).address, 1)).await;
    let sent = sends(&rig);
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "insufficient_funds");
    assert_eq!(sends(&rig), sent);
    mint(1);
    rig.clock.advance(Duration::from_secs(5));
    assert!(settle(&rig, &payment, Some("shop-1")).await.is_settled());
}

/// T024: fifty good authorizations over a balance that covers one: one is accepted, one is settled.
#[tokio::test(flavor = "multi_thread")]
async fn t024_fifty_promises_of_one_balance() {
    let rig = Rig::start().await;
    for verified_first in [true, false] {
        let before = rig.received();
        rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(PRICE)).unwrap();
        rig.clock.advance(Duration::from_secs(5));
        let payments: Vec<_> = (0..50).map(|_| rig.payment(POOR, PRICE)).collect();
        let all = async |path: &'static str| {
            join_all(payments.iter().enumerate().map(|(shop, payment)| {
                let (rig, caller) = (&rig, format!("shop-{shop}"));
                async move { Reply::from(rig.post(path, payment, PRICE, Some(&caller)).await) }
            }))
            .await
        };
        if verified_first {
            let verified = all("/verify").await;
            assert_eq!(verified.iter().filter(|reply| reply.is_valid()).count(), 1);
            assert!(verified.iter().all(|reply| reply.is_valid() || reply.word() == "insufficient_funds"), "{verified:?}");
        }
        let sent = broadcasts(&rig);
        let settled = all("/settle").await;
        assert_eq!(settled.iter().filter(|reply| reply.is_settled()).count(), 1);
        assert!(settled.iter().all(|reply| reply.is_settled() || reply.word() == "insufficient_funds"), "{settled:?}");
        assert_eq!((broadcasts(&rig) - sent, rig.received() - before), (1, U256::from(PRICE)));
    }
}

/// T024: a payer has at most sixteen payments open, whatever the balance.
#[tokio::test(flavor = "multi_thread")]
async fn t024_a_payer_opens_so_many_payments_and_no_more() {
    let rig = Rig::start().await;
    let mut last = None;
    for opened in 0..20 {
        let payment = rig.payment(PAYER, PRICE);
        let reply = verify(&rig, &payment, Some("shop-1")).await;
        assert_eq!(reply.is_valid(), opened < 16, "{opened}");
        assert_eq!(reply.word() == "too_many_open_payments", opened >= 16, "{opened}");
        last = Some(payment);
    }
    assert!(verify(&rig, &rig.payment(PAYER + 1, PRICE), Some("shop-1")).await.is_valid(), "others are not concerned");
    rig.clock.advance(Duration::from_secs(61));
    assert!(verify(&rig, &last.unwrap(), Some("shop-1")).await.is_valid(), "holds lapse");
}

/// T030: one spelling per number. Whatever some parser would read otherwise is refused, without a chain request.
#[tokio::test(flavor = "multi_thread")]
async fn t030_numbers_have_one_spelling() {
    let rig = Rig::start().await;
    let too_large = format!("\"1{}\"", "0".repeat(77));
    let beyond = U256::MAX.to_string().replacen('1', "2", 1);
    let bad = [
        r#""1e4""#,
        r#""1E4""#,
        r#""0x2710""#,
        r#"" 10000""#,
        r#""10000 ""#,
        r#""+10000""#,
        r#""-10000""#,
        r#""010000""#,
        r#""00""#,
        r#""10000.0""#,
        r#""10000.""#,
        r#""1_0000""#,
        r#""10,000""#,
        r#""""#,
        r#""１００００""#,
        r#""10000\u0000""#,
        r#""٣""#,
        r#""NaN""#,
        r#""Infinity""#,
        r#""10000n""#,
        r#""0b10""#,
        r#""0o17""#,
        "1e4",
        "1E4",
        "10000.0",
        "1e400",
        "-1",
        "-0",
        "1.5",
        "0x2710",
        "010000",
        "null",
        "true",
        "[]",
        "{}",
        "[10000]",
        "NaN",
        "9007199254740992",
        &too_large,
        &format!("\"{beyond}\""),
    ];
    let payment = rig.payment(PAYER, PRICE);
    let asked = rig.chain.faults().calls(ANY);
    for field in ["value", "validAfter", "validBefore"] {
        for spelling in bad {
            let body = edited(&rig, &payment, |text| {
                let (head, tail) = text.split_once(&format!(r#""{field}":""#)).unwrap();
                let (_, tail) = tail.split_once('"').unwrap();
                format!(r#"{head}"{field}":{spelling}{tail}"#)
            });
            let [verified, settled] = ask_both(&rig, &body).await;
            assert!(!verified.is_valid() && !settled.is_settled(), "{field} {spelling}");
            // A canonical number that was not signed is wrong in other ways.
            assert_eq!(verified.word(), settled.word(), "{field} {spelling}");
            if spelling != too_large {
                assert_eq!(verified.word(), "invalid_payload", "{field} {spelling}: {verified:?}");
            }
        }
    }
    assert_eq!(rig.chain.faults().calls(ANY), asked);
    // The honest spellings: a string, and a JSON number that every parser reads alike.
    let number = edited(&rig, &payment, |text| text.replace(r#""value":"10000""#, r#""value":10000"#));
    let [verified, settled] = ask_both(&rig, &number).await;
    assert!(verified.is_valid() && settled.is_settled(), "{verified:?} {settled:?}");
}

/// T007, T014: the node takes no transaction for a while; when it does again, the payment is settled once, in the
/// transaction that was told.
#[tokio::test(flavor = "multi_thread")]
async fn t007_t014_a_node_that_takes_nothing_for_a_while_delays_the_payment_only() {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.answer_within = Duration::from_millis(400));
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    rig.chain.faults().add("eth_sendRawTransaction", Fault::DropRequest, Times::Always);
    let payment = rig.payment(PAYER, PRICE);
    let pending = settle(&rig, &payment, Some("shop-1")).await;
    assert_eq!((pending.word().as_str(), transfers(&rig)), ("settlement_pending", 0));
    rig.chain.faults().clear();
    let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
    assert!(settled.is_settled());
    assert_eq!(settled.transaction(), pending.transaction());
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
}

/// T028: the nonce of an authorization is part of what was signed, so no other can be put in its place.
#[tokio::test(flavor = "multi_thread")]
async fn t012_t028_no_signed_field_can_be_exchanged() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let Payload::Authorization(signed) = &payment.payload else { panic!() };
    let changes: [fn(&mut Authorization); 5] = [
        |a| a.nonce = nonce(),
        |a| a.nonce = B256::ZERO,
        |a| a.valid_before += U256::from(1),
        |a| a.valid_after -= U256::from(1),
        |a| a.from = account(6).address,
    ];
    for change in changes {
        let mut authorization = signed.authorization.clone();
        change(&mut authorization);
        let forged = rig.payload(Payload::Authorization(SignedAuthorization { authorization, ..signed.clone() }));
        assert_eq!(settle(&rig, &forged, None).await.word(), "invalid_exact_evm_payload_signature");
    }
    assert_eq!(sends(&rig), 0);
    assert!(settle(&rig, &payment, None).await.is_settled());
}
