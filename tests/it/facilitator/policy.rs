//! What an operator allows, and what the facilitator may lose.

use super::{PRICE, Reply, ask, broadcasts, requirements, settle, until, verify};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::{SolCall, sol};
use h402_core::{Assets, Payload};
use h402_devnet::evm::{Chain, Contract, TokenKind, account};
use h402_facilitator::{
    Engine, EngineConfig, Payees, StartError, SystemClock,
    evm::CodePin,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::rig::{self, Folder, PAYEE, PAYER, Rig, RigOptions, key};
use std::time::Duration;

sol! {
    function upgradeTo(address implementation) external;
}

/// The runtime code of the chain's token as the compiler wrote it.
fn token_code() -> Bytes {
    let artifact: serde_json::Value = serde_json::from_str(include_str!("../../devnet/contracts/artifacts/TestUSDC.json")).unwrap();
    artifact["deployedBytecode"].as_str().unwrap().parse().unwrap()
}

/// A chain on which the token is a proxy, in place of what was there.
async fn behind_a_proxy() -> (Chain, Address) {
    let chain = Chain::builder().start().await.unwrap();
    let implementation = chain.deploy(TokenKind::usdc("USDC")).unwrap();
    let proxy = chain.create(Contract::Proxy { implementation }.init_code().unwrap()).unwrap();
    (chain, proxy)
}

/// T068: an allowed token whose code is pinned becomes another contract under way. Nothing more is taken in it, `/ready` says
/// which it is, and when it is the pinned one again everything goes on.
#[tokio::test(flavor = "multi_thread")]
async fn t068_a_pinned_token_that_changes_opens_the_breaker() {
    let engine = Box::new(|config: &mut EngineConfig| {
        let token = config.assets.iter().next().unwrap().id.address.evm().unwrap();
        let evm = rig::evm(config);
        evm.pins = vec![(token, CodePin { code: keccak256(token_code()), implementation: None })];
        evm.check_code = Duration::from_millis(20);
    });
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    let usdc = rig.chain.usdc();
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.is_settled(), "it is the pinned one");

    // Behaves as before in every call that a payment makes: only its code has one more byte.
    rig.chain.set_code(usdc, [&token_code()[..], &[0]].concat().into()).unwrap();
    let changed = format!("eip155:84532/{usdc}");
    until("the breaker is open", async || Reply::from(rig.get("/ready").await).text.contains(&changed)).await;
    assert_eq!(rig.get("/ready").await.0, 503);
    let payment = rig.payment(PAYER, PRICE);
    for reply in [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await] {
        assert_eq!((reply.status, reply.word().as_str()), (503, "dependency_unavailable"), "{reply:?}");
    }
    assert_eq!(broadcasts(&rig), 1);

    rig.chain.set_code(usdc, token_code()).unwrap();
    rig.until_ready().await;
    assert!(settle(&rig, &payment, None).await.is_settled());
}

/// T068: a start on another contract than the pinned one, or on a proxy with another implementation, is refused; and an upgrade
/// behind a proxy opens the breaker.
#[tokio::test(flavor = "multi_thread")]
async fn t068_other_code_than_the_pinned_one_does_not_start() {
    let (chain, proxy) = behind_a_proxy().await;
    let asset = rig::token(&chain, proxy, "", "");
    let code = keccak256(Contract::Proxy { implementation: Address::ZERO }.code().unwrap());
    let implementation = Some(keccak256(token_code()));
    let other = B256::repeat_byte(1);
    let cases = [
        ("as it is", CodePin { code, implementation }, true),
        ("any implementation", CodePin { code, implementation: None }, true),
        ("another proxy", CodePin { code: other, implementation }, false),
        ("another implementation", CodePin { code, implementation: Some(other) }, false),
    ];
    for (name, pin, good) in cases {
        let folder = Folder::new();
        let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
        let mut config = EngineConfig::new(Assets::none().with(asset.clone()), vec![rig::network(&chain).into()]);
        rig::evm(&mut config).pins = vec![(proxy, pin)];
        let started = Engine::start(config, store.clone(), SystemClock).await;
        assert_eq!(started.is_ok(), good, "{name}: {started:?}");
        assert!(good || matches!(&started, Err(StartError::Mismatch { what }) if what.contains("pinned")), "{name}: {started:?}");
        store.close().await.unwrap();
    }

    let pinned = move |config: &mut EngineConfig| {
        rig::evm(config).pins = vec![(proxy, CodePin { code, implementation })];
        rig::evm(config).check_code = Duration::from_millis(20);
    };
    let (engine, more_assets) = (Box::new(pinned), vec![asset.clone()]);
    let rig = Rig::with(RigOptions { chain: Some(chain), engine, more_assets, ..RigOptions::default() }).await;
    rig.chain.mint(proxy, account(PAYER).address, alloy_primitives::U256::from(10 * PRICE)).unwrap();
    let terms = requirements(&asset, account(PAYEE).address, PRICE);
    let paid = || {
        let signed = key(PAYER).sign_authorization(rig.authorization(PAYER, PRICE), &asset.eip712_domain().unwrap()).unwrap();
        rig.payload(Payload::Authorization(signed))
    };
    assert!(ask(&rig, "/settle", &paid(), &terms, None).await.is_settled());
    let fee = rig.chain.deploy(TokenKind::Fee).unwrap();
    rig.chain.execute(proxy, upgradeToCall { implementation: fee }.abi_encode().into()).unwrap();
    until("the breaker is open", async || rig.get("/ready").await.0 == 503).await;
    assert_eq!(ask(&rig, "/verify", &paid(), &terms, None).await.status, 503);
    assert!(verify(&rig, &rig.payment(PAYER, PRICE), None).await.is_valid(), "other assets are not concerned");
}

/// Payments to others than the listed payees are refused before the chain is asked, and those to them are settled.
#[tokio::test(flavor = "multi_thread")]
async fn only_listed_payees_are_settled_to() {
    let listed = |who: usize| {
        let engine = Box::new(move |config: &mut EngineConfig| {
            rig::evm(config).payees = Payees { any_asset: Some(vec![account(who).address.into()]), by_asset: Vec::new() };
        });
        Rig::with(RigOptions { engine, ..RigOptions::default() })
    };
    let rig = listed(7).await;
    let asked = rig.chain.faults().calls(h402_devnet::fault::ANY);
    let payment = rig.payment(PAYER, PRICE);
    for reply in [verify(&rig, &payment, None).await, settle(&rig, &payment, None).await] {
        assert_eq!((reply.word().as_str(), reply.text.contains("invalid_payment_requirements")), ("unsupported_payee", true), "{reply:?}");
    }
    assert_eq!(rig.chain.faults().calls(h402_devnet::fault::ANY), asked, "the chain was asked");
    let rig = listed(PAYEE).await;
    let payment = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &payment, None).await.is_valid());
    assert!(settle(&rig, &payment, None).await.is_settled());
}
