//! Facts of payments, good and bad, with Multicall3 and without.

use super::*;
use h402_core::{EvmFacts, JudgePolicy, Reject, Simulation, VerifyError};
use h402_devnet::evm::TokenKind;

fn judged(bench: &Bench, payment: &Checked, facts: &EvmFacts) -> Result<(), VerifyError> {
    let now = UnixSeconds(bench.chain.now()).millis();
    let policy = JudgePolicy {
        times: CheckPolicy::facilitator(now),
        reserved: Amount::ZERO,
        max_gas: JudgePolicy::MAX_GAS,
        depth: 1,
        not_before: UnixSeconds(0),
    };
    payment.judge(facts, &policy).map(drop)
}

/// Reads the facts both ways, which must agree but for the time of the block that calls see themselves in.
async fn read(bench: &Bench, payment: &Checked) -> EvmFacts {
    let facts = bench.evm.facts(payment).await.unwrap();
    let plainly = bench.plainly().facts(payment).await.unwrap();
    assert_eq!(EvmFacts { time: facts.time, ..plainly }, facts, "with and without Multicall3");
    facts
}

#[tokio::test]
async fn a_good_authorization() {
    let bench = Bench::start().await;
    bench.chain.mine().await;
    let payment = bench.payment(1, 1_500, 1);
    let facts = read(&bench, &payment).await;
    assert_eq!((facts.chain_id, facts.block, facts.payer_has_code), (84532, 1, false));
    assert!(facts.time.0.abs_diff(bench.chain.now()) <= 5, "{:?}", facts.time);
    assert_eq!(facts.balance, Amount::from_atomic(1_000_000_000_000));
    assert_eq!(facts.authorization_used, Some(false));
    assert_eq!((facts.native_balance, facts.account_nonce, &facts.sent), (None, None, &None));
    let Some(Simulation::Succeeds { gas }) = facts.simulation else { panic!("{facts:?}") };
    let hash = bench.settle(&payment).await;
    let used = bench.chain.outcome(hash).unwrap().gas_used;
    assert!((used..used + used / 5).contains(&gas), "estimated {gas}, used {used}");
    judged(&bench, &payment, &facts).unwrap();
}

/// Each with its honest twin above: the same payment, one thing about it bent.
#[tokio::test]
async fn bad_authorizations() {
    let bench = Bench::start().await;
    let usdc = bench.chain.usdc();
    let reverts = |facts: &EvmFacts| match &facts.simulation {
        Some(Simulation::Reverts { reason }) => reason.clone(),
        other => panic!("{other:?}"),
    };

    let used = bench.payment(1, 1_500, 1);
    bench.settle(&used).await;
    let facts = read(&bench, &used).await;
    assert_eq!(facts.authorization_used, Some(true));
    assert_eq!(reverts(&facts), "FiatTokenV2: authorization is used or canceled");
    assert_eq!(judged(&bench, &used, &facts), Err(Reject::AuthorizationUsed.into()));

    let unfunded = bench.authorization(bench.usdc(), 1, 2_000_000_000_000, 2);
    let facts = read(&bench, &unfunded).await;
    assert_eq!(facts.balance, Amount::from_atomic(999_999_998_500));
    assert_eq!(reverts(&facts), "ERC20: transfer amount exceeds balance");
    assert!(matches!(judged(&bench, &unfunded, &facts), Err(VerifyError::Rejected(Reject::InsufficientFunds { .. }))));

    let honest = bench.payment(2, 1_500, 3);
    bench.chain.set_paused(usdc, true).unwrap();
    let facts = read(&bench, &honest).await;
    assert_eq!(reverts(&facts), "Pausable: paused");
    assert!(matches!(judged(&bench, &honest, &facts), Err(VerifyError::Rejected(Reject::Reverts(_)))));
    bench.chain.set_paused(usdc, false).unwrap();
    judged(&bench, &honest, &read(&bench, &honest).await).unwrap();

    bench.chain.blacklist(usdc, account(2).address, true).unwrap();
    let facts = read(&bench, &honest).await;
    assert_eq!(reverts(&facts), "Blacklistable: account is blacklisted");
    bench.chain.blacklist(usdc, account(2).address, false).unwrap();
    judged(&bench, &honest, &read(&bench, &honest).await).unwrap();

    // EIP-7702: an account that delegates has code.
    bench.chain.set_code(account(2).address, Bytes::from([&[0xef, 0x01, 0x00][..], usdc.as_slice()].concat())).unwrap();
    let facts = bench.evm.facts(&honest).await;
    assert!(matches!(&facts, Ok(facts) if facts.payer_has_code), "{facts:?}");
    assert_eq!(judged(&bench, &honest, &facts.unwrap()), Err(Reject::PayerHasCode.into()));
}

/// What tokens with a bad character show; what they do not show is found in the receipt.
#[tokio::test]
async fn bad_tokens() {
    let bench = Bench::start().await;
    for (kind, gas) in [
        (TokenKind::Noop, 20_000..40_000),
        (TokenKind::Fee, 60_000..200_000),
        (TokenKind::False, 40_000..100_000),
        (TokenKind::GasBurner, 6_000_000..7_000_000),
    ] {
        let address = bench.chain.deploy(kind.clone()).unwrap();
        if kind != TokenKind::Noop {
            bench.chain.mint(address, account(1).address, U256::from(5_000)).unwrap();
        }
        let payment = bench.authorization(bench.token(address, kind.name(), kind.version()), 1, 1_500, 1);
        let facts = read(&bench, &payment).await;
        let held = if kind == TokenKind::Noop { U256::from(1) << 200 } else { U256::from(5_000) };
        assert_eq!((facts.balance, facts.authorization_used), (held.into(), Some(false)), "{kind:?}");
        assert!(matches!(facts.simulation, Some(Simulation::Succeeds { gas: used }) if gas.contains(&used)), "{kind:?} {facts:?}");
        let expensive = matches!(judged(&bench, &payment, &facts), Err(VerifyError::Rejected(Reject::Cost { .. })));
        assert_eq!(expensive, kind == TokenKind::GasBurner, "{kind:?}");
    }
}

/// A token that is not there, or does not answer as tokens do, decides nothing and spoils nothing.
#[tokio::test]
async fn a_token_that_makes_no_sense_spoils_only_its_own_payments() {
    let bench = Bench::start().await;
    // Codes: none at all, INVALID (burns all gas), RETURN of one byte.
    let codes: [&[u8]; 3] = [&[], &[0xfe], &[0x60, 1, 0x60, 0, 0xf3]];
    for (at, code) in codes.into_iter().enumerate() {
        let bad = EvmAddress::repeat_byte(0xb0 + u8::try_from(at).unwrap());
        bench.chain.set_code(bad, Bytes::copy_from_slice(code)).unwrap();
        let bad = bench.authorization(bench.token(bad, "USDC", "2"), 1, 1_500, 1);
        let good = bench.payment(1, 1_500, 1);
        for evm in [bench.evm.clone(), bench.plainly()] {
            let (bad, good) = tokio::join!(evm.facts(&bad), evm.facts(&good));
            assert_eq!(bad, Err(Undecided::Chain), "{code:?}");
            judged(&bench, &bench.payment(1, 1_500, 1), &good.unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_signed_transaction_of_the_payer() {
    let bench = Bench::start().await;
    bench.chain.set_next_base_fee(2_000_000_000);
    bench.chain.mine().await;
    let wei = U256::from(10_000) * U256::from(10).pow(U256::from(18));

    let (coins, _) = bench.signed(bench.coin(), 1, 5, bench.coins(0, 5));
    let facts = read(&bench, &coins).await;
    assert_eq!((facts.balance, facts.native_balance, facts.account_nonce), (wei.into(), Some(wei), Some(0)));
    assert_eq!((facts.base_fee, facts.authorization_used), (2_000_000_000, None));
    assert_eq!(facts.simulation, Some(Simulation::Succeeds { gas: 21_000 }));
    judged(&bench, &coins, &facts).unwrap();

    let (tokens, sent) = bench.signed(bench.usdc(), 1, 1_500, bench.tokens(0, bench.chain.usdc(), 1_500));
    let facts = read(&bench, &tokens).await;
    assert_eq!((facts.balance, facts.native_balance), (Amount::from_atomic(1_000_000_000_000), Some(wei)));
    judged(&bench, &tokens, &facts).unwrap();

    assert_eq!(bench.evm.send(&sent.raw).await, Sent::Accepted);
    let facts = read(&bench, &tokens).await;
    assert_eq!(facts.account_nonce, Some(1));
    assert!(matches!(judged(&bench, &tokens, &facts), Err(VerifyError::Rejected(Reject::TransactionState(_)))));

    // Account 9 has coins and no tokens; account 8 has tokens and, from here on, no coins.
    let (poor, _) = bench.signed(bench.usdc(), 8, 1_500, bench.tokens(0, bench.chain.usdc(), 1_500));
    judged(&bench, &poor, &read(&bench, &poor).await).unwrap();
    bench.chain.set_balance(account(8).address, U256::ZERO).unwrap();
    let facts = read(&bench, &poor).await;
    assert_eq!(facts.native_balance, Some(U256::ZERO));
    assert!(matches!(judged(&bench, &poor, &facts), Err(VerifyError::Rejected(Reject::InsufficientFunds { .. }))));

    // A payee that refuses coins.
    let refusing = bench.chain.deploy_rejects_ether().unwrap();
    let transaction = TxEip1559 { to: TxKind::Call(refusing), gas_limit: 50_000, ..bench.coins(1, 5) };
    let signed = key(1).sign_eip1559(transaction).unwrap();
    let offer = Offer::new(Arc::new(bench.coin()), Amount::from_atomic(5), refusing.into()).unwrap();
    let signed_message = key(1).sign_message(RESOURCE).unwrap();
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: bench.evm.network(),
        resource: None,
        payload: Payload::EvmTransaction(SignedEvmTransaction { raw: signed.raw, signed_message }),
    };
    let resource = Arc::new(Resource { url: RESOURCE.to_owned(), ..Resource::default() });
    let matched = Matched::new(payload, &Offers::new(vec![Arc::new(offer)]).unwrap(), &resource, None).unwrap();
    let refused = matched.check(&CheckPolicy::facilitator(UnixSeconds(bench.chain.now()).millis())).unwrap();
    let facts = read(&bench, &refused).await;
    assert_eq!(facts.simulation, Some(Simulation::Reverts { reason: "RejectsEther: no".to_owned() }));
}

/// A payer whose coins do not cover the value at all: the node's words are about the payer, so it is no trouble of ours.
#[tokio::test]
async fn a_transaction_beyond_the_payers_means_is_the_payers_fault() {
    let bench = Bench::start().await;
    bench.chain.set_balance(account(1).address, U256::from(4)).unwrap();
    let (coins, _) = bench.signed(bench.coin(), 1, 5, bench.coins(0, 5));
    let facts = read(&bench, &coins).await;
    assert!(matches!(&facts.simulation, Some(Simulation::Reverts { .. })), "{facts:?}");
    assert!(matches!(judged(&bench, &coins, &facts), Err(VerifyError::Rejected(Reject::InsufficientFunds { .. }))));
}

#[tokio::test]
async fn a_sent_transaction() {
    let bench = Bench::start().await;
    bench.chain.set_block_time(BlockTime::Manual);
    let (_, sent) = bench.signed(bench.usdc(), 1, 1_500, bench.tokens(0, bench.chain.usdc(), 1_500));
    let payment = bench.sent(bench.usdc(), 1, 1_500, sent.hash);

    let facts = read(&bench, &payment).await;
    assert_eq!((&facts.sent, &facts.simulation), (&None, &None), "the chain has never heard of it");

    assert_eq!(bench.evm.send(&sent.raw).await, Sent::Accepted);
    let facts = read(&bench, &payment).await;
    let waiting = facts.sent.as_ref().unwrap();
    assert_eq!((waiting.from, waiting.to, waiting.nonce, &waiting.receipt), (account(1).address, Some(bench.chain.usdc()), 0, &None));
    assert!(matches!(judged(&bench, &payment, &facts), Err(VerifyError::Undecided(Undecided::Unconfirmed))));

    bench.chain.mine().await;
    let (asked, facts) = requests(&bench.chain, bench.evm.facts(&payment)).await;
    assert_eq!(asked, 2, "the block of a mined transaction takes a second request");
    let facts = facts.unwrap();
    let block = bench.chain.blocks().pop().unwrap();
    let receipt = facts.sent.as_ref().unwrap().receipt.as_ref().unwrap();
    assert_eq!((receipt.success, receipt.block, receipt.block_hash), (true, 1, block.hash));
    assert_eq!(receipt.time, UnixSeconds(block.timestamp));
    assert!(receipt.shows_transfer(bench.chain.usdc(), account(1).address, account(PAYEE).address, Amount::from_atomic(1_500)));
    assert_eq!(facts, read(&bench, &payment).await);
    judged(&bench, &payment, &facts).unwrap();
    let (asked, _) = requests(&bench.chain, bench.evm.facts(&payment)).await;
    assert_eq!(asked, 1, "the block is known by now");

    // The same hash, presented by somebody else.
    let stolen = bench.sent(bench.usdc(), 2, 1_500, sent.hash);
    assert!(matches!(judged(&bench, &stolen, &read(&bench, &stolen).await), Err(VerifyError::Rejected(Reject::Signature(_)))));

    bench.chain.reorg(1, h402_devnet::evm::Orphans::Drop);
    let facts = read(&bench, &payment).await;
    assert_eq!(facts.sent, None, "a dropped block takes it along");
}

#[tokio::test]
async fn payments_of_other_networks_are_not_asked_for() {
    let bench = Bench::start().await;
    let payment = bench.payment(1, 1_500, 1);
    let other = Bench::on(Chain::builder().chain_id(8453).start().await.unwrap());
    assert_eq!(other.evm.facts(&payment).await, Err(Undecided::WrongChain));
    assert_eq!((bench.chain.faults().requests(), other.chain.faults().requests()), (0, 0));
}
