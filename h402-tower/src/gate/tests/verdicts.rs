//! What happened, and what the client is told.

use super::kit::*;
use h402_core::{BlockRef, Flow, GrantState, Reject, SettleError, Settlement, TransactionId, Undecided, VerifyError};

#[tokio::test]
async fn a_payment_opens_the_door_and_is_settled() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let answer = send(&service, paid(&Cheque::default().header())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!((shop.runs(), shop.bank.verified(), shop.bank.settled()), (1, 1, 1));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("X-PAYMENT-RESPONSE"));
    let receipt = answer.receipt().unwrap();
    assert!(receipt.success);
    assert_eq!(receipt.transaction, Some(TransactionId::Evm((*Cheque::default().key().as_bytes()).into())));
}

#[tokio::test]
async fn without_payment_the_offers_are_told_and_nothing_is_asked() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_description("a greeting"), hello);
    let answer = send(&service, get("/item?id=1")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (402, Some("no-store")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["error"], "X-PAYMENT header is required");
    let offer = &body["accepts"][0];
    assert_eq!(offer["resource"], "https://api.example/item?id=1");
    assert_eq!(offer["description"], "a greeting");
    assert_eq!((&offer["amountRequired"], &offer["estimatedProcessingTime"]), (&10_000.into(), &70.into()));
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
}

/// The status table of the architecture, row by row.
#[tokio::test]
async fn verdict_to_status() {
    let reverted = TransactionId::Evm([9; 32].into());
    let verify: [(VerifyError, u16, &str, Option<&str>); 6] = [
        (Reject::InsufficientFunds { held: Default::default(), required: Default::default() }.into(), 402, "insufficient_funds: ", None),
        (Reject::AuthorizationUsed.into(), 402, "authorization_used: ", None),
        (Reject::InProgress.into(), 409, "payment_in_progress", Some("1")),
        (Reject::AlreadyUsed.into(), 409, "payment_already_used", None),
        (Undecided::Chain.into(), 503, "dependency_unavailable", Some("5")),
        (Undecided::Busy.into(), 503, "busy", Some("5")),
    ];
    for (verdict, status, word, retry) in verify {
        let shop = Shop::new();
        shop.bank.next_verify(verdict.clone());
        let service = shop.open(shop.gate(), hello);
        let header = Cheque::default().header();
        let answer = send(&service, paid(&header)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (status, retry), "{verdict:?}");
        assert!(answer.error().starts_with(word), "{verdict:?}: {}", answer.error());
        assert_eq!((shop.runs(), shop.grants.row(&Cheque::default().key()).await), (0, None), "{verdict:?} leaves no row");
        // The honest twin: the same header, once the facilitator says yes.
        assert_eq!(send(&service, paid(&header)).await.status, 200, "{verdict:?}");
    }
    let settle: [(SettleError, u16, &str, bool); 5] = [
        (Reject::InsufficientFunds { held: Default::default(), required: Default::default() }.into(), 402, "insufficient_funds: ", false),
        // After a broadcast never 402, whatever came of it.
        (SettleError::Rejected { reject: Reject::Reverts(String::new()), transaction: Some(reverted) }, 409, "transfer_reverts", true),
        (Reject::DuplicateSettlement { transaction: Some(reverted) }.into(), 409, "duplicate_settlement", true),
        (SettleError::Pending { transaction: Some(reverted) }, 503, "settlement_pending", true),
        (Undecided::Gas.into(), 503, "dependency_unavailable", false),
    ];
    for (verdict, status, word, hash) in settle {
        let shop = Shop::new();
        shop.bank.next_settle(verdict.clone());
        let service = shop.open(shop.gate(), hello);
        let answer = send(&service, paid(&Cheque::default().header())).await;
        assert_eq!(answer.status, status, "{verdict:?}");
        assert!(answer.error().starts_with(word), "{verdict:?}: {}", answer.error());
        assert!(!answer.body.windows(5).any(|part| part == b"hello"), "{verdict:?} lets nothing out");
        let told = answer.receipt().and_then(|receipt| receipt.transaction);
        assert_eq!(told, hash.then_some(reverted), "{verdict:?}");
        assert_eq!(shop.runs(), 1, "{verdict:?}");
    }
}

/// T057: the block that showed a settlement failing is gone, and the payer was charged in another one. Who comes back with the
/// payment gets what was paid for. As long as the chain says no, nothing is asked for again.
#[tokio::test]
async fn t057_a_refusal_that_a_reorganisation_has_taken_back_is_no_refusal() {
    let transaction = TransactionId::Evm([9; 32].into());
    let block = BlockRef { number: 7, hash: [7; 32].into() };
    for flow in [Flow::Capture, Flow::Upfront] {
        let shop = Shop::new();
        let price = if flow == Flow::Upfront { price().upfront() } else { price() };
        let service = shop.open(shop.gate_at(price), hello);
        let header = Cheque::default().header();
        shop.bank.next_settle(SettleError::Rejected { reject: Reject::Reverts(String::new()), transaction: Some(transaction) });
        assert_eq!(send(&service, paid(&header)).await.status, 409);
        for still in [None, Some(Settlement::Reverted { transaction, block }), Some(Settlement::Reorged { transaction })] {
            still.into_iter().for_each(|state| shop.bank.knows(state));
            let answer = send(&service, paid(&header)).await;
            assert_eq!((answer.status, answer.error().as_str()), (409, "payment_refused"), "{flow:?} {still:?}");
        }
        assert_eq!((shop.bank.settle_calls(), shop.bank.settled()), (1, 0), "{flow:?}");
        assert_eq!(shop.grants.state(&Cheque::default().key()).await, Some(GrantState::Refused));
        shop.bank.knows(Settlement::Included { transaction, block });
        let answer = send(&service, paid(&header)).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]), "{flow:?}");
        assert!(answer.receipt().unwrap().success);
        assert_eq!((shop.runs(), shop.bank.settled()), (1, 1), "{flow:?}");
        assert_eq!(shop.grants.state(&Cheque::default().key()).await, Some(GrantState::Served));
    }
}

/// T112: trouble of ours is 503 before the handler, never a pass.
#[tokio::test]
async fn t112_a_store_that_is_down_is_503() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    shop.grants.fail_loads(1);
    assert_eq!(send(&service, paid(&header)).await.status, 503);
    shop.grants.fail_writes(0, 1);
    assert_eq!(send(&service, paid(&header)).await.status, 503);
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (0, 0));
    assert_eq!(send(&service, paid(&header)).await.status, 200);
}

/// T110: what was signed decides, and each bent field is refused with its own word.
#[tokio::test]
async fn t110_a_payment_that_matches_no_offer_is_refused() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let good = Cheque::default;
    let later = good().valid_before;
    let bent = [
        (Cheque { value: PRICE - 1, ..good() }, "invalid_exact_evm_payload_authorization_value: "),
        (Cheque { to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", ..good() }, "invalid_exact_evm_payload_recipient_mismatch: "),
        (Cheque { valid_after: later, ..good() }, "invalid_exact_evm_payload_authorization_valid_after: "),
        (Cheque { valid_before: NOW / 1000 + 34, ..good() }, "invalid_exact_evm_payload_authorization_valid_before: "),
        (Cheque { valid_before: NOW / 1000 + 601, ..good() }, "invalid_exact_evm_payload_authorization_valid_before: "),
        (Cheque { resource: Some("https://api.example/other".into()), ..good() }, "resource_mismatch: "),
        (Cheque { resource: Some("https://evil.example/item".into()), ..good() }, "resource_mismatch: "),
    ];
    for (cheque, word) in bent {
        let answer = send(&service, paid(&cheque.header())).await;
        assert_eq!(answer.status, 402, "{cheque:?}");
        assert!(answer.error().starts_with(word), "{cheque:?}: {}", answer.error());
        assert!(answer.json()["accepts"][0]["amountRequired"].is_number());
    }
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    for (nonce, valid_before) in [(1, NOW / 1000 + 35), (2, NOW / 1000 + 600), (3, later)] {
        let cheque = Cheque { nonce, valid_before, resource: Some("https://api.example/item".into()), ..good() };
        assert_eq!(send(&service, paid(&cheque.header())).await.status, 200, "{cheque:?}");
    }
}

/// T097, T113: whatever comes in the header, the answer is 402 or 400 and the handler stays asleep.
#[tokio::test]
async fn t113_junk_in_the_header_is_refused() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let good = Cheque::default().header();
    let cut = &good[..good.len() / 2];
    for junk in ["", " ", "x", "e30=", "bnVsbA==", "W10=", "%%%", "aGVsbG8=", cut] {
        let answer = send(&service, paid(junk)).await;
        assert_eq!(answer.status, 402, "{junk:?}");
        assert!(answer.json()["accepts"].is_array());
    }
    let mut request = paid("x");
    request.headers_mut().insert("x-payment", http::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert_eq!(send(&service, request).await.status, 402);
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    assert_eq!(send(&service, paid(&good)).await.status, 200);
}
