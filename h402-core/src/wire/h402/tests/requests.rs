//! What facilitators are asked.

use super::{BASE, PAYER, USDC, address, asset, captured, payer_key, requirements};
use crate::{
    Amount, Assets, Authorization, CheckPolicy, Dialect, Payload, PaymentPayload, Reject, Requirements, Resource, Scheme,
    SentEvmTransaction, UnixMillis, UnixSeconds, wire::h402::*,
};
use alloy_primitives::{B256, U256};
use std::sync::Arc;

const RECORDED: &str = concat!(
    r#"{"scheme":"exact","namespace":"evm","tokenAddress":"0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2","#,
    r#""amountRequired":0.01,"amountRequiredFormat":"humanReadable","networkId":"8453","#,
    r#""payToAddress":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","description":"d","tokenDecimals":6,"tokenSymbol":"USDT","#,
    r#""resource":"http://127.0.0.1:4032/evm"}"#
);

fn request(payload: &str, requirements: &str) -> Result<Request, RequestError> {
    let body = format!(r#"{{"payload":"{payload}","paymentRequirements":{requirements}}}"#);
    decode_request(body.as_bytes(), &Assets::known())
}

/// What the reference middleware asked the reference facilitator; the payer is who the chain said had paid.
#[test]
fn a_recorded_request_is_read_and_matches() {
    let request = request(captured::SIGNED_TRANSACTION, RECORDED).unwrap();
    assert_eq!(request.requirements.offer.amount, Amount::from_atomic(10_000));
    let matched = request.matched().unwrap();
    assert_eq!((matched.payer(), matched.amount()), (address(PAYER), Amount::from_atomic(10_000)));
}

#[test]
fn what_is_no_request_is_the_callers_mistake() {
    let decode = |body: &str| decode_request(body.as_bytes(), &Assets::known());
    for body in ["", "[]", "{}", "null", r#"{"payload":"e30="}"#, r#"{"payload":1,"paymentRequirements":{}}"#, "\u{feff}{}", "{} x"] {
        assert!(matches!(decode(body), Err(RequestError::Malformed(_))), "{body}");
    }
    let twice = format!(r#"{{"payload":"e30=","paymentRequirements":{RECORDED},"payload":"e30="}}"#);
    assert!(matches!(decode(&twice), Err(RequestError::Malformed(_))));
    assert!(matches!(decode_request(b"\xff", &Assets::known()), Err(RequestError::Malformed("not JSON"))));
}

#[test]
fn what_is_wrong_with_either_half_is_a_refusal() {
    let rejected = |payload: &str, requirements: &str| match request(payload, requirements) {
        Err(RequestError::Rejected(reject)) => reject,
        other => panic!("{other:?}"),
    };
    let payload = captured::SIGNED_TRANSACTION;
    assert!(request(payload, RECORDED).is_ok());
    assert_eq!(rejected("e30", RECORDED), Reject::Malformed("a field is missing, repeated or of the wrong type"));
    for (from, to, reject) in [
        (r#""scheme":"exact","#, "", Reject::Scheme),
        ("8453", "1", Reject::Asset),
        (r#""namespace":"evm""#, r#""namespace":"arkade""#, Reject::Requirements("network is not known")),
        (r#""tokenDecimals":6"#, r#""tokenDecimals":18"#, Reject::Requirements("tokenDecimals is not the asset's")),
        ("0.01", "0", Reject::Requirements("amount is zero")),
        ("0.01", "0.00000001", Reject::Requirements("amount cannot be read exactly")),
        (
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "0x0000000000000000000000000000000000000000",
            Reject::Requirements("payToAddress cannot be paid"),
        ),
        (r#""networkId":"8453""#, r#""networkId":8453"#, Reject::Requirements("a field is missing, repeated or of the wrong type")),
    ] {
        assert_eq!(RECORDED.matches(from).count(), 1, "{from}");
        assert_eq!(rejected(payload, &RECORDED.replace(from, to)), reject, "{to}");
    }
}

/// The payee's side takes prices exactly as they are written; see `a_payer_pays_the_greater_of_exact_and_float`.
#[test]
fn a_facilitator_reads_prices_exactly() {
    let native = RECORDED
        .replace("0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", "0x0000000000000000000000000000000000000000")
        .replace(r#""tokenDecimals":6"#, r#""tokenDecimals":18"#)
        .replace("0.01", "1.1");
    let read = request(captured::SIGNED_TRANSACTION, &native).unwrap();
    assert_eq!(read.requirements.offer.amount.to_string(), "1100000000000000000");
}

fn signed_authorization(url: Option<&str>) -> PaymentPayload {
    let terms = Authorization {
        from: address(PAYER).evm().unwrap(),
        to: address(super::PAYEE).evm().unwrap(),
        value: Amount::from_atomic(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(2_000_000_000),
        nonce: B256::repeat_byte(9),
    };
    let signed = payer_key().sign_authorization(terms, &asset(BASE, USDC).eip712_domain().unwrap()).unwrap();
    let resource = url.map(ToOwned::to_owned);
    PaymentPayload { dialect: Dialect::H402V1, scheme: Scheme::Exact, network: BASE, resource, payload: Payload::Authorization(signed) }
}

#[test]
fn what_we_ask_is_what_we_read() {
    let url = "https://api.example/item?id=1";
    let payload = signed_authorization(Some(url));
    let requirements = Requirements { lifetime_seconds: Some(60), ..requirements(asset(BASE, USDC), 10_000, url) };
    let body = encode_request(&payload, &requirements).unwrap();
    let request = decode_request(&body, &Assets::known()).unwrap();
    assert_eq!(request, Request { payload, requirements });
    let matched = request.matched().unwrap();
    assert_eq!((matched.payer(), matched.expires()), (address(PAYER), Some(UnixSeconds(2_000_000_000))));
    assert_eq!(decode_request(&body, &Assets::none()), Err(RequestError::Rejected(Reject::Asset)));
}

/// T050: what is tied to its payer by a signed resource needs a resource; what is not, does not.
#[test]
fn t050_without_a_resource_only_authorizations_match() {
    let price = requirements(asset(BASE, USDC), 10_000, "");
    let request = |payload: PaymentPayload, url: &str| {
        let resource = Arc::new(Resource { url: url.to_owned(), ..Resource::default() });
        Request { payload, requirements: Requirements { resource, ..price.clone() } }
    };
    let policy = CheckPolicy::facilitator(UnixMillis(1_999_999_900_000));
    let check = |url: &str| request(signed_authorization(Some("402 signature 1")), url).matched().unwrap().check(&policy);
    assert!(check("").is_ok());
    assert_eq!(check("https://a.example").unwrap_err(), Reject::Resource);
    assert!(check("402 signature 1").is_ok());

    let sent = |url: &str| PaymentPayload {
        payload: Payload::EvmSent(SentEvmTransaction {
            hash: B256::repeat_byte(1),
            signed_message: payer_key().sign_message(url).unwrap(),
        }),
        ..signed_authorization(None)
    };
    assert!(matches!(request(sent(""), "").matched(), Err(Reject::Requirements(_))));
    assert_eq!(request(sent("https://a.example"), "https://a.example").matched().unwrap().payer(), address(PAYER));
    let mut transaction = decode_payment(captured::SIGNED_TRANSACTION.as_bytes()).unwrap();
    transaction.resource = None;
    assert!(matches!(request(transaction, "").matched(), Err(Reject::Requirements(_))));
}
