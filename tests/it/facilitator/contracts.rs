//! Payers that are contracts: off by default, and where they are taken tried as in a real block before anything is promised.

use super::{
    PRICE, Reply,
    batch::ask,
    books::{compared, differences},
    broadcasts, sends, settle, transfers, until_pending, verify,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use h402_core::{Authorization, Payload, PaymentPayload};
use h402_devnet::{
    evm::{BlockTime, Chain, Contract, MULTICALL3, Trap, account},
    fault::ANY,
};
use h402_facilitator::{EngineConfig, ReconcileConfig, evm::ContractPayers};
use h402_tests::rig::{self, PAYER, Rig, RigOptions, key, now};
use serde_json::json;
use std::time::Duration;

sol! {
    function switchOff(bool off) external;
    function make(address owner, bytes32 salt) external payable returns (address);
    function addressOf(address owner, bytes32 salt) external view returns (address);
    function calls() external view returns (uint256);
    function lastCaller() external view returns (address);
}

/// An account whose code a test sets.
const DELEGATED: usize = 5;

/// A facilitator that takes contracts, and accounts of these factories.
async fn taking_contracts(block_time: BlockTime, factories: Vec<Address>, chain: Option<h402_devnet::evm::Chain>) -> Rig {
    let engine = Box::new(move |config: &mut EngineConfig| {
        rig::evm(config).contract_payers = Some(ContractPayers { factories: factories.clone(), ..ContractPayers::default() });
    });
    Rig::with(RigOptions { block_time, engine, chain, ..RigOptions::default() }).await
}

/// A payment from any account, signed by the payer's key.
fn from(rig: &Rig, account: Address) -> PaymentPayload {
    lasting(rig, account, now() + 120)
}

fn lasting(rig: &Rig, account: Address, until: u64) -> PaymentPayload {
    let terms = Authorization { from: account, valid_before: U256::from(until), ..rig.authorization(PAYER, PRICE) };
    rig.payload(Payload::Authorization(key(PAYER).sign_authorization(terms, &rig.asset.eip712_domain().unwrap()).unwrap()))
}

fn fund(rig: &Rig, account: Address) {
    rig.chain.mint(rig.chain.usdc(), account, U256::from(10 * PRICE)).unwrap();
}

fn deploy(rig: &Rig, contract: Contract) -> Address {
    let address = rig.chain.create(contract.init_code().unwrap()).unwrap();
    fund(rig, address);
    address
}

fn smart_wallet(rig: &Rig) -> Address {
    let address = rig.chain.deploy_smart_wallet(account(PAYER).address).unwrap();
    fund(rig, address);
    address
}

/// Delegates an account to a contract, as EIP-7702 has it.
fn delegate(rig: &Rig, of: usize, to: Address) {
    rig.chain.set_code(account(of).address, [&[0xef, 0x01, 0x00], to.as_slice()].concat().into()).unwrap();
}

async fn both(rig: &Rig, payment: &PaymentPayload) -> [Reply; 2] {
    [verify(rig, payment, None).await, settle(rig, payment, None).await]
}

/// T040: the token asks the code of a payer that has some, instead of its signature. Contracts are refused unless the operator
/// takes them; then the code decides, whether it is a wallet's or delegated, and plain accounts go on as before.
#[tokio::test(flavor = "multi_thread")]
async fn t040_the_code_of_a_payer_decides() {
    let rig = Rig::start().await;
    let wallet = smart_wallet(&rig);
    let own = rig.chain.deploy_smart_wallet(account(DELEGATED).address).unwrap();
    delegate(&rig, DELEGATED, own);
    let asked = rig.chain.faults().calls(ANY);
    for reply in both(&rig, &from(&rig, wallet)).await {
        assert_eq!(reply.word(), "invalid_exact_evm_payload_signature", "{reply:?}");
    }
    assert_eq!(rig.chain.faults().calls(ANY), asked, "what no key has signed costs nothing");
    for reply in both(&rig, &rig.payment(DELEGATED, PRICE)).await {
        assert_eq!(reply.word(), "unsupported_payer", "{reply:?}");
    }

    let rig = taking_contracts(BlockTime::Auto, Vec::new(), Some(rig.chain.clone())).await;
    let before = (transfers(&rig), broadcasts(&rig));
    for payment in [from(&rig, wallet), rig.payment(DELEGATED, PRICE), rig.payment(PAYER, PRICE)] {
        let reply = verify(&rig, &payment, None).await;
        assert!(reply.is_valid(), "{reply:?}");
        let reply = settle(&rig, &payment, None).await;
        assert!(reply.is_settled(), "{reply:?}");
    }
    assert_eq!((transfers(&rig), broadcasts(&rig)), (before.0 + 3, before.1 + 3));
    // Delegated to code that knows nothing of signatures: the key has signed, and the token will not take it.
    delegate(&rig, DELEGATED, MULTICALL3);
    for reply in both(&rig, &rig.payment(DELEGATED, PRICE)).await {
        assert_eq!(reply.word(), "transfer_reverts", "{reply:?}");
    }
    // Another's signature, and one for an account without code.
    let stranger = rig.chain.deploy_smart_wallet(account(3).address).unwrap();
    fund(&rig, stranger);
    for account in [stranger, Address::repeat_byte(0x77)] {
        fund(&rig, account);
        for reply in both(&rig, &from(&rig, account)).await {
            assert_eq!(reply.word(), "invalid_exact_evm_payload_signature", "{reply:?}");
        }
    }
    assert_eq!(broadcasts(&rig), before.1 + 3);
}

/// T039: wallets that say yes only where they believe to be tried out are found out; one that changes its mind on the way burns
/// gas once, and then waits for ten minutes. It has one payment open at a time.
#[tokio::test(flavor = "multi_thread")]
async fn t039_a_wallet_that_answers_otherwise_in_a_block_burns_gas_once() {
    let rig = taking_contracts(BlockTime::Manual, Vec::new(), None).await;
    let owner = account(PAYER).address;
    for trap in [Trap::BaseFee, Trap::GasPrice] {
        let wallet = deploy(&rig, Contract::TrapWallet { owner, trap });
        for reply in both(&rig, &from(&rig, wallet)).await {
            assert_eq!(reply.word(), "invalid_exact_evm_payload_signature", "{trap:?}: {reply:?}");
        }
    }
    assert_eq!(sends(&rig), 0);

    let wallet = deploy(&rig, Contract::TrapWallet { owner, trap: Trap::Switched });
    let switch = |off| rig.chain.execute(wallet, switchOffCall { off }.abi_encode().into()).unwrap();
    let payment = from(&rig, wallet);
    assert!(verify(&rig, &payment, Some("shop")).await.is_valid());
    let trick = async {
        until_pending(&rig, 1).await;
        let second = verify(&rig, &from(&rig, wallet), Some("shop")).await;
        assert_eq!(second.word(), "too_many_open_payments", "{second:?}");
        switch(true);
        for _ in 0..7 {
            rig.chain.mine().await;
        }
    };
    let (failed, ()) = tokio::join!(settle(&rig, &payment, Some("shop")), trick);
    assert_eq!((failed.word().as_str(), transfers(&rig)), ("transfer_reverts", 0), "{failed:?}");
    switch(false);
    rig.chain.set_block_time(BlockTime::Auto);
    for reply in both(&rig, &from(&rig, wallet)).await {
        assert_eq!((reply.word().as_str(), broadcasts(&rig)), ("gas_wasted", 1), "{reply:?}");
    }
    assert!(settle(&rig, &from(&rig, smart_wallet(&rig)), None).await.is_settled(), "an honest one");
    let later = 601;
    rig.clock.advance(Duration::from_secs(later));
    rig.chain.advance_time(later);
    let reply = settle(&rig, &lasting(&rig, wallet, now() + later + 120), None).await;
    assert!(reply.is_settled(), "ten minutes later: {reply:?}");
}

/// T162: a wallet that computes for as long as it may is stopped by the limit of gas, and nothing is sent for it.
#[tokio::test(flavor = "multi_thread")]
async fn t162_a_wallet_is_no_computing_service() {
    let rig = taking_contracts(BlockTime::Auto, Vec::new(), None).await;
    let burner = deploy(&rig, Contract::BurnerWallet);
    for reply in both(&rig, &from(&rig, burner)).await {
        assert_eq!((reply.word().as_str(), sends(&rig)), ("transfer_reverts", 0), "{reply:?}");
    }
    let limit = format!("{:#x}", ContractPayers::default().max_gas);
    assert_eq!(limit, "0x7a120", "half a million");
    assert!(settle(&rig, &from(&rig, smart_wallet(&rig)), None).await.is_settled());
}

/// An envelope of ERC-6492 around a signature.
fn wrapped(payment: &PaymentPayload, factory: Address, deploy: Bytes, signature: Option<Bytes>) -> PaymentPayload {
    let Payload::Authorization(signed) = &payment.payload else { panic!() };
    let mut signed = signed.clone();
    let inner = signature.unwrap_or(signed.signature);
    let magic = B256::from_slice(&[0x64, 0x92].repeat(16));
    signed.signature = [(factory, deploy, inner).abi_encode_params(), magic.to_vec()].concat().into();
    PaymentPayload { payload: Payload::Authorization(signed), ..payment.clone() }
}

/// T037, T038: a factory that the operator has not listed is never called, nor is the chain asked. A listed one deploys the payer in the
/// transaction that pays, through Multicall3 and never for our own key, and only if the signature inside is good.
#[tokio::test(flavor = "multi_thread")]
async fn t037_t038_accounts_are_deployed_by_listed_factories_and_for_good_signatures() {
    let rig = taking_contracts(BlockTime::Auto, Vec::new(), None).await;
    let factory = rig.chain.create(Contract::WalletFactory.init_code().unwrap()).unwrap();
    let (owner, salt) = (account(PAYER).address, B256::repeat_byte(7));
    let read = |data: Vec<u8>| rig.chain.call(factory, data.into()).unwrap();
    let wallet = Address::from_word(B256::from_slice(&read(addressOfCall { owner, salt }.abi_encode())));
    let called = || U256::from_be_slice(&read(callsCall {}.abi_encode()));
    fund(&rig, wallet);
    let deploy: Bytes = makeCall { owner, salt }.abi_encode().into();
    let payment = wrapped(&from(&rig, wallet), factory, deploy.clone(), None);
    let asked = rig.chain.faults().calls(ANY);
    for reply in both(&rig, &payment).await {
        assert_eq!(reply.word(), "eip6492_factory_not_allowed", "{reply:?}");
    }
    // Fees and balances of our own may be read again, but nothing is tried.
    let tried = ["eth_call", "eth_estimateGas"].map(|method| rig.chain.faults().calls(method));
    for reply in both(&rig, &payment).await {
        assert_eq!(reply.word(), "eip6492_factory_not_allowed", "{reply:?}");
    }
    assert_eq!(["eth_call", "eth_estimateGas"].map(|method| rig.chain.faults().calls(method)), tried);
    assert!(rig.chain.faults().calls(ANY) >= asked && called() == U256::ZERO);

    let rig = taking_contracts(BlockTime::Auto, vec![factory], Some(rig.chain.clone())).await;
    let zeros = wrapped(&from(&rig, wallet), factory, deploy.clone(), Some(vec![0; 65].into()));
    let torn = wrapped(&from(&rig, wallet), factory, deploy.clone(), Some(vec![1].into()));
    for bad in [zeros, torn] {
        for reply in both(&rig, &bad).await {
            assert!(["transfer_reverts", "invalid_exact_evm_payload_signature"].contains(&reply.word().as_str()), "{reply:?}");
        }
    }
    assert_eq!((sends(&rig), called()), (0, U256::ZERO));
    let reply = verify(&rig, &payment, None).await;
    assert!(reply.is_valid(), "{reply:?}");
    let reply = settle(&rig, &payment, None).await;
    assert!(reply.is_settled(), "{reply:?}");
    assert_eq!((transfers(&rig), broadcasts(&rig), called()), (1, 1, U256::from(1)));
    let caller = Address::from_word(B256::from_slice(&read(lastCallerCall {}.abi_encode())));
    assert_eq!(caller, MULTICALL3, "not the key that pays for gas");
    assert!(settle(&rig, &from(&rig, wallet), None).await.is_settled(), "it is there now");
}

/// Code that logs the use of an authorization and a transfer, neither of which there is, and then does what `behind` does.
fn loud(behind: Address, payer: Address, payee: Address) -> Bytes {
    let word = |value: &[u8]| [&[0x7f], B256::left_padding_from(value).as_slice()].concat();
    let log = |topics: [&[u8]; 3], data: u8| {
        let [first, second, third] = topics.map(word);
        [third, second, first, vec![0x60, data, 0x60, 0x00, 0xa3]].concat()
    };
    let used = keccak256("AuthorizationUsed(address,bytes32)");
    let transfer = keccak256("Transfer(address,address,uint256)");
    // CALLDATACOPY of all, DELEGATECALL, RETURNDATACOPY of all, RETURN.
    let pass = [0x36, 0x60, 0, 0x60, 0, 0x37, 0x60, 0, 0x60, 0, 0x36, 0x60, 0, 0x73];
    let back = [0x5a, 0xf4, 0x50, 0x3d, 0x60, 0, 0x60, 0, 0x3e, 0x3d, 0x60, 0, 0xf3];
    [
        log([used.as_slice(), payer.as_slice(), &[9; 32]], 0),
        log([transfer.as_slice(), payer.as_slice(), payee.as_slice()], 32),
        pass.to_vec(),
        behind.to_vec(),
        back.to_vec(),
    ]
    .concat()
    .into()
}

/// T159: a contract that is called on the way logs authorizations and transfers of its own. Only the asset's contract can say
/// that one was used or moved: ledger and chain agree, and payments are taken.
#[tokio::test(flavor = "multi_thread")]
async fn t159_what_other_contracts_log_is_no_difference() {
    let factory = Address::repeat_byte(0x6f);
    let chain = Chain::builder().block_time(BlockTime::Auto).start().await.unwrap();
    let behind = chain.create(Contract::WalletFactory.init_code().unwrap()).unwrap();
    let owner = account(PAYER).address;
    chain.set_code(factory, loud(behind, owner, account(rig::PAYEE).address)).unwrap();
    let engine = Box::new(move |config: &mut EngineConfig| {
        config.reconcile = ReconcileConfig { every: Duration::from_millis(100), stop_above: 0 };
        let network = rig::evm(config);
        network.final_depth = 1;
        network.contract_payers = Some(ContractPayers { factories: vec![factory], ..ContractPayers::default() });
    });
    let rig = Rig::with(RigOptions { engine, chain: Some(chain), ..RigOptions::default() }).await;
    compared(&rig).await;
    let salt = B256::repeat_byte(7);
    let wallet = rig.chain.call(factory, addressOfCall { owner, salt }.abi_encode().into()).unwrap();
    let wallet = Address::from_word(B256::from_slice(&wallet));
    fund(&rig, wallet);
    let payment = wrapped(&from(&rig, wallet), factory, makeCall { owner, salt }.abi_encode().into(), None);
    let reply = settle(&rig, &payment, None).await;
    assert!(reply.is_settled(), "{reply:?}");
    let receipt = ask(&rig, "eth_getTransactionReceipt", json!([reply.transaction().unwrap()])).await;
    let loud = receipt["logs"].as_array().unwrap().iter().filter(|log| log["address"] == format!("{factory:#x}"));
    assert_eq!(loud.count(), 2, "{receipt}");
    rig.chain.mine().await;
    compared(&rig).await;
    assert_eq!(differences(&rig, None).await, Default::default());
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), None).await.is_settled());
}
