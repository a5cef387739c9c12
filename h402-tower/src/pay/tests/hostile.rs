//! Servers that want more than they should get: nothing is signed for them (T115 to T118, T120, T126, T128).

use super::*;
use crate::pay::ChallengeError;

/// Signs nothing for this 402, and asks once.
async fn refused(case: &str, pay: impl Fn(Pay<Spy<EvmWallet>>) -> Pay<Spy<EvmWallet>>, body: impl Into<Bytes>) -> PayError<Lost> {
    let wallet = spy();
    let shop = Shop::new([answer(402, body)]);
    let outcome = call(&pay(Pay::new(wallet.clone(), cap())), &shop, get()).await;
    assert_eq!((wallet.signatures(), shop.payments()), (0, vec![None]), "{case}");
    match outcome {
        Ok(_) => panic!("{case}: not refused"),
        Err(error) => error,
    }
}

/// Pays this 402 and returns what was signed.
async fn paid(case: &str, body: impl Into<Bytes>) -> h402_core::Authorization {
    let wallet = spy();
    let shop = Shop::new([answer(402, body), answer(200, "ok")]);
    let outcome = call(&Pay::new(wallet.clone(), cap()), &shop, get()).await;
    assert!(outcome.is_ok(), "{case}: {outcome:?}");
    assert_eq!(wallet.signatures(), 1, "{case}");
    authorization(&shop.payment()).authorization
}

/// [`challenge`] with one thing bent.
fn bent(from: &str, to: &str) -> String {
    let honest = challenge();
    assert!(honest.contains(from), "{from}");
    honest.replacen(from, to, 1)
}

const PRICE: &str = r#""amountRequired":10000,"amountRequiredFormat":"smallestUnit""#;

#[tokio::test]
async fn the_honest_twin_of_all_below_is_paid() {
    let signed = paid("honest", challenge()).await;
    assert_eq!((signed.value, signed.to.to_string().as_str()), (Amount::from_atomic(10_000), PAYEE));
}

/// T115: above the cap nothing is signed, in whatever unit the price is written.
#[tokio::test]
async fn t115_prices_above_the_cap() {
    let cases = [
        ("one unit more", r#""amountRequired":20001,"amountRequiredFormat":"smallestUnit""#),
        ("a million", r#""amountRequired":1000000000000,"amountRequiredFormat":"smallestUnit""#),
        ("as text", r#""amountRequired":"20001","amountRequiredFormat":"smallestUnit""#),
        ("units mixed up", r#""amountRequired":10000,"amountRequiredFormat":"humanReadable""#),
        ("human readable", r#""amountRequired":0.020001,"amountRequiredFormat":"humanReadable""#),
        ("raised by the other field", r#""amountRequired":1,"maxAmountRequired":20001,"amountRequiredFormat":"smallestUnit""#),
        ("with an exponent", r#""amountRequired":1e9,"amountRequiredFormat":"smallestUnit""#),
    ];
    for (case, price) in cases {
        let error = refused(case, |pay| pay, bent(PRICE, price)).await;
        assert!(matches!(error, PayError::OverCap { cap, .. } if cap == Amount::from_atomic(20_000)), "{case}: {error:?}");
    }
    let twin = bent(PRICE, r#""amountRequired":20000,"amountRequiredFormat":"smallestUnit""#);
    assert_eq!(paid("exactly the cap", twin).await.value, Amount::from_atomic(20_000));
}

/// T116: what is not an amount is not guessed at.
#[tokio::test]
async fn t116_amount_grammar_tricks() {
    let too_large = format!("\"{}\"", "9".repeat(79));
    let tricks = [
        "\"0x10\"",
        "\" 10\"",
        "\"10 \"",
        "\"１０\"",
        "\"+5\"",
        "\"-1\"",
        "\"\"",
        "\"10,0\"",
        "\"1_0\"",
        "\"1.\"",
        "\".5\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"1e999\"",
        "\"1e-31\"",
        "-1",
        "0",
        "0.5",
        "10.5",
        "true",
        "null",
        "{}",
        "[1]",
        &too_large,
    ];
    for trick in tricks {
        let price = format!(r#""amountRequired":{trick},"amountRequiredFormat":"smallestUnit""#);
        let error = refused(trick, |pay| pay, bent(PRICE, &price)).await;
        assert!(matches!(error, PayError::NothingAffordable(_)), "{trick}: {error:?}");
    }
    for twin in ["10000", "\"10000\"", "1e4", "10000.0"] {
        let price = format!(r#""amountRequired":{twin},"amountRequiredFormat":"smallestUnit""#);
        assert_eq!(paid(twin, bent(PRICE, &price)).await.value, Amount::from_atomic(10_000), "{twin}");
    }
}

/// T062, T063, T064: human-readable prices are converted exactly, with the decimals of our own table.
#[tokio::test]
async fn t062_t063_t064_human_readable_prices() {
    let cases = [
        ("0.01", 10_000),
        ("1e-2", 10_000),
        ("0.000001", 1),
        // floor(f64(0.001005) × 10^6) is 1004: the exact price counts.
        ("0.001005", 1_005),
        ("0.0082", 8_200),
    ];
    for (text, atomic) in cases {
        let price = format!(r#""amountRequired":{text},"amountRequiredFormat":"humanReadable""#);
        let with_decimals = bent(PRICE, &price);
        assert_eq!(paid(text, with_decimals.clone()).await.value, Amount::from_atomic(atomic), "{text}");
        let without = with_decimals.replace(r#""tokenDecimals":6,"#, "");
        assert_eq!(paid(text, without).await.value, Amount::from_atomic(atomic), "{text} without decimals");
    }
    for text in ["0.0000001", "0.0100001", "1e-7"] {
        let price = format!(r#""amountRequired":{text},"amountRequiredFormat":"humanReadable""#);
        let error = refused(text, |pay| pay, bent(PRICE, &price)).await;
        assert!(matches!(error, PayError::NothingAffordable(_)), "{text}: {error:?}");
    }
}

/// T070, T117: an asset is its network and address. Symbols, decimals and domains of the server count for nothing.
#[tokio::test]
async fn t070_t117_assets_are_known_by_address() {
    let cases = [
        ("another token called USDC", bent(USDC, "0x5FbDB2315678afecb367f032d93F642f64180aa3")),
        ("decimals 18", bent(r#""tokenDecimals":6"#, r#""tokenDecimals":18"#)),
        ("decimals 0", bent(r#""tokenDecimals":6"#, r#""tokenDecimals":0"#)),
        ("another chain", bent(r#""networkId":"8453""#, r#""networkId":"1""#)),
        ("chain id with a tail", bent(r#""networkId":"8453""#, r#""networkId":"8453abc""#)),
        ("another scheme", bent(r#""scheme":"exact""#, r#""scheme":"upto""#)),
        ("no scheme", bent(r#""scheme":"exact","#, "")),
        ("solana", bent(r#""namespace":"evm""#, r#""namespace":"solana""#)),
        ("mistyped payee", bent(PAYEE, "0x70997970C51812dc3A010C7d01b50e0d17dc79c8")),
        ("nobody", bent(PAYEE, "0x0000000000000000000000000000000000000000")),
        ("the token itself", bent(PAYEE, USDC)),
        ("no payee", bent("payToAddress", "payTo")),
    ];
    for (case, body) in cases {
        let error = refused(case, |pay| pay, body).await;
        assert!(matches!(error, PayError::NothingAffordable(_)), "{case}: {error:?}");
    }
    // The domain that is signed is the table's, whatever the server calls it: the same signature but for the nonce.
    let renamed = bent(r#""name":"USD Coin""#, r#""name":"Evil Coin""#);
    let shop = Shop::new([answer(402, renamed), answer(200, "ok")]);
    call(&Pay::new(spy(), cap()), &shop, get()).await.unwrap();
    assert_eq!(signing::recover(&authorization(&shop.payment())).to_string(), PAYER);
}

/// T118: the server chooses the lifetime within bounds, and nothing overflows.
#[tokio::test]
async fn t118_lifetimes_are_bounded() {
    let cases = [
        ("70", 70),
        ("10", 10),
        ("600", 600),
        ("0", 10),
        ("601", 600),
        ("1000000000", 600),
        ("9223372036854775808", 600),
        ("18446744073709551615", 600),
    ];
    for (asked, seconds) in cases {
        let signed = paid(asked, bent(r#""estimatedProcessingTime":70"#, &format!(r#""estimatedProcessingTime":{asked}"#))).await;
        let now = NOW.seconds().0;
        assert_eq!(signed.valid_before, alloy_primitives::U256::from(now + seconds), "{asked}");
        assert_eq!(signed.valid_after, alloy_primitives::U256::from(now - 600), "{asked}");
    }
    let silent = paid("none", bent(r#""estimatedProcessingTime":70,"#, "")).await;
    assert_eq!(silent.valid_before, alloy_primitives::U256::from(NOW.seconds().0 + 30));
    for asked in ["-1", "1.5", "\"70\"", "18446744073709551616"] {
        let body = bent(r#""estimatedProcessingTime":70"#, &format!(r#""estimatedProcessingTime":{asked}"#));
        assert!(matches!(refused(asked, |pay| pay, body).await, PayError::NothingAffordable(_)), "{asked}");
    }
}

/// T120: one pays for a resource of the server that asks, and for no other.
#[tokio::test]
async fn t120_resources_of_other_origins() {
    let foreign = [
        "https://other.example/item?id=1",
        "http://api.example/item?id=1",
        "https://api.example:8443/item?id=1",
        "https://api.example@other.example/item",
        "https://api.example.other.example/item",
        "/item?id=1",
        "image-generation",
        "https://",
    ];
    for resource in foreign {
        let error = refused(resource, |pay| pay, bent(URL, resource)).await;
        assert!(matches!(error, PayError::ForeignResource { .. }), "{resource}: {error:?}");
    }
    for own in ["https://api.example/other", "https://API.example:443/item", "https://api.example"] {
        paid(own, bent(URL, own)).await;
    }
    // Said aloud, it is allowed.
    let shop = Shop::new([answer(402, bent(URL, foreign[0])), answer(200, "ok")]);
    let pay = Pay::new(spy(), cap()).with_foreign_resource_allowed_insecure();
    assert!(call(&pay, &shop, get()).await.is_ok());
}

/// T120: a payment is worth its amount to whoever reads it on the way.
#[tokio::test]
async fn t120_plain_http_to_another_machine() {
    let ask = |url: &str| (answer(402, bent(URL, url)), Request::get(url).body(Full::default()).unwrap());
    let (act, request) = ask("http://api.example/item");
    let wallet = spy();
    let outcome = call(&Pay::new(wallet.clone(), cap()), &Shop::new([act.clone()]), request.clone()).await;
    assert!(matches!(outcome, Err(PayError::PlainHttp(_))), "{outcome:?}");
    assert_eq!(wallet.signatures(), 0);
    let pay = Pay::new(spy(), cap()).with_plain_http_allowed_insecure();
    assert!(call(&pay, &Shop::new([act, answer(200, "ok")]), request).await.is_ok());
    let (act, request) = ask("http://127.0.0.1:3000/item");
    assert!(call(&Pay::new(spy(), cap()), &Shop::new([act, answer(200, "ok")]), request).await.is_ok());
    let relative = Request::get("/item").body(Full::default()).unwrap();
    let outcome = call(&Pay::new(spy(), cap()), &Shop::asking([]), relative).await;
    assert!(matches!(outcome, Err(PayError::NoOrigin)), "{outcome:?}");
}

/// T126: a 402 has no reason to be long, deep or full.
#[tokio::test]
async fn t126_huge_and_deep_challenges() {
    let honest = challenge();
    let padded = format!("{}{honest}", " ".repeat(256 * 1024));
    let deep = bent(r#""extra":{"#, &format!(r#""outputSchema":{}{},"extra":{{"#, "[".repeat(50_000), "]".repeat(50_000)));
    let (start, offer) = honest.trim_end_matches("]}").split_once('[').unwrap();
    let many = format!("{start}[{}]}}", vec![offer; 65].join(","));
    for (case, body) in [("huge", padded), ("65 offers", many)] {
        let error = refused(case, |pay| pay, body).await;
        assert!(matches!(error, PayError::Challenge(_)), "{case}: {error:?}");
    }
    // What nobody reads is skipped without recursion, however deep.
    paid("deep", deep).await;
    let sixty_four = format!("{start}[{}]}}", vec![offer; 64].join(","));
    paid("64 offers", sixty_four).await;
}

#[tokio::test]
async fn what_is_no_402_of_ours_is_an_error_and_no_payment() {
    let cases = [
        ("HTML", "<html>pay here</html>".to_owned()),
        ("nothing", String::new()),
        ("no offers field", r#"{"h402Version":1,"error":"x"}"#.to_owned()),
        ("version 2", bent(r#""h402Version":1"#, r#""h402Version":2"#)),
        ("x402 version 2 in a body", bent(r#""h402Version":1"#, r#""x402Version":2"#)),
        ("h402 and x402", bent(r#""h402Version":1"#, r#""h402Version":2,"x402Version":3"#)),
        ("two versions", bent(r#""h402Version":1"#, r#""h402Version":1,"h402Version":1"#)),
        ("cut off", challenge()[..300].to_owned()),
    ];
    for (case, body) in cases {
        let error = refused(case, |pay| pay, body).await;
        assert!(matches!(error, PayError::Challenge(ChallengeError::Wire(_))), "{case}: {error:?}");
    }
    let error = refused("no offers", |pay| pay, r#"{"h402Version":1,"error":{},"accepts":[]}"#).await;
    assert!(matches!(error, PayError::NothingAffordable(why) if why.is_empty()));
    let error = refused("offers of h402 in x402", |pay| pay, bent("h402Version", "x402Version")).await;
    assert!(matches!(error, PayError::NothingAffordable(_)));
    // Spellings of reference servers that mean no harm.
    let offer = challenge().trim_end_matches("]}").split_once('[').unwrap().1.to_owned();
    paid("error is an object", bent(r#""error":"X-PAYMENT header is required""#, r#""error":{}"#)).await;
    paid("offers in an object", format!(r#"{{"accepts":{{"0":{offer}}},"error":"x","h402Version":1}}"#)).await;
}

/// T128: with a list of payees, nobody else is paid.
#[tokio::test]
async fn t128_only_listed_payees() {
    let other = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
    let only = |payee: &'static str| move |pay: Pay<Spy<EvmWallet>>| pay.with_payees([payee.parse().unwrap()]);
    let error = refused("another payee", only(other), challenge()).await;
    assert!(matches!(error, PayError::NothingAffordable(_)), "{error:?}");
    let shop = Shop::asking([answer(200, "ok")]);
    assert!(call(&only(PAYEE)(Pay::new(spy(), cap())), &shop, get()).await.is_ok());
}

/// T119: a token without EIP-3009 is paid by transaction only if the wallet was told to sign transactions, and the
/// gas is limited too.
#[tokio::test]
async fn t119_transactions_have_to_be_asked_for() {
    let usdt = bent(USDC, "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2");
    let error = refused("USDT", |pay| pay, usdt.clone()).await;
    assert!(matches!(error, PayError::NothingAffordable(_)), "{error:?}");
    let hints = FixedHints(TransactionHints { nonce: 0, gas_price: 1_000_000_000, gas: 60_000 });
    for (max_gas_cost, pays) in [(60_000_000_000_000, true), (59_999_999_999_999, false)] {
        let wallet = Spy::new(EvmWallet::from_key(key()).with_transactions(hints, Amount::from_atomic(max_gas_cost)));
        let shop = Shop::new([answer(402, usdt.clone()), answer(200, "ok")]);
        let outcome = call(&Pay::new(wallet.clone(), cap()), &shop, get()).await;
        assert_eq!((outcome.is_ok(), wallet.signatures()), (pays, usize::from(pays)), "{outcome:?}");
    }
}
