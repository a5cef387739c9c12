//! The vectors of tests/vectors/h402: what the recorded programs said, piece by piece, and what it means.

use h402_core::{
    Address, Asset, Assets, Network, Payload, PaymentClass, PaymentPayload, TransactionId, asset_id, evm,
    evm::EvmTransaction,
    wire::h402::{self, RequestError, SkippedOffer},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// One of the four files.
fn read<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/h402").join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Payment {
    name: String,
    header: String,
    expect: Option<ExpectedPayment>,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct ExpectedPayment {
    network: String,
    resource: Option<String>,
    payload: Value,
}

#[test]
fn recorded_payments_decode_to_what_was_signed() {
    let payments: Vec<Payment> = read("payments.json");
    assert_eq!(payments.len(), 42);
    for Payment { name, header, expect, refused } in payments {
        let read = h402::decode_payment(header.as_bytes());
        assert_eq!(read.as_ref().err().map(|reject| reject.word()), refused.as_deref(), "{name}");
        assert_eq!(read.is_ok(), expect.is_some(), "{name}");
        let (Ok(read), Some(expect)) = (read, expect) else { continue };
        assert_eq!((read.network.to_string(), &read.resource), (expect.network, &expect.resource), "{name}");
        assert_eq!(lower(&fields(&read.payload)), lower(&expect.payload), "{name}");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    name: String,
    body: String,
    expect: Option<ExpectedOffer>,
    refused: Option<String>,
    settled_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpectedOffer {
    network: Option<String>,
    asset: Option<String>,
    pay_to: Option<String>,
    amount: Option<String>,
    resource: Option<String>,
    skipped: Option<String>,
    first_of_network: Option<bool>,
}

impl ExpectedOffer {
    fn assert_is(&self, requirements: &h402_core::Requirements, name: &str) {
        let offer = &requirements.offer;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(offer.network().to_string(), text(&self.network), "{name}");
        assert_eq!(offer.asset.id.address, text(&self.asset).parse::<Address>().unwrap(), "{name}");
        assert_eq!(offer.pay_to, text(&self.pay_to).parse::<Address>().unwrap(), "{name}");
        assert_eq!(offer.amount.to_string(), text(&self.amount), "{name}");
        assert_eq!(requirements.resource.url, text(&self.resource), "{name}");
    }
}

#[test]
fn recorded_questions_ask_for_what_was_offered() {
    let questions: Vec<Question> = read("requests.json");
    assert_eq!(questions.len(), 35);
    for Question { name, body, expect, refused, settled_by } in questions {
        let request = match h402::decode_request(body.as_bytes(), &Assets::known()) {
            Ok(request) => request,
            Err(RequestError::Rejected(reject)) => {
                assert_eq!(Some(reject.word()), refused.as_deref(), "{name}");
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        expect.unwrap_or_else(|| panic!("{name} is to be refused")).assert_is(&request.requirements, &name);
        if let Some(payer) = settled_by {
            assert_eq!(signer(&request.payload), payer.parse::<Address>().unwrap(), "{name}");
        }
    }
}

/// Who has signed a payment.
fn signer(payment: &PaymentPayload) -> Address {
    match &payment.payload {
        Payload::Authorization(signed) => {
            // The domain of the recorded chain's token, which is where USDT is on Base.
            let token = asset_id(Network::Evm(8453), "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2").unwrap();
            let domain = Asset::new(token, 6, "USDT").with_eip3009("Test USD", "2").eip712_domain().unwrap();
            let hash = evm::transfer_with_authorization_hash(&signed.authorization, &domain);
            evm::recover(&evm::parse_signature(&signed.signature).unwrap(), &hash).unwrap().into()
        }
        Payload::EvmTransaction(signed) => EvmTransaction::decode(&signed.raw).unwrap().sender.into(),
        other => panic!("{other:?}"),
    }
}

#[derive(Deserialize)]
struct Challenge {
    name: String,
    body: String,
    error: Option<String>,
    offers: Vec<ExpectedOffer>,
}

#[test]
fn recorded_challenges_offer_what_was_configured() {
    let challenges: Vec<Challenge> = read("challenges.json");
    assert_eq!(challenges.len(), 33);
    for Challenge { name, body, error, offers } in challenges {
        let read = h402::decode_challenge(body.as_bytes(), &Assets::known()).unwrap();
        let words: Option<String> = error.map(|text| text.chars().filter(|c| !c.is_control()).collect());
        assert_eq!((read.error, read.offers.len()), (words, offers.len()), "{name}");
        for (read, expect) in read.offers.iter().zip(offers) {
            assert_eq!(Some(read.first_of_network), expect.first_of_network, "{name}");
            match &read.requirements {
                Ok(requirements) => expect.assert_is(requirements, &name),
                Err(skipped) => assert_eq!(Some(word(skipped)), expect.skipped.as_deref(), "{name}"),
            }
        }
    }
}

fn word(skipped: &SkippedOffer) -> &'static str {
    match skipped {
        SkippedOffer::Malformed(_) => "malformed",
        SkippedOffer::Scheme => "scheme",
        SkippedOffer::Network => "network",
        SkippedOffer::UnknownAsset => "unknown_asset",
        SkippedOffer::Amount(_) => "amount",
        SkippedOffer::PayTo(_) => "pay_to",
        _ => "other",
    }
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    kind: String,
    body: String,
    expect: Option<ExpectedAnswer>,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct ExpectedAnswer {
    ok: bool,
    #[serde(rename = "type")]
    class: Option<String>,
    payer: Option<String>,
    transaction: Option<String>,
    reason: Option<String>,
}

#[test]
fn recorded_answers_say_what_was_decided() {
    let answers: Vec<Answer> = read("answers.json");
    assert_eq!(answers.len(), 29);
    for Answer { name, kind, body, expect, refused } in answers {
        let settled = |read: h402::SettleAnswer| (read.success, None, read.payer, read.transaction, read.reason);
        let read = match &*kind {
            "verify" => {
                h402::decode_verify(body.as_bytes()).map(|read| (read.valid, read.class, read.payer, read.transaction, read.reason))
            }
            "settle" => h402::decode_settle(body.as_bytes()).map(settled),
            "receipt" => h402::decode_receipt(body.as_bytes()).map(settled),
            other => panic!("{other}"),
        };
        assert_eq!(
            read.as_ref().err().map(ToString::to_string).as_deref().map(|text| text.contains("transaction cannot be read")),
            refused.as_ref().map(|_| true),
            "{name}"
        );
        let (Ok((ok, class, payer, transaction, reason)), Some(expect)) = (read, expect) else { continue };
        let class = class.map(|class| if class == PaymentClass::Payload { "payload" } else { "transaction" });
        assert_eq!((ok, class), (expect.ok, expect.class.as_deref()), "{name}: {kind}");
        assert_eq!(payer, expect.payer.map(|text| text.parse().unwrap()), "{name}: {kind}");
        assert_eq!(transaction.map(|it| it.to_string()), expect.transaction, "{name}: {kind}");
        assert_eq!(reason.map(|reason| reason.as_str()), expect.reason.as_deref(), "{name}: {kind}");
    }
}

/// The fields of a payload as h402 names them.
fn fields(payload: &Payload) -> Value {
    let base58 = |signature: [u8; 64]| TransactionId::Solana(signature).to_string();
    match payload {
        Payload::Authorization(signed) => {
            let terms = &signed.authorization;
            let authorization = json!({
                "from": terms.from.to_string(),
                "to": terms.to.to_string(),
                "value": terms.value.to_string(),
                "validAfter": terms.valid_after.to_string(),
                "validBefore": terms.valid_before.to_string(),
                "nonce": terms.nonce.to_string(),
                "version": signed.version,
            });
            json!({"type": "authorization", "signature": signed.signature.to_string(), "authorization": authorization})
        }
        Payload::EvmTransaction(signed) => {
            let (raw, message) = (signed.raw.to_string(), signed.signed_message.to_string());
            json!({"type": "signedTransaction", "signedTransaction": raw, "signedMessage": message})
        }
        Payload::EvmSent(sent) => {
            let (hash, message) = (sent.hash.to_string(), sent.signed_message.to_string());
            json!({"type": "signAndSendTransaction", "transactionHash": hash, "signedMessage": message})
        }
        Payload::SolanaTransaction(signed) => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let transaction = STANDARD.encode(&signed.transaction);
            json!({"type": "signTransaction", "signature": signed.signature.map(base58), "transaction": transaction})
        }
        Payload::SolanaSent(sent) => json!({"type": "signAndSendTransaction", "signature": base58(sent.signature)}),
        other => panic!("{other:?}"),
    }
}

/// The same with hex in lower case, as it may be in either.
fn lower(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("0x") => text.to_ascii_lowercase().into(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), lower(value))).collect(),
        other => other.clone(),
    }
}
