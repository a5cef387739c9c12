use super::*;
use crate::{Amount, wire::x402};
use std::collections::BTreeSet;

/// One of every refusal; `_every_refusal_is_here` does not compile without a new one.
fn rejects() -> Vec<Reject> {
    let amount = Amount::from_atomic(1);
    let payee: crate::Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
    let mut all = vec![
        Reject::Undecodable(""),
        Reject::Malformed(""),
        Reject::Version,
        Reject::Scheme,
        Reject::PayloadType(""),
        Reject::Network(Network::Evm(1)),
        Reject::Asset,
        Reject::NoOffer,
        Reject::Ambiguous,
        Reject::Requirements(""),
        Reject::Domain,
        Reject::ValidAfter,
        Reject::ExpiresTooSoon { left: 0, required: 1 },
        Reject::ExpiresTooLate { left: 1, accepted: 0 },
        Reject::Value { paid: amount, required: amount },
        Reject::Recipient { paid: payee },
        Reject::Signature(""),
        Reject::PayerHasCode,
        Reject::InsufficientFunds { held: amount, required: amount },
        Reject::Allowance { approved: amount, required: amount },
        Reject::Spender,
        Reject::Facilitator,
        Reject::AuthorizationUsed,
        Reject::TransactionState(""),
        Reject::Reverts(String::new()),
        Reject::TransferNotObserved,
        Reject::Lost,
        Reject::TransactionKind(""),
        Reject::TooOld,
        Reject::Cost { cost: 1, limit: 0 },
        Reject::BelowMinimum { minimum: amount },
        Reject::GasWasted,
        Reject::Factory,
        Reject::Payee,
        Reject::Resource,
        Reject::InProgress,
        Reject::AlreadyUsed,
        Reject::DuplicateSettlement { transaction: None },
        Reject::TooManyOpen,
        Reject::Other { reason: ErrorReason::SolanaValue, word: "made_up", text: String::new() },
    ];
    let paid = crate::SolanaAddress::from_bytes([1; 32]);
    all.extend(
        [
            SolanaReject::Undecodable(""),
            SolanaReject::Signature(""),
            SolanaReject::Signers,
            SolanaReject::LookupTables,
            SolanaReject::DurableNonce,
            SolanaReject::Instruction(""),
            SolanaReject::ComputeBudget(""),
            SolanaReject::Fee { lamports: 1, limit: 0 },
            SolanaReject::FeePayerUsed,
            SolanaReject::FeePayerUnknown,
            SolanaReject::FeePayerDiffers,
            SolanaReject::Memo,
            SolanaReject::FeeWasted,
            SolanaReject::NoTransfer,
            SolanaReject::TwoTransfers,
            SolanaReject::Recipient { paid },
            SolanaReject::Value { paid: 1, required: amount },
            SolanaReject::Expires { left: 0, required: 1 },
            SolanaReject::TokenAccount(""),
            SolanaReject::Extension(""),
        ]
        .map(Reject::from),
    );
    all
}

/// Words that the recorded packages said, read from their recordings: not one is made up here.
#[expect(clippy::disallowed_methods, reason = "recordings are files; the core itself reads none")]
fn recorded() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/x402");
    let mut words = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for key in ["\"invalidReason\": \"", "\"errorReason\": \""] {
            words.extend(text.split(key).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    words.retain(|word| !word.contains(' '));
    words
}

/// Words of x402's specification that no recording has.
const SPECIFIED: [&str; 19] = [
    "invalid_x402_version",
    "invalid_network",
    "unsupported_scheme",
    "invalid_payment_requirements",
    "unsupported_payload_type",
    "upto_facilitator_mismatch",
    "invalid_permit2_spender",
    "permit2_allowance_required",
    "transaction_simulation_failed",
    "invalid_exact_evm_transaction_simulation_failed",
    "invalid_exact_evm_payload_undeployed_smart_wallet",
    "invalid_exact_svm_payload_network_mismatch",
    "invalid_exact_svm_payload_no_transfer_instruction",
    "invalid_exact_svm_payload_unknown_optional_instruction",
    "invalid_exact_svm_payload_transaction_fee_payer_transferring_funds",
    "invalid_exact_svm_payload_transaction_amount_mismatch",
    "invalid_exact_svm_payload_transaction_transfer_to_incorrect_ata",
    "unexpected_verify_error",
    "unexpected_settle_error",
];

#[test]
fn every_refusal_has_a_word_of_each_dialect() {
    let recorded = recorded();
    assert!(recorded.len() > 30, "{recorded:?}");
    let known = |word: &str| recorded.contains(word) || SPECIFIED.contains(&word);
    let solana = Network::Solana(crate::GenesisPrefix::DEVNET);
    let mut variants = BTreeSet::new();
    for reject in rejects() {
        variants.insert(format!("{reject:?}").split(['(', ' ']).next().unwrap().to_owned());
        assert!(ErrorReason::from_word(reject.word_in(Dialect::H402V1, None)).is_some());
        for network in [None, Some(Network::Evm(8453)), Some(solana)] {
            for dialect in [Dialect::X402V1, Dialect::X402V2] {
                let word = reject.word_in(dialect, network);
                assert!(known(word), "{reject:?} is {word} in {dialect:?}");
                // What we say, we understand.
                assert_ne!(x402::refusal(Some(word), None).to_string(), "refused without a reason");
            }
        }
    }
    assert_eq!(variants.len(), 41, "{variants:?}");
    for undecided in [Undecided::Chain, Undecided::Busy] {
        assert!(known(undecided.verify_word()) && known(undecided.settle_word()));
    }
    assert!(known(PENDING) && known(failed_on_chain(Some(Network::Evm(1)))) && known(failed_on_chain(Some(solana))));
}

/// Every word that a recorded program said is understood, and none as a settlement.
#[test]
fn every_recorded_word_is_understood() {
    for word in recorded() {
        if word == PENDING || is_no_verdict(&word) {
            continue;
        }
        assert!(heard(&word).is_some(), "{word}");
        let reject = x402::refusal(Some(&word), None);
        assert!(!reject.word().is_empty() && reject.reason() != ErrorReason::UnexpectedSettleError, "{word}: {reject:?}");
    }
}

/// The words that are told apart by network, as they were recorded (fac-v2-verify, fac-v1-verify, svm-fac-v2-verify, svm-v1).
#[test]
fn words_are_those_of_the_recordings() {
    let evm = Some(Network::Evm(84532));
    let amount = Amount::from_atomic(1);
    let table = [
        (Reject::Signature(""), "invalid_exact_evm_payload_signature", "invalid_exact_evm_signature"),
        (
            Reject::Value { paid: amount, required: amount },
            "invalid_exact_evm_payload_authorization_value",
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (Reject::InsufficientFunds { held: amount, required: amount }, "insufficient_funds", "invalid_exact_evm_insufficient_balance"),
        (
            Reject::Recipient { paid: crate::EvmAddress::ZERO.into() },
            "invalid_exact_evm_payload_recipient_mismatch",
            "invalid_exact_evm_recipient_mismatch",
        ),
        (
            SolanaReject::Value { paid: 1, required: amount }.into(),
            "invalid_exact_svm_payload_transaction_amount_mismatch",
            "invalid_exact_svm_payload_amount_mismatch",
        ),
        (SolanaReject::FeePayerDiffers.into(), "invalid_exact_svm_fee_payer_mismatch", "invalid_exact_svm_fee_payer_mismatch"),
    ];
    for (reject, v1, v2) in table {
        assert_eq!((reject.word_in(Dialect::X402V1, evm), reject.word_in(Dialect::X402V2, evm)), (v1, v2));
    }
}

/// A new refusal does not compile before it is in [`rejects`] and counted there.
fn _every_refusal_is_here(reject: &Reject) {
    match reject {
        Reject::Undecodable(_)
        | Reject::Malformed(_)
        | Reject::Version
        | Reject::Scheme
        | Reject::PayloadType(_)
        | Reject::Network(_)
        | Reject::Asset
        | Reject::NoOffer
        | Reject::Ambiguous
        | Reject::Requirements(_)
        | Reject::Domain
        | Reject::ValidAfter
        | Reject::ExpiresTooSoon { .. }
        | Reject::ExpiresTooLate { .. }
        | Reject::Value { .. }
        | Reject::Recipient { .. }
        | Reject::Signature(_)
        | Reject::PayerHasCode
        | Reject::InsufficientFunds { .. }
        | Reject::Allowance { .. }
        | Reject::Spender
        | Reject::Facilitator
        | Reject::AuthorizationUsed
        | Reject::TransactionState(_)
        | Reject::Reverts(_)
        | Reject::TransferNotObserved
        | Reject::Lost
        | Reject::TransactionKind(_)
        | Reject::TooOld
        | Reject::Cost { .. }
        | Reject::BelowMinimum { .. }
        | Reject::GasWasted
        | Reject::Factory
        | Reject::Payee
        | Reject::Resource
        | Reject::InProgress
        | Reject::AlreadyUsed
        | Reject::DuplicateSettlement { .. }
        | Reject::TooManyOpen
        | Reject::Solana(_)
        | Reject::Other { .. } => {}
    }
}
