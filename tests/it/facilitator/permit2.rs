//! Payments through Permit2 and the x402 proxies: whoever calls, one nonce is one payment, and nobody moves more than was asked.

use super::{PRICE, broadcasts, sends, transfers, until, until_pending};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use h402_core::{
    Amount, CallerKey, Matched, Offers, PaymentKey, Reject, Scheme, SettleError, Settlement, SignedPermit2, TransactionId, Undecided,
    VerifyError,
    evm::{ExactProxy, ExactWitness, PermitTransferFrom, TokenPermissions},
};
use h402_devnet::evm::{BlockTime, account};
use h402_facilitator::{
    EngineConfig, Signer,
    evm::{EvmChain, Permit2Payments},
};
use h402_tests::rig::{self, GAS, PAYER, Rig, RigOptions, key};

const SCHEMES: [Scheme; 2] = [Scheme::Exact, Scheme::Upto];
/// Whoever sees a payment on its way.
const STRANGER: usize = 6;

async fn taking_permit2(block_time: BlockTime) -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| rig::evm(config).permit2 = Some(Permit2Payments::default()));
    Rig::with(RigOptions { block_time, engine, ..RigOptions::default() }).await
}

fn caller(name: &str) -> Option<CallerKey> {
    Some(CallerKey::of_text(name))
}

async fn refusal(rig: &Rig, payment: &Matched) -> &'static str {
    let refused = rig.engine.verify(payment.clone(), caller("shop")).await.unwrap_err();
    let settled = rig.engine.settle(payment.clone(), caller("shop")).await.unwrap_err();
    match (refused, settled) {
        (VerifyError::Rejected(one), SettleError::Rejected { reject: other, .. }) => {
            assert_eq!(one.word(), other.word());
            one.word()
        }
        other => panic!("{other:?}"),
    }
}

/// A payment of the usual price by EIP-3009.
fn authorization(rig: &Rig, payer: usize) -> Matched {
    let offers = Offers::new(vec![rig.offer(PRICE)]).unwrap();
    Matched::new(rig.payment(payer, PRICE), &offers, &rig.requirements(PRICE).resource, Some(70)).unwrap()
}

/// Both schemes, approved on chain before, and by a signature that is sent along: the payee has it once, the nonce is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_through_permit2_moves_the_money_once() {
    let rig = taking_permit2(BlockTime::Auto).await;
    let payee = rig.received();
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    for (at, scheme) in SCHEMES.into_iter().enumerate() {
        let payment = rig.permit2(PAYER, scheme, PRICE);
        rig.engine.verify(payment.clone(), caller("shop")).await.unwrap();
        assert_eq!(broadcasts(&rig), u64::try_from(2 * at).unwrap(), "nothing is sent by a verify");
        let receipt = rig.engine.settle(payment.clone(), caller("shop")).await.unwrap();
        assert_eq!((receipt.payer, receipt.network), (payment.payer(), payment.network()));
        assert_eq!(rig.engine.settle(payment, caller("shop")).await.unwrap(), receipt, "the same caller hears it again");
        // An approval of exactly the amount comes with it, and is spent with it.
        let payer = PAYER + 1 + at;
        let signed = rig.permit2_signed(payer, rig.permit2_terms(payer, scheme, PRICE));
        let signed = SignedPermit2 { permit: Some(rig.permit2_approval(payer, PRICE)), ..signed };
        let sponsored = rig.permit2_matched(scheme, signed, PRICE).unwrap();
        rig.engine.verify(sponsored.clone(), caller("shop")).await.unwrap();
        rig.engine.settle(sponsored, caller("shop")).await.unwrap();
        assert_eq!(rig.permit2_allowance(payer), U256::ZERO);
    }
    assert_eq!(rig.received() - payee, U256::from(4 * PRICE));
    assert_eq!((transfers(&rig), broadcasts(&rig)), (4, 4));
}

/// Off unless it is switched on; and a start on a chain without the contracts says so.
#[tokio::test(flavor = "multi_thread")]
async fn permit2_is_taken_only_where_its_contracts_are() {
    let rig = Rig::start().await;
    rig.approve_permit2(PAYER, PRICE).await;
    assert_eq!(refusal(&rig, &rig.permit2(PAYER, Scheme::Exact, PRICE)).await, "unsupported_payload_type");
    let network = rig::network(&rig.chain);
    assert!(network.chain.check_permit2().await.is_ok());
    rig.chain.set_code(h402_core::evm::UPTO_PROXY, Default::default()).unwrap();
    let error = network.chain.check_permit2().await.unwrap_err().to_string();
    assert!(error.contains("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"), "{error}");
}

/// T033: without an approval, or with one that is too small or taken back, nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t033_what_is_not_approved_is_not_sent() {
    let rig = taking_permit2(BlockTime::Auto).await;
    for scheme in SCHEMES {
        for approved in [0, PRICE - 1] {
            rig.approve_permit2(PAYER, approved).await;
            assert_eq!(refusal(&rig, &rig.permit2(PAYER, scheme, PRICE)).await, "permit2_allowance_required", "{scheme:?} {approved}");
        }
        rig.approve_permit2(PAYER, PRICE).await;
        let payment = rig.permit2(PAYER, scheme, PRICE);
        rig.engine.verify(payment.clone(), caller("shop")).await.unwrap();
        rig.approve_permit2(PAYER, 0).await;
        let refused = rig.engine.settle(payment.clone(), caller("shop")).await.unwrap_err();
        assert!(matches!(refused, SettleError::Rejected { reject: Reject::Allowance { .. }, transaction: None }), "{refused:?}");
        assert_eq!(broadcasts(&rig), u64::from(scheme == Scheme::Upto));
        // The same payment, once it is approved again.
        rig.approve_permit2(PAYER, PRICE).await;
        rig.engine.settle(payment, caller("shop")).await.unwrap();
    }
    assert_eq!(transfers(&rig), 2);
}

/// T024, T169: an approval is promised as often as it is enough for, and one that is sent along once at a time: of many payments
/// that could be settled one by one, no more are let in than all of them together.
#[tokio::test(flavor = "multi_thread")]
async fn t024_t169_an_approval_is_not_promised_twice() {
    let rig = taking_permit2(BlockTime::Auto).await;
    rig.approve_permit2(PAYER, 2 * PRICE).await;
    let of = || rig.permit2(PAYER, Scheme::Exact, PRICE);
    let (first, second, third) = (of(), of(), of());
    for payment in [&first, &second] {
        rig.engine.verify(payment.clone(), caller("shop")).await.unwrap();
    }
    assert_eq!(refusal(&rig, &third).await, "permit2_allowance_required");
    for payment in [first, second] {
        rig.engine.settle(payment, caller("shop")).await.unwrap();
    }
    rig.approve_permit2(PAYER, PRICE).await;
    rig.engine.settle(third, caller("shop")).await.unwrap();
    assert_eq!((transfers(&rig), broadcasts(&rig)), (3, 3));

    // Two payments with one approval between them: it is good once.
    let payer = PAYER + 1;
    let approval = rig.permit2_approval(payer, PRICE);
    let sponsored = || {
        let signed = rig.permit2_signed(payer, rig.permit2_terms(payer, Scheme::Exact, PRICE));
        rig.permit2_matched(Scheme::Exact, SignedPermit2 { permit: Some(approval.clone()), ..signed }, PRICE).unwrap()
    };
    let (first, second) = (sponsored(), sponsored());
    rig.engine.verify(first.clone(), caller("shop")).await.unwrap();
    assert_eq!(refusal(&rig, &second).await, "too_many_open_payments");
    // What was promised is kept, whatever else is promised to the same payer since.
    rig.engine.verify(authorization(&rig, payer), caller("shop")).await.unwrap();
    rig.engine.settle(first, caller("shop")).await.unwrap();
    let approved = PAYER + 2;
    rig.approve_permit2(approved, PRICE).await;
    let third = rig.permit2(approved, Scheme::Exact, PRICE);
    rig.engine.verify(third.clone(), caller("shop")).await.unwrap();
    rig.engine.verify(authorization(&rig, approved), caller("shop")).await.unwrap();
    rig.engine.settle(third, caller("shop")).await.unwrap();
    assert_eq!((transfers(&rig), broadcasts(&rig)), (5, 5));
}

/// T145: what only one key can settle is not taken on while that key has nothing left, however much the others have.
#[tokio::test(flavor = "multi_thread")]
async fn t145_a_named_key_must_have_gas_itself() {
    let engine = Box::new(|config: &mut EngineConfig| {
        let network = rig::evm(config);
        network.permit2 = Some(Permit2Payments::default());
        network.signers.push(Signer::Local(key(8)));
    });
    let mut rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    rig.chain.set_balance(account(8).address, U256::from(1)).unwrap();
    rig.restart().await;
    let naming = |named: usize| {
        let mut terms = rig.permit2_terms(PAYER, Scheme::Upto, PRICE);
        terms.witness.facilitator = Some(account(named).address);
        rig.permit2_matched(Scheme::Upto, rig.permit2_signed(PAYER, terms), PRICE).unwrap()
    };
    let refused = rig.engine.verify(naming(8), caller("shop")).await.unwrap_err();
    assert_eq!(refused, VerifyError::Undecided(Undecided::Gas));
    let honest = naming(GAS);
    rig.engine.verify(honest.clone(), caller("shop")).await.unwrap();
    rig.engine.settle(honest, caller("shop")).await.unwrap();
    assert_eq!((transfers(&rig), broadcasts(&rig)), (1, 1));
}

/// T034: one nonce in both schemes, over two amounts, for two shops, at once and after a restart: one is settled.
#[tokio::test(flavor = "multi_thread")]
async fn t034_t173_a_permit2_nonce_is_one_payment() {
    let mut rig = taking_permit2(BlockTime::Auto).await;
    rig.approve_permit2(PAYER, 100 * PRICE).await;
    let nonce = U256::from(7);
    let of = |rig: &Rig, scheme, amount| {
        let terms = h402_core::Permit2Authorization { nonce, ..rig.permit2_terms(PAYER, scheme, amount) };
        rig.permit2_matched(scheme, rig.permit2_signed(PAYER, terms), amount).unwrap()
    };
    let rivals = [of(&rig, Scheme::Exact, PRICE), of(&rig, Scheme::Upto, PRICE), of(&rig, Scheme::Exact, 2 * PRICE)];
    let engine = &rig.engine;
    let shops = ["one", "two", "three"];
    let settled =
        futures_util::future::join_all(rivals.iter().zip(shops).map(|(payment, shop)| engine.settle(payment.clone(), caller(shop))));
    let settled = settled.await;
    let won = settled.iter().position(Result::is_ok).expect("one is settled");
    for (at, result) in settled.iter().enumerate().filter(|(at, _)| *at != won) {
        assert!(result.is_err(), "{at}");
    }
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        for (at, payment) in rivals.iter().enumerate() {
            for shop in shops {
                let again = rig.engine.settle(payment.clone(), caller(shop)).await;
                match again {
                    Ok(receipt) => assert_eq!((shop, Ok(receipt)), (shops[won], settled[won].clone()), "{at} {restarted}"),
                    Err(SettleError::Rejected { reject, .. }) => assert_eq!(reject.word(), "duplicate_settlement", "{at} {restarted}"),
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!((transfers(&rig), broadcasts(&rig)), (1, 1));
    // What the payer has taken out of use is no payment either.
    let cancelled = rig.permit2_terms(PAYER, Scheme::Exact, PRICE);
    rig.invalidate_permit2(PAYER, cancelled.nonce).await;
    let cancelled = rig.permit2_matched(Scheme::Exact, rig.permit2_signed(PAYER, cancelled), PRICE).unwrap();
    assert_eq!(refusal(&rig, &cancelled).await, "authorization_used");
}

/// Code of a token that, whatever it is asked for, makes one call of another contract and says yes.
fn says_yes_after(to: Address, call: &[u8]) -> Bytes {
    let length = u16::try_from(call.len()).unwrap().to_be_bytes();
    let mut code = vec![];
    // The call goes from behind the code, which is 63 bytes long, to memory 0.
    code.extend([&[0x61], &length[..], &[0x60, 63, 0x60, 0, 0x39]].concat());
    // CALL(gas, to, 0, 0, length, 0, 0); its outcome is nobody's business.
    code.extend([&[0x60, 0, 0x60, 0, 0x61], &length[..], &[0x60, 0, 0x60, 0, 0x73], to.as_slice(), &[0x5a, 0xf1, 0x50]].concat());
    // MSTORE(0, 1), RETURN(0, 32)
    code.extend([0x60, 1, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3]);
    code.resize(63, 0);
    [&code, call].concat().into()
}

/// T173: one transfer pays one payment. A payer whose own token moves the money of another payment, while Permit2 uses up the
/// nonce of this one, has not paid this one; who brings this very payment to the chain has.
#[tokio::test(flavor = "multi_thread")]
async fn t173_a_nonce_that_another_token_has_used_up_pays_nothing() {
    const EVIL: Address = Address::repeat_byte(0xe1);
    let rig = taking_permit2(BlockTime::Auto).await;
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    let first = authorization(&rig, PAYER);
    let second = rig.permit2_terms(PAYER, Scheme::Exact, PRICE);
    let third = rig.permit2_signed(PAYER, h402_core::Permit2Authorization { token: EVIL, ..second.clone() });
    let second = rig.permit2_matched(Scheme::Exact, rig.permit2_signed(PAYER, second), PRICE).unwrap();
    for payment in [&first, &second] {
        rig.engine.verify(payment.clone(), caller("shop")).await.unwrap();
    }
    let (usdc, pays_the_first) = EvmChain::settlement_call(&first).unwrap();
    rig.chain.set_code(EVIL, says_yes_after(usdc, &pays_the_first)).unwrap();
    let terms = &third.authorization;
    let call = ExactProxy::settleCall {
        permit: PermitTransferFrom {
            permitted: TokenPermissions { token: EVIL, amount: terms.amount.to_u256() },
            nonce: terms.nonce,
            deadline: terms.deadline,
        },
        owner: terms.from,
        witness: ExactWitness { to: terms.witness.to, validAfter: terms.witness.valid_after },
        signature: third.signature.clone(),
    };
    let before = rig.received();
    rig.call_from(STRANGER, terms.spender, call.abi_encode().into()).await;
    assert!(rig.permit2_used(PAYER, terms.nonce));
    assert_eq!((rig.received() - before, transfers(&rig)), (U256::from(PRICE), 1), "the first is paid");
    assert!(rig.engine.settle(first, caller("shop")).await.is_ok());
    let refused = rig.engine.settle(second, caller("shop")).await;
    assert!(matches!(refused, Err(SettleError::Rejected { reject: Reject::AuthorizationUsed, .. })), "{refused:?}");

    // The honest twin: the payment itself, brought by somebody else.
    let honest = rig.permit2(PAYER, Scheme::Exact, PRICE);
    rig.engine.verify(honest.clone(), caller("shop")).await.unwrap();
    let (proxy, input) = EvmChain::settlement_call(&honest).unwrap();
    rig.call_from(STRANGER, proxy, input).await;
    assert!(rig.engine.settle(honest, caller("shop")).await.is_ok());
    assert_eq!((transfers(&rig), broadcasts(&rig)), (2, 0));
}

/// T035: `upto` moves what is asked and not what was signed; a stranger who has the signature moves nothing, and what names
/// another facilitator is refused before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t035_upto_moves_what_is_asked_and_only_for_its_facilitator() {
    let rig = taking_permit2(BlockTime::Auto).await;
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    let payment = rig.permit2(PAYER, Scheme::Upto, PRICE);
    let (proxy, input) = EvmChain::settlement_call(&payment).unwrap();
    let stranger = rig.send(STRANGER, rig.contract_call(STRANGER, proxy, input)).await;
    until("the stranger's transaction is mined", async || rig.chain.outcome(stranger).is_some()).await;
    assert!(!rig.chain.outcome(stranger).unwrap().success);
    rig.engine.verify(payment.clone(), caller("shop")).await.unwrap();
    let charged = payment.charged(Amount::from_atomic(1234)).unwrap();
    let before = rig.received();
    let receipt = rig.engine.settle(charged.clone(), caller("shop")).await.unwrap();
    assert_eq!(rig.received() - before, U256::from(1234));
    let row = rig.engine.payment(&payment.key()).await.unwrap().unwrap();
    assert_eq!((row.amount, row.state.transaction()), (Amount::from_atomic(1234), Some(receipt.transaction)));
    // The rest is nobody's: not of the same shop, nor of another.
    for (payment, shop) in [(&payment, "shop"), (&payment, "other"), (&charged, "other")] {
        let again = rig.engine.settle(payment.clone(), caller(shop)).await;
        assert!(matches!(again, Err(SettleError::Rejected { reject: Reject::DuplicateSettlement { .. }, .. })), "{shop}: {again:?}");
    }
    let mut terms = rig.permit2_terms(PAYER, Scheme::Upto, PRICE);
    terms.witness.facilitator = Some(account(STRANGER).address);
    let elsewhere = rig.permit2_matched(Scheme::Upto, rig.permit2_signed(PAYER, terms), PRICE).unwrap();
    assert_eq!(refusal(&rig, &elsewhere).await, "upto_facilitator_mismatch");
    assert_eq!(broadcasts(&rig), 1);
}

/// Of several keys the one that the payer has named settles, however much it has to do; any other would be refused on chain.
#[tokio::test(flavor = "multi_thread")]
async fn upto_is_settled_by_the_key_that_was_named() {
    let engine = Box::new(|config: &mut EngineConfig| {
        let network = rig::evm(config);
        network.permit2 = Some(Permit2Payments::default());
        network.signers.push(Signer::Local(key(8)));
    });
    let rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    let supported = rig.engine.supported().await;
    let told: Vec<_> = supported.kinds.iter().filter_map(|kind| kind.facilitator).collect();
    assert_eq!(told, [account(GAS).address], "the first key is told, always");
    for named in [8, GAS, 8, 8] {
        let before = rig.chain.nonce(account(named).address);
        let mut terms = rig.permit2_terms(PAYER, Scheme::Upto, PRICE);
        terms.witness.facilitator = Some(account(named).address);
        let payment = rig.permit2_matched(Scheme::Upto, rig.permit2_signed(PAYER, terms), PRICE).unwrap();
        rig.engine.settle(payment, caller("shop")).await.unwrap();
        assert_eq!(rig.chain.nonce(account(named).address), before + 1);
    }
    assert_eq!(transfers(&rig), 4);
}

/// T036: an approval that somebody has brought to the chain before us does no harm.
#[tokio::test(flavor = "multi_thread")]
async fn t036_a_permit_that_was_front_run_does_no_harm() {
    let rig = taking_permit2(BlockTime::Manual).await;
    for (payer, scheme) in [(PAYER, Scheme::Exact), (PAYER + 1, Scheme::Upto)] {
        let approval = rig.permit2_approval(payer, PRICE);
        let signed = rig.permit2_signed(payer, rig.permit2_terms(payer, scheme, PRICE));
        let payment = rig.permit2_matched(scheme, SignedPermit2 { permit: Some(approval.clone()), ..signed }, PRICE).unwrap();
        rig.engine.verify(payment.clone(), caller("shop")).await.unwrap();
        let signature = h402_core::evm::parse_signature(&approval.signature).unwrap();
        let stolen = permitCall {
            owner: approval.permit.owner,
            spender: approval.permit.spender,
            value: approval.permit.value.to_u256(),
            deadline: approval.permit.deadline,
            v: 27 + u8::from(signature.v()),
            r: signature.r().into(),
            s: signature.s().into(),
        };
        // With a higher tip it comes first in the block.
        let mut first = rig.contract_call(STRANGER, rig.chain.usdc(), alloy_sol_types::SolCall::abi_encode(&stolen).into());
        (first.max_fee_per_gas, first.max_priority_fee_per_gas) = (500_000_000_000, 400_000_000_000);
        let seen = async {
            until_pending(&rig, 1).await;
            let stolen = rig.send(STRANGER, first).await;
            until_pending(&rig, 2).await;
            rig.chain.mine().await;
            assert!(rig.chain.outcome(stolen).unwrap().success);
        };
        let (settled, ()) = tokio::join!(rig.engine.settle(payment, caller("shop")), seen);
        settled.unwrap();
    }
    assert_eq!((transfers(&rig), broadcasts(&rig)), (2, 2));
}

alloy_sol_types::sol! {
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
}

/// T010: anybody may bring an exact payment to the chain. Then it is the stranger's transaction that shows it, told once; and a
/// nonce that was cancelled under way is no payment, though an equal transfer stands beside it.
#[tokio::test(flavor = "multi_thread")]
async fn t010_a_stranger_who_carries_a_transfer_has_paid_for_its_payer() {
    let rig = taking_permit2(BlockTime::Manual).await;
    let approve =
        alloy_sol_types::SolCall::abi_encode(&h402_tests::permit2::approveCall { spender: h402_core::evm::PERMIT2, value: U256::MAX });
    rig.chain.mine().await;
    let approved = rig.send(PAYER, rig.contract_call(PAYER, rig.chain.usdc(), approve.into())).await;
    until_pending(&rig, 1).await;
    rig.chain.mine().await;
    assert!(rig.chain.outcome(approved).unwrap().success);

    let payment = rig.permit2(PAYER, Scheme::Exact, PRICE);
    let (proxy, input) = EvmChain::settlement_call(&payment).unwrap();
    let mut first = rig.contract_call(STRANGER, proxy, input);
    (first.max_fee_per_gas, first.max_priority_fee_per_gas) = (500_000_000_000, 400_000_000_000);
    let seen = async {
        until_pending(&rig, 1).await;
        let carried = rig.send(STRANGER, first).await;
        until_pending(&rig, 2).await;
        for _ in 0..8 {
            rig.chain.mine().await;
        }
        carried
    };
    let (settled, carried) = tokio::join!(rig.engine.settle(payment.clone(), caller("shop")), seen);
    assert_eq!(settled.unwrap().transaction, TransactionId::Evm(carried));
    assert_eq!(transfers(&rig), 1);

    // Cancelled while it was on its way; an equal payment with another nonce, settled before, does not stand in for it.
    let cancelled = rig.permit2_terms(PAYER, Scheme::Exact, PRICE);
    let (word, mask) = h402_core::evm::permit2_nonce_position(cancelled.nonce);
    let cancelled = rig.permit2_matched(Scheme::Exact, rig.permit2_signed(PAYER, cancelled), PRICE).unwrap();
    let call = h402_tests::permit2::invalidateUnorderedNoncesCall { wordPos: word, mask };
    let mut first = rig.contract_call(PAYER, h402_core::evm::PERMIT2, alloy_sol_types::SolCall::abi_encode(&call).into());
    (first.max_fee_per_gas, first.max_priority_fee_per_gas) = (500_000_000_000, 400_000_000_000);
    let seen = async {
        until_pending(&rig, 1).await;
        rig.send(PAYER, first).await;
        until_pending(&rig, 2).await;
        for _ in 0..10 {
            rig.chain.mine().await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let (failed, ()) = tokio::join!(rig.engine.settle(cancelled, caller("shop")), seen);
    assert!(matches!(failed, Err(SettleError::Rejected { .. })), "{failed:?}");
    assert_eq!(transfers(&rig), 1);
}

/// A claimed payment outlives the process: its call is in the ledger, and goes to the proxy with the key that was named.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_is_settled_after_a_restart() {
    let mut rig = taking_permit2(BlockTime::Auto).await;
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    let mut keys: Vec<PaymentKey> = Vec::new();
    for scheme in SCHEMES {
        rig.chain.set_block_time(BlockTime::Manual);
        let payment = rig.permit2(PAYER, scheme, PRICE);
        let engine = rig.engine.clone();
        let (key, settling) = (payment.key(), tokio::spawn(async move { engine.settle(payment, caller("shop")).await }));
        until_pending(&rig, 1).await;
        settling.abort();
        rig.stop().await;
        rig.chain.set_block_time(BlockTime::Auto);
        rig.chain.mine().await;
        rig.reopen().await;
        rig.until_ready().await;
        until("settled", async || rig.engine.payment(&key).await.unwrap().is_some_and(|row| row.state.is_settled())).await;
        keys.push(key);
    }
    for key in keys {
        let row = rig.engine.payment(&key).await.unwrap().unwrap();
        assert!(matches!(row.state, Settlement::Included { .. } | Settlement::Final { .. }), "{row:?}");
    }
    assert_eq!((transfers(&rig), broadcasts(&rig)), (2, 2));
    assert!(sends(&rig) >= 2);
}
