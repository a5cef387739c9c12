//! Signed receipts and the keys of their issuers.

use h402_core::{BadReceipt, ReceiptIssuer, ReceiptKey, SignedReceipt, wire::h402};

pub(crate) fn all(bytes: &[u8]) {
    if let Ok(issuer) = h402::decode_receipt_issuer(bytes) {
        assert_eq!(h402::decode_receipt_issuer(&h402::encode_receipt_issuer(&issuer).expect("what was read can be written")), Ok(issuer));
    }
    if let Ok(receipt) = h402::decode_signed_receipt(bytes) {
        let body = h402::encode_signed_receipt(&receipt).expect("what was read can be written");
        assert_eq!(h402::decode_signed_receipt(&body), Ok(receipt));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(issuer) = text.parse::<ReceiptIssuer>() {
            assert_eq!(issuer.to_string().parse(), Ok(issuer));
        }
        one(text);
    }
    // Few random texts are base64.
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    one(&BASE64_URL_SAFE_NO_PAD.encode(bytes));
}

/// A receipt has one text, and proves nothing unless its issuer is trusted and has signed it.
fn one(text: &str) {
    let Ok(receipt) = text.parse::<SignedReceipt>() else { return };
    assert_eq!(receipt.to_string(), text, "two texts of one receipt");
    assert!(text.len() <= SignedReceipt::MAX_TEXT);
    let issuer = receipt.issuer();
    assert_eq!(receipt.verify(&[]), Err(BadReceipt::Issuer(issuer)));
    let key = ReceiptKey::from_seed(&[7; 32]);
    // Whatever it says, it could have been signed; and then it holds, under that key and no other.
    let signed = SignedReceipt::sign(receipt.unverified().clone(), &key).expect("its parts are of one kind");
    assert_eq!(signed.verify(&[key.issuer()]), Ok(receipt.unverified()));
    if receipt.verify(&[issuer]).is_ok() && issuer == key.issuer() {
        assert_eq!(receipt, signed, "two signatures of one statement");
    }
}
