//! The facilitator in its three dialects, told from the body, each with its own words and statuses.

use super::{PRICE, Reply, sends, settle, transfers_to_payee, until};
use h402_core::{
    Dialect, PaymentPayload, Scheme,
    wire::x402::{Accepted, Extensions, Terms, v1, v2},
};
use h402_devnet::{
    evm::{BlockTime, account},
    fault::{ANY, Fault, Times},
};
use h402_facilitator::{EngineConfig, evm::Permit2Payments};
use h402_tests::rig::{self, GAS, PAYER, Rig, RigOptions};
use serde_json::{Value, json};

const X402: [Dialect; 2] = [Dialect::X402V1, Dialect::X402V2];

/// What a server of the dialect asks, with the payment as its client made it.
fn question(rig: &Rig, dialect: Dialect, payment: &PaymentPayload, amount: u128) -> Value {
    let terms = Terms::from(rig.requirements(amount));
    let payload = PaymentPayload { dialect, resource: None, ..payment.clone() };
    let body = match dialect {
        Dialect::X402V1 => v1::encode_request(&payload, &terms),
        _ => {
            let accepted = Accepted::of(&terms).unwrap();
            v2::encode_request(&v2::Payment { payload, accepted, resource: None, extensions: Extensions::default() }, &terms)
        }
    };
    serde_json::from_slice(&body.unwrap()).unwrap()
}

async fn ask(rig: &Rig, path: &str, question: &Value, caller: Option<&str>) -> Reply {
    rig.post_body(path, serde_json::to_vec(question).unwrap(), caller).await.into()
}

/// The words of the two versions for one refusal, after a change to the question.
type Bend = (&'static str, fn(&mut Value), [&'static str; 2]);

fn signed(question: &mut Value) -> &mut Value {
    &mut question["paymentPayload"]["payload"]["authorization"]
}

/// Each refusal has the word of its version, and status 200; its twin with the field unbent is good, and settles once.
#[tokio::test(flavor = "multi_thread")]
async fn payments_are_verified_and_settled_in_the_dialect_they_came_in() {
    let rig = Rig::start().await;
    let bends: [Bend; 5] = [
        (
            "signature",
            |question| question["paymentPayload"]["payload"]["signature"] = json!(format!("0x{}1b", "11".repeat(64))),
            ["invalid_exact_evm_payload_signature", "invalid_exact_evm_signature"],
        ),
        (
            "payee",
            |question| signed(question)["to"] = json!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
            ["invalid_exact_evm_payload_recipient_mismatch", "invalid_exact_evm_recipient_mismatch"],
        ),
        (
            "value",
            |question| signed(question)["value"] = json!("9999"),
            ["invalid_exact_evm_payload_authorization_value", "invalid_exact_evm_payload_authorization_value_mismatch"],
        ),
        ("scheme", |question| question["paymentRequirements"]["scheme"] = json!("nope"), ["unsupported_scheme", "unsupported_scheme"]),
        (
            "asset",
            |question| question["paymentRequirements"]["asset"] = json!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
            ["invalid_payment_requirements", "invalid_payment_requirements"],
        ),
    ];
    for (version, dialect) in X402.into_iter().enumerate() {
        let payment = rig.payment(PAYER, PRICE);
        let good = question(&rig, dialect, &payment, PRICE);
        for (what, bend, words) in bends {
            let mut bent = good.clone();
            bend(&mut bent);
            let refused = ask(&rig, "/verify", &bent, None).await;
            assert_eq!((refused.status, refused.json()["isValid"].clone()), (200, json!(false)), "{what}: {refused:?}");
            assert_eq!(refused.json()["invalidReason"], words[version], "{what}");
            let refused = ask(&rig, "/settle", &bent, None).await.json();
            assert_eq!((refused["success"].clone(), refused["errorReason"].clone()), (json!(false), json!(words[version])), "{what}");
            assert_eq!(refused["transaction"], "", "{what}");
        }
        assert_eq!(sends(&rig), u64::try_from(version).unwrap());
        let verified = ask(&rig, "/verify", &good, Some("shop")).await;
        assert_eq!(verified.json(), json!({ "isValid": true, "payer": payment_from(&payment) }));
        let settled = ask(&rig, "/settle", &good, Some("shop")).await;
        let network = if dialect == Dialect::X402V1 { "base-sepolia" } else { "eip155:84532" };
        let transaction = transfers_to_payee(&rig.chain).last().unwrap().tx_hash.to_string();
        let receipt = json!({ "success": true, "payer": payment_from(&payment), "transaction": transaction, "network": network });
        assert_eq!(settled.json(), receipt);
        // The same caller hears its receipt again; another, and one of another dialect, that it is spent.
        assert_eq!(ask(&rig, "/settle", &good, Some("shop")).await, settled);
        let other = ask(&rig, "/settle", &good, Some("other shop")).await.json();
        assert_eq!((other["errorReason"].clone(), other["transaction"].clone()), (json!("duplicate_settlement"), json!(transaction)));
        let h402 = settle(&rig, &payment, Some("third shop")).await;
        assert_eq!((h402.is_settled(), h402.word().as_str()), (false, "duplicate_settlement"));
        assert_eq!(transfers_to_payee(&rig.chain).len(), version + 1);
    }
}

fn payment_from(payment: &PaymentPayload) -> String {
    let h402_core::Payload::Authorization(signed) = &payment.payload else { panic!("{payment:?}") };
    h402_core::Address::from(signed.authorization.from).to_string()
}

/// T111: a body of two dialects is of none: 400, and nothing is looked at. Each twin has one thing less.
#[tokio::test(flavor = "multi_thread")]
async fn t111_bodies_of_two_dialects_are_refused() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let header = h402_core::wire::h402::encode_payment(&payment).unwrap();
    let [one, two] = X402.map(|dialect| question(&rig, dialect, &payment, PRICE));
    let with = |question: &Value, pointer: &str, key: &str, value: Value| {
        let mut bent = question.clone();
        bent.pointer_mut(pointer).unwrap()[key] = value;
        bent
    };
    let cases = [
        ("both payloads", with(&two, "", "payload", json!(header))),
        (
            "an h402 payload in an x402 body",
            json!({ "x402Version": 1, "payload": header, "paymentRequirements": one["paymentRequirements"] }),
        ),
        ("both versions", with(&one, "/paymentPayload", "h402Version", json!(1))),
        ("an outer version that is not the inner one", with(&two, "", "x402Version", json!(1))),
        ("a version as a text", with(&one, "/paymentPayload", "x402Version", json!("1"))),
        ("no payment", json!({ "x402Version": 2, "paymentRequirements": two["paymentRequirements"] })),
    ];
    for (what, body) in cases {
        for path in ["/verify", "/settle"] {
            let refused = ask(&rig, path, &body, None).await;
            assert_eq!((refused.status, refused.word().as_str()), (400, "invalid_request"), "{what}: {refused:?}");
        }
    }
    // Requirements of one version beside a payment of the other are refused in the payment's words.
    let mixed = with(&two, "", "paymentRequirements", one["paymentRequirements"].clone());
    assert_eq!(ask(&rig, "/verify", &mixed, None).await.json()["isValid"], false);
    assert_eq!(sends(&rig), 0);
    for good in [one, two] {
        assert!(ask(&rig, "/verify", &good, Some("shop")).await.is_valid());
    }
}

/// T035: what turned out to cost nothing is settled without a transaction, if its payer has signed for it; only in scheme `upto`, and
/// it is no price.
#[tokio::test(flavor = "multi_thread")]
async fn t035_what_costs_nothing_moves_nothing() {
    let engine = Box::new(|config: &mut EngineConfig| rig::evm(config).permit2 = Some(Permit2Payments::default()));
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    rig.approve_permit2(PAYER, PRICE).await;
    let before = sends(&rig);
    let signed = rig.permit2_signed(PAYER, rig.permit2_terms(PAYER, Scheme::Upto, PRICE));
    let payload = PaymentPayload { resource: None, ..rig.permit2_payment(Scheme::Upto, signed) };
    let mut terms = Terms::from(rig.requirements(PRICE));
    (terms.requirements.offer, terms.requirements.facilitator) = (rig.permit2_offer(Scheme::Upto, PRICE), Some(account(GAS).address));
    let accepted = Accepted::of(&terms).unwrap();
    let payment = v2::Payment { payload, accepted, resource: None, extensions: Extensions::default() };
    let question: Value = serde_json::from_slice(&v2::encode_request(&payment, &terms).unwrap()).unwrap();
    let asking = |amount: &str, scheme: &str, signature: Option<&str>| {
        let mut question = question.clone();
        question["paymentRequirements"]["amount"] = json!(amount);
        question["paymentRequirements"]["scheme"] = json!(scheme);
        question["paymentPayload"]["accepted"]["scheme"] = json!(scheme);
        if let Some(signature) = signature {
            question["paymentPayload"]["payload"]["signature"] = json!(signature);
        }
        question
    };
    let nothing = ask(&rig, "/settle", &asking("0", "upto", None), Some("shop")).await;
    let (payer, network) = (account(PAYER).address.to_string(), format!("eip155:{}", rig.chain.chain_id()));
    let expected = json!({"success": true, "payer": payer, "transaction": "", "network": network, "amount": "0"});
    assert_eq!((nothing.status, nothing.json()), (200, expected));
    let forged = format!("0x{}1b", "11".repeat(64));
    let refused =
        [("/verify", asking("0", "upto", None)), ("/settle", asking("0", "exact", None)), ("/settle", asking("0", "upto", Some(&forged)))];
    for (path, question) in refused {
        let refused = ask(&rig, path, &question, Some("shop")).await.json();
        assert!(refused["success"] == false || refused["isValid"] == false, "{path}: {refused}");
    }
    assert_eq!((transfers_to_payee(&rig.chain).len(), sends(&rig) - before), (0, 0));
    // The payment is as good as it was.
    let settled = ask(&rig, "/settle", &asking("1234", "upto", None), Some("shop")).await.json();
    assert_eq!((&settled["success"], &settled["amount"], sends(&rig) - before), (&json!(true), &json!("1234"), 1));
}

/// What is sent and not seen in a block is `settlement_pending` with its hash, and later the receipt; there is one transfer.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_takes_long_is_pending_with_its_hash() {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.answer_within = std::time::Duration::from_millis(300));
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let question = question(&rig, Dialect::X402V2, &rig.payment(PAYER, PRICE), PRICE);
    let pending = ask(&rig, "/settle", &question, Some("shop")).await;
    let said = pending.json();
    assert_eq!((pending.status, said["success"].clone(), said["errorReason"].clone()), (200, json!(false), json!("settlement_pending")));
    let hash = pending.transaction().expect("the hash of what was sent");
    rig.chain.mine().await;
    until("settled", async || ask(&rig, "/settle", &question, Some("shop")).await.is_settled()).await;
    let settled = ask(&rig, "/settle", &question, Some("shop")).await;
    assert_eq!((settled.transaction(), transfers_to_payee(&rig.chain).len()), (Some(hash), 1));
}

/// A node that does not answer is nobody's invalid signature: 503, a word that is no verdict, and the payment is good later.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_no_verdict_in_any_dialect() {
    let rig = Rig::start().await;
    for dialect in X402 {
        let question = question(&rig, dialect, &rig.payment(PAYER, PRICE), PRICE);
        rig.chain.faults().add(ANY, Fault::Status(502), Times::Always);
        let undecided = ask(&rig, "/verify", &question, Some("shop")).await;
        rig.chain.faults().clear();
        assert_eq!((undecided.status, undecided.json()["isValid"].clone()), (503, json!(false)), "{undecided:?}");
        assert_eq!(undecided.json()["invalidReason"], "unexpected_verify_error");
        rig.until_ready().await;
        assert!(ask(&rig, "/verify", &question, Some("shop")).await.is_valid());
    }
}

/// One list for all dialects, the same after a restart; every kind has the number without which x402 programs throw it away.
#[tokio::test(flavor = "multi_thread")]
async fn supported_has_kinds_of_every_dialect_and_does_not_change() {
    let mut rig = Rig::start().await;
    let before = Reply::from(rig.get("/supported").await).json();
    let kinds = before["kinds"].as_array().unwrap();
    let of =
        |version: u8| kinds.iter().filter(|kind| kind["x402Version"] == version && kind["scheme"] == "exact").cloned().collect::<Vec<_>>();
    assert_eq!(of(1), [json!({ "x402Version": 1, "scheme": "exact", "network": "base-sepolia" })]);
    assert_eq!(of(2), [json!({ "x402Version": 2, "scheme": "exact", "network": "eip155:84532" })]);
    assert_eq!((of(0).len(), of(0)[0]["h402Version"].clone(), of(0)[0]["networkId"].clone()), (1, json!(1), json!("84532")));
    assert!(before["extensions"].is_array());
    assert_eq!(before["signers"]["eip155:*"].as_array().unwrap().len(), 1);
    rig.restart().await;
    assert_eq!(Reply::from(rig.get("/supported").await).json(), before);
}
