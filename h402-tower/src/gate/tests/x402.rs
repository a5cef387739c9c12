//! What only x402 has.

use super::{
    dialects::{challenge, decoded, encoded, in_v1, in_v2, signed, with},
    kit::*,
};
use crate::gate::{LeftOutOffer, Price};
use h402_core::{
    Amount, Assets, Dialect, ErrorReason, GenesisPrefix, Network, Offer, Reject, Scheme, SettleError, SolanaHints, SupportedKind,
    TransactionId, Undecided, wire::x402::LeftOut,
};
use serde_json::{Value, json};

const SOLANA: Network = Network::Solana(GenesisPrefix::MAINNET);
const SELLER: &str = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";

/// A payer under `upfront` must not read a second 402 as "not charged": the flow is announced, and `accepted` repeats it.
#[tokio::test]
async fn the_flow_is_announced_where_the_money_moves_first() {
    let shop = Shop::new();
    let service = shop.open(shop.gate_at(price().upfront()), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    assert_eq!(asked["accepts"][0]["extra"]["paymentFlow"], "upfront");
    assert_eq!(send(&service, signed(&in_v2(&asked, &Cheque::default()))).await.status, 200);
    let mut silent = in_v2(&asked, &Cheque::nonce(2));
    silent["accepted"]["extra"].as_object_mut().unwrap().remove("paymentFlow");
    assert_eq!(send(&service, signed(&silent)).await.status, 402);
}

/// T008: a settlement that fails says so in the payer's own header; 402 only if nothing was sent.
#[tokio::test]
async fn t008_failed_settlements_have_receipts_in_every_dialect() {
    let reverted = TransactionId::Evm([9; 32].into());
    let hash = format!("0x{}", "09".repeat(32));
    let cases: [(SettleError, u16, &str, &str); 4] = [
        (Reject::AuthorizationUsed.into(), 402, "", "invalid_exact_evm_nonce_already_used"),
        (
            SettleError::Rejected { reject: Reject::Reverts("x".into()), transaction: Some(reverted) },
            409,
            &hash,
            "invalid_exact_evm_transaction_failed",
        ),
        (SettleError::Pending { transaction: Some(reverted) }, 503, &hash, "settlement_pending"),
        (SettleError::Pending { transaction: None }, 503, "", "settlement_pending"),
    ];
    for (error, status, transaction, word) in cases {
        let shop = Shop::new();
        let service = shop.open(shop.gate(), hello);
        let asked = challenge(&send(&service, get("/item")).await);
        shop.bank.next_settle(error.clone());
        let answer = send(&service, signed(&in_v2(&asked, &Cheque::default()))).await;
        let receipt = decoded(answer.header("payment-response").unwrap_or_else(|| panic!("{error:?}: no receipt")));
        let told = (answer.status, &receipt["success"], &receipt["transaction"], &receipt["errorReason"]);
        assert_eq!(told, (status, &json!(false), &json!(transaction), &json!(word)), "{error:?}");
        assert_eq!((answer.header("payment-required").is_some(), answer.header("x-payment-response")), (status == 402, None), "{error:?}");
        shop.bank.next_settle(error.clone());
        let in_v1 = send(&service, with("x-payment", &encoded(&in_v1(&Cheque::nonce(2))))).await;
        let receipt = decoded(in_v1.header("x-payment-response").unwrap());
        assert_eq!(
            (in_v1.status, &receipt["network"], &receipt["transaction"]),
            (status, &json!("base"), &json!(transaction)),
            "{error:?}"
        );
    }
}

/// Who has to approve Permit2 first is told so by the status in version 2, which has one for it; others by 402.
#[tokio::test]
async fn a_missing_approval_is_412_in_version_2_only() {
    let none = Amount::from_atomic(0);
    let here = Reject::Allowance { approved: none, required: Amount::from_atomic(PRICE) };
    let elsewhere = Reject::Other { reason: ErrorReason::InsufficientFunds, word: "permit2_allowance_required", text: "approve".into() };
    for reject in [here, elsewhere] {
        let shop = Shop::new();
        let service = shop.open(shop.gate(), hello);
        let asked = challenge(&send(&service, get("/item")).await);
        shop.bank.next_verify(reject.clone());
        let answer = send(&service, signed(&in_v2(&asked, &Cheque::default()))).await;
        assert_eq!(answer.status, 412, "{reject:?}");
        assert!(challenge(&answer)["error"].as_str().unwrap().starts_with("permit2_allowance_required: "));
        shop.bank.next_verify(reject.clone());
        assert_eq!(send(&service, paid(&Cheque::default().header())).await.status, 402, "{reject:?}");
        shop.bank.next_verify(Reject::InsufficientFunds { held: none, required: none });
        assert_eq!(send(&service, signed(&in_v2(&asked, &Cheque::default()))).await.status, 402);
        assert_eq!(send(&service, signed(&in_v2(&asked, &Cheque::default()))).await.status, 200, "approved meanwhile");
    }
}

/// T008, T112: a facilitator without books refuses what it settled a moment ago, when it is asked again. Believing that would deny
/// what was paid for; one that keeps books is believed.
#[tokio::test]
async fn t008_t112_a_facilitator_without_books_is_not_believed_when_asked_again() {
    for (bank, status) in [(Bank::without_reserves(), 503), (Bank::default(), 409)] {
        let shop = Shop::with_bank(bank);
        let service = shop.open(shop.gate(), hello);
        let asked = challenge(&send(&service, get("/item")).await);
        settle_down().await;
        shop.bank.next_settle(SettleError::Pending { transaction: None });
        shop.bank.next_settle(Reject::Reverts("nonce is used".into()));
        let request = || signed(&in_v2(&asked, &Cheque::default()));
        assert_eq!(send(&service, request()).await.status, 503);
        assert_eq!(send(&service, request()).await.status, status);
        // What is open is served once there is a receipt.
        let last = send(&service, request()).await.status;
        assert_eq!((last, shop.runs()), (if status == 503 { 200 } else { 409 }, 1));
    }
}

/// Nobody is asked again for what cannot be decided.
#[tokio::test]
async fn what_is_undecided_is_503_in_x402_too() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    shop.bank.next_verify(Undecided::Chain);
    let request = || signed(&in_v2(&asked, &Cheque::default()));
    let answer = send(&service, request()).await;
    assert_eq!((answer.status, answer.header("retry-after"), answer.header("payment-required")), (503, Some("5"), None));
    assert_eq!(send(&service, request()).await.status, 200);
}

/// Reference payers on Solana need to know who pays the fee: before that is known, there is no such offer in x402.
#[tokio::test]
async fn solana_is_offered_in_x402_once_the_fee_payer_is_known() {
    let solana = Assets::known().by_symbol(SOLANA, "USDC").unwrap().clone();
    let offers = || {
        let base = Offer::new(usdc(), Amount::from_atomic(PRICE), PAYEE.parse().unwrap()).unwrap();
        Price::offers([base, Offer::new(solana.clone(), Amount::from_atomic(PRICE), SELLER.parse().unwrap()).unwrap()]).unwrap()
    };
    let shop = Shop::new();
    shop.bank.can(None);
    let service = shop.open(shop.gate_at(offers()), hello);
    let networks = |answer: &Answer| -> Vec<Value> {
        challenge(answer)["accepts"].as_array().unwrap().iter().map(|offer| offer["network"].clone()).collect()
    };
    let answer = send(&service, get("/item")).await;
    assert_eq!(networks(&answer), [json!("eip155:8453")]);
    assert_eq!(answer.json()["accepts"].as_array().unwrap().len(), 2, "h402 needs no fee payer");
    let hints = SolanaHints { fee_payer: Some([9; 32].into()), ..SolanaHints::default() };
    let kind = SupportedKind { dialect: Dialect::X402V2, scheme: Scheme::Exact, network: SOLANA, solana: Some(hints), facilitator: None };
    shop.bank.can(Some(vec![kind]));
    shop.clock.move_on(5);
    send(&service, get("/item")).await;
    settle_down().await;
    let answer = send(&service, get("/item")).await;
    assert_eq!(networks(&answer), [json!("eip155:8453"), json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")]);
    // 32 bytes of 9 in base58, by another program.
    assert_eq!(challenge(&answer)["accepts"][1]["extra"]["feePayer"], "cGfHiC6Kgg3FpFZvgwGcswsCRtp4aBP2fzuXRQPizuN");
}

/// T098: the header stays below what proxies pass on. What has no room is left out from the end, and the gate says so when it
/// is built; nothing but what fits is offered, and all of it still in the body.
#[tokio::test]
async fn t098_the_header_of_a_402_stays_small() {
    let payee = |at: u8| Offer::new(usdc(), Amount::from_atomic(PRICE), h402_core::Address::Evm([at; 20].into())).unwrap();
    let shop = Shop::new();
    let layer = shop.gate_at(Price::offers((1..=30).map(payee)).unwrap()).build().unwrap();
    let left_out = layer.left_out();
    assert!(left_out.iter().all(|LeftOutOffer { dialect, why, .. }| (*dialect, *why) == (Dialect::X402V2, LeftOut::Room)));
    let first_left_out = left_out.first().unwrap().offer.pay_to;
    let service = shop.open(shop.gate_at(Price::offers((1..=30).map(payee)).unwrap()), hello);
    let answer = send(&service, get("/")).await;
    assert!(answer.header("payment-required").unwrap().len() <= 4096);
    let offered = challenge(&answer)["accepts"].as_array().unwrap().len();
    assert!(offered > 5, "{offered}");
    assert_eq!(offered + left_out.len(), 30);
    assert_eq!(h402_core::Address::Evm([u8::try_from(offered + 1).unwrap(); 20].into()), first_left_out, "in the gate's order");
    assert_eq!(answer.json()["accepts"].as_array().unwrap().len(), 30);
    let long = send(&service, get(&format!("/{}", "a".repeat(2_000)))).await;
    assert!(long.header("payment-required").unwrap().len() <= 4096);
    // Twins: what fits is not left out, and coins are not x402's.
    assert!(shop.gate().build().unwrap().left_out().is_empty());
    let coin = Assets::known().by_symbol(Network::Evm(8453), "ETH").unwrap().clone();
    let coin = || Price::offers([Offer::new(coin.clone(), Amount::from_atomic(1 << 50), PAYEE.parse().unwrap()).unwrap()]).unwrap();
    assert_eq!(shop.gate_at(coin()).build().unwrap().left_out()[0].why, LeftOut::Asset);
    assert_eq!(send(&shop.open(shop.gate_at(coin()), hello), get("/")).await.header("payment-required"), None);
}

fn named(asked: &Value, cheque: &Cheque, id: &str) -> Value {
    let mut payment = in_v2(asked, cheque);
    payment["extensions"] = asked["extensions"].clone();
    payment["extensions"]["payment-identifier"]["info"]["id"] = json!(id);
    payment
}

/// A payment identifier belongs to one payment: another one under it is not taken, so that nobody pays twice for one thing.
#[tokio::test]
async fn a_payment_identifier_names_one_payment() {
    const ID: &str = "order-0000000000017";
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_payment_identifiers(), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    assert_eq!(asked["extensions"]["payment-identifier"]["info"], json!({"required": false}));
    let first = named(&asked, &Cheque::nonce(1), ID);
    assert_eq!(send(&service, signed(&first)).await.status, 200);
    assert_eq!(send(&service, signed(&first)).await.status, 200, "the same payment: what was kept");
    let second = send(&service, signed(&named(&asked, &Cheque::nonce(2), ID))).await;
    assert_eq!((second.status, second.error().as_str(), second.header("payment-response")), (409, "payment_identifier_used", None));
    let mut elsewhere = signed(&first);
    *elsewhere.uri_mut() = "/other".parse().unwrap();
    assert_eq!(send(&service, elsewhere).await.status, 409, "the same payment for another request");
    assert_eq!((shop.runs(), shop.bank.verified(), shop.bank.settled()), (1, 1, 1));
    for bad in ["short", "with a space in it!", &"x".repeat(129)] {
        assert_eq!(send(&service, signed(&named(&asked, &Cheque::nonce(3), bad))).await.status, 400, "{bad}");
    }
    // Twins: another name, and none.
    assert_eq!(send(&service, signed(&named(&asked, &Cheque::nonce(2), "order-0000000000018"))).await.status, 200);
    assert_eq!(send(&service, signed(&in_v2(&asked, &Cheque::nonce(3)))).await.status, 200);
    assert_eq!(shop.bank.settled(), 3);
}

/// Of two payments that come at once under one name, one is taken.
#[tokio::test]
async fn two_payments_under_one_identifier_at_once_are_one() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_payment_identifiers(), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    let brake = shop.bank.brake_verify();
    let send_named = |nonce| {
        let (service, request) = (service.clone(), signed(&named(&asked, &Cheque::nonce(nonce), "order-0000000000017")));
        tokio::spawn(async move { send(&service, request).await.status })
    };
    let (one, two) = (send_named(1), send_named(2));
    settle_down().await;
    assert_eq!(shop.bank.verified(), 2, "neither is known yet");
    brake.add_permits(2);
    let mut statuses = [one.await.unwrap(), two.await.unwrap()];
    statuses.sort_unstable();
    assert_eq!((statuses, shop.runs(), shop.bank.settled()), ([200, 409], 1, 1));
}

/// Where names are required, a payment without one is 400; elsewhere nobody looks at them.
#[tokio::test]
async fn identifiers_are_required_or_ignored_as_configured() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_required_payment_identifiers(), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    assert_eq!(asked["extensions"]["payment-identifier"]["info"], json!({"required": true}));
    let answer = send(&service, signed(&in_v2(&asked, &Cheque::nonce(1)))).await;
    assert_eq!((answer.status, shop.bank.verified()), (400, 0));
    assert_eq!(send(&service, signed(&named(&asked, &Cheque::nonce(1), "order-0000000000017"))).await.status, 200);
    assert_eq!(send(&service, paid(&Cheque::nonce(2).header())).await.status, 200, "h402 has no names");
    let ignoring = shop.open(shop.gate(), hello);
    assert!(challenge(&send(&ignoring, get("/item")).await).get("extensions").is_none());
    assert_eq!(send(&ignoring, signed(&named(&asked, &Cheque::nonce(3), "order-0000000000017"))).await.status, 200);
}

/// T108: what a preflight of any client asks for is allowed, where a layer before the gate says who may ask.
#[tokio::test]
async fn t108_a_preflight_hears_what_paying_clients_send() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let mut request = get("/item");
    *request.method_mut() = http::Method::OPTIONS;
    let answer = send(&service, request).await;
    let allowed: Vec<_> = answer.headers.get_all("access-control-allow-headers").iter().map(|name| name.to_str().unwrap()).collect();
    assert_eq!(allowed, ["x-payment", "payment-signature", "access-control-expose-headers", "payment-retry"]);
}
