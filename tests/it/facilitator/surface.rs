//! What every path answers to everybody: JSON, with the right status, whatever is sent.

use super::{PRICE, Reply, sends, settle, settle_until_ended, told, transfers, until, verify};
use alloy_primitives::U256;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use h402_core::wire::h402;
use h402_devnet::{
    evm::{BlockTime, account},
    fault::{Fault, Times},
};
use h402_facilitator::EngineConfig;
use h402_tests::{
    dice::Dice,
    http::{Connection, exchange},
    rig::{GAS, PAYEE, PAYER, Rig, RigOptions},
    transactions::sign,
};
use http::{Method, Request};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sends any request and checks what holds for every answer.
async fn send(rig: &Rig, method: &str, path: &str, headers: &[(&str, &[u8])], body: Vec<u8>) -> http::Response<String> {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(format!("{}{path}", rig.url));
    for (name, value) in headers {
        request = request.header(*name, http::HeaderValue::from_bytes(value).unwrap());
    }
    let answer = exchange(request.body(body.into()).unwrap()).await;
    let of = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_ne!(answer.status(), 500, "{method} {path}");
    assert_eq!(of("content-type"), "application/json", "{method} {path}");
    assert_eq!(of("cache-control"), "no-store", "{method} {path}");
    if method != "HEAD" {
        serde_json::from_str::<serde_json::Value>(answer.body()).unwrap_or_else(|_| panic!("{method} {path}: {answer:?}"));
    }
    answer
}

fn reply(answer: &http::Response<String>) -> Reply {
    Reply { status: answer.status().as_u16(), text: answer.body().clone() }
}

/// Paths, methods and bodies that are not what they should be.
#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_request_gets_json_and_the_right_status() {
    let rig = Rig::start().await;
    let good = h402::encode_request(&rig.payment(PAYER, PRICE), &rig.requirements(PRICE)).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let without = |field: &str| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().remove(field);
        serde_json::to_vec(&value).unwrap()
    };
    let padded = |length: usize| [&good[..], &vec![b' '; length - good.len()]].concat();
    let none = Vec::new;
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("GET", "/", none(), 404, "not_found"),
        ("GET", "/verify/", none(), 404, "not_found"),
        ("POST", "/verifyx", good.clone(), 404, "not_found"),
        ("POST", "/VERIFY", good.clone(), 404, "not_found"),
        ("POST", "/settle/..", good.clone(), 404, "not_found"),
        ("POST", "/%73ettle", good.clone(), 404, "not_found"),
        ("POST", "/api", good.clone(), 404, "not_found"),
        ("POST", "/api/api/settle", good.clone(), 404, "not_found"),
        ("GET", "/payments", none(), 404, "not_found"),
        ("GET", "/payments/", none(), 404, "not_found"),
        ("GET", "/payments/a/b", none(), 404, "not_found"),
        ("POST", "/metrics", none(), 405, "method_not_allowed"),
        ("GET", "/verify", none(), 405, "method_not_allowed"),
        ("PUT", "/settle", good.clone(), 405, "method_not_allowed"),
        ("DELETE", "/settle", none(), 405, "method_not_allowed"),
        ("OPTIONS", "/settle", none(), 405, "method_not_allowed"),
        ("PATCH", "//settle", none(), 405, "method_not_allowed"),
        ("BREW", "/api/settle", none(), 405, "method_not_allowed"),
        ("POST", "/supported", none(), 405, "method_not_allowed"),
        ("POST", "/payments/00", none(), 405, "method_not_allowed"),
        ("POST", "/verify", none(), 400, "invalid_request"),
        ("POST", "/settle", b"{".to_vec(), 400, "invalid_request"),
        ("POST", "/settle", b"[]".to_vec(), 400, "invalid_request"),
        ("POST", "/settle", b"null".to_vec(), 400, "invalid_request"),
        ("POST", "/settle", b"\xff\xfe".to_vec(), 400, "invalid_request"),
        ("POST", "/settle", [&good[..], b"x"].concat(), 400, "invalid_request"),
        ("POST", "/settle", [&b"\xef\xbb\xbf"[..], &good].concat(), 400, "invalid_request"),
        ("POST", "/settle", without("payload"), 400, "invalid_request"),
        ("POST", "/settle", without("paymentRequirements"), 400, "invalid_request"),
        ("POST", "/settle", text.replacen('{', r#"{"payload":"e30=","#, 1).into_bytes(), 400, "invalid_request"),
        ("POST", "/settle", text.replacen(r#""payload":""#, r#""payload":1,"x":""#, 1).into_bytes(), 400, "invalid_request"),
        ("POST", "/settle", vec![b'['; 60_000], 400, "invalid_request"),
        ("POST", "/settle", padded(64 * 1024 + 1), 413, "invalid_request"),
        ("POST", "/verify", vec![0; 1 << 20], 413, "invalid_request"),
        ("GET", "/payments/xyz", none(), 400, "invalid_request"),
        ("GET", "/payments/%00", none(), 400, "invalid_request"),
        ("GET", "/payments/%ff%fe", none(), 400, "invalid_request"),
        ("GET", &*format!("/payments/0x{}", "0".repeat(63)).leak(), none(), 400, "invalid_request"),
        ("GET", &*format!("/payments/0x{}", "0".repeat(64)).leak(), none(), 404, "unknown_payment"),
        ("GET", &*format!("/payments/{}", "0".repeat(64)).leak(), none(), 404, "unknown_payment"),
    ];
    for (method, path, body, status, word) in cases {
        let answer = send(&rig, method, path, &[], body).await;
        assert_eq!((answer.status().as_u16(), reply(&answer).word().as_str()), (status, word), "{method} {path}: {answer:?}");
        assert!(!reply(&answer).json()["errorMessage"].as_str().unwrap().is_empty(), "{method} {path}");
    }
    assert_eq!(sends(&rig), 0);
    // The longest body that is read, without a content type, with a wrong one, with a charset.
    for headers in [&[][..], &[("content-type", &b"text/plain"[..])], &[("content-type", b"application/json; charset=utf-8")]] {
        let answer = send(&rig, "POST", "/verify", headers, padded(64 * 1024)).await;
        assert!(reply(&answer).is_valid() || reply(&answer).word() == "payment_in_progress", "{answer:?}");
    }
}

/// T136: there is no Solana proxy to abuse: whatever is sent there, it is not found.
#[tokio::test(flavor = "multi_thread")]
async fn t136_an_absent_proxy_is_not_found() {
    let rig = Rig::start().await;
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"getBalance","params":[]}"#.to_vec();
    for method in ["GET", "POST", "OPTIONS", "PUT"] {
        for path in ["/solana-rpc", "/api/solana-rpc", "//solana-rpc"] {
            assert_eq!(send(&rig, method, path, &[], body.clone()).await.status(), 404, "{method} {path}");
        }
    }
}

/// `//verify`, as a configured URL with a trailing slash makes it, and `/api/verify` are the same door.
#[tokio::test(flavor = "multi_thread")]
async fn old_spellings_of_the_paths_reach_the_same_routes() {
    let rig = Rig::start().await;
    for (prefix, number) in [("", 0), ("/", 1), ("/api", 2), ("//", 3), ("//api", 4)] {
        let payment = rig.payment(PAYER, PRICE);
        let caller = format!("shop-{number}");
        let verified = Reply::from(rig.post(&format!("{prefix}/verify"), &payment, PRICE, Some(&caller)).await);
        assert!(verified.is_valid(), "{prefix}: {verified:?}");
        assert!(Reply::from(rig.post(&format!("{prefix}/settle"), &payment, PRICE, Some(&caller)).await).is_settled(), "{prefix}");
        for path in ["/supported", "/health", "/ready"] {
            assert_eq!(rig.get(&format!("{prefix}{path}")).await.0, 200, "{prefix}{path}");
        }
        assert_eq!(rig.get(&format!("{prefix}/payments/{}", verified.payment_id())).await.0, 200, "{prefix}");
    }
}

/// An `Idempotency-Key` is one header of visible characters, not too long; anything else is no key and no anonymity.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_idempotency_key_is_refused() {
    let rig = Rig::start().await;
    let good = h402::encode_request(&rig.payment(PAYER, PRICE), &rig.requirements(PRICE)).unwrap();
    let key = "idempotency-key";
    let long = [b'k'; 256];
    let bad: [&[(&str, &[u8])]; 6] = [
        &[(key, b"")],
        &[(key, &long)],
        &[(key, b"caf\xe9")],
        &[(key, "schlüssel".as_bytes())],
        &[(key, b"one"), (key, b"two")],
        &[(key, b"one"), (key, b"one")],
    ];
    for headers in bad {
        for path in ["/verify", "/settle"] {
            let answer = send(&rig, "POST", path, headers, good.clone()).await;
            assert_eq!((answer.status().as_u16(), reply(&answer).word().as_str()), (400, "invalid_request"), "{headers:?}");
        }
    }
    assert_eq!(sends(&rig), 0);
    let answer = send(&rig, "POST", "/settle", &[(key, &long[..255])], good.clone()).await;
    assert!(reply(&answer).is_settled());
    assert_eq!(send(&rig, "POST", "/settle", &[(key, &long[..255])], good.clone()).await.body(), answer.body());
    assert_eq!(reply(&send(&rig, "POST", "/settle", &[(key, &long[..254])], good).await).word(), "duplicate_settlement");
}

/// A declared length beyond the limit is refused without waiting for the bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_it_is_too_long_is_not_waited_for() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig.url).await;
    connection.write(b"POST /verify HTTP/1.1\r\nhost: a\r\ncontent-length: 65537\r\n\r\n").await;
    let answer = tokio::time::timeout(Duration::from_secs(5), connection.read()).await.expect("an answer at once");
    assert_eq!(answer.0, 413, "{answer:?}");
}

/// `GET /payments/{id}` tells what the ledger has, and nothing that could be replayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_payments_state_is_told_in_full() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let id = verify(&rig, &payment, Some("shop-1")).await.payment_id();
    assert_eq!(rig.get(&format!("/payments/{id}")).await.0, 404, "verifying stores nothing");
    let began = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let settled = settle(&rig, &payment, Some("shop-1")).await;
    let row = told(&rig, &id).await;
    let fields: std::collections::BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let known = ["paymentId", "state", "network", "asset", "payer", "payTo", "amount", "transaction", "block", "claimedAt", "updatedAt"];
    assert_eq!(fields, known.into_iter().collect());
    let block = rig.chain.blocks().pop().unwrap();
    assert_eq!(row["paymentId"], id);
    assert_eq!(row["state"], "included");
    assert_eq!(row["network"], "eip155:84532");
    assert_eq!(row["asset"], rig.chain.usdc().to_string());
    assert_eq!(row["payer"], account(PAYER).address.to_string());
    assert_eq!(row["payTo"], account(PAYEE).address.to_string());
    assert_eq!(row["amount"], PRICE.to_string());
    assert_eq!(row["transaction"], settled.transaction().unwrap().to_string());
    assert_eq!(row["block"], json!({ "number": block.number, "hash": block.hash.to_string() }));
    let by_transaction = rig.get(&format!("/payments/{}", settled.transaction().unwrap())).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&by_transaction.1).unwrap(), row);
    assert!(row["claimedAt"].as_u64().unwrap() >= began && row["updatedAt"].as_u64() >= row["claimedAt"].as_u64());
    // Enough blocks later it is final.
    for _ in 0..12 {
        rig.chain.mine().await;
    }
    until("it is final", async || told(&rig, &id).await["state"] == "final").await;
}

/// More at once than there are places: 503 and when to come again, and the places are free afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_are_told_to_come_again() {
    let engine = Box::new(|config: &mut EngineConfig| config.max_concurrent = 1);
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    for path in ["/verify", "/settle"] {
        let (first, second) = (rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE));
        let gate = rig.chain.faults().hold("eth_call");
        let working = rig.post(path, &first, PRICE, Some("shop-1"));
        let coming = async {
            gate.reached(1).await;
            let body = h402::encode_request(&second, &rig.requirements(PRICE)).unwrap();
            let answer = send(&rig, "POST", path, &[], body).await;
            assert_eq!((answer.status().as_u16(), reply(&answer).word().as_str()), (503, "busy"), "{answer:?}");
            assert_eq!(answer.headers()["retry-after"], "1");
            assert_eq!(rig.get("/health").await.0, 200, "it is alive all the same");
            gate.open();
        };
        let (worked, ()) = tokio::join!(working, coming);
        let worked = Reply::from(worked);
        assert!(if path == "/verify" { worked.is_valid() } else { worked.is_settled() }, "{worked:?}");
        assert!(verify(&rig, &second, Some("shop-1")).await.is_valid(), "the place is free again");
    }
}

/// `/ready` is for load balancers: 503 whenever a payment could not be taken, with the reason and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn ready_says_no_whenever_payments_cannot_be_taken() {
    let rig = Rig::start().await;
    let good = send(&rig, "GET", "/ready", &[], Vec::new()).await;
    assert_eq!((good.status().as_u16(), reply(&good).json()["ready"].clone()), (200, json!(true)), "{good:?}");
    let refuses = async |reason: &str| {
        let answer = send(&rig, "GET", "/ready", &[], Vec::new()).await;
        assert_eq!((answer.status().as_u16(), reply(&answer).json()["ready"].clone()), (503, json!(false)), "{answer:?}");
        assert!(answer.body().contains(reason), "{reason}: {answer:?}");
        assert_eq!(rig.get("/health").await.0, 200);
    };
    rig.chain.pause().await;
    refuses("chain is not reachable").await;
    let payment = rig.payment(PAYER, PRICE);
    for path in ["/verify", "/settle"] {
        let answer = Reply::from(rig.post(path, &payment, PRICE, Some("shop-1")).await);
        assert_eq!((answer.status, answer.word().as_str()), (503, "dependency_unavailable"));
    }
    rig.chain.resume().await;
    until("it is back", async || rig.get("/ready").await.0 == 200).await;
    rig.chain.faults().add("eth_chainId", Fault::Answer(json!("0x1")), Times::Always);
    refuses("chain is not the configured one").await;
    rig.chain.faults().clear();
    until("it is back", async || rig.get("/ready").await.0 == 200).await;
    let funds = rig.chain.native_balance(account(GAS).address);
    rig.chain.set_balance(account(GAS).address, U256::from(1)).unwrap();
    refuses("cannot pay for gas").await;
    let answer = settle(&rig, &payment, Some("shop-1")).await;
    assert_eq!((answer.status, answer.word().as_str()), (503, "dependency_unavailable"));
    assert_eq!(sends(&rig), 0);
    rig.chain.set_balance(account(GAS).address, funds).unwrap();
    assert!(settle(&rig, &payment, Some("shop-1")).await.is_settled());
}

/// The gas runs out between two looks at it: what was signed waits, and goes out when there is gas again.
#[tokio::test(flavor = "multi_thread")]
async fn t007_gas_that_runs_out_unnoticed_delays_and_loses_nothing() {
    let engine = Box::new(|config: &mut EngineConfig| config.answer_within = Duration::from_millis(400));
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await.is_settled());
    let funds = rig.chain.native_balance(account(GAS).address);
    rig.chain.set_balance(account(GAS).address, U256::from(1)).unwrap();
    let payment = rig.payment(PAYER, PRICE);
    let pending = settle(&rig, &payment, Some("shop-2")).await;
    assert_eq!((pending.status, pending.word().as_str()), (200, "settlement_pending"), "{pending:?}");
    rig.chain.set_balance(account(GAS).address, funds).unwrap();
    let settled = settle_until_ended(&rig, &payment, Some("shop-2")).await;
    assert!(settled.is_settled());
    assert_eq!((settled.transaction(), transfers(&rig)), (pending.transaction(), 2));
}

/// T113: requests in which some bytes are others than they were: every one of them gets an answer, in JSON, and none is
/// paid for more than once.
#[tokio::test(flavor = "multi_thread")]
async fn t113_mangled_requests_are_answered() {
    let rig = Rig::start().await;
    let mut dice = Dice::seeded();
    let mut connection = Connection::open(&rig.url).await;
    let own = sign(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE));
    let payments = [rig.payment(PAYER, PRICE), rig.by_transaction(PAYER, &own), rig.by_hash(PAYER, own.hash)];
    let mut roll = |sides: usize| usize::try_from(dice.roll(sides as u64)).unwrap();
    for number in 0..3000 {
        let body = h402::encode_request(&payments[number % 3], &rig.requirements(PRICE)).unwrap();
        let mut value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let mut payload = BASE64_STANDARD.decode(value["payload"].as_str().unwrap()).unwrap();
        let mut mangle = |text: &mut Vec<u8>| {
            for _ in 0..=roll(3) {
                // An earlier change may have removed the last byte there was.
                if text.is_empty() {
                    return;
                }
                let at = roll(text.len());
                match roll(5) {
                    0 => text[at] = u8::try_from(roll(256)).unwrap(),
                    1 => drop(text.remove(at)),
                    2 => text.insert(at, br#"{}[]",:0e-x"#[roll(11)]),
                    3 => text.truncate(at + 1),
                    _ => text[at] ^= 1 << roll(7),
                }
            }
        };
        // The payload inside, the whole body outside, or both.
        if number % 2 == 0 {
            mangle(&mut payload);
        }
        value["payload"] = BASE64_STANDARD.encode(payload).into();
        let mut body = serde_json::to_vec(&value).unwrap();
        if number % 5 == 0 {
            mangle(&mut body);
        }
        let path = ["/verify", "/settle"][number % 7 % 2];
        connection
            .write(&[format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat())
            .await;
        let reply = Reply::from(connection.read().await);
        assert!([200, 400].contains(&reply.status), "{number}: {reply:?} to {}", String::from_utf8_lossy(&body));
        assert!(reply.json().is_object(), "{number}: {reply:?}");
    }
    // The untouched ones among them were settled, once each; nothing mangled was.
    assert!(transfers(&rig) <= 2 && sends(&rig) <= 2, "{} transfers, {} sends", transfers(&rig), sends(&rig));
    assert_eq!(rig.get("/health").await.0, 200);
}

/// A settlement counts once its block has as many on top of it as its operator wants, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_counts_at_the_depth_that_was_asked_for() {
    let engine = Box::new(|config: &mut EngineConfig| {
        config.answer_within = Duration::from_millis(400);
        config.accept_sent = true;
        h402_tests::rig::evm(config).accept_depth = 3;
    });
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let payment = rig.payment(PAYER, PRICE);
    let sent = rig.send(PAYER + 1, rig.token_transfer(PAYER + 1, account(PAYEE).address, PRICE)).await;
    let by_hash = rig.by_hash(PAYER + 1, sent);
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "settlement_pending");
    for depth in 1..3 {
        rig.chain.mine().await;
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "settlement_pending", "depth {depth}");
        assert_eq!(settle(&rig, &by_hash, Some("shop-2")).await.word(), "payment_unconfirmed", "depth {depth}");
    }
    rig.chain.mine().await;
    assert!(settle_until_ended(&rig, &payment, Some("shop-1")).await.is_settled());
    assert!(settle(&rig, &by_hash, Some("shop-2")).await.is_settled());
}
