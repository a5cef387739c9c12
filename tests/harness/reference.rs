//! The parsers of h402's reference programs, as strict as those are, from what docs/wire.md and the recorded exchanges say of
//! them. Their packages are not published any more: what these read, theirs would have.
//!
//! Unknown keys are dropped, as by the reference; but `null` stands for nothing except where it is said to, and no text is
//! taken for a number.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

/// Why the reference would have thrown, and where.
pub type Thrown = String;

/// The form of a value.
enum Form {
    Boolean,
    Text,
    /// A JSON number, whole or not.
    Number,
    /// A number without a fraction, not below zero.
    Count,
    /// An absolute URL.
    Url,
    OneOf(&'static [&'static str]),
    Reason,
    /// `0x` and this many hex digits; any even number of them but none for 0.
    Hex(usize),
    /// Base58 of about this many bytes.
    Base58(usize),
    Base64,
    /// Digits, as `BigInt` takes them.
    Digits,
    /// `0x` and 40 hex digits, in the capitals of EIP-55.
    Checksummed,
    Anything,
    Object(&'static [Field]),
}

/// A key, the form of its value, and whether it may be left out.
struct Field(&'static str, Form, bool);

const MUST: bool = true;
const MAY: bool = false;

use Form::{Anything, Base58, Base64, Boolean, Checksummed, Count, Digits, Hex, Number, Object, OneOf, Reason, Text, Url};

/// Of an option, whatever its namespace; addresses are in the lists behind.
const REQUIREMENTS: &[Field] = &[
    Field("scheme", OneOf(&["exact"]), MUST),
    Field("networkId", Text, MUST),
    Field("amountRequired", Number, MUST),
    Field("amountRequiredFormat", OneOf(&["humanReadable", "smallestUnit"]), MUST),
    Field("tokenDecimals", Count, MAY),
    Field("tokenSymbol", Text, MAY),
    Field("resource", Url, MAY),
    Field("description", Text, MAY),
    Field("mimeType", Text, MAY),
    Field("outputSchema", Anything, MAY),
    Field("estimatedProcessingTime", Count, MAY),
    Field("extra", Anything, MAY),
    Field("maxAmountRequired", Number, MAY),
    Field("requiredDeadlineSeconds", Count, MAY),
];
const EVM: &[Field] = &[Field("networkId", Digits, MUST), Field("payToAddress", Checksummed, MUST), Field("tokenAddress", Hex(40), MUST)];
const SOLANA: &[Field] =
    &[Field("networkId", Text, MUST), Field("payToAddress", Base58(32), MUST), Field("tokenAddress", Base58(32), MUST)];

const AUTHORIZATION: &[Field] = &[
    Field("from", Hex(40), MUST),
    Field("to", Hex(40), MUST),
    Field("value", Digits, MUST),
    Field("validAfter", Digits, MUST),
    Field("validBefore", Digits, MUST),
    Field("nonce", Hex(64), MUST),
    Field("version", Text, MAY),
];

/// What a payment of each namespace and type has beside them.
const PAYLOADS: [(&str, &str, &[Field]); 5] = [
    ("evm", "authorization", &[Field("signature", Hex(130), MUST), Field("authorization", Object(AUTHORIZATION), MUST)]),
    ("evm", "signedTransaction", &[Field("signedTransaction", Hex(0), MUST), Field("signedMessage", Hex(0), MUST)]),
    ("evm", "signAndSendTransaction", &[Field("transactionHash", Hex(64), MUST), Field("signedMessage", Hex(0), MUST)]),
    ("solana", "signTransaction", &[Field("signature", Base58(64), MUST), Field("transaction", Base64, MUST)]),
    ("solana", "signAndSendTransaction", &[Field("signature", Base58(64), MUST)]),
];

const VERIFIED: &[Field] = &[
    Field("isValid", Boolean, MUST),
    Field("invalidReason", Reason, MAY),
    Field("payer", Text, MAY),
    Field("errorMessage", Text, MAY),
    Field("txHash", Text, MAY),
    Field("type", OneOf(&["payload", "transaction"]), MAY),
];

const SETTLED: &[Field] = &[
    Field("success", Boolean, MUST),
    Field("transaction", Text, MUST),
    Field("namespace", OneOf(&["evm", "solana", "arkade"]), MAY),
    Field("payer", Text, MAY),
    Field("errorReason", Reason, MAY),
    Field("error", Text, MAY),
];

const KIND: &[Field] = &[Field("h402Version", Count, MUST), Field("scheme", OneOf(&["exact"]), MUST), Field("network", Text, MUST)];

/// The 35 words, which are all that a reason may be.
const REASONS: [&str; 35] = [
    "insufficient_funds",
    "invalid_exact_evm_payload_authorization_valid_after",
    "invalid_exact_evm_payload_authorization_valid_before",
    "invalid_exact_evm_payload_authorization_value",
    "invalid_exact_evm_payload_signature",
    "invalid_exact_evm_payload_recipient_mismatch",
    "invalid_exact_solana_payload_authorization_valid_after",
    "invalid_exact_solana_payload_authorization_valid_before",
    "invalid_exact_solana_payload_authorization_value",
    "invalid_exact_solana_payload_signature",
    "invalid_exact_solana_payload_recipient_mismatch",
    "invalid_exact_arkade_payload_txId",
    "invalid_exact_arkade_payload_tx_input_invalid",
    "invalid_exact_arkade_payload_tx_recipient_mismatch",
    "invalid_exact_arkade_payload_tx_amount_mismatch",
    "invalid_exact_arkade_payload_tx_amount_less_than_dust",
    "invalid_exact_arkade_payload_tx_output_not_found",
    "invalid_exact_arkade_payload_signer_pubkey",
    "invalid_exact_arkade_payload_txId_not_found",
    "invalid_exact_arkade_payload_psbt_empty",
    "invalid_exact_arkade_payload_tx_sender_pubkey_not_found",
    "invalid_exact_arkade_payload_tx_input_missing_witness",
    "invalid_exact_arkade_payload_tx_input_missing_tapleaf",
    "invalid_exact_arkade_payload_tx_input_unsigned",
    "invalid_exact_arkade_payload_signed_message_signature_mismatch",
    "invalid_exact_arkade_payload_signedMessage",
    "invalid_network",
    "invalid_payload",
    "invalid_payment_requirements",
    "invalid_scheme",
    "unsupported_scheme",
    "invalid_h402_version",
    "invalid_transaction_state",
    "unexpected_verify_error",
    "unexpected_settle_error",
];

/// A 402's body, as the client reads it before it pays: its options.
///
/// # Errors
/// What the client would throw.
pub fn challenge(body: &str) -> Result<Vec<Value>, Thrown> {
    let body = object(&json(body)?, "402")?.clone();
    version(&body)?;
    // Theirs sends `{}` for some errors; ours never may.
    form(body.get("error").ok_or("402: error is missing")?, &Text, "error")?;
    if let Some(payer) = body.get("payer") {
        form(payer, &Text, "payer")?;
    }
    let accepts = body.get("accepts").and_then(Value::as_array).ok_or("accepts.map is not a function")?;
    accepts.iter().try_for_each(requirements)?;
    Ok(accepts.clone())
}

/// One option, in a 402 or in a question to the facilitator.
///
/// # Errors
/// What zod would throw.
pub fn requirements(option: &Value) -> Result<(), Thrown> {
    fields(option, REQUIREMENTS, "option")?;
    match option["namespace"].as_str() {
        Some("evm") => fields(option, EVM, "option"),
        Some("solana") => fields(option, SOLANA, "option"),
        other => Err(format!("option: namespace {other:?}")),
    }
}

/// The value of `X-PAYMENT`, as the middleware decodes it.
///
/// # Errors
/// What it would throw.
pub fn payment(header: &str) -> Result<Value, Thrown> {
    let payment = json(&text(header)?)?;
    version(object(&payment, "payment")?)?;
    let named = |key: &str| payment[key].as_str().ok_or(format!("payment: {key} is no text"));
    let (scheme, namespace, _) = (named("scheme")?, named("namespace")?, named("networkId")?);
    if scheme != "exact" {
        return Err(format!("payment: scheme {scheme}"));
    }
    if let Some(resource) = payment.get("resource") {
        form(resource, &Text, "resource")?;
    }
    let payload = &payment["payload"];
    let kind = payload["type"].as_str().ok_or("payment: payload has no type")?;
    let known = PAYLOADS.iter().find(|(of, name, _)| *of == namespace && *name == kind);
    let (_, _, wanted) = known.ok_or(format!("payment: {namespace} has no {kind}"))?;
    fields(payload, wanted, kind)?;
    Ok(payment)
}

/// What the middleware sends to the facilitator.
///
/// # Errors
/// What the facilitator would throw.
pub fn question(body: &str) -> Result<(), Thrown> {
    let body = json(body)?;
    payment(body["payload"].as_str().ok_or("question: payload is no text")?)?;
    requirements(&body["paymentRequirements"])
}

/// The answer of `/verify`.
///
/// # Errors
/// What zod would throw.
pub fn verified(body: &str) -> Result<Value, Thrown> {
    let body = json(body)?;
    fields(&body, VERIFIED, "verify")?;
    Ok(body)
}

/// The answer of `/settle`.
///
/// # Errors
/// What zod would throw.
pub fn settled(body: &str) -> Result<Value, Thrown> {
    let body = json(body)?;
    fields(&body, SETTLED, "settle")?;
    Ok(body)
}

/// The value of `X-PAYMENT-RESPONSE`.
///
/// # Errors
/// What the client would throw.
pub fn receipt(header: &str) -> Result<Value, Thrown> {
    settled(&text(header)?)
}

/// The kinds of `/supported` that are of h402; others are of other protocols.
///
/// # Errors
/// What zod would throw.
pub fn supported(body: &str) -> Result<Vec<Value>, Thrown> {
    let body = json(body)?;
    let kinds = body["kinds"].as_array().ok_or("supported: kinds is no array")?;
    let ours: Vec<Value> = kinds.iter().filter(|kind| kind.get("h402Version").is_some()).cloned().collect();
    ours.iter().try_for_each(|kind| fields(kind, KIND, "kind").and_then(|()| version(object(kind, "kind")?)))?;
    Ok(ours)
}

fn json(text: &str) -> Result<Value, Thrown> {
    serde_json::from_str(text).map_err(|error| format!("SyntaxError: {error}"))
}

/// The text in a header: standard base64 with its padding, of UTF-8, as the strictest of them wants it.
fn text(header: &str) -> Result<String, Thrown> {
    let bytes = BASE64_STANDARD.decode(header).map_err(|error| format!("atob: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("TextDecoder: {error}"))
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, Thrown> {
    value.as_object().ok_or(format!("{place} is no object"))
}

fn version(message: &Map<String, Value>) -> Result<(), Thrown> {
    match message.get("h402Version") {
        Some(version) if version.as_u64() == Some(1) => Ok(()),
        other => Err(format!("h402Version is {other:?}")),
    }
}

fn fields(value: &Value, wanted: &[Field], place: &str) -> Result<(), Thrown> {
    let found = object(value, place)?;
    for Field(key, wanted, must) in wanted {
        match found.get(*key) {
            Some(value) => form(value, wanted, key)?,
            None if *must => return Err(format!("{place}: {key} is missing")),
            None => {}
        }
    }
    Ok(())
}

fn form(value: &Value, wanted: &Form, key: &str) -> Result<(), Thrown> {
    let said = |holds: &dyn Fn(&str) -> bool| value.as_str().is_some_and(holds);
    let hex = |text: &str, digits: usize| {
        text.strip_prefix("0x").is_some_and(|rest| {
            let length = if digits == 0 { !rest.is_empty() && rest.len() % 2 == 0 } else { rest.len() == digits };
            length && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let base58 = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
    let holds = match wanted {
        Boolean => value.is_boolean(),
        Text => value.is_string(),
        Number => value.is_number(),
        Count => value.is_u64(),
        Url => said(&|text| text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some())),
        OneOf(words) => said(&|text| words.contains(&text)),
        Reason => said(&|text| REASONS.contains(&text)),
        Hex(digits) => said(&|text| hex(text, *digits)),
        // 32 bytes are 32 to 44 digits, 64 bytes are 64 to 88.
        Base58(bytes) => said(&|text| (*bytes..=bytes * 11 / 8).contains(&text.len()) && text.bytes().all(base58)),
        Base64 => said(&|text| !text.is_empty() && BASE64_STANDARD.decode(text).is_ok()),
        Digits => said(&|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())),
        Checksummed => said(&|text| {
            let address = text.parse::<alloy_primitives::Address>();
            hex(text, 40) && address.is_ok_and(|address| address.to_checksum(None) == text)
        }),
        Anything => true,
        Object(wanted) => return fields(value, wanted, key),
    };
    if holds { Ok(()) } else { Err(format!("{key}: {value} is of another form")) }
}
