//! Whatever we say in h402 is read by parsers as strict as the reference's, and those parsers are strict.

use bytes::Bytes;
use h402_core::{
    Address, Amount, Assets, ErrorReason, EvmAddress, GenesisPrefix, Network, Offer, PaymentPayload, Receipt, Reject, Requirements,
    Resource, SettleError, SolanaHints, TransactionId, Undecided, VerifyError,
    wire::{
        encode_supported,
        h402::{self, Challenge, SettleAnswer, VerifyAnswer},
    },
};
use h402_tests::{
    market::{Kind, Market},
    reference::{self, Thrown},
    rig::{PAYER, Rig, key},
    shop::{PRICE, Runs, Shop, gate, get, price},
};
use h402_tower::pay::{Cap, EvmWallet, Pay};
use http::{Request, Response};
use http_body_util::{Empty, Full};
use serde_json::Value;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, ServiceExt, service_fn};

const URL: &str = "https://api.example/item?id=1";

/// Every asset of the table at a price that h402 can say, with all that may stand beside it.
fn all_requirements() -> Vec<Requirements> {
    let evm: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
    let solana: Address = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f".parse().unwrap();
    let resource = Arc::new(Resource { url: URL.into(), description: Some("an item".into()), mime_type: Some("text/plain".into()) });
    let hints = SolanaHints { fee_payer: solana.solana(), blockhash: Some([5; 32]), last_valid_block_height: Some(900) };
    let mut all = Vec::new();
    for asset in Assets::known().iter() {
        let (pay_to, solana) = if matches!(asset.id.network, Network::Evm(_)) { (evm, None) } else { (solana, Some(hints)) };
        for amount in [1_u128, 10_000, 9_007_199_254_740_991, 10_000_000_000_000_000_000] {
            let Ok(offer) = Offer::new(asset.clone(), Amount::from_atomic(amount), pay_to) else { continue };
            for (lifetime_seconds, solana) in [(None, None), (Some(70), solana)] {
                let (offer, resource) = (Arc::new(offer.clone()), resource.clone());
                all.push(Requirements { offer, resource, lifetime_seconds, solana, facilitator: None });
            }
        }
    }
    all
}

#[test]
fn what_is_asked_for_is_read() {
    let all = all_requirements();
    assert!(all.len() > 60, "{}", all.len());
    let payer = all[0].offer.pay_to;
    for requirements in &all {
        let challenge =
            Challenge { error: "X-PAYMENT header is required", requirements: std::slice::from_ref(requirements), payer: Some(payer) };
        let body = String::from_utf8(h402::encode_challenge(&challenge).unwrap()).unwrap();
        let read = reference::challenge(&body).unwrap_or_else(|thrown| panic!("{thrown}: {body}"));
        assert_eq!(read.len(), 1);
        // What theirs computes in floats is what we mean.
        let option = &read[0];
        let literal = option["amountRequired"].to_string();
        let decimals = if option["amountRequiredFormat"] == "smallestUnit" { 0 } else { option["tokenDecimals"].as_u64().unwrap() };
        let float = literal.parse::<f64>().unwrap() * 10_f64.powi(i32::try_from(decimals).unwrap());
        assert_eq!(format!("{:.0}", float.floor()), requirements.offer.amount.to_string(), "{body}");
    }
    let none = h402::encode_challenge(&Challenge { error: "", requirements: &[], payer: None }).unwrap();
    assert_eq!(reference::challenge(&String::from_utf8(none).unwrap()), Ok(vec![]));
}

#[test]
fn what_a_facilitator_answers_is_read() {
    let payer: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
    let (hash, signature) = (TransactionId::Evm([7; 32].into()), TransactionId::Solana([7; 64]));
    let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
    let mut settles = Vec::new();
    for (network, transaction) in [(Network::Evm(8453), hash), (Network::Solana(GenesisPrefix::MAINNET), signature)] {
        settles.push(SettleAnswer::settled(&Receipt { network, transaction, payer, signed: None }));
        let errors: Vec<SettleError> = vec![
            SettleError::Pending { transaction: Some(transaction) },
            SettleError::Pending { transaction: None },
            Undecided::Busy.into(),
            SettleError::Rejected { reject: Reject::AuthorizationUsed, transaction: Some(transaction) },
            Reject::DuplicateSettlement { transaction: Some(transaction) }.into(),
            Reject::Malformed("a «field»").into(),
        ];
        settles.extend(errors.iter().map(|error| SettleAnswer::failed(error, network, Some(payer))));
    }
    for reason in ErrorReason::ALL {
        let reason = Some(reason);
        settles.push(SettleAnswer { reason, error: Some("why".into()), ..SettleAnswer::default() });
        let answer = VerifyAnswer { reason, message: Some("why".into()), payer: Some(payer), ..VerifyAnswer::default() };
        assert_eq!(reference::verified(&text(h402::encode_verify(&answer).unwrap())).unwrap()["isValid"], false);
    }
    for answer in &settles {
        let body = text(h402::encode_settle(answer).unwrap());
        let read = reference::settled(&body).unwrap_or_else(|thrown| panic!("{thrown}: {body}"));
        assert_eq!(read["success"], answer.success);
        assert_eq!(reference::receipt(&h402::encode_receipt(answer).unwrap()).as_ref(), Ok(&read));
        // What theirs does with a failure is to show it.
        assert!(answer.success || read["errorReason"].is_string(), "{body}");
    }
    for error in [VerifyError::from(Reject::ExpiresTooSoon { left: 0, required: 12 }), Undecided::Chain.into()] {
        let body = text(h402::encode_verify(&VerifyAnswer::failed(&error, Some(payer))).unwrap());
        assert_eq!(reference::verified(&body).map(|read| read["isValid"].clone()), Ok(Value::Bool(false)), "{body}");
    }
}

/// Each kind of payment, as it stands in a header and in a question to a facilitator. Payments whose fee another pays are ours
/// alone: they have no signature of their own yet, which the reference cannot do without.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_with_is_read() {
    for kind in Kind::ALL {
        let market = Market::of(kind).await;
        let payment = market.payment(kind, 0, URL).await;
        let header = h402::encode_payment(&payment).unwrap();
        let question = String::from_utf8(h402::encode_request(&payment, &market.requirements(URL)).unwrap()).unwrap();
        if kind == Kind::SolanaSponsored {
            assert_eq!(reference::payment(&header), Err("signTransaction: signature is missing".to_owned()));
            continue;
        }
        let read = reference::payment(&header).unwrap_or_else(|thrown| panic!("{kind:?}: {thrown}"));
        assert_eq!(read["scheme"], "exact");
        reference::question(&question).unwrap_or_else(|thrown| panic!("{kind:?}: {thrown}"));
    }
}

/// What the pay layer sends to a server that asks as the reference does.
#[tokio::test]
async fn what_our_client_sends_is_read() {
    let assets = Assets::known();
    let usdc = assets.by_symbol(Network::Evm(8453), "USDC").unwrap().clone();
    let offered =
        all_requirements().into_iter().find(|one| one.offer.asset == usdc && one.offer.amount == Amount::from_atomic(10_000)).unwrap();
    let body = h402::encode_challenge(&Challenge { error: "", requirements: &[offered], payer: None }).unwrap();
    let sent: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = sent.clone();
    let server = service_fn(move |request: Request<Full<Bytes>>| {
        let payment = request.headers().get("x-payment").map(|value| value.to_str().unwrap().to_owned());
        let mut answer = Response::new(Full::new(Bytes::from(if payment.is_some() { Vec::new() } else { body.clone() })));
        if payment.is_none() {
            *answer.status_mut() = http::StatusCode::PAYMENT_REQUIRED;
        }
        heard.lock().unwrap().extend(payment);
        async move { Ok::<_, Infallible>(answer) }
    });
    let client = Pay::new(EvmWallet::from_key(key(PAYER)), Cap::new().allow(usdc, Amount::from_atomic(10_000))).layer(server);
    let answer = client.oneshot(Request::get(URL).body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 1);
    let read = reference::payment(&sent[0]).unwrap();
    assert_eq!((&read["payload"]["type"], &read["networkId"]), (&"authorization".into(), &"8453".into()));
}

/// A real gate before a real facilitator: unpaid, paid, paid again elsewhere, underpaid, not understood.
#[tokio::test(flavor = "multi_thread")]
async fn what_our_gate_and_facilitator_send_is_read() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(crate::gate::sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let asks = |reply: &h402_tests::raw::Reply| {
        assert_eq!(reply.status, 402, "{reply:?}");
        let read = reference::challenge(&reply.text()).unwrap_or_else(|thrown| panic!("{thrown}: {reply:?}"));
        assert_eq!(read.len(), 1);
    };
    asks(&shop.ask(&get("/a")).await);
    asks(&shop.ask(&get("/a").paying("e30=")).await);
    let cheap: PaymentPayload = rig.bearer(PAYER, PRICE - 1);
    asks(&shop.ask(&get("/a").paying(&h402::encode_payment(&cheap).unwrap())).await);
    let payment = rig.pay(PAYER);
    let paid = shop.ask_until_decided(&get("/a").paying(&payment)).await;
    assert_eq!((paid.status, runs.count()), (200, 1), "{paid:?}");
    let read = reference::receipt(paid.receipt()).unwrap();
    assert!(read["success"] == true && read["transaction"].as_str().unwrap().starts_with("0x"), "{read}");
    let elsewhere = shop.ask(&get("/b").paying(&payment)).await;
    assert_eq!(elsewhere.status, 409);

    // The facilitator by itself, as the reference's gates ask it.
    let good = rig.payment(PAYER, PRICE);
    let (status, body) = rig.post("/verify", &good, PRICE, None).await;
    assert_eq!((status, reference::verified(&body).unwrap()["type"].as_str()), (200, Some("payload")), "{body}");
    let (_, body) = rig.post("/verify", &rig.payment(PAYER, PRICE - 1), PRICE, None).await;
    assert_eq!(reference::verified(&body).unwrap()["isValid"], false, "{body}");
    let (_, body) = rig.post("/settle", &good, PRICE, None).await;
    assert_eq!(reference::settled(&body).unwrap()["success"], true, "{body}");
    let (_, body) = rig.post("/settle", &rig.payment(PAYER, PRICE - 1), PRICE, None).await;
    assert!(reference::settled(&body).unwrap()["errorReason"].is_string(), "{body}");
    let (_, body) = rig.get("/supported").await;
    assert_eq!(reference::supported(&body).map(|kinds| kinds.len()), Ok(1), "{body}");
    let told = String::from_utf8(encode_supported(&rig.engine.supported().await).unwrap()).unwrap();
    assert_eq!(reference::supported(&told).map(|kinds| kinds.len()), Ok(1));
}

/// The emulator, and a text of ours that is bent in one place.
type Reader = fn(&str) -> Result<(), Thrown>;

/// Each of these is what some server really sent, or nearly so, and no client of the reference can read.
#[test]
fn the_emulator_refuses_what_the_reference_would() {
    let option =
        all_requirements().into_iter().find(|one| one.offer.network() == Network::Evm(8453) && one.lifetime_seconds.is_some()).unwrap();
    let payer: Address = EvmAddress::repeat_byte(1).into();
    let challenge = Challenge { error: "x", requirements: &[option], payer: Some(payer) };
    let challenge = String::from_utf8(h402::encode_challenge(&challenge).unwrap()).unwrap();
    let settled = SettleAnswer::failed(&Reject::AuthorizationUsed.into(), Network::Evm(8453), Some(payer));
    let settled = String::from_utf8(h402::encode_settle(&settled).unwrap()).unwrap();
    let verified = VerifyAnswer::failed(&Reject::AuthorizationUsed.into(), Some(payer));
    let verified = String::from_utf8(h402::encode_verify(&verified).unwrap()).unwrap();
    let read_challenge: Reader = |text| reference::challenge(text).map(drop);
    let (read_settled, read_verified): (Reader, Reader) =
        (|text| reference::settled(text).map(drop), |text| reference::verified(text).map(drop));
    let bends: [(&str, Reader, &str, &str); 26] = [
        (&challenge, read_challenge, r#""h402Version":1"#, r#""h402Version":"1""#),
        (&challenge, read_challenge, r#""h402Version":1"#, r#""h402Version":2"#),
        (&challenge, read_challenge, r#""error":"x""#, r#""error":{}"#),
        (&challenge, read_challenge, r#""error":"x","#, ""),
        (&challenge, read_challenge, r#""accepts":["#, r#""accepts":{"0":"#),
        (&challenge, read_challenge, r#""scheme":"exact","#, ""),
        (&challenge, read_challenge, r#""exact""#, r#""upto""#),
        (&challenge, read_challenge, r#""namespace":"evm""#, r#""namespace":"eip155""#),
        (&challenge, read_challenge, r#""networkId":"8453""#, r#""networkId":8453"#),
        (&challenge, read_challenge, r#""amountRequired":1,"#, r#""amountRequired":"1","#),
        (&challenge, read_challenge, r#""amountRequired":1,"#, ""),
        (&challenge, read_challenge, r#""smallestUnit""#, r#""wei""#),
        (&challenge, read_challenge, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"),
        (&challenge, read_challenge, r#""tokenDecimals":18"#, r#""tokenDecimals":18.5"#),
        (&challenge, read_challenge, r#""description":"an item""#, r#""description":null"#),
        (&challenge, read_challenge, r#""resource":"https://"#, r#""resource":""#),
        (&challenge, read_challenge, r#""estimatedProcessingTime":70"#, r#""estimatedProcessingTime":null"#),
        (&challenge, read_challenge, r#""requiredDeadlineSeconds":70"#, r#""requiredDeadlineSeconds":"70""#),
        (&settled, read_settled, r#""success":false"#, r#""success":"false""#),
        (&settled, read_settled, r#""transaction":"""#, r#""transaction":null"#),
        (&settled, read_settled, r#""errorReason":""#, r#""errorReason":"x"#),
        (&settled, read_settled, r#""error":""#, r#""error":null,"more":""#),
        (&verified, read_verified, r#""isValid":false"#, r#""isValid":0"#),
        (&verified, read_verified, r#""isValid":false,"#, ""),
        (&verified, read_verified, r#""invalidReason":""#, r#""invalidReason":"x"#),
        (&verified, read_verified, r#""payer":""#, r#""payer":null,"more":""#),
    ];
    for (honest, read, from, to) in bends {
        assert_eq!(read(honest), Ok(()), "{honest}");
        let bent = honest.replacen(from, to, 1);
        let bent = if to.starts_with(r#""accepts":{"#) { bent.replace("}]", "}}") } else { bent };
        assert_ne!(bent, honest, "{from} is not in {honest}");
        assert!(read(&bent).is_err(), "{bent}");
    }
    // Headers of the wrong alphabet, without padding, of no UTF-8, of no JSON; each would have another reading elsewhere.
    let header = h402::encode_receipt(&SettleAnswer { error: Some("é?>".repeat(5)), ..SettleAnswer::default() }).unwrap();
    assert!(reference::receipt(&header).is_ok());
    for bent in [header.replace(['+', '/'], "-"), format!("{header}="), "e30".to_owned(), "gICA".to_owned()] {
        assert!(reference::receipt(&bent).is_err(), "{bent}");
    }
}
