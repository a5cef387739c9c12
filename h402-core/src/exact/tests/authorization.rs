use super::fixture::*;
use crate::*;
use alloy_primitives::{B256, Bytes, U256};
use proptest::prelude::*;

fn judge(facts: EvmFacts) -> Result<Attestation, VerifyError> {
    check(good()).unwrap().judge(&facts, &policy())
}

#[test]
fn an_honest_authorization_is_accepted_and_identified() {
    let checked = check(good()).unwrap();
    let attestation = checked.judge(&facts(), &policy()).unwrap();
    let id = PaymentId::Eip3009 { chain: 8453, token: evm(USDC_BASE.token), from: payer().address(), nonce: B256::repeat_byte(7) };
    assert_eq!(attestation.key, id.key());
    assert_eq!(attestation.payer, payer().address().into());
    assert_eq!(checked.matched().amount(), Amount::from_atomic(10_000));
}

/// T017, T018: a signature over any other domain is nobody's signature here.
#[test]
fn t017_t018_a_signature_for_another_domain_is_refused() {
    let bent = [
        Domain { name: "USDC", ..USDC_BASE },
        Domain { version: "1", ..USDC_BASE },
        Domain { chain: 84532, ..USDC_BASE },
        Domain { token: "0x036CbD53842c5426634e7929541eC2318f3dCF7e", ..USDC_BASE },
    ];
    for domain in bent {
        let payload = signed(authorization(), sign(&authorization(), &domain, &payer()));
        assert!(matches!(check(payload), Err(Reject::Signature(_))), "{} {} {}", domain.name, domain.version, domain.chain);
    }
    assert!(check(good()).is_ok());
}

/// T019, T020, T021: the whole window, to the second.
#[test]
fn t019_t020_t021_times_are_bounded_on_both_sides() {
    let cases = [
        (-5, 11, Some("before")),
        (-5, 12, None),
        (-5, 600, None),
        (-5, 601, Some("before")),
        (-5, -1, Some("before")),
        (0, 70, None),
        (2, 70, None),
        (3, 70, Some("after")),
        (3600, 3670, Some("after")),
    ];
    for (after, before, refused) in cases {
        let at = |offset: i64| U256::from(now().checked_add_signed(offset).unwrap());
        let terms = Authorization { valid_after: at(after), valid_before: at(before), ..authorization() };
        let signature = sign(&terms, &USDC_BASE, &payer());
        let got = match check(signed(terms, signature)) {
            Ok(_) => None,
            Err(Reject::ValidAfter) => Some("after"),
            Err(Reject::ExpiresTooSoon { .. } | Reject::ExpiresTooLate { .. }) => Some("before"),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(got, refused, "{after} {before}");
    }
    let forever = Authorization { valid_before: U256::MAX, ..authorization() };
    let signature = sign(&forever, &USDC_BASE, &payer());
    assert!(matches!(check(signed(forever, signature)), Err(Reject::ExpiresTooLate { .. })));
}

/// T019: the chain's clock counts when it is ahead of ours.
#[test]
fn t019_a_chain_that_is_ahead_decides() {
    let ahead = |seconds| judge(EvmFacts { time: UnixSeconds(now() + seconds), ..facts() });
    assert!(matches!(ahead(59), Err(VerifyError::Rejected(Reject::ExpiresTooSoon { left: 11, .. }))));
    assert!(ahead(58).is_ok());
}

/// T022: a used or cancelled authorization is refused.
#[test]
fn t022_used_authorizations_are_refused() {
    assert_eq!(judge(EvmFacts { authorization_used: Some(true), ..facts() }), Err(Reject::AuthorizationUsed.into()));
    assert_eq!(judge(EvmFacts { authorization_used: None, ..facts() }), Err(Undecided::Chain.into()));
    assert!(judge(facts()).is_ok());
}

/// T023, T024: the balance must cover this payment and everything promised before it.
#[test]
fn t023_t024_the_balance_less_what_is_promised_must_do() {
    let (held, required) = (Amount::from_atomic(9_999), Amount::from_atomic(10_000));
    let poor = judge(EvmFacts { balance: held, ..facts() });
    assert_eq!(poor, Err(Reject::InsufficientFunds { held, required }.into()));
    let promised = JudgePolicy { reserved: Amount::from_atomic(1), ..policy() };
    assert_eq!(check(good()).unwrap().judge(&facts(), &promised), Err(Reject::InsufficientFunds { held, required }.into()));
    let richer = EvmFacts { balance: Amount::from_atomic(10_001), ..facts() };
    assert!(check(good()).unwrap().judge(&richer, &promised).is_ok());
}

/// T025: one unit too little is refused, more is accepted and shows in full.
#[test]
fn t025_less_is_refused_and_more_is_shown() {
    for (value, accepted) in [(9_999, false), (10_000, true), (10_001, true), (u128::MAX, true)] {
        let terms = Authorization { value: Amount::from_atomic(value), ..authorization() };
        let signature = sign(&terms, &USDC_BASE, &payer());
        match check(signed(terms, signature)) {
            Ok(checked) => assert!(accepted && checked.matched().amount() == Amount::from_atomic(value), "{value}"),
            Err(reject) => assert!(!accepted && matches!(reject, Reject::Value { .. }), "{value} {reject}"),
        }
    }
    let tolerant = std::sync::Arc::new((*usdc()).clone().with_one_unit_tolerance());
    let terms = Authorization { value: Amount::from_atomic(9_999), ..authorization() };
    let signature = sign(&terms, &USDC_BASE, &payer());
    assert!(match_with(signed(terms, signature), vec![tolerant]).is_ok(), "one unit less, where that is configured");
}

/// T027: nobody pays himself.
#[test]
fn t027_payer_and_payee_differ() {
    let payee: PrivateKeySigner = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().unwrap();
    let terms = Authorization { from: payee.address(), ..authorization() };
    let signature = sign(&terms, &USDC_BASE, &payee);
    assert!(matches!(check(signed(terms, signature)), Err(Reject::Malformed(_))));
    assert!(check(good()).is_ok());
}

/// T028: every encoding of one signature is the same payment, in the one form tokens take.
#[test]
fn t028_encodings_of_one_signature_are_one_payment() {
    let bytes = sign(&authorization(), &USDC_BASE, &payer());
    let low = alloy_primitives::Signature::from_raw(&bytes).unwrap();
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let high = alloy_primitives::Signature::new(low.r(), order - low.s(), !low.v());
    let mut zero_based = bytes.to_vec();
    zero_based[64] -= 27;
    let encodings: [Bytes; 4] = [bytes, zero_based.into(), low.as_erc2098().into(), high.as_bytes().into()];
    for signature in encodings {
        let matched = match_with(signed(authorization(), signature.clone()), vec![usdc()]).unwrap();
        let Proof::Authorization { signature: canonical, .. } = matched.proof() else { panic!("an authorization") };
        assert_eq!(*canonical, PayerSignature::Account(low), "{signature}");
        assert_eq!(matched.key(), match_with(good(), vec![usdc()]).unwrap().key());
    }
}

/// T029: bytes that are no ECDSA signature are refused without asking any chain.
#[test]
fn t029_garbage_is_refused_without_the_chain() {
    let garbage: [Bytes; 7] = [
        Bytes::new(),
        vec![1; 32].into(),
        vec![0; 65].into(),
        vec![0xff; 65].into(),
        vec![1; 66].into(),
        vec![1; 512].into(),
        [vec![1; 64], vec![29]].concat().into(),
    ];
    for signature in garbage {
        assert!(matches!(check(signed(authorization(), signature.clone())), Err(Reject::Signature(_))), "{signature}");
    }
    assert!(check(good()).is_ok());
}

/// T031: a signature for `receiveWithAuthorization` is not one for `transferWithAuthorization`.
#[test]
fn t031_the_other_authorization_type_is_refused() {
    let payload = signed(authorization(), sign_receive(&authorization(), &USDC_BASE, &payer()));
    assert!(matches!(check(payload), Err(Reject::Signature(_))));
    assert!(check(good()).is_ok());
}

/// T039, T040: a payer with code could answer the simulation otherwise than the settlement.
#[test]
fn t039_t040_payers_with_code_are_refused() {
    assert_eq!(judge(EvmFacts { payer_has_code: true, ..facts() }), Err(Reject::PayerHasCode.into()));
    assert!(judge(facts()).is_ok());
}

/// T067, T069: what would revert or burn too much gas is refused before anything is signed.
#[test]
fn t067_t069_reverts_and_burners_are_refused() {
    let simulated = |simulation| judge(EvmFacts { simulation: Some(simulation), ..facts() });
    let reason = "Pausable: paused".to_owned();
    assert_eq!(simulated(Simulation::Reverts { reason: reason.clone() }), Err(Reject::Reverts(reason).into()));
    assert_eq!(simulated(Simulation::Succeeds { gas: 150_001 }), Err(Reject::Cost { cost: 150_001, limit: 150_000 }.into()));
    assert!(simulated(Simulation::Succeeds { gas: 150_000 }).is_ok());
    assert_eq!(judge(EvmFacts { simulation: None, ..facts() }), Err(Undecided::Chain.into()));
}

/// T018, T146: facts of another chain decide nothing.
#[test]
fn t146_facts_of_another_chain_decide_nothing() {
    assert_eq!(judge(EvmFacts { chain_id: 1, ..facts() }), Err(Undecided::WrongChain.into()));
}

/// T110: with several offers the one that was signed for is paid, and no other.
#[test]
fn t110_the_signed_offer_is_the_paid_one() {
    let dear = offer(asset(84532, "USDC"), 50_000);
    let offers = vec![offer(asset(8453, "USDT"), 10_000), usdc(), dear.clone()];
    let matched = match_with(good(), offers.clone()).unwrap();
    assert_eq!(matched.requirements().offer, usdc());
    let cheap = Authorization { value: Amount::from_atomic(10_000), ..authorization() };
    let domain = Domain { name: "USDC", chain: 84532, token: "0x036CbD53842c5426634e7929541eC2318f3dCF7e", ..USDC_BASE };
    let mut payload = signed(cheap.clone(), sign(&cheap, &domain, &payer()));
    payload.network = Network::Evm(84532);
    assert!(matches!(match_with(payload, offers), Err(Reject::Value { .. })), "the cheap price in the dear asset");
}

/// T070: an authorization is never taken for an asset without EIP-3009, whatever its symbol.
#[test]
fn t070_the_asset_is_its_address() {
    let impostor = Asset::new(asset_id(Network::Evm(8453), "0x1111111111111111111111111111111111111111").unwrap(), 6, "USDC")
        .with_eip3009("USD Coin", "2");
    let offers = vec![offer(impostor.into(), 10_000)];
    assert!(matches!(match_with(good(), offers), Err(Reject::Signature(_))));
    assert!(matches!(match_with(good(), vec![offer(asset(8453, "USDT"), 10_000)]), Err(Reject::PayloadType(_))));
    assert!(match_with(good(), vec![usdc()]).is_ok());
}

#[test]
fn the_claimed_resource_must_be_the_offered_one() {
    let mut payload = good();
    payload.resource = Some("https://api.example/other".into());
    assert_eq!(check(payload.clone()).err(), Some(Reject::Resource));
    payload.resource = None;
    assert!(check(payload).is_ok(), "an authorization does not need to name it");
}

proptest! {
    /// Changing any one signed field of a good payment refuses it.
    #[test]
    fn any_bent_field_is_refused(field in 0usize..6, bit in 0usize..160) {
        let mut terms = authorization();
        let flip = |bytes: &mut [u8]| { let at = bit / 8 % bytes.len(); bytes[at] ^= 1 << (bit % 8); };
        match field {
            0 => flip(terms.from.as_mut_slice()),
            1 => flip(terms.to.as_mut_slice()),
            2 => terms.value = Amount::from(terms.value.to_u256() ^ (U256::from(1) << bit)),
            3 => terms.valid_after ^= U256::from(1) << bit,
            4 => terms.valid_before ^= U256::from(1) << bit,
            _ => flip(terms.nonce.as_mut_slice()),
        }
        let payload = signed(terms, sign(&authorization(), &USDC_BASE, &payer()));
        prop_assert!(check(payload).is_err());
    }

    /// A higher price never turns a refusal into an acceptance, and no signature bytes panic.
    #[test]
    fn prices_are_monotone_and_bytes_are_harmless(price in 1u128..40_000, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let accepted = |price| match_with(good(), vec![offer(asset(8453, "USDC"), price)]).is_ok();
        prop_assert!(accepted(price) || !accepted(price + 1));
        prop_assert!(check(signed(authorization(), bytes.into())).is_err());
    }
}
