//! What a facilitator answers, and the receipts that servers pass on.

use crate::header;
use h402_core::{
    Address, Network, SettleError, TransactionId,
    wire::{
        self, h402,
        x402::{self, v1, v2},
    },
};

const PAYER: Address = Address::Evm(h402_core::EvmAddress::repeat_byte(7));
const HERE: Network = Network::Evm(8453);

pub(crate) fn all(bytes: &[u8]) {
    verify(bytes);
    settle(bytes);
    receipts(bytes);
    receipts(&header(bytes));
    if let Ok(supported) = wire::decode_supported(bytes) {
        let body = wire::encode_supported(&supported).expect("what was read can be written");
        assert_eq!(wire::decode_supported(&body), Ok(supported));
    }
    let _ = h402::decode_payment_status(bytes);
    if let Ok(error) = h402::decode_error(bytes)
        && let Some(text) = &error.message
    {
        assert_eq!(h402::decode_error(&h402::encode_error(&error.error, text)), Ok(error.clone()));
    }
}

fn verify(body: &[u8]) {
    if let Ok(answer) = h402::decode_verify(body) {
        assert_eq!(h402::decode_verify(&h402::encode_verify(&answer).expect("what was read can be written")).as_ref(), Ok(&answer));
        assert_eq!(answer.verdict().is_ok(), answer.valid);
    }
    if let Ok(answer) = v1::decode_verify(body) {
        assert_eq!(v1::decode_verify(&v1::encode_verify(&answer).expect("what was read can be written")).as_ref(), Ok(&answer));
        assert_eq!(v2::decode_verify(body).as_ref(), Ok(&answer), "the versions spell it alike");
        assert_eq!(answer.verdict().is_ok(), answer.valid);
    }
}

fn settle(body: &[u8]) {
    if let Ok(answer) = h402::decode_settle(body) {
        assert_eq!(h402::decode_settle(&h402::encode_settle(&answer).expect("what was read can be written")).as_ref(), Ok(&answer));
    }
    if let Ok(answer) = v1::decode_settle(body) {
        let again = v1::decode_settle(&v1::encode_settle(&answer).expect("what was read can be written")).expect("and read again");
        assert_eq!(again, x402::SettleAnswer { message: None, ..answer }, "version 1 has no messages");
    }
    if let Ok(answer) = v2::decode_settle(body) {
        assert_eq!(v2::decode_settle(&v2::encode_settle(&answer).expect("what was read can be written")).as_ref(), Ok(&answer));
    }
}

/// A receipt counts for a network only with a transaction of it.
fn receipts(value: &[u8]) {
    let belongs = |receipt: Result<h402_core::Receipt, SettleError>, success: bool| match receipt {
        Ok(receipt) => assert!(success && receipt.network == HERE && matches!(receipt.transaction, TransactionId::Evm(_))),
        Err(SettleError::Rejected { .. } | SettleError::Undecided(_)) => assert!(!success, "a success that is a refusal"),
        Err(SettleError::Pending { .. }) => {}
    };
    if let Ok(answer) = h402::decode_receipt(value) {
        belongs(answer.receipt(HERE, PAYER), answer.success);
    }
    for answer in [v1::decode_receipt(value), v2::decode_receipt(value)].into_iter().flatten() {
        belongs(answer.receipt(HERE, PAYER), answer.success);
    }
}
