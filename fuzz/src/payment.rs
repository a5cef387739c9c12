//! Payment headers of all dialects.

use crate::{as_others_read, header};
use h402_core::{
    Dialect, Payload, PaymentPayload,
    wire::{self, HeaderError, WireError, h402, x402},
};
use serde_json::Value;

/// The bytes as a header, and as the text in one.
pub(crate) fn headers(bytes: &[u8]) {
    one(bytes, None);
    one(&header(bytes), std::str::from_utf8(bytes).ok());
}

fn one(value: &[u8], text: Option<&str>) {
    let told = wire::presented([value], []);
    let read = [
        h402::decode_payment(value).ok(),
        x402::v1::decode_payment(value).ok(),
        x402::v2::decode_payment(value).ok().map(|paid| paid.payload),
    ];
    let dialects = [Dialect::H402V1, Dialect::X402V1, Dialect::X402V2];
    assert!(read.iter().flatten().count() <= 1, "a payment of two dialects");
    for (read, dialect) in read.iter().zip(dialects) {
        let Some(read) = read else { continue };
        assert_eq!(read.dialect, dialect);
        let header = if dialect == Dialect::X402V2 { wire::presented([], [value]) } else { told.clone() };
        assert_eq!(
            header.map(|found| found.map(|found| found.dialect)),
            Ok(Some(dialect)),
            "the dialect is told otherwise than it is read"
        );
        // Two payments, however they are put there.
        assert_eq!(wire::presented([value, value], []), Err(HeaderError::Several));
        assert_eq!(wire::presented([value], [value]), Err(HeaderError::Several));
        let joined = [value, b", ", value].concat();
        assert_eq!(wire::presented([joined.as_slice()], []), Err(HeaderError::Several));
        if let Some(text) = text {
            as_it_stands(read, &as_others_read(text));
        }
    }
    if let Some(payment) = &read[0] {
        comes_back(payment, h402::encode_payment, h402::decode_payment);
    }
    if let Some(payment) = &read[1] {
        comes_back(payment, x402::v1::encode_payment, x402::v1::decode_payment);
    }
    if let Ok(payment) = x402::v2::decode_payment(value) {
        version_2(&payment);
    }
}

fn comes_back(
    payment: &PaymentPayload,
    encode: impl Fn(&PaymentPayload) -> Result<String, WireError>,
    decode: impl Fn(&[u8]) -> Result<PaymentPayload, h402_core::Reject>,
) {
    match encode(payment) {
        Ok(written) => assert_eq!(decode(written.as_bytes()).as_ref(), Ok(payment)),
        // Ours may be longer: what was not ASCII, and what was not padded.
        Err(WireError::TooLong { .. }) => {}
        Err(other) => panic!("what was read cannot be written: {other}"),
    }
}

fn version_2(payment: &x402::v2::Payment) {
    if let Ok(Some(identifier)) = payment.extensions.payment_identifier()
        && let Some(id) = identifier.id()
    {
        assert!((16..=128).contains(&id.len()) && id.is_ascii());
        let mut extensions = payment.extensions.clone();
        extensions.set_payment_identifier(&identifier).expect("what was read can be written");
        assert_eq!(extensions.payment_identifier(), Ok(Some(identifier.clone())));
    }
    let written = match x402::v2::encode_payment(payment) {
        Ok(written) => written,
        Err(WireError::TooLong { .. }) => return,
        Err(other) => panic!("what was read cannot be written: {other}"),
    };
    let again = x402::v2::decode_payment(written.as_bytes()).expect("what was written can be read");
    assert_eq!((&again.payload, &again.accepted, &again.resource), (&payment.payload, &payment.accepted, &payment.resource));
    // The payer's approval is written into an extension anew; all others come back as they were.
    assert_eq!(again.extensions.payment_identifier(), payment.extensions.payment_identifier());
    let twice = x402::v2::encode_payment(&again).expect("it was written before");
    assert_eq!(x402::v2::decode_payment(twice.as_bytes()).as_ref(), Ok(&again));
}

/// Another program must find the same fields in the text, whatever it does about repeated keys (T097, T111).
fn as_it_stands(payment: &PaymentPayload, text: &Value) {
    let Payload::Authorization(signed) = &payment.payload else { return };
    let stands = &text["payload"]["authorization"];
    let number = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let terms = &signed.authorization;
    let address = |value: &Value| value.as_str().map(str::to_lowercase);
    assert_eq!(address(&stands["from"]), Some(format!("{:?}", terms.from)));
    assert_eq!(address(&stands["to"]), Some(format!("{:?}", terms.to)));
    assert_eq!(address(&stands["nonce"]), Some(terms.nonce.to_string()));
    assert_eq!(number(&stands["value"]), terms.value.to_string());
    assert_eq!(number(&stands["validAfter"]), terms.valid_after.to_string());
    assert_eq!(number(&stands["validBefore"]), terms.valid_before.to_string());
    let signature = text["payload"]["signature"].as_str().map(str::to_lowercase);
    assert_eq!(signature, Some(signed.signature.to_string()));
}
