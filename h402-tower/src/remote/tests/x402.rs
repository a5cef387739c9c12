//! Facilitators of x402. What they answer is from recordings of the published packages.

use super::*;
use h402_core::{GenesisPrefix, SolanaHints};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

const YES: &str = r#"{"isValid":true,"payer":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"}"#;

fn settled(network: &str) -> String {
    json!({"success": true, "payer": PAYER, "transaction": HASH, "network": network}).to_string()
}

fn pending(transaction: &str) -> String {
    json!({"success": false, "errorReason": "settlement_pending", "transaction": transaction, "network": "eip155:8453", "payer": PAYER})
        .to_string()
}

fn speaking(server: &Server, dialect: Dialect) -> RemoteFacilitator {
    RemoteFacilitator::new(&server.url("")).unwrap().with_dialect(dialect)
}

fn sent(server: &Server) -> Vec<Value> {
    server.received().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

/// Both versions are asked as the reference's gates ask, whatever dialect the payer spoke.
#[tokio::test]
async fn a_payment_in_h402_is_verified_and_settled_by_a_facilitator_of_x402() {
    let v2 = json!({
        "scheme": "exact", "network": "eip155:8453", "amount": "10000", "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "payTo": PAYEE, "maxTimeoutSeconds": 70, "extra": {"name": "USD Coin", "version": "2"},
    });
    let server = Server::start(vec![Behaviour::json(200, YES), Behaviour::json(200, &settled("eip155:8453"))]).await;
    let facilitator = speaking(&server, Dialect::X402V2);
    let verified = facilitator.verify(checked(payment()), caller()).await.unwrap();
    assert_eq!((verified.attestation().key, verified.attestation().payer.to_string()), (payment().key(), PAYER.to_owned()));
    assert_eq!(facilitator.settle(&claimed(), caller()).await.unwrap().transaction, transaction());
    for asked in sent(&server) {
        assert_eq!((&asked["x402Version"], &asked["paymentPayload"]["x402Version"]), (&json!(2), &json!(2)));
        assert_eq!((&asked["paymentRequirements"], &asked["paymentPayload"]["accepted"]), (&v2, &v2));
        let authorization = &asked["paymentPayload"]["payload"]["authorization"];
        assert_eq!((&authorization["from"], &authorization["value"]), (&json!(PAYER), &json!("10000")));
    }
    let server = Server::start(vec![Behaviour::json(200, YES), Behaviour::json(200, &settled("base"))]).await;
    let facilitator = speaking(&server, Dialect::X402V1);
    assert!(facilitator.verify(checked(payment()), caller()).await.is_ok());
    assert_eq!(facilitator.settle(&claimed(), caller()).await.unwrap().transaction, transaction());
    for asked in sent(&server) {
        let requirements = &asked["paymentRequirements"];
        assert_eq!(
            (&asked["x402Version"], &requirements["network"], &requirements["maxAmountRequired"]),
            (&json!(1), &json!("base"), &json!("10000"))
        );
        assert_eq!((&asked["paymentPayload"]["network"], &requirements["resource"]), (&json!("base"), &json!("https://api.example/item")));
    }
}

/// A payment that x402 has no words for is refused, and nobody is asked about it.
#[tokio::test]
async fn what_x402_cannot_say_is_refused() {
    let server = Server::start(vec![Behaviour::json(200, YES)]).await;
    let refused = speaking(&server, Dialect::X402V2).verify(checked(sent_payment()), caller()).await.unwrap_err();
    assert!(matches!(refused, VerifyError::Rejected(Reject::PayloadType(_))), "{refused:?}");
    assert!(server.received().is_empty());
    // Twin: in h402 it is asked about.
    let _answer = speaking(&server, Dialect::H402V1).verify(checked(sent_payment()), caller()).await;
    assert_eq!(server.received().len(), 1);
}

/// T112: JSON is read whatever the status, since refusals come with all of them; a yes counts with the status of a yes only, and what
/// says neither yes nor no decides nothing.
#[tokio::test]
async fn t112_json_is_read_whatever_the_status() {
    let no = r#"{"isValid":false,"invalidReason":"invalid_exact_evm_insufficient_balance","payer":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"}"#;
    for status in [200, 400, 402, 412, 500] {
        let server = Server::start(vec![Behaviour::json(status, no)]).await;
        let refused = speaking(&server, Dialect::X402V2).verify(checked(payment()), caller()).await.unwrap_err();
        assert!(matches!(refused, VerifyError::Rejected(_)), "{status}: {refused:?}");
    }
    let undecided = [
        (400, YES),
        (500, YES),
        (302, YES),
        (200, r#"{"isValid":"true"}"#),
        (200, r#"{"isValid":true,"payer":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}"#),
        (200, r#"{"isValid":false,"invalidReason":"unexpected_verify_error"}"#),
        (200, "{}"),
        (500, r#"{"error":"boom"}"#),
        (503, "<html>slow down</html>"),
    ];
    for (status, body) in undecided {
        let server = Server::start(vec![Behaviour::json(status, body)]).await;
        let facilitator = hasty(&server.url("")).with_dialect(Dialect::X402V2);
        assert_eq!(facilitator.verify(checked(payment()), caller()).await.unwrap_err(), UNDECIDED, "{status} {body}");
        let outcome = facilitator.settle(&claimed(), caller()).await;
        assert!(matches!(outcome, Err(SettleError::Pending { .. })), "{status} {body}: {outcome:?}");
    }
}

/// A pending settlement is asked for again with the same body, also if it came with a status that says something worse, and is pending
/// still if nothing else is heard.
#[tokio::test]
async fn a_pending_settlement_is_asked_for_again() {
    let answers =
        vec![Behaviour::json(500, &pending(HASH)), Behaviour::json(202, &pending(HASH)), Behaviour::json(200, &settled("eip155:8453"))];
    let server = Server::start(answers).await;
    assert_eq!(speaking(&server, Dialect::X402V2).settle(&claimed(), caller()).await.unwrap().transaction, transaction());
    assert_eq!(server.received().len(), 3);
    assert!(server.received().iter().all(|request| request.body == server.received()[0].body));
    let server = Server::start(vec![Behaviour::json(500, &pending(HASH)), Behaviour::json(200, &pending(""))]).await;
    let open = speaking(&server, Dialect::X402V2).settle(&claimed(), caller()).await;
    assert_eq!(open, Err(SettleError::Pending { transaction: Some(transaction()) }));
}

/// What was used already may have been used by us: the outcome is open. Another refusal is one.
#[tokio::test]
async fn used_already_may_mean_settled_already() {
    let said = |word: &str| json!({"success": false, "errorReason": word, "transaction": "", "network": "eip155:8453"}).to_string();
    for word in ["invalid_exact_evm_nonce_already_used", "duplicate_settlement"] {
        let server = Server::start(vec![Behaviour::json(200, &said(word))]).await;
        let outcome = hasty(&server.url("")).with_dialect(Dialect::X402V2).settle(&claimed(), caller()).await;
        assert_eq!(outcome, Err(UNKNOWN), "{word}");
    }
    let server = Server::start(vec![Behaviour::json(200, &said("invalid_exact_evm_insufficient_balance"))]).await;
    let outcome = hasty(&server.url("")).with_dialect(Dialect::X402V2).settle(&claimed(), caller()).await;
    assert!(matches!(outcome, Err(SettleError::Rejected { .. })), "{outcome:?}");
}

/// T007: programs that lose their node after they have sent say that something failed, in words of their own, and name no transaction:
/// the outcome is open. With a transaction it is known, and so it is in the words of checks that are made before.
#[tokio::test]
async fn t007_a_failure_that_may_have_been_sent_is_no_refusal() {
    let said = |word: &str, transaction: &str| {
        json!({"success": false, "errorReason": word, "transaction": transaction, "network": "eip155:8453"}).to_string()
    };
    let words =
        ["transaction_failed", "invalid_transaction_state", "invalid_exact_evm_transaction_failed", "timeout of 10000ms exceeded", ""];
    let outcome = async |body: &str| {
        let server = Server::start(vec![Behaviour::json(200, body)]).await;
        hasty(&server.url("")).with_dialect(Dialect::X402V2).settle(&claimed(), caller()).await
    };
    for word in words {
        assert_eq!(outcome(&said(word, "")).await, Err(UNKNOWN), "{word}");
        let known = outcome(&said(word, HASH)).await;
        let expected = Some(transaction());
        assert!(matches!(&known, Err(SettleError::Rejected { transaction, .. }) if *transaction == expected), "{word}: {known:?}");
    }
    for word in ["invalid_exact_evm_signature", "insufficient_funds", "invalid_exact_evm_transaction_simulation_failed"] {
        let refused = outcome(&said(word, "")).await;
        assert!(matches!(refused, Err(SettleError::Rejected { transaction: None, .. })), "{word}: {refused:?}");
    }
}

/// `/supported` as the reference has it: kinds of both versions, who pays fees on Solana, and nothing about reserves.
#[tokio::test]
async fn the_kinds_of_x402_are_read() {
    let supported = json!({
        "kinds": [
            {"x402Version": 2, "scheme": "exact", "network": "eip155:8453"},
            {"x402Version": 1, "scheme": "exact", "network": "base"},
            {"x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "extra": {"feePayer": "cGfHiC6Kgg3FpFZvgwGcswsCRtp4aBP2fzuXRQPizuN"}},
            {"x402Version": 2, "scheme": "batch-settlement", "network": "eip155:8453"},
        ],
        "extensions": [], "signers": {"eip155:*": [PAYEE]},
    });
    let server = Server::start(vec![Behaviour::json(200, &supported.to_string())]).await;
    let read = speaking(&server, Dialect::X402V2).supported().await.unwrap();
    assert_eq!((read.kinds.len(), read.reserves), (3, false));
    let hints = SolanaHints { fee_payer: Some([9; 32].into()), ..SolanaHints::default() };
    assert_eq!((read.kinds[2].network, read.kinds[2].solana), (Network::Solana(GenesisPrefix::MAINNET), Some(hints)));
}

/// Headers that are made for each request, such as a token that is signed for one URL.
#[tokio::test]
async fn headers_are_made_for_each_request() {
    let server = Server::start(vec![Behaviour::Close, Behaviour::json(200, YES), Behaviour::json(200, &settled("eip155:8453"))]).await;
    let count = AtomicU32::new(0);
    let facilitator = speaking(&server, Dialect::X402V2).with_made_headers(move |method, uri| {
        let token = format!("Bearer canary {method} {} {}", uri.path(), count.fetch_add(1, SeqCst));
        HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_str(&token).unwrap())])
    });
    facilitator.verify(checked(payment()), caller()).await.unwrap();
    facilitator.settle(&claimed(), caller()).await.unwrap();
    let received = server.received();
    let tokens: Vec<_> = received.iter().map(|request| request.value("authorization").unwrap()).collect();
    assert_eq!(tokens, ["Bearer canary POST /verify 0", "Bearer canary POST /verify 1", "Bearer canary POST /settle 2"]);
    assert!(!format!("{facilitator:?}").contains("canary"));
}
