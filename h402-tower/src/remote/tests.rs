mod settle;
mod x402;

use super::RemoteFacilitator;
use crate::loopback::{Behaviour, Server, nobody};
use alloy_primitives::{B256, U256};
use h402_core::{
    Address, Amount, Assets, Authorization, CallerKey, CheckPolicy, Checked, Claimed, Dialect, EvmKey, Facilitator, Fingerprint, Flow,
    Grant, GrantState, Lookup, Matched, Network, Offer, Offers, Payload, PaymentKey, PaymentPayload, ReceiptKey, ReceiptPurpose, Reject,
    Resource, Scheme, SentEvmTransaction, SettleError, Settlement, SignedReceipt, Statement, TransactionId, Undecided, UnixMillis,
    VerifyError, wire::h402,
};
use http::{HeaderMap, HeaderValue};
use std::{sync::Arc, time::Duration};

const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const HASH: &str = "0x4242424242424242424242424242424242424242424242424242424242424242";
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

const VALID: &str = r#"{"isValid":true,"type":"payload"}"#;
const SETTLED: &str =
    r#"{"success":true,"transaction":"0x4242424242424242424242424242424242424242424242424242424242424242","namespace":"evm"}"#;

fn key() -> EvmKey {
    EvmKey::from_hex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
}

fn transaction() -> TransactionId {
    TransactionId::Evm(B256::repeat_byte(0x42))
}

fn payment() -> Matched {
    let usdc = Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().clone();
    let domain = usdc.eip712_domain().unwrap();
    let authorization = Authorization {
        from: key().address(),
        to: PAYEE.parse::<Address>().unwrap().evm().unwrap(),
        value: Amount::from_atomic(10_000),
        valid_after: U256::from(NOW.seconds().0 - 600),
        valid_before: U256::from(NOW.seconds().0 + 60),
        nonce: B256::repeat_byte(7),
    };
    matched(Payload::Authorization(key().sign_authorization(authorization, &domain).unwrap()))
}

fn sent_payment() -> Matched {
    let signed_message = key().sign_message("https://api.example/item").unwrap();
    matched(Payload::EvmSent(SentEvmTransaction { hash: B256::repeat_byte(0x42), signed_message }))
}

fn matched(payload: Payload) -> Matched {
    let usdc = Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().clone();
    let offer = Offer::new(usdc, Amount::from_atomic(10_000), PAYEE.parse().unwrap()).unwrap();
    let resource = Arc::new(Resource { url: "https://api.example/item".to_owned(), ..Resource::default() });
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: Network::Evm(8453),
        resource: Some(resource.url.clone()),
        payload,
    };
    Matched::new(payload, &Offers::new(vec![Arc::new(offer)]).unwrap(), &resource, Some(70)).unwrap()
}

fn checked(matched: Matched) -> Checked {
    matched.check(&CheckPolicy::facilitator(NOW)).unwrap()
}

fn claimed() -> Claimed {
    let matched = payment();
    let grant = Grant {
        key: matched.key(),
        fingerprint: Fingerprint::new("GET", "https://api.example", "/item", None),
        flow: Flow::Upfront,
        payer: matched.payer(),
        asset: matched.requirements().offer.asset.id,
        amount: matched.amount(),
        state: GrantState::Settling,
        runs: 1,
        busy_until: UnixMillis(0),
        receipt: None,
        claimed_at: NOW,
        updated_at: NOW,
        expires_at: NOW,
        version: 2,
    };
    Claimed::assertion(matched, grant)
}

fn caller() -> CallerKey {
    CallerKey::of_text("the gate")
}

/// A facilitator that is given up on quickly: no repetition fits into its timeout.
fn hasty(url: &str) -> RemoteFacilitator {
    let timeout = Duration::from_millis(400);
    RemoteFacilitator::new(url).unwrap().with_verify_timeout(timeout).with_settle_timeout(timeout)
}

const UNDECIDED: VerifyError = VerifyError::Undecided(Undecided::Facilitator);
const UNKNOWN: SettleError = SettleError::Pending { transaction: None };

/// T112: whatever a facilitator does wrong, no payment is taken for verified, and none for settled or refused.
#[tokio::test]
async fn t112_bad_facilitators_fail_closed() {
    let elsewhere = Server::start(vec![Behaviour::json(200, VALID)]).await;
    let head = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n").into_bytes();
    let mut short = head("200 OK");
    short.extend_from_slice(format!("content-length: 999\r\n\r\n{VALID}").as_bytes());
    let mut stalled = head("200 OK");
    stalled.extend_from_slice(b"content-length: 999\r\n\r\n{");
    let huge = format!("{{\"isValid\":true,\"success\":true,\"transaction\":\"{HASH}\",\"pad\":\"{}\"}}", "x".repeat(70_000));
    let cases = [
        ("500", Behaviour::json(500, r#"{"error":"boom"}"#)),
        ("500 with a yes", Behaviour::json(500, r#"{"isValid":true,"success":true}"#)),
        ("502 of a proxy", Behaviour::json(502, "<html>Bad Gateway</html>")),
        ("503 with a refusal", Behaviour::json(503, r#"{"isValid":false,"success":false,"errorReason":"invalid_payload"}"#)),
        ("200 with HTML", Behaviour::json(200, "<html>welcome</html>")),
        ("200 with nothing", Behaviour::json(200, "")),
        ("204", Behaviour::json(204, "")),
        ("empty object", Behaviour::json(200, "{}")),
        ("list", Behaviour::json(200, "[true]")),
        ("null", Behaviour::json(200, r#"{"isValid":null,"success":null}"#)),
        ("text for a boolean", Behaviour::json(200, r#"{"isValid":"true","success":"true"}"#)),
        ("text false for a boolean", Behaviour::json(200, r#"{"isValid":"false","success":"false"}"#)),
        ("number for a boolean", Behaviour::json(200, r#"{"isValid":1,"success":1}"#)),
        ("no and yes", Behaviour::json(200, r#"{"isValid":false,"isValid":true,"success":false,"success":true}"#)),
        ("cut off", Behaviour::json(200, r#"{"isValid":true,"success":true"#)),
        ("two answers", Behaviour::json(200, r#"{"isValid":true,"success":true}{}"#)),
        ("more than 64 KiB", Behaviour::json(200, &huge)),
        ("redirect to a yes", Behaviour::json(307, VALID).header("location", &elsewhere.url("/verify"))),
        ("401", Behaviour::json(401, r#"{"error":"who are you"}"#)),
        ("403 with a yes", Behaviour::json(403, r#"{"isValid":true,"success":true}"#)),
        ("404 with HTML", Behaviour::json(404, "<html>Cannot POST</html>")),
        ("429", Behaviour::json(429, r#"{"error":"slow down"}"#)),
        ("our own 400", Behaviour::json(400, r#"{"error":"malformed","errorMessage":"payload is missing"}"#)),
        ("closes", Behaviour::Close),
        ("body cut off", Behaviour::Raw(short)),
        ("not HTTP", Behaviour::Raw(b"SSH-2.0-OpenSSH_9.7\r\n".to_vec())),
        ("never answers", Behaviour::Stall(Vec::new())),
        ("never finishes", Behaviour::Stall(stalled)),
        (
            "yes for another payer",
            Behaviour::json(
                200,
                &format!(r#"{{"isValid":true,"type":"payload","success":true,"transaction":"{HASH}","payer":"{PAYEE}"}}"#),
            ),
        ),
        ("yes to another question", Behaviour::json(200, r#"{"isValid":true,"type":"transaction","success":true,"transaction":"ab"}"#)),
    ];
    for (case, behaviour) in cases {
        let server = Server::start(vec![behaviour]).await;
        let facilitator = hasty(&server.url(""));
        let verified = facilitator.verify(checked(payment()), caller()).await;
        assert_eq!(verified.unwrap_err(), UNDECIDED, "verify: {case}");
        let settled = facilitator.settle(&claimed(), caller()).await;
        assert!(matches!(settled, Err(SettleError::Pending { .. })), "settle: {case}: {settled:?}");
        assert!(facilitator.supported().await.is_err(), "supported: {case}");
        assert!(facilitator.lookup(&payment().key()).await.is_err(), "lookup: {case}");
    }
    assert_eq!(elsewhere.received().len(), 0, "the redirect was followed");

    // The honest twin.
    let server = Server::start(vec![Behaviour::json(200, VALID), Behaviour::json(200, SETTLED)]).await;
    let facilitator = hasty(&server.url(""));
    assert!(facilitator.verify(checked(payment()), caller()).await.is_ok());
    assert_eq!(facilitator.settle(&claimed(), caller()).await.unwrap().transaction, transaction());
}

/// T112: a success that cannot be this payment's leaves the outcome open; it is neither settled nor refused.
#[tokio::test]
async fn t112_a_success_must_be_this_payments() {
    let other_network = SETTLED.replace("}", r#","networkId":"1"}"#);
    let cases = [
        ("no transaction", r#"{"success":true,"transaction":""}"#.to_owned()),
        ("transaction of another chain's kind", format!(r#"{{"success":true,"transaction":"{}"}}"#, "1".repeat(64))),
        ("other network", other_network),
        ("unreadable transaction", r#"{"success":true,"transaction":"0x42"}"#.to_owned()),
    ];
    for (case, body) in cases {
        let server = Server::start(vec![Behaviour::json(200, &body)]).await;
        let settled = hasty(&server.url("")).settle(&claimed(), caller()).await;
        assert_eq!(settled.unwrap_err(), UNKNOWN, "{case}");
    }
    // A yes under a status that says no.
    for status in [302, 403, 500] {
        let server = Server::start(vec![Behaviour::json(status, SETTLED)]).await;
        let settled = hasty(&server.url("")).settle(&claimed(), caller()).await;
        assert_eq!(settled, Err(SettleError::Pending { transaction: Some(transaction()) }), "{status}");
    }
}

/// T112: only where no connection stood is it certain that nothing was sent.
#[tokio::test]
async fn a_refused_connection_decides_nothing_and_settles_nothing() {
    let facilitator = hasty(&format!("http://{}", nobody().await));
    assert_eq!(facilitator.verify(checked(payment()), caller()).await.unwrap_err(), UNDECIDED);
    assert_eq!(facilitator.settle(&claimed(), caller()).await, Err(SettleError::Undecided(Undecided::Facilitator)));
}

#[tokio::test]
async fn refusals_come_back_as_they_went_out() {
    let refused = |status, body: &str| (Behaviour::json(status, body), body.to_owned());
    let words = [
        (refused(200, r#"{"isValid":false,"invalidReason":"invalid_transaction_state","errorMessage":"payment_in_progress: x"}"#), 0),
        (refused(400, r#"{"isValid":false,"invalidReason":"insufficient_funds"}"#), 1),
        // What the reference facilitator says to nearly everything, captured in fac-evm-tx_low.json.
        (refused(400, r#"{"error":"Insufficient transfer amount"}"#), 2),
    ];
    for ((behaviour, body), case) in words {
        let server = Server::start(vec![behaviour]).await;
        let refused = hasty(&server.url("")).verify(checked(payment()), caller()).await.unwrap_err();
        let VerifyError::Rejected(reject) = refused else { panic!("{body}: {refused:?}") };
        let word = ["payment_in_progress", "insufficient_funds", "invalid_payload"][case];
        assert_eq!(reject.word(), word, "{body}");
    }
    let settle = [
        (200, r#"{"success":false,"errorReason":"insufficient_funds","error":"insufficient_funds: x"}"#, "insufficient_funds"),
        (400, r#"{"success":false,"transaction":"","errorReason":"invalid_transaction_state"}"#, "invalid_transaction_state"),
        (200, r#"{"success":false,"error":"duplicate_settlement: x"}"#, "duplicate_settlement"),
    ];
    for (status, body, word) in settle {
        let server = Server::start(vec![Behaviour::json(status, body)]).await;
        let refused = hasty(&server.url("")).settle(&claimed(), caller()).await.unwrap_err();
        let SettleError::Rejected { reject, .. } = refused else { panic!("{body}: {refused:?}") };
        assert_eq!(reject.word(), word, "{body}");
        assert_eq!(server.received().len(), 1, "a terminal answer is not asked for again");
    }
}

/// A connection that broke, as idle ones do: verifying changes nothing, so it is simply asked again, once.
#[tokio::test]
async fn verifying_is_asked_again_after_a_broken_connection() {
    let server = Server::start(vec![Behaviour::Close, Behaviour::json(200, VALID)]).await;
    assert!(hasty(&server.url("")).verify(checked(payment()), caller()).await.is_ok());
    let received = server.received();
    assert_eq!(received[0].value("idempotency-key"), received[1].value("idempotency-key"));
    let server = Server::start(vec![Behaviour::Close]).await;
    assert!(hasty(&server.url("")).verify(checked(payment()), caller()).await.is_err());
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn the_facilitator_is_asked_with_the_values_the_gate_judged() {
    let server = Server::start(vec![Behaviour::json(200, VALID)]).await;
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer canary"));
    let facilitator = RemoteFacilitator::new(&server.url("/base/")).unwrap().with_verify_headers(headers);
    let verified = facilitator.verify(checked(payment()), caller()).await.unwrap();
    assert_eq!(verified.attestation().key, payment().key());
    assert_eq!(verified.attestation().payer.to_string(), PAYER);
    let received = server.received();
    assert_eq!(received[0].line, "POST /base/verify HTTP/1.1");
    assert_eq!(received[0].value("authorization"), Some("Bearer canary"));
    assert_eq!(received[0].value("content-type"), Some("application/json"));
    let request = h402::decode_request(&received[0].body, &Assets::known()).unwrap();
    assert_eq!((&request.payload, &request.requirements.offer), (payment().payload(), &payment().requirements().offer));
    assert!(!format!("{facilitator:?}").contains("canary"));
}

/// A payment in x402 is asked about in h402 as one in h402 is: it is the same payment.
#[tokio::test]
async fn a_payment_of_x402_is_asked_about_in_h402() {
    for dialect in [Dialect::H402V1, Dialect::X402V1, Dialect::X402V2] {
        let server = Server::start(vec![Behaviour::json(200, VALID)]).await;
        let facilitator = RemoteFacilitator::new(&server.url("")).unwrap();
        let offers = Offers::new(vec![payment().requirements().offer.clone()]).unwrap();
        let paid = PaymentPayload { dialect, ..payment().payload().clone() };
        let paid = Matched::new(paid, &offers, &payment().requirements().resource, Some(70)).unwrap();
        facilitator.verify(checked(paid), caller()).await.unwrap();
        let request = h402::decode_request(&server.received()[0].body, &Assets::known()).unwrap();
        assert_eq!(request.matched().unwrap().key(), payment().key(), "{dialect:?}");
    }
}

/// The key of a sent transaction is known only to whoever asked the chain.
#[tokio::test]
async fn a_sent_transaction_goes_by_the_key_of_the_facilitator() {
    let chain_key = PaymentKey::from_bytes([9; 32]);
    let yes = |hash: &str| format!(r#"{{"isValid":true,"type":"transaction","txHash":"{hash}","paymentId":"{chain_key}"}}"#);
    let server = Server::start(vec![Behaviour::json(200, &yes(HASH)), Behaviour::json(200, &yes(&HASH.replace("42", "43")))]).await;
    let facilitator = hasty(&server.url(""));
    let verified = facilitator.verify(checked(sent_payment()), caller()).await.unwrap();
    let attestation = verified.attestation();
    assert_eq!((attestation.key, attestation.transaction), (chain_key, Some(transaction())));
    assert_eq!(attestation.aliases, sent_payment().aliases());
    // Another transaction than the one presented is no yes to it.
    assert_eq!(facilitator.verify(checked(sent_payment()), caller()).await.unwrap_err(), UNDECIDED);
    // An authorization's key follows from what was signed, whatever the facilitator calls it.
    let server = Server::start(vec![Behaviour::json(200, &format!(r#"{{"isValid":true,"paymentId":"{chain_key}"}}"#))]).await;
    let verified = hasty(&server.url("")).verify(checked(payment()), caller()).await.unwrap();
    assert_eq!(verified.attestation().key, payment().key());
}

#[tokio::test]
async fn supported_and_lookup_are_read() {
    let kinds = r#"{"kinds":[{"h402Version":1,"scheme":"exact","network":"base"}],"reserves":true}"#;
    let state = format!(r#"{{"state":"broadcast","transaction":"{HASH}"}}"#);
    let unknown = r#"{"error":"unknown_payment","errorMessage":"no such payment"}"#;
    // Somebody who does not know the question does not know the answer: another server's path, a path that ours does
    // not have, a page, and the right word with a status that says something else.
    let no_answers = [
        Behaviour::json(404, r#"{"error":"Not Found"}"#),
        Behaviour::json(404, r#"{"error":"not_found","errorMessage":"no such path"}"#),
        Behaviour::json(404, "<html>"),
        Behaviour::json(500, unknown),
    ];
    let count = no_answers.len();
    let behaviours = [Behaviour::json(200, kinds), Behaviour::json(200, &state), Behaviour::json(404, unknown)];
    let server = Server::start(behaviours.into_iter().chain(no_answers).collect()).await;
    let facilitator = hasty(&server.url(""));
    let supported = facilitator.supported().await.unwrap();
    assert_eq!((supported.reserves, supported.kinds[0].network), (true, Network::Evm(8453)));
    let key = payment().key();
    let broadcast = Settlement::Broadcast { transaction: transaction() };
    assert_eq!(facilitator.lookup(&key).await, Ok(Lookup::Known(broadcast)));
    assert_eq!(facilitator.lookup(&key).await, Ok(Lookup::Unknown));
    for at in 0..count {
        assert_eq!(facilitator.lookup(&key).await, Err(Undecided::Facilitator), "{at}");
    }
    let lines: Vec<String> = server.received().into_iter().map(|request| request.line).collect();
    assert_eq!(lines[0], "GET /supported HTTP/1.1");
    assert_eq!(lines[1..], vec![format!("GET /payments/{key} HTTP/1.1"); 2 + count]);
}

#[test]
fn urls_that_hide_something_are_refused() {
    use super::BadFacilitatorUrl as Bad;
    let cases = [
        ("facilitator.example", Bad::Syntax),
        ("ftp://facilitator.example", Bad::Scheme),
        ("https://user@facilitator.example", Bad::Credentials),
        ("https://:secret@facilitator.example", Bad::Credentials),
        ("https://facilitator.example/?key=secret", Bad::Query),
        ("https://facilitator.example/#top", Bad::Query),
    ];
    for (url, want) in cases {
        assert_eq!(RemoteFacilitator::new(url).unwrap_err(), want, "{url}");
    }
    for url in ["http://127.0.0.1:4020", "https://facilitator.example/", "https://facilitator.example/h402//"] {
        assert!(RemoteFacilitator::new(url).is_ok(), "{url}");
    }
}

/// Rejections other than the payer's fault keep their own class.
#[tokio::test]
async fn a_facilitator_that_cannot_decide_is_not_a_refusal() {
    let busy = r#"{"isValid":false,"invalidReason":"unexpected_verify_error","errorMessage":"dependency_unavailable: chain"}"#;
    let server = Server::start(vec![Behaviour::json(200, busy)]).await;
    assert_eq!(hasty(&server.url("")).verify(checked(payment()), caller()).await.unwrap_err(), UNDECIDED);
    let reject = r#"{"isValid":false,"invalidReason":"invalid_transaction_state","errorMessage":"payment_already_used: x"}"#;
    let server = Server::start(vec![Behaviour::json(200, reject)]).await;
    let refused = hasty(&server.url("")).verify(checked(payment()), caller()).await.unwrap_err();
    assert_eq!(refused, VerifyError::Rejected(Reject::AlreadyUsed));
}
