//! What facilitators answer, and how a refusal finds its way back.

use super::{BASE, PAYEE, PAYER, address, unpacked};
use crate::{
    Amount, AssetId, BlockRef, Dialect, ErrorReason, GenesisPrefix, Network, PaymentClass, PaymentKey, PaymentKind, PaymentRow, Receipt,
    ReceiptKey, ReceiptPurpose, Reject, Scheme, SettleError, Settlement, SettlementAnswer, SignedReceipt, SolanaReject, Statement,
    Supported, SupportedKind, TransactionId, Undecided, UnixMillis, VerifyError, wire::h402::*,
};
use alloy_primitives::B256;

const HASH: &str = "0xfb9a1cd1393f96bcd6b00089338321a4c5ac21980a2576eaa306e1545bf11dc1";

fn transaction() -> TransactionId {
    HASH.parse().unwrap()
}

#[test]
fn recorded_verify_answers_are_read() {
    let read = |body: &str| decode_verify(body.as_bytes());
    let good = VerifyAnswer { valid: true, class: Some(PaymentClass::Payload), ..VerifyAnswer::default() };
    assert_eq!(read(r#"{"isValid":true,"type":"payload"}"#), Ok(good.clone()));
    assert_eq!(read(r#"{"data":{"isValid":true,"type":"payload"}}"#), Ok(good.clone()), "old facilitators wrap");
    assert_eq!(read(r#"{"isValid":true}"#), Ok(VerifyAnswer { class: None, ..good.clone() }), "the type is missing");
    let sent = VerifyAnswer { class: Some(PaymentClass::Transaction), transaction: Some(transaction()), ..good };
    assert_eq!(read(&format!(r#"{{"isValid":true,"type":"transaction","txHash":"{HASH}"}}"#)), Ok(sent.clone()));
    assert_eq!(read(&format!(r#"{{"isValid":true,"type":"transaction","txHash":"0x{}"}}"#, HASH[2..].to_uppercase())), Ok(sent));
    let bad = read(&format!(r#"{{"isValid":false,"invalidReason":"insufficient_funds","payer":"{PAYER}"}}"#)).unwrap();
    assert_eq!((bad.valid, bad.reason, bad.payer), (false, Some(ErrorReason::InsufficientFunds), Some(address(PAYER))));
    for body in [
        r#"{"isValid":"true"}"#,
        r#"{"isValid":1}"#,
        r#"{"isValid":null}"#,
        r#"{"error":"Insufficient transfer amount"}"#,
        r#"{"isValid":true,"isValid":false}"#,
        r#"{"isValid":true,"type":"maybe"}"#,
        r#"{"isValid":true,"txHash":"0xcd"}"#,
        r#"{"data":{"data":{"isValid":true}}}"#,
        "true",
        "",
    ] {
        assert!(read(body).is_err(), "{body}");
    }
}

#[test]
fn recorded_settle_answers_are_read() {
    let receipt = Receipt { network: BASE, transaction: transaction(), payer: address(PAYER), signed: None };
    let outcome = |body: &str| decode_settle(body.as_bytes()).unwrap().receipt(BASE, address(PAYER));
    let settled =
        format!(r#"{{"success":true,"transaction":"{HASH}","namespace":"evm","payer":"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"}}"#);
    assert_eq!(outcome(&settled), Ok(receipt));
    let rejected = |reason: ErrorReason, text: &str| {
        let reject = Reject::Other { reason, word: reason.as_str(), text: text.to_owned() };
        Err(SettleError::Rejected { reject, transaction: None })
    };
    for (body, expected) in [
        (
            r#"{"success":false,"transaction":"","error":"This payload type is not supported"}"#,
            rejected(ErrorReason::InvalidPayload, "This payload type is not supported"),
        ),
        (
            r#"{"success":false,"transaction":"","namespace":"evm","errorReason":"invalid_transaction_state","error":"x"}"#,
            rejected(ErrorReason::InvalidTransactionState, "x"),
        ),
        (
            r#"{"success":false,"errorReason":"invalid_scheme","transaction":"","namespace":"arkade"}"#,
            rejected(ErrorReason::InvalidScheme, "refused without a reason"),
        ),
        (r#"{"success":false,"errorReason":"a_word_of_tomorrow"}"#, rejected(ErrorReason::InvalidPayload, "a_word_of_tomorrow")),
        // Said by the reference when anything at all was thrown, also while it waited for the receipt.
        (
            r#"{"success":false,"transaction":"","errorReason":"unexpected_settle_error","error":"Failed\nURL: https://key@rpc"}"#,
            Err(SettleError::Pending { transaction: None }),
        ),
        // Seen from next when its facilitator had said neither yes nor why not.
        (r#"{"success":true,"transaction":""}"#, Err(SettleError::Pending { transaction: None })),
    ] {
        assert_eq!(outcome(body), expected, "{body}");
    }
    for body in [r#"{"success":"true"}"#, r#"{"success":true,"transaction":"0xcd"}"#, r#"{"transaction":""}"#, "{", r#"{"success":1}"#] {
        assert!(decode_settle(body.as_bytes()).is_err(), "{body}");
    }
}

/// A yes about another network, or with another kind of transaction, proves nothing about this payment.
#[test]
fn a_success_elsewhere_is_no_receipt() {
    let answer = SettleAnswer::settled(&Receipt { network: BASE, transaction: transaction(), payer: address(PAYER), signed: None });
    assert!(answer.receipt(BASE, address(PAYER)).is_ok());
    let pending = Err(SettleError::Pending { transaction: None });
    assert_eq!(answer.receipt(Network::Evm(1), address(PAYER)), pending);
    let unsaid = SettleAnswer { network: None, ..answer };
    assert_eq!(unsaid.receipt(Network::Solana(GenesisPrefix::MAINNET), address(PAYER)), pending);
}

/// A signed receipt of something else is none of this payment, and what is no receipt is not even that; neither changes what
/// became of the money.
#[test]
fn a_signed_receipt_comes_with_its_own_payment() {
    let bare = Receipt { network: BASE, transaction: transaction(), payer: address(PAYER), signed: None };
    let statement = Statement {
        purpose: ReceiptPurpose::Settled,
        payment: PaymentKey::from_bytes([1; 32]),
        fingerprint: None,
        transaction: transaction(),
        block: None,
        asset: AssetId { network: BASE, address: address(PAYEE) },
        amount: Amount::from_atomic(1),
        pay_to: address(PAYEE),
        payer: address(PAYER),
        time: UnixMillis(1),
    };
    let outcome = |statement: Statement| {
        let signed = SignedReceipt::sign(statement, &ReceiptKey::from_seed(&[1; 32])).unwrap();
        let answer = SettleAnswer::settled(&Receipt { signed: Some(signed.clone()), ..bare.clone() });
        let body = encode_settle(&answer).unwrap();
        assert!(String::from_utf8(body.clone()).unwrap().contains(&format!(r#","receipt":"{signed}"}}"#)));
        (decode_settle(&body).unwrap().receipt(BASE, address(PAYER)).unwrap(), signed)
    };
    let (receipt, signed) = outcome(statement.clone());
    assert_eq!(receipt, Receipt { signed: Some(signed), ..bare.clone() }, "the honest twin");
    let elsewhere = AssetId { network: Network::Evm(1), ..statement.asset };
    for bent in [
        Statement { purpose: ReceiptPurpose::Credit, ..statement.clone() },
        Statement { transaction: TransactionId::Evm([9; 32].into()), ..statement.clone() },
        Statement { payer: address(PAYEE), ..statement.clone() },
        Statement { asset: elsewhere, ..statement.clone() },
    ] {
        assert_eq!(outcome(bent).0, bare);
    }
    for other in ["null", "7", r#"{"no":"text"}"#, r#""AAAA""#, r#""%""#] {
        let body = format!(r#"{{"success":true,"transaction":"{HASH}","receipt":{other},"credit":{other}}}"#);
        assert_eq!(decode_settle(body.as_bytes()).unwrap().receipt(BASE, address(PAYER)), Ok(bare.clone()), "{body}");
    }
}

#[test]
fn what_we_answer_is_strict() {
    let answer = SettleAnswer::settled(&Receipt { network: BASE, transaction: transaction(), payer: address(PAYER), signed: None });
    let body = format!(r#"{{"success":true,"transaction":"{HASH}","namespace":"evm","networkId":"8453","payer":"{PAYER}"}}"#);
    assert_eq!(String::from_utf8(encode_settle(&answer).unwrap()).unwrap(), body);
    assert_eq!(unpacked(&encode_receipt(&answer).unwrap()), body);

    let answer = SettleAnswer::failed(&Reject::AlreadyUsed.into(), BASE, None);
    let body = concat!(
        r#"{"success":false,"transaction":"","namespace":"evm","networkId":"8453","#,
        r#""errorReason":"invalid_transaction_state","error":"payment_already_used: payment is used already"}"#
    );
    assert_eq!(String::from_utf8(encode_settle(&answer).unwrap()).unwrap(), body);

    let pending = SettleAnswer::failed(&SettleError::Pending { transaction: Some(transaction()) }, BASE, None);
    let body = String::from_utf8(encode_settle(&pending).unwrap()).unwrap();
    assert!(body.starts_with(&format!(r#"{{"success":false,"transaction":"{HASH}""#)), "{body}");
    assert!(body.ends_with(r#""error":"settlement_pending: settlement is pending"}"#), "{body}");

    let answer = VerifyAnswer { payment: Some(PaymentKey::from_bytes([0xab; 32])), ..verified() };
    let body = format!(r#"{{"isValid":true,"type":"payload","payer":"{PAYER}","paymentId":"{}"}}"#, "ab".repeat(32));
    assert_eq!(String::from_utf8(encode_verify(&answer).unwrap()).unwrap(), body);
    assert_eq!(encode_verify(&VerifyAnswer::default()).unwrap(), br#"{"isValid":false}"#);
}

fn verified() -> VerifyAnswer {
    VerifyAnswer { valid: true, class: Some(PaymentClass::Payload), payer: Some(address(PAYER)), ..VerifyAnswer::default() }
}

/// One of every kind of refusal, so that each word is seen on its way out and back.
fn rejects() -> Vec<Reject> {
    let amount = Amount::from_atomic(5);
    vec![
        Reject::Undecodable("not base64"),
        Reject::Malformed("value"),
        Reject::Version,
        Reject::Scheme,
        Reject::PayloadType("arkade"),
        Reject::Network(BASE),
        Reject::Asset,
        Reject::NoOffer,
        Reject::Ambiguous,
        Reject::Requirements("amount is zero"),
        Reject::ValidAfter,
        Reject::ExpiresTooSoon { left: 1, required: 6 },
        Reject::ExpiresTooLate { left: 9, accepted: 6 },
        Reject::Value { paid: amount, required: amount },
        Reject::Recipient { paid: address(PAYEE) },
        Reject::Signature("r or s is zero"),
        Reject::PayerHasCode,
        Reject::InsufficientFunds { held: amount, required: amount },
        Reject::AuthorizationUsed,
        Reject::TransactionState("it failed"),
        Reject::Reverts("paused".into()),
        Reject::TransferNotObserved,
        Reject::TransactionKind("it creates a contract"),
        Reject::TooOld,
        Reject::Cost { cost: 2, limit: 1 },
        Reject::BelowMinimum { minimum: amount },
        Reject::Resource,
        Reject::InProgress,
        Reject::AlreadyUsed,
        Reject::DuplicateSettlement { transaction: None },
        Reject::DuplicateSettlement { transaction: Some(transaction()) },
        Reject::TooManyOpen,
    ]
    .into_iter()
    .chain(solana_rejects().map(Reject::Solana))
    .collect()
}

fn solana_rejects() -> impl Iterator<Item = SolanaReject> {
    let paid = [9; 32].into();
    [
        SolanaReject::Undecodable("it ends too early"),
        SolanaReject::Signature("it is not the payer's"),
        SolanaReject::Signers,
        SolanaReject::LookupTables,
        SolanaReject::DurableNonce,
        SolanaReject::Instruction("system: not a transfer"),
        SolanaReject::ComputeBudget("the limit is set twice"),
        SolanaReject::Fee { lamports: 2, limit: 1 },
        SolanaReject::FeePayerUsed,
        SolanaReject::FeePayerUnknown,
        SolanaReject::FeeWasted,
        SolanaReject::NoTransfer,
        SolanaReject::TwoTransfers,
        SolanaReject::Recipient { paid },
        SolanaReject::Value { paid: 1, required: Amount::from_atomic(5) },
        SolanaReject::Expires { left: 3, required: 20 },
        SolanaReject::TokenAccount("the payee has none"),
        SolanaReject::Extension("transfer hook"),
    ]
    .into_iter()
}

/// The words of Solana among the 35 are said of payments on Solana, and those of EVM are not.
#[test]
fn payments_on_solana_are_refused_in_words_of_solana() {
    for reject in solana_rejects() {
        let (reason, word) = (reject.words().h402, reject.words().ours);
        assert!(!reason.as_str().contains("evm") && !reason.as_str().contains("arkade"), "{reject}");
        assert!(word.contains("solana"), "{reject}");
        assert_eq!(Reject::from(reject).reason(), reason);
    }
}

#[test]
fn a_refusal_keeps_its_words_and_text_over_the_wire() {
    for reject in rejects() {
        let there = encode_verify(&VerifyAnswer::failed(&reject.clone().into(), None)).unwrap();
        let back = decode_verify(&there).unwrap().verdict();
        let Err(VerifyError::Rejected(read)) = back else { panic!("{reject:?} became {back:?}") };
        assert_eq!((read.reason(), read.word(), read.to_string()), (reject.reason(), reject.word(), reject.to_string()));
        assert_eq!(read.is_conflict(), reject.is_conflict());
        if reject.is_conflict() {
            assert_eq!(read, reject);
        }

        let error = SettleError::Rejected { reject: reject.clone(), transaction: None };
        let there = encode_settle(&SettleAnswer::failed(&error, BASE, None)).unwrap();
        let back = decode_settle(&there).unwrap().receipt(BASE, address(PAYER));
        let Err(SettleError::Rejected { reject: read, transaction: None }) = back else { panic!("{reject:?} became {back:?}") };
        assert_eq!((read.word(), read.to_string()), (reject.word(), reject.to_string()));
    }
}

/// "Don't know" never turns into "no" on the way, nor the other way round.
#[test]
fn undecided_and_pending_stay_what_they_are() {
    for (undecided, read) in [
        (Undecided::Chain, Undecided::Facilitator),
        (Undecided::Store, Undecided::Facilitator),
        (Undecided::Gas, Undecided::Facilitator),
        (Undecided::ShuttingDown, Undecided::Facilitator),
        (Undecided::Busy, Undecided::Busy),
        (Undecided::Deadline, Undecided::Deadline),
    ] {
        let there = encode_verify(&VerifyAnswer::failed(&undecided.clone().into(), None)).unwrap();
        assert_eq!(decode_verify(&there).unwrap().verdict(), Err(read.clone().into()), "{undecided:?}");
        let there = encode_settle(&SettleAnswer::failed(&undecided.into(), BASE, None)).unwrap();
        assert_eq!(decode_settle(&there).unwrap().receipt(BASE, address(PAYER)), Err(read.into()));
    }
    for transaction in [None, Some(transaction())] {
        let pending = SettleError::Pending { transaction };
        let there = encode_settle(&SettleAnswer::failed(&pending, BASE, None)).unwrap();
        assert_eq!(decode_settle(&there).unwrap().receipt(BASE, address(PAYER)), Err(pending));
    }
    let unexpected = VerifyAnswer { reason: Some(ErrorReason::UnexpectedVerifyError), ..VerifyAnswer::default() };
    assert_eq!(unexpected.verdict(), Err(Undecided::Facilitator.into()));
    let failed = SettleError::Rejected { reject: Reject::TransactionState("it failed"), transaction: Some(transaction()) };
    let answer = SettleAnswer::failed(&failed, BASE, None);
    assert!(matches!(answer.receipt(BASE, address(PAYER)), Err(SettleError::Rejected { transaction: Some(_), .. })));
}

#[test]
fn texts_of_others_are_shortened_and_never_taken_for_words() {
    let text = |text: &str| refusal(Some(ErrorReason::InvalidPayload), Some(text)).to_string();
    assert_eq!(text("no: really"), "no: really");
    assert_eq!(text("a b: payment_in_progress"), "a b: payment_in_progress");
    assert_eq!(text("first\nURL: https://user:secret@rpc.example"), "first");
    assert_eq!(text(&"x".repeat(1000)).len(), 256);
    assert_eq!(text("bell\u{7}"), "bell");
    assert_eq!(refusal(None, Some("payment_in_progress")), Reject::InProgress, "the word alone");
    assert_eq!(refusal(None, None).word(), "invalid_payload");
}

#[test]
fn receipts_are_bounded_and_read_as_others_write_them() {
    // Recorded from next: class `transaction` has its hash in another field.
    let other = super::header(&format!(r#"{{"success":true,"isValid":true,"type":"transaction","txHash":"{HASH}"}}"#));
    assert_eq!(decode_receipt(&other).unwrap().transaction, Some(transaction()));
    let arkade = super::header(r#"{"success":true,"transaction":"","payer":"1118d4fc"}"#);
    assert_eq!(decode_receipt(&arkade).unwrap().payer, None);
    assert!(matches!(decode_receipt(&[b'A'; MAX_HEADER + 1]), Err(WireError::TooLong { .. })));
    assert!(decode_receipt(b"@@@").is_err());
}

#[test]
fn supported_kinds_are_named_and_unknown_ones_left_out() {
    let kind = |network| SupportedKind { dialect: Dialect::H402V1, scheme: Scheme::Exact, network, solana: None, facilitator: None };
    let supported = Supported { kinds: vec![kind(BASE), kind(Network::Evm(31337))], reserves: true, signers: Vec::new() };
    let body = encode_supported(&supported).unwrap();
    let expected = concat!(
        r#"{"kinds":[{"x402Version":0,"h402Version":1,"scheme":"exact","network":"base","namespace":"evm","networkId":"8453"},"#,
        r#"{"x402Version":0,"h402Version":1,"scheme":"exact","network":"eip155:31337","namespace":"evm","networkId":"31337"}],"extensions":[],"signers":{},"reserves":true}"#
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let others = concat!(
        r#"{"kinds":[{"h402Version":2,"scheme":"exact","network":"base"},{"h402Version":1,"scheme":"upto","network":"base"},"#,
        r#"{"h402Version":1,"scheme":"exact","network":"bitcoin"},{"h402Version":1,"scheme":"exact","network":"bsc"},"#,
        r#"{"h402Version":1,"scheme":"exact","network":"eip155:1"},7]}"#
    );
    let read = decode_supported(others.as_bytes()).unwrap();
    assert_eq!(read, Supported { kinds: vec![kind(Network::Evm(56)), kind(Network::Evm(1))], reserves: false, signers: Vec::new() });
    assert!(decode_supported(b"<html>").is_err());
}

#[test]
fn a_payments_status_says_all_and_reads_back() {
    let block = BlockRef { number: 12, hash: B256::repeat_byte(2) };
    let states = [
        Settlement::Claimed,
        Settlement::Signed { transaction: transaction() },
        Settlement::Broadcast { transaction: transaction() },
        Settlement::Included { transaction: transaction(), block },
        Settlement::Final { transaction: transaction(), block },
        Settlement::Reorged { transaction: transaction() },
        Settlement::Reverted { transaction: transaction(), block },
        Settlement::Rejected,
        Settlement::Abandoned { transaction: None },
        Settlement::Abandoned { transaction: Some(transaction()) },
    ];
    let mut row = PaymentRow {
        key: PaymentKey::from_bytes([0xcd; 32]),
        asset: AssetId { network: BASE, address: address(super::USDC) },
        payer: address(PAYER),
        pay_to: address(PAYEE),
        amount: Amount::from_atomic(10_000),
        kind: PaymentKind::Authorization,
        nonce: None,
        caller: None,
        state: Settlement::Claimed,
        answer: None,
        expires: None,
        last_block_height: None,
        raw: Some(vec![1, 2, 3].into()),
        claimed_at: UnixMillis(1000),
        updated_at: UnixMillis(2000),
        version: 1,
    };
    for state in states {
        row.state = state;
        assert_eq!(decode_payment_status(&encode_payment_status(&row).unwrap()), Ok(state));
    }
    row.state = Settlement::Reverted { transaction: transaction(), block };
    row.answer = Some(SettlementAnswer::Refused { word: "transfer_reverts".into(), text: "paused".into() });
    let body = String::from_utf8(encode_payment_status(&row).unwrap()).unwrap();
    let expected = format!(
        concat!(
            r#"{{"paymentId":"{key}","state":"reverted","network":"eip155:8453","asset":"{asset}","payer":"{payer}","payTo":"{pay_to}","#,
            r#""amount":"10000","transaction":"{hash}","block":{{"number":12,"hash":"0x{block}"}},"error":"transfer_reverts: paused","#,
            r#""claimedAt":1000,"updatedAt":2000}}"#
        ),
        key = "cd".repeat(32),
        asset = super::USDC,
        payer = PAYER,
        pay_to = PAYEE,
        hash = HASH,
        block = "02".repeat(32)
    );
    assert_eq!(body, expected);
}

#[test]
fn other_errors_are_a_word_and_a_text() {
    assert_eq!(encode_error("busy", "a \"quoted\" text"), br#"{"error":"busy","errorMessage":"a \"quoted\" text"}"#);
    let reference = decode_error(br#"{"error":"Server error during verification","details":"secret"}"#).unwrap();
    assert_eq!((reference.error.as_str(), reference.message), ("Server error during verification", None));
    assert!(decode_error(br#"{"error":{}}"#).is_err());
}
