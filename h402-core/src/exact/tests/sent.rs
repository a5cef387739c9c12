use super::fixture::*;
use crate::*;
use alloy_primitives::{B256, Bytes, U256};

const HASH: B256 = B256::repeat_byte(0xab);

fn claim(signed_message: Bytes) -> PaymentPayload {
    payload(Network::Evm(8453), Payload::EvmSent(SentEvmTransaction { hash: HASH, signed_message }))
}

fn log() -> TransferLog {
    TransferLog { token: evm(USDC_BASE.token), from: payer().address(), to: evm(PAYEE), amount: Amount::from_atomic(10_000) }
}

fn receipt() -> ReceiptFacts {
    ReceiptFacts {
        success: true,
        block: 100,
        block_hash: B256::repeat_byte(1),
        time: UnixSeconds(now() - 10),
        transfers: vec![log()],
        authorizations: vec![],
        cost: None,
    }
}

fn sent() -> SentFacts {
    SentFacts {
        from: payer().address(),
        to: Some(evm(USDC_BASE.token)),
        nonce: 3,
        value: U256::ZERO,
        input: call("a9059cbb", PAYEE, 10_000),
        receipt: Some(receipt()),
    }
}

fn judge(sent: Option<SentFacts>) -> Result<Attestation, VerifyError> {
    let facts = EvmFacts { authorization_used: None, simulation: None, sent, ..facts() };
    check(claim(message(URL, &payer()))).unwrap().judge(&facts, &policy())
}

fn with_receipt(bend: impl FnOnce(&mut ReceiptFacts)) -> Result<Attestation, VerifyError> {
    let mut receipt = receipt();
    bend(&mut receipt);
    judge(Some(SentFacts { receipt: Some(receipt), ..sent() }))
}

/// T173: a sent transaction is the same payment as the signed one: one key, and its hash as another name.
#[test]
fn t173_sent_and_signed_are_one_payment() {
    let attestation = judge(Some(sent())).unwrap();
    let signed = PaymentId::EvmTransaction { chain: 8453, sender: payer().address(), nonce: 3 };
    assert_eq!(attestation.key, signed.key());
    assert_eq!(attestation.aliases, [PaymentKey::of_transaction(Network::Evm(8453), &TransactionId::Evm(HASH))]);
    assert_eq!(attestation.transaction, Some(TransactionId::Evm(HASH)));
}

/// T015, T053, T054: only the sender of the transaction can claim it, and only for the resource that was signed.
#[test]
fn t015_t053_t054_only_the_sender_claims() {
    let thief: PrivateKeySigner = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().unwrap();
    let facts = EvmFacts { authorization_used: None, simulation: None, sent: Some(sent()), ..facts() };
    for (text, key) in [(URL, &thief), ("https://api.example/other", &payer())] {
        let checked = check(claim(message(text, key))).unwrap();
        assert!(matches!(checked.judge(&facts, &policy()), Err(VerifyError::Rejected(Reject::Signature(_)))), "{text}");
    }
    assert!(judge(Some(sent())).is_ok());
    let relayed = SentFacts { from: thief.address(), ..sent() };
    assert!(judge(Some(relayed)).is_err(), "a relayer's transaction is not the payer's");
}

/// T052: an old payment, or one from before this service started, is not a payment for this call.
#[test]
fn t052_old_payments_are_refused() {
    assert_eq!(with_receipt(|receipt| receipt.time = UnixSeconds(now() - 3601)), Err(Reject::TooOld.into()));
    assert!(with_receipt(|receipt| receipt.time = UnixSeconds(now() - 3600)).is_ok());
    let late_start = JudgePolicy { not_before: UnixSeconds(now() - 9), ..policy() };
    let facts = EvmFacts { authorization_used: None, simulation: None, sent: Some(sent()), ..facts() };
    let checked = check(claim(message(URL, &payer()))).unwrap();
    assert_eq!(checked.judge(&facts, &late_start), Err(Reject::TooOld.into()));
}

/// T055, T056, T066: the token's own transfer log, from payer to payee, in one piece.
#[test]
fn t055_t056_t066_the_transfer_must_show() {
    let other = evm("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
    let logs = [
        vec![],
        vec![TransferLog { token: other, ..log() }],
        vec![TransferLog { from: other, ..log() }],
        vec![TransferLog { to: other, ..log() }],
        vec![TransferLog { amount: Amount::from_atomic(9_900), ..log() }],
        vec![TransferLog { amount: Amount::from_atomic(5_000), ..log() }, TransferLog { amount: Amount::from_atomic(5_000), ..log() }],
    ];
    for transfers in logs {
        let result = with_receipt(|receipt| receipt.transfers.clone_from(&transfers));
        assert_eq!(result, Err(Reject::TransferNotObserved.into()), "{transfers:?}");
    }
    let first_elsewhere = vec![TransferLog { to: other, ..log() }, log()];
    assert!(with_receipt(|receipt| receipt.transfers = first_elsewhere).is_ok(), "the order of logs does not matter");
}

/// T058: what is unknown or failed is refused for good; what is under way or too shallow is waited for, since a payer who
/// is refused would pay again. Nothing is waited for that could not pay when it is there.
#[test]
fn t058_failed_transactions_are_refused_and_unmined_ones_waited_for() {
    let not_yet = Err(VerifyError::Undecided(Undecided::Unconfirmed));
    assert!(matches!(judge(None), Err(VerifyError::Rejected(Reject::TransactionState(_)))));
    let waiting = SentFacts { receipt: None, ..sent() };
    assert_eq!(judge(Some(waiting.clone())), not_yet);
    let less = SentFacts { input: call("a9059cbb", PAYEE, 9_999), ..waiting.clone() };
    assert!(matches!(judge(Some(less)), Err(VerifyError::Rejected(Reject::Value { .. }))));
    let elsewhere = SentFacts { input: call("a9059cbb", USDC_BASE.token, 10_000), ..waiting };
    assert!(matches!(judge(Some(elsewhere)), Err(VerifyError::Rejected(Reject::Recipient { .. }))));
    assert!(matches!(with_receipt(|receipt| receipt.success = false), Err(VerifyError::Rejected(Reject::TransactionState(_)))));
    assert_eq!(with_receipt(|receipt| receipt.block = 101), not_yet, "mined after the block that was read");
    let deep = JudgePolicy { depth: 3, ..policy() };
    let facts = |block| EvmFacts { block, authorization_used: None, simulation: None, sent: Some(sent()), ..facts() };
    let checked = check(claim(message(URL, &payer()))).unwrap();
    assert_eq!(checked.judge(&facts(101), &deep), not_yet);
    assert!(checked.judge(&facts(102), &deep).is_ok());
}

/// T060 and routers: only a direct transfer counts, and only to the payee.
#[test]
fn t060_only_direct_transfers_count() {
    let other = evm("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
    let bent = [
        SentFacts { to: Some(other), ..sent() },
        SentFacts { to: None, ..sent() },
        SentFacts { input: call("e3ee160e", PAYEE, 10_000), ..sent() },
        SentFacts { input: call("a9059cbb", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", 10_000), ..sent() },
        SentFacts { input: call("a9059cbb", PAYEE, 9_999), ..sent() },
        SentFacts { value: U256::from(1), ..sent() },
    ];
    for sent in bent {
        assert!(matches!(judge(Some(sent.clone())), Err(VerifyError::Rejected(_))), "{sent:?}");
    }
    assert!(judge(Some(sent())).is_ok());
}

/// T059: a hash has one spelling.
#[test]
fn t059_a_hash_has_one_spelling() {
    let lower = format!("0x{}", "ab".repeat(32));
    assert_eq!(lower.parse(), Ok(TransactionId::Evm(HASH)));
    let others = [
        lower.to_uppercase(),
        lower[2..].into(),
        lower.replace("0x", "0X"),
        lower.replace("ab", "AB"),
        format!(" {lower}"),
        format!("{lower}00"),
    ];
    for text in others {
        assert_eq!(text.parse::<TransactionId>(), Err(BadTransactionId), "{text}");
    }
}

#[test]
fn two_offers_on_one_network_leave_a_hash_ambiguous() {
    let offers = vec![usdc(), offer(asset(8453, "ETH"), 1_000_000_000_000_000)];
    assert_eq!(match_with(claim(message(URL, &payer())), offers).err(), Some(Reject::Ambiguous));
    assert!(match_with(claim(message(URL, &payer())), vec![usdc()]).is_ok());
}
