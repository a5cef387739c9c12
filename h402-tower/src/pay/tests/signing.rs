//! What is signed, checked with alloy: another implementation of the same standards.

use super::*;
use alloy_primitives::{Address as AlloyAddress, B256, FixedBytes, Signature, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use h402_core::SignedAuthorization;

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The EIP-712 hash of an authorization for USDC on Base, by alloy.
fn hash(signed: &SignedAuthorization) -> B256 {
    let domain = eip712_domain! {
        name: "USD Coin",
        version: "2",
        chain_id: 8453,
        verifying_contract: USDC.parse().unwrap(),
    };
    let terms = &signed.authorization;
    let message = TransferWithAuthorization {
        from: terms.from,
        to: terms.to,
        value: terms.value.to_u256(),
        validAfter: terms.valid_after,
        validBefore: terms.valid_before,
        nonce: FixedBytes(terms.nonce.0),
    };
    message.eip712_signing_hash(&domain)
}

/// Who signed this authorization for USDC on Base.
pub(super) fn recover(signed: &SignedAuthorization) -> AlloyAddress {
    Signature::from_raw(&signed.signature).unwrap().recover_address_from_prehash(&hash(signed)).unwrap()
}

async fn payment() -> SignedAuthorization {
    let shop = Shop::asking([answer(200, "ok")]);
    call(&Pay::new(spy(), cap()), &shop, get()).await.unwrap();
    authorization(&shop.payment())
}

#[tokio::test]
async fn authorizations_are_what_alloy_signs() {
    let signed = payment().await;
    let alloy: PrivateKeySigner = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap();
    assert_eq!(recover(&signed), alloy.address());
    assert_eq!(signed.signature.as_ref(), alloy.sign_hash_sync(&hash(&signed)).unwrap().as_bytes());
    let terms = signed.authorization;
    assert_eq!((terms.from, terms.to), (alloy.address(), PAYEE.parse().unwrap()));
    assert_eq!((terms.value.to_u256(), terms.nonce.is_zero()), (U256::from(10_000), false));
}

/// T171: nonces are 32 bytes of the system's randomness: none comes twice, none is zero, no bit is constant, and no state is kept that a
/// copy of the process would repeat.
#[test]
fn t171_nonces_never_repeat() {
    let nonces: std::collections::HashSet<B256> = (0..100_000).map(|_| crate::pay::evm::nonce().unwrap()).collect();
    assert_eq!(nonces.len(), 100_000);
    assert!(!nonces.contains(&B256::ZERO));
    let (all, any) = nonces.iter().fold((B256::repeat_byte(0xff), B256::ZERO), |(all, any), nonce| (all & *nonce, any | *nonce));
    assert_eq!((all, any), (B256::ZERO, B256::repeat_byte(0xff)));
}

#[tokio::test]
async fn t171_every_payment_has_its_own_nonce() {
    let (first, second) = (payment().await, payment().await);
    assert_ne!(first.authorization.nonce, second.authorization.nonce);
}

/// The message of a signed transaction is the resource, signed as wallets do (EIP-191), and the payload names it too.
#[tokio::test]
async fn signed_messages_are_what_alloy_signs() {
    let usdt = challenge().replace(USDC, "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2");
    let hints = FixedHints(TransactionHints { nonce: 3, gas_price: 7, gas: 60_000 });
    let wallet = EvmWallet::from_key(key()).with_transactions(hints, Amount::from_atomic(u128::MAX));
    let shop = Shop::new([answer(402, usdt), answer(200, "ok")]);
    call(&Pay::new(wallet, cap()), &shop, get()).await.unwrap();
    let payload = h402::decode_payment(shop.payment().as_bytes()).unwrap();
    assert_eq!(payload.resource.as_deref(), Some(URL));
    let Payload::EvmTransaction(signed) = payload.payload else { panic!("{:?}", payload.payload) };
    let alloy: PrivateKeySigner = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap();
    assert_eq!(signed.signed_message.as_ref(), alloy.sign_message_sync(URL.as_bytes()).unwrap().as_bytes());
}

/// Among offers the one by authorization wins; among those the cheapest.
#[tokio::test]
async fn offers_are_preferred_by_means_and_then_by_price() {
    let offer = challenge().trim_end_matches("]}").split_once('[').unwrap().1.to_owned();
    let coin = offer.replace(USDC, "0x0000000000000000000000000000000000000000").replace(r#""tokenDecimals":6"#, r#""tokenDecimals":18"#);
    let dearer = offer.replace("10000", "20000");
    let of = |offers: &[&str]| format!(r#"{{"h402Version":1,"error":"x","accepts":[{}]}}"#, offers.join(","));
    let hints = FixedHints(TransactionHints { nonce: 3, gas_price: 7, gas: 21_000 });
    let wallet = || EvmWallet::from_key(key()).with_transactions(hints, Amount::from_atomic(u128::MAX));
    let pays = async |pay: Pay<EvmWallet<FixedHints>>, body: String| {
        let shop = Shop::new([answer(402, body), answer(200, "ok")]);
        call(&pay, &shop, get()).await.unwrap();
        match h402::decode_payment(shop.payment().as_bytes()).unwrap().payload {
            Payload::Authorization(signed) => signed.authorization.value.to_string(),
            Payload::EvmTransaction(_) => "transaction".to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let known = || Pay::new(wallet(), cap()).with_any_offer();
    assert_eq!(pays(known(), of(&[&coin, &offer])).await, "10000", "authorization before transaction");
    assert_eq!(pays(known(), of(&[&dearer, &offer])).await, "10000", "whatever the server's order");
    // Of an unknown server only the first offer of a network is safe to pay.
    assert_eq!(pays(Pay::new(wallet(), cap()), of(&[&coin, &offer])).await, "transaction");
    assert_eq!(pays(Pay::new(wallet(), cap()), of(&[&offer, &coin])).await, "10000");
    // For facilitators that refuse authorizations.
    let stubborn = Pay::new(wallet().with_transactions_preferred(), cap());
    assert_eq!(pays(stubborn, of(&[&offer])).await, "transaction");
}

#[test]
fn nothing_secret_is_shown() {
    let wallet = EvmWallet::from_key(key());
    assert_eq!(format!("{wallet:?}"), format!("EvmWallet {{ address: {PAYER}, transactions: false, permit2: false }}"));
    let pay = Pay::new(wallet, cap());
    assert!(!format!("{pay:?}{:?}", pay.layer(())).contains("ac0974"));
}
