//! Payers that are contracts, at the gate: refused unless it is told to take them, and then its facilitator decides.

use super::{Door, sells_all};
use alloy_primitives::{Address, Bytes, U256};
use h402_core::{Authorization, Facilitator, Payload, PaymentPayload};
use h402_devnet::evm::account;
use h402_facilitator::{EngineConfig, evm::ContractPayers};
use h402_tests::{
    rig::{self, PAYER, Rig, RigOptions, key},
    shop::{self, ORIGIN, PRICE, Runs, Shop, get, header, price},
};
use h402_tower::gate::{Gate, MemoryGrants, Origin};

/// A facilitator that takes contracts, or does not.
async fn facilitator(takes: bool) -> Rig {
    let engine = Box::new(move |config: &mut EngineConfig| {
        rig::evm(config).contract_payers = takes.then(ContractPayers::default);
    });
    Rig::with(RigOptions { engine, ..RigOptions::default() }).await
}

/// A shop whose gate takes contracts, or does not.
async fn open<F: Facilitator>(rig: &Rig, facilitator: F, takes: bool, upfront: bool) -> (Shop, Runs) {
    let runs = Runs::default();
    let price = if upfront { price(rig, PRICE).upfront() } else { price(rig, PRICE) };
    let gate = Gate::new(facilitator, MemoryGrants::new().unwrap(), Origin::parse(ORIGIN).unwrap(), price);
    let gate = if takes { gate.accept_contract_payers() } else { gate };
    (Shop::open(sells_all(gate.build().unwrap(), &runs)).await, runs)
}

/// A funded ERC-1271 wallet of the payer.
fn wallet(rig: &Rig) -> Address {
    let wallet = rig.chain.deploy_smart_wallet(account(PAYER).address).unwrap();
    rig.chain.mint(rig.chain.usdc(), wallet, U256::from(10 * PRICE)).unwrap();
    wallet
}

/// A payment from any account, signed by somebody's key.
fn from(rig: &Rig, payer: Address, signer: usize) -> PaymentPayload {
    let terms = Authorization { from: payer, ..rig.authorization(PAYER, PRICE) };
    let signed = key(signer).sign_authorization(terms, &rig.asset.eip712_domain().unwrap()).unwrap();
    PaymentPayload { resource: None, ..rig.payload(Payload::Authorization(signed)) }
}

fn with_signature(payment: PaymentPayload, signature: Bytes) -> PaymentPayload {
    let Payload::Authorization(mut signed) = payment.payload else { panic!("no authorization") };
    signed.signature = signature;
    PaymentPayload { payload: Payload::Authorization(signed), ..payment }
}

/// T040, T162: the same wallet is refused where gate or facilitator does not take contracts, and served, once, where both do; an
/// account with a key is served by all of them. What is refused costs no handler and no gas.
#[tokio::test(flavor = "multi_thread")]
async fn t040_a_contract_pays_where_gate_and_facilitator_take_it() {
    for (gate, facilitator_takes) in [(false, true), (true, false), (true, true)] {
        let rig = facilitator(facilitator_takes).await;
        let served = gate && facilitator_takes;
        let (near, near_runs) = open(&rig, shop::local(&rig), gate, false).await;
        let (far, far_runs) = open(&rig, shop::remote(&rig), gate, false).await;
        let wallet = wallet(&rig);
        for (shop, runs) in [(&near, &near_runs), (&far, &far_runs)] {
            let before = Door::look(&rig, runs);
            let ask = get("/a").paying(&header(&from(&rig, wallet, PAYER)));
            let reply = shop.ask_until_decided(&ask).await;
            if served {
                assert_eq!(reply.status, 200, "{reply:?}");
                assert_eq!(super::payer_of(&reply), wallet.to_string());
                assert_eq!(shop.ask(&ask).await.content(), reply.content(), "and the same again");
                assert_eq!(shop.ask(&get("/b").paying(&header(&from(&rig, wallet, PAYER + 1)))).await.status, 402, "another's signature");
            } else {
                assert_eq!((reply.status, reply.word().as_str()), (402, "invalid_exact_evm_payload_signature"), "{gate}: {reply:?}");
            }
            let opened = if served { Door::OPENED } else { Door::SHUT };
            assert_eq!(before.since(&rig, runs), opened, "{gate} {facilitator_takes}");
            // The honest twin.
            let before = Door::look(&rig, runs);
            assert_eq!(shop.ask(&get("/a").paying(&rig.pay(PAYER))).await.status, 200);
            assert_eq!(before.since(&rig, runs), Door::OPENED);
        }
    }
}

/// T038, T040: where contracts are taken, nothing that no key has signed counts for an account without code, nor any text for a
/// contract's signature.
#[tokio::test(flavor = "multi_thread")]
async fn t040_where_contracts_are_taken_accounts_still_need_their_key() {
    let rig = facilitator(true).await;
    let (shop, runs) = open(&rig, shop::remote(&rig), true, false).await;
    let (contract, plain) = (wallet(&rig), account(PAYER).address);
    let before = Door::look(&rig, &runs);
    for payer in [contract, plain] {
        let good = from(&rig, payer, PAYER);
        for bad in [
            from(&rig, payer, PAYER + 1),
            with_signature(good.clone(), Bytes::new()),
            with_signature(good.clone(), vec![1; 65].into()),
            with_signature(good.clone(), vec![7; 4096].into()),
            with_signature(good.clone(), vec![7; 4097].into()),
        ] {
            let reply = shop.ask_until_decided(&get("/a").paying(&header(&bad))).await;
            assert_eq!(reply.status, 402, "{reply:?}");
        }
        assert_eq!(before.since(&rig, &runs), Door::SHUT);
    }
    for payer in [contract, plain] {
        assert_eq!(shop.ask(&get("/a").paying(&header(&from(&rig, payer, PAYER)))).await.status, 200, "unbent");
    }
}

/// T039: a contract pays before the handler runs, even where others pay afterwards: it may change its mind in between.
#[tokio::test(flavor = "multi_thread")]
async fn t039_a_contract_pays_first() {
    let rig = facilitator(true).await;
    let (shop, runs) = open(&rig, shop::remote(&rig), true, false).await;
    let wallet = wallet(&rig);
    rig.chain.set_block_time(h402_devnet::evm::BlockTime::Manual);
    let ask = get("/a").paying(&header(&from(&rig, wallet, PAYER)));
    let asked = shop.ask_until_decided(&ask);
    let watched = async {
        crate::facilitator::until_pending(&rig, 1).await;
        assert_eq!(runs.count(), 0, "the money first");
        rig.chain.set_block_time(h402_devnet::evm::BlockTime::Auto);
        rig.chain.mine().await;
    };
    let (reply, ()) = tokio::join!(asked, watched);
    assert_eq!((reply.status, runs.count()), (200, 1), "{reply:?}");
}
