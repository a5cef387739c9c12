use super::fixture::*;
use crate::*;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Bytes, TxKind, U256};

fn native() -> std::sync::Arc<Offer> {
    offer(asset(8453, "ETH"), 1_000_000_000_000_000)
}

fn offers() -> Vec<std::sync::Arc<Offer>> {
    vec![usdc(), native()]
}

fn good_transaction() -> PaymentPayload {
    with_transaction(raw(transfer(), &payer()), message(URL, &payer()))
}

fn bent(bend: impl FnOnce(&mut alloy_consensus::TxLegacy)) -> Result<Matched, Reject> {
    let mut transaction = transfer();
    bend(&mut transaction);
    match_with(with_transaction(raw(transaction, &payer()), message(URL, &payer())), offers())
}

fn transaction_facts() -> EvmFacts {
    EvmFacts {
        native_balance: Some(U256::from(10u64).pow(U256::from(18u64))),
        account_nonce: Some(3),
        authorization_used: None,
        simulation: Some(Simulation::Succeeds { gas: 50_000 }),
        ..facts()
    }
}

fn judge(payload: PaymentPayload, facts: &EvmFacts) -> Result<Attestation, VerifyError> {
    match_with(payload, offers()).unwrap().check(&CheckPolicy::facilitator(NOW)).unwrap().judge(facts, &policy())
}

#[test]
fn an_honest_transfer_is_accepted_and_identified() {
    let attestation = judge(good_transaction(), &transaction_facts()).unwrap();
    let id = PaymentId::EvmTransaction { chain: 8453, sender: payer().address(), nonce: 3 };
    assert_eq!(attestation.key, id.key());
    assert_eq!(attestation.aliases.len(), 1, "its hash is another name of it");
}

#[test]
fn an_honest_native_transfer_is_accepted() {
    let transaction = TxEip1559 {
        chain_id: 8453,
        nonce: 3,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(evm(PAYEE)),
        value: U256::from(1_000_000_000_000_000u64),
        access_list: Default::default(),
        input: Bytes::new(),
    };
    let payload = with_transaction(raw_1559(transaction, &payer()), message(URL, &payer()));
    let facts = EvmFacts { simulation: Some(Simulation::Succeeds { gas: 21_000 }), ..transaction_facts() };
    assert!(judge(payload, &facts).is_ok());
}

/// T062: a native price is compared in wei: one wei does not buy a milliether.
#[test]
fn t062_one_wei_is_not_the_price() {
    let pay = |wei: u64| {
        bent(|transaction| {
            transaction.to = TxKind::Call(evm(PAYEE));
            transaction.input = Bytes::new();
            transaction.value = U256::from(wei);
        })
    };
    assert!(matches!(pay(1), Err(Reject::Value { .. })));
    assert!(matches!(pay(999_999_999_999_999), Err(Reject::Value { .. })));
    assert!(pay(1_000_000_000_000_000).is_ok());
}

/// T042: no chain id or another one.
#[test]
fn t042_transactions_of_other_chains_are_refused() {
    assert!(matches!(bent(|transaction| transaction.chain_id = None), Err(Reject::TransactionKind(_))));
    for chain in [0, 1, 84532] {
        assert!(matches!(bent(|transaction| transaction.chain_id = Some(chain)), Err(Reject::Network(_))), "{chain}");
    }
    assert!(bent(|_| ()).is_ok());
}

/// T041: everything a node would refuse later is refused now, one bent field at a time.
#[test]
fn t041_t048_t049_what_cannot_be_included_is_refused() {
    let good = transaction_facts();
    let reserve = U256::from(60_000u64 * 2_000_000_000);
    let cases = [
        ("nonce used", EvmFacts { account_nonce: Some(4), ..good.clone() }),
        ("nonce gap", EvmFacts { account_nonce: Some(2), ..good.clone() }),
        ("fee too low", EvmFacts { base_fee: 1_600_000_001, ..good.clone() }),
        ("no gas money", EvmFacts { native_balance: Some(reserve - U256::from(1)), ..good.clone() }),
        ("no tokens", EvmFacts { balance: Amount::from_atomic(9_999), ..good.clone() }),
        ("gas limit", EvmFacts { simulation: Some(Simulation::Succeeds { gas: 60_001 }), ..good.clone() }),
        ("reverts", EvmFacts { simulation: Some(Simulation::Reverts { reason: "no".into() }), ..good.clone() }),
    ];
    for (name, facts) in cases {
        assert!(matches!(judge(good_transaction(), &facts), Err(VerifyError::Rejected(_))), "{name}");
    }
    let edge =
        EvmFacts { base_fee: 1_600_000_000, native_balance: Some(reserve), simulation: Some(Simulation::Succeeds { gas: 60_000 }), ..good };
    assert!(judge(good_transaction(), &edge).is_ok(), "every limit exactly met");
}

/// T046: the call is exactly `transfer(address,uint256)`.
#[test]
fn t046_loose_call_data_is_refused() {
    let clean = call("a9059cbb", PAYEE, 10_000);
    let mut dirty = clean.to_vec();
    dirty[4] = 1;
    let inputs: [Bytes; 6] = [
        [clean.to_vec(), vec![0]].concat().into(),
        clean[..67].to_vec().into(),
        dirty.into(),
        call("23b872dd", PAYEE, 10_000),
        call("095ea7b3", PAYEE, 10_000),
        vec![0xa9].into(),
    ];
    for input in inputs {
        assert!(matches!(bent(|transaction| transaction.input = input.clone()), Err(Reject::TransactionKind(_))), "{input}");
    }
    assert!(matches!(bent(|transaction| transaction.value = U256::from(1)), Err(Reject::TransactionKind(_))));
    assert!(matches!(bent(|transaction| transaction.to = TxKind::Create), Err(Reject::TransactionKind(_))));
    assert!(bent(|transaction| transaction.input = clean.clone()).is_ok());
}

/// T043: what is not a payment to the payee is never relayed.
#[test]
fn t043_other_transactions_are_not_relayed() {
    let elsewhere = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    assert!(matches!(bent(|transaction| transaction.to = TxKind::Call(evm(elsewhere))), Err(Reject::Asset)));
    assert!(matches!(bent(|transaction| transaction.input = call("a9059cbb", elsewhere, 10_000)), Err(Reject::Recipient { .. })));
    assert!(matches!(bent(|transaction| transaction.input = call("a9059cbb", PAYEE, 9_999)), Err(Reject::Value { .. })));
    assert!(bent(|_| ()).is_ok());
}

/// T050: a signed transaction is a bearer instrument; the resource signature ties it to its owner.
#[test]
fn t050_the_sender_must_have_signed_the_resource() {
    let thief: PrivateKeySigner = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().unwrap();
    let cases = [message(URL, &thief), message("https://api.example/other", &payer()), vec![0; 65].into(), Bytes::new()];
    for signed_message in cases {
        let payload = with_transaction(raw(transfer(), &payer()), signed_message);
        assert!(matches!(match_with(payload, offers()), Err(Reject::Signature(_))));
    }
    assert!(match_with(good_transaction(), offers()).is_ok());
}

/// T012, T097: bytes after the transaction, or other bytes, are not the transaction.
#[test]
fn t097_a_transaction_has_one_encoding() {
    let good = raw(transfer(), &payer());
    let trailing = [good.to_vec(), vec![0]].concat();
    let with = |raw: Vec<u8>| match_with(with_transaction(raw.into(), message(URL, &payer())), offers());
    assert!(matches!(with(trailing), Err(Reject::Malformed(_))));
    assert!(matches!(with(vec![0x03, 0xc0]), Err(Reject::Malformed(_))));
    assert!(matches!(with(Vec::new()), Err(Reject::Malformed(_))));
    assert!(with(good.to_vec()).is_ok());
}

proptest::proptest! {
    /// T079 for EVM: no bytes panic, and no flipped bit of a good transaction pays the same payer's bill.
    #[test]
    fn flipped_bits_never_pay(bit in 0usize..8 * 170) {
        let mut bytes = raw(transfer(), &payer()).to_vec();
        let at = bit / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        let result = match_with(with_transaction(bytes.into(), message(URL, &payer())), offers());
        proptest::prop_assert!(result.is_err());
    }
}

/// T041, T048: what no node takes, or only with more gas than a dry run shows, would wait for ever.
#[test]
fn t041_t048_tips_above_the_fee_and_access_lists_are_refused() {
    let pay = |tip, entries| {
        let transaction = TxEip1559 {
            chain_id: 8453,
            nonce: 3,
            gas_limit: 21_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(evm(PAYEE)),
            value: U256::from(1_000_000_000_000_000u64),
            access_list: alloy_eips::eip2930::AccessList(vec![Default::default(); entries]),
            input: Bytes::new(),
        };
        match_with(with_transaction(raw_1559(transaction, &payer()), message(URL, &payer())), offers())
    };
    assert!(matches!(pay(2_000_000_001, 0), Err(Reject::Malformed(_))));
    assert!(matches!(pay(2_000_000_000, 1), Err(Reject::TransactionKind(_))));
    assert!(pay(2_000_000_000, 0).is_ok());
}
