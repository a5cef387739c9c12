//! Tokens that lie, burn, change or are not the one that was meant, and nodes that lie about them.

use super::{PRICE, Reply, ask, broadcasts, requirements, sends, settle, transfers, until, until_pending, verify};
use alloy_primitives::{Address, U256};
use futures_util::future::join_all;
use h402_core::{Asset, Assets, Payload, PaymentPayload};
use h402_devnet::{
    evm::{BlockTime, Chain, TokenKind, account},
    fault::{ANY, Fault, Times},
};
use h402_facilitator::{
    Engine, EngineConfig, StartError, SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::{
    rig::{self, Folder, GAS, PAYEE, PAYER, Rig, RigOptions, key},
    transactions::sign,
};
use serde_json::json;

/// A facilitator whose operator has allowed one more token.
async fn allowing(kind: TokenKind) -> (Rig, Asset) {
    let chain = Chain::builder().start().await.unwrap();
    let address = chain.deploy(kind.clone()).unwrap();
    if kind != TokenKind::Noop {
        chain.mint(address, account(PAYER).address, U256::from(1_000 * PRICE)).unwrap();
    }
    let asset = rig::token(&chain, address, kind.name(), kind.version());
    (Rig::with(RigOptions { chain: Some(chain), more_assets: vec![asset.clone()], ..RigOptions::default() }).await, asset)
}

/// A payment by authorization in any token.
fn authorized(rig: &Rig, asset: &Asset) -> PaymentPayload {
    let domain = asset.eip712_domain().unwrap();
    let signed = key(PAYER).sign_authorization(rig.authorization(PAYER, PRICE), &domain).unwrap();
    rig.payload(Payload::Authorization(signed))
}

fn contract(asset: &Asset) -> Address {
    asset.id.address.evm().unwrap()
}

/// T061: a token that says yes and does nothing. It costs one transaction, for many copies, and is no success.
#[tokio::test(flavor = "multi_thread")]
async fn t061_a_token_that_moves_nothing_is_no_payment() {
    let (rig, noop) = allowing(TokenKind::Noop).await;
    let terms = requirements(&noop, account(PAYEE).address, PRICE);
    let payment = authorized(&rig, &noop);
    let replies = join_all((0..5).map(|_| ask(&rig, "/settle", &payment, &terms, Some("shop-1")))).await;
    for reply in &replies {
        assert_eq!((reply.is_settled(), reply.word().as_str()), (false, "transfer_not_observed"), "{reply:?}");
        assert!(reply.transaction().is_some(), "what was sent is told");
    }
    let after = ask(&rig, "/settle", &payment, &terms, None).await;
    assert_eq!((after.word(), after.transaction()), ("transfer_not_observed".into(), replies[0].transaction()));
    assert_eq!(ask(&rig, "/verify", &payment, &terms, None).await.word(), "payment_already_used");
    assert_eq!(broadcasts(&rig), 1);
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.is_settled());
}

/// T065: a token that keeps a part of what it moves. The payee has less than the price.
#[tokio::test(flavor = "multi_thread")]
async fn t065_a_token_that_takes_its_share_pays_too_little() {
    let (rig, fee) = allowing(TokenKind::Fee).await;
    let terms = requirements(&fee, account(PAYEE).address, PRICE);
    let by_authorization = authorized(&rig, &fee);
    let transfer = rig.token_transfer(PAYER, account(PAYEE).address, PRICE);
    let own = sign(PAYER, alloy_consensus::TxEip1559 { to: alloy_primitives::TxKind::Call(contract(&fee)), ..transfer });
    for payment in [by_authorization, rig.by_transaction(PAYER, &own)] {
        let reply = ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await;
        assert_eq!((reply.is_settled(), reply.word().as_str()), (false, "transfer_not_observed"), "{reply:?}");
        assert!(reply.transaction().is_some());
    }
    assert_eq!(rig.chain.balance_of(contract(&fee), account(PAYEE).address), U256::from(2 * (PRICE - PRICE / 100)));
}

/// T066: a token whose transfer says no and does not revert. The status of the transaction is success all the same.
#[tokio::test(flavor = "multi_thread")]
async fn t066_a_status_without_a_transfer_is_no_payment() {
    let (rig, lying) = allowing(TokenKind::False).await;
    let terms = requirements(&lying, account(PAYEE).address, PRICE);
    let transfer = rig.token_transfer(PAYER, account(PAYEE).address, PRICE);
    let own = sign(PAYER, alloy_consensus::TxEip1559 { to: alloy_primitives::TxKind::Call(contract(&lying)), ..transfer });
    for payment in [authorized(&rig, &lying), rig.by_transaction(PAYER, &own)] {
        let reply = ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await;
        assert_eq!((reply.is_settled(), reply.word().as_str()), (false, "transfer_not_observed"), "{reply:?}");
        assert!(rig.chain.outcome(reply.transaction().unwrap()).unwrap().success, "the chain calls it a success");
        assert_eq!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await, reply);
    }
}

/// T067: gas that a settlement would burn is counted before it is signed, even for a token that is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn t067_a_gas_burner_is_not_sent() {
    let (rig, burner) = allowing(TokenKind::GasBurner).await;
    let funds = rig.chain.native_balance(account(GAS).address);
    let terms = requirements(&burner, account(PAYEE).address, PRICE);
    let payment = authorized(&rig, &burner);
    assert_eq!(ask(&rig, "/verify", &payment, &terms, Some("shop-1")).await.word(), "settlement_cost_exceeds_limit");
    assert_eq!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await.word(), "settlement_cost_exceeds_limit");
    assert_eq!((sends(&rig), rig.chain.native_balance(account(GAS).address)), (0, funds));
    // With a limit that its owner has raised it is settled: it was the cost and nothing else.
    let (chain, token) = (rig.chain.clone(), burner.clone());
    let engine = Box::new(|config: &mut EngineConfig| rig::evm(config).max_gas = 8_000_000);
    let rig = Rig::with(RigOptions { chain: Some(chain), more_assets: vec![token], engine, ..RigOptions::default() }).await;
    assert!(ask(&rig, "/settle", &payment, &terms, Some("shop-1")).await.is_settled());
}

/// T067, T070: a token that nobody allowed is not asked about, whatever it calls itself: by address alone it is known.
#[tokio::test(flavor = "multi_thread")]
async fn t067_t070_a_token_is_its_address() {
    let rig = Rig::start().await;
    for kind in [TokenKind::GasBurner, TokenKind::usdc("USDC")] {
        let address = rig.chain.deploy(kind.clone()).unwrap();
        rig.chain.mint(address, account(PAYER).address, U256::from(PRICE)).unwrap();
        let stranger = rig::token(&rig.chain, address, kind.name(), kind.version());
        assert_eq!(stranger.symbol, rig.asset.symbol, "the same name");
        let asked = rig.chain.faults().calls(ANY);
        let payment = authorized(&rig, &stranger);
        for path in ["/verify", "/settle"] {
            let reply = ask(&rig, path, &payment, &requirements(&stranger, account(PAYEE).address, PRICE), None).await;
            assert_eq!(reply.word(), "unsupported_asset", "{reply:?}");
            // Signed for the stranger, claimed for the real one.
            let reply = ask(&rig, path, &payment, &rig.requirements(PRICE), None).await;
            assert_eq!(reply.word(), "invalid_exact_evm_payload_signature", "{reply:?}");
        }
        assert_eq!(rig.chain.faults().calls(ANY), asked, "the chain was asked");
    }
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.is_settled());
}

/// T064: decimals that could not be read are not guessed: until they are, nothing is taken.
#[tokio::test(flavor = "multi_thread")]
async fn t064_nothing_is_taken_before_the_tokens_are_checked() {
    let mut rig = Rig::start().await;
    rig.stop().await;
    rig.chain.faults().add("eth_call", Fault::DropRequest, Times::Always);
    rig.reopen().await;
    let payment = rig.payment(PAYER, PRICE);
    let ready = Reply::from(rig.get("/ready").await);
    assert_eq!(ready.status, 503, "{ready:?}");
    for path in ["/verify", "/settle"] {
        let reply = Reply::from(rig.post(path, &payment, PRICE, Some("shop-1")).await);
        assert_eq!(reply.status, 503, "{reply:?}");
    }
    rig.chain.faults().clear();
    rig.until_ready().await;
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    assert!(settle(&rig, &payment, Some("shop-1")).await.is_settled());
}

/// T017, T062, T064, T146: what the chain says otherwise than the configuration stops the start.
#[tokio::test(flavor = "multi_thread")]
async fn t017_t062_t064_t146_a_wrong_configuration_does_not_start() {
    let chain = Chain::builder().start().await.unwrap();
    let usdc = rig::usdc(&chain);
    let nowhere = rig::token(&chain, Address::repeat_byte(9), "USDC", "2");
    type Change<'a> = Box<dyn Fn(&mut EngineConfig) + 'a>;
    let cases: [(&str, Change<'_>, bool); 7] = [
        ("T062 decimals", Box::new(|config| config.assets = Assets::none().with(Asset { decimals: 18, ..usdc.clone() })), false),
        ("T017 domain's name", Box::new(|config| config.assets = Assets::none().with(usdc.clone().with_eip3009("USD Coin", "2"))), false),
        ("T017 domain's version", Box::new(|config| config.assets = Assets::none().with(usdc.clone().with_eip3009("USDC", "1"))), false),
        ("T064 no contract", Box::new(|config| config.assets = Assets::none().with(nowhere.clone())), false),
        (
            "T064 no token",
            Box::new(|config| {
                let multicall3 = rig::token(&chain, chain.multicall3(), "USDC", "2");
                config.assets = Assets::none().with(multicall3);
            }),
            false,
        ),
        (
            "T146 another chain",
            Box::new(|config| {
                let signer = h402_facilitator::Signer::Local(key(GAS));
                let rpc = h402_facilitator::rpc::Rpc::new(h402_facilitator::rpc::RpcConfig::new(vec![chain.url().parse().unwrap()]));
                let evm = h402_facilitator::evm::EvmConfig { chain_id: 8453, multicall3: None, simulate_from: signer.address(), rpc };
                config.networks = vec![h402_facilitator::EvmNetwork::new(h402_facilitator::evm::EvmChain::new(evm), signer).into()];
            }),
            false,
        ),
        ("as it is", Box::new(|_| ()), true),
    ];
    for (name, change, good) in cases {
        let folder = Folder::new();
        let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
        let mut config = EngineConfig::new(Assets::none().with(usdc.clone()), vec![rig::network(&chain).into()]);
        change(&mut config);
        let started = Engine::start(config, store.clone(), SystemClock).await;
        assert_eq!(started.is_ok(), good, "{name}: {started:?}");
        assert!(good || matches!(started, Err(StartError::Mismatch { .. })), "{name}: {started:?}");
        store.close().await.unwrap();
    }
}

/// T146: the node turns into one of another chain. Nothing is taken, nothing is sent, until it is the right one again.
#[tokio::test(flavor = "multi_thread")]
async fn t146_a_node_of_another_chain_decides_nothing() {
    let engine = Box::new(|config: &mut EngineConfig| {
        // Without Multicall3 every fact comes with the node's own chain id.
        let chain = &rig::evm(config).chain;
        let evm = h402_facilitator::evm::EvmConfig {
            chain_id: 84532,
            multicall3: None,
            simulate_from: account(GAS).address,
            rpc: chain.rpc().clone(),
        };
        rig::evm(config).chain = h402_facilitator::evm::EvmChain::new(evm);
    });
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    let payment = rig.payment(PAYER, PRICE);
    rig.chain.faults().add("eth_chainId", Fault::Answer(json!("0x1")), Times::Always);
    let ready = Reply::from(rig.get("/ready").await);
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("chain is not the configured one"), "{ready:?}");
    for path in ["/verify", "/settle"] {
        let reply = Reply::from(rig.post(path, &payment, PRICE, Some("shop-1")).await);
        assert_eq!((reply.status, reply.word().as_str()), (503, "dependency_unavailable"), "{reply:?}");
    }
    assert_eq!((sends(&rig), transfers(&rig)), (0, 0));
    rig.chain.faults().clear();
    until("it is ready again", async || rig.get("/ready").await.0 == 200).await;
    assert!(settle(&rig, &payment, Some("shop-1")).await.is_settled());
}

/// T068: the code behind an allowed token changes. What counts are the transfer and the authorization in the
/// receipt, so a token that turns into one that does nothing pays for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t068_a_token_that_changes_its_code_pays_for_nothing() {
    let (rig, noop) = allowing(TokenKind::Noop).await;
    let payment = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    let code = code_of(&rig, contract(&noop)).await;
    let before = code_of(&rig, rig.chain.usdc()).await;
    rig.chain.set_code(rig.chain.usdc(), code).unwrap();
    let reply = settle(&rig, &payment, Some("shop-1")).await;
    assert_eq!((reply.is_settled(), reply.word().as_str()), (false, "transfer_not_observed"), "{reply:?}");
    rig.chain.set_code(rig.chain.usdc(), before).unwrap();
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await.is_settled());
}

async fn code_of(rig: &Rig, at: Address) -> alloy_primitives::Bytes {
    let node = h402_facilitator::rpc::Rpc::new(h402_facilitator::rpc::RpcConfig::new(vec![rig.chain.url().parse().unwrap()]));
    let call = h402_facilitator::rpc::Call::new("eth_getCode", &[at.to_string().as_str(), "latest"]);
    serde_json::from_str(node.call(call).await.unwrap().unwrap().get()).unwrap()
}

/// T069: the payee is put on the token's blacklist after verify: one transaction at most, and an answer that stays.
#[tokio::test(flavor = "multi_thread")]
async fn t069_a_payee_blacklisted_on_the_way_costs_one_transaction() {
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, ..RigOptions::default() }).await;
    let payment = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    let listing = async {
        until_pending(&rig, 1).await;
        rig.chain.blacklist(rig.chain.usdc(), account(PAYEE).address, true).unwrap();
        rig.chain.mine().await;
    };
    let (failed, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), listing);
    assert_eq!((failed.is_settled(), failed.word().as_str()), (false, "transfer_reverts"));
    for _ in 0..3 {
        rig.chain.mine().await;
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await, failed);
    }
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 0));
}
