//! What a facilitator answers to `settle`, and what is believed of it.

use super::*;

/// What reads as a refusal and is none: the reference says `unexpected_settle_error` also after it has sent.
#[tokio::test]
async fn a_pending_settlement_keeps_its_transaction() {
    let pending = format!(r#"{{"success":false,"transaction":"{HASH}","error":"settlement_pending: settlement is pending"}}"#);
    let unexpected = format!(r#"{{"success":false,"transaction":"{HASH}","errorReason":"unexpected_settle_error"}}"#);
    for (status, body) in [(200, &pending), (503, &pending), (200, &unexpected), (400, &unexpected)] {
        let server = Server::start(vec![Behaviour::json(status, body)]).await;
        let settled = RemoteFacilitator::new(&server.url("")).unwrap().settle(&claimed(), caller()).await;
        assert_eq!(settled, Err(SettleError::Pending { transaction: Some(transaction()) }), "{status} {body}");
        assert_eq!(server.received().len(), 1, "it has waited as long as it waits");
    }
    // Under way, nothing sent yet that it could name: soon there will be.
    let nameless = r#"{"success":false,"transaction":"","error":"settlement_pending: settlement is pending"}"#;
    let server = Server::start(vec![Behaviour::json(200, nameless), Behaviour::json(200, &pending)]).await;
    let settled = RemoteFacilitator::new(&server.url("")).unwrap().settle(&claimed(), caller()).await;
    assert_eq!(settled, Err(SettleError::Pending { transaction: Some(transaction()) }));
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn an_unknown_settlement_is_asked_for_again_with_the_same_key() {
    let server = Server::start(vec![Behaviour::Close, Behaviour::json(502, "<html>"), Behaviour::json(200, SETTLED)]).await;
    let facilitator = RemoteFacilitator::new(&server.url("/")).unwrap();
    let receipt = facilitator.settle(&claimed(), caller()).await.unwrap();
    assert_eq!((receipt.transaction, receipt.payer.to_string()), (transaction(), PAYER.to_owned()));
    let received = server.received();
    assert_eq!(received.len(), 3);
    for request in &received {
        assert_eq!(request.line, "POST /settle HTTP/1.1");
        assert_eq!(request.value("idempotency-key"), Some(caller().to_header().as_str()));
        assert_eq!(request.body, received[0].body);
    }
}

/// T137: of a facilitator whose key is known a success counts if that key has signed it for this payment, and otherwise its outcome
/// is unknown, and never a refusal. Without a key its word counts.
#[tokio::test]
async fn t137_a_success_counts_with_its_signature() {
    let key = ReceiptKey::from_seed(&[5; 32]);
    let claimed = claimed();
    let offer = &claimed.matched().requirements().offer;
    let honest = Statement {
        purpose: ReceiptPurpose::Settled,
        payment: claimed.grant().key,
        fingerprint: None,
        transaction: transaction(),
        block: None,
        asset: offer.asset.id,
        amount: claimed.matched().amount(),
        pay_to: offer.pay_to,
        payer: claimed.matched().payer(),
        time: NOW,
    };
    let elsewhere = TransactionId::Evm(B256::repeat_byte(0x43));
    let stranger = ReceiptKey::from_seed(&[6; 32]);
    let cases = [
        ("its own", Some((honest.clone(), &key)), true),
        ("none", None, false),
        ("a stranger's", Some((honest.clone(), &stranger)), false),
        ("of another payment", Some((Statement { payment: PaymentKey::from_bytes([9; 32]), ..honest.clone() }, &key)), false),
        ("of another payer", Some((Statement { payer: offer.pay_to, ..honest.clone() }, &key)), false),
        ("of less", Some((Statement { amount: Amount::from_atomic(9_999), ..honest.clone() }, &key)), false),
        ("of another transaction", Some((Statement { transaction: elsewhere, ..honest.clone() }, &key)), false),
        ("a credit", Some((Statement { purpose: ReceiptPurpose::Credit, ..honest.clone() }, &key)), false),
    ];
    for (name, receipt, counts) in cases {
        let signed = receipt.map(|(statement, key)| SignedReceipt::sign(statement, key).unwrap());
        let field = signed.as_ref().map_or_else(String::new, |signed| format!(r#","receipt":"{signed}""#));
        let answer = SETTLED.replace(r#","namespace""#, &format!(r#"{field},"namespace""#));
        let server = Server::start(vec![Behaviour::json(200, &answer)]).await;
        let facilitator = RemoteFacilitator::new(&server.url("")).unwrap();
        let believed = facilitator.settle(&claimed, caller()).await.unwrap();
        // The signature is handed on only if it is about this payment.
        assert_eq!(believed.signed.is_some(), counts || name == "a stranger's", "{name}");
        let strict = RemoteFacilitator::new(&server.url("")).unwrap().with_receipt_issuer(key.issuer());
        let settled = strict.settle(&claimed, caller()).await;
        match settled {
            Ok(receipt) => assert!(counts && receipt == believed, "{name}"),
            Err(error) => assert!(!counts && error == SettleError::Pending { transaction: Some(transaction()) }, "{name}: {error:?}"),
        }
    }
}

/// A facilitator without a memory refuses what it settled a moment ago. Believing that would make the payer pay twice.
#[tokio::test]
async fn a_refusal_after_an_unknown_outcome_proves_nothing() {
    let used = r#"{"success":false,"transaction":"","errorReason":"invalid_transaction_state","error":"nonce is used"}"#;
    let server = Server::start(vec![Behaviour::Close, Behaviour::json(400, used)]).await;
    let facilitator = RemoteFacilitator::new(&server.url("")).unwrap();
    assert_eq!(facilitator.settle(&claimed(), caller()).await, Err(UNKNOWN));
    assert_eq!(server.received().len(), 3);
}
