//! Transfers through Permit2, hashed by hand from the published type hashes.

use super::fixture::*;
use crate::*;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use std::sync::Arc;

const EXACT_TYPE: &str = "ebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7";
const UPTO_TYPE: &str = "51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee";
const FACILITATOR: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

fn word(hex: &str) -> Vec<u8> {
    let digits = hex.trim_start_matches("0x");
    hex::decode(format!("{digits:0>64}")).unwrap()
}

fn account(address: EvmAddress) -> Vec<u8> {
    address.into_word().to_vec()
}

fn number(number: U256) -> Vec<u8> {
    number.to_be_bytes::<32>().to_vec()
}

fn hash_of(words: &[Vec<u8>]) -> B256 {
    keccak256(words.concat())
}

/// The hash that Permit2 computes, word by word.
fn digest(terms: &Permit2Authorization, chain: u64) -> B256 {
    let domain = hash_of(&[
        keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)").to_vec(),
        keccak256("Permit2").to_vec(),
        number(U256::from(chain)),
        word("0x000000000022D473030F116dDEE9F6B43aC78BA3"),
    ]);
    let permitted = hash_of(&[
        keccak256("TokenPermissions(address token,uint256 amount)").to_vec(),
        account(terms.token),
        number(terms.amount.to_u256()),
    ]);
    let (kind, witness) = match terms.witness.facilitator {
        None => {
            let kind = keccak256("Witness(address to,uint256 validAfter)").to_vec();
            (EXACT_TYPE, hash_of(&[kind, account(terms.witness.to), number(terms.witness.valid_after)]))
        }
        Some(facilitator) => {
            let kind = keccak256("Witness(address to,address facilitator,uint256 validAfter)").to_vec();
            (UPTO_TYPE, hash_of(&[kind, account(terms.witness.to), account(facilitator), number(terms.witness.valid_after)]))
        }
    };
    let terms =
        hash_of(&[word(kind), permitted.to_vec(), account(terms.spender), number(terms.nonce), number(terms.deadline), witness.to_vec()]);
    keccak256([&[0x19, 0x01][..], domain.as_slice(), terms.as_slice()].concat())
}

fn terms(scheme: Scheme) -> Permit2Authorization {
    let upto = scheme == Scheme::Upto;
    Permit2Authorization {
        from: payer().address(),
        token: evm(USDC_BASE.token),
        amount: Amount::from_atomic(10_000),
        spender: evm(if upto { "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002" } else { "0x402085c248EeA27D92E8b30b2C58ed07f9E20001" }),
        nonce: U256::from(7),
        deadline: U256::from(now() + 70),
        witness: Permit2Witness { to: evm(PAYEE), valid_after: U256::from(now() - 5), facilitator: upto.then(|| evm(FACILITATOR)) },
    }
}

fn offers(scheme: Scheme) -> Vec<Arc<Offer>> {
    let offer = Offer::clone(&usdc());
    // One by EIP-3009 beside it, as a server would offer it.
    vec![usdc(), Arc::new(if scheme == Scheme::Upto { offer.upto() } else { offer.with_permit2() })]
}

fn payment(scheme: Scheme, signed: SignedPermit2) -> PaymentPayload {
    let payload = payload(Network::Evm(8453), Payload::Permit2(signed));
    PaymentPayload { dialect: Dialect::X402V2, scheme, ..payload }
}

fn sign(terms: &Permit2Authorization) -> SignedPermit2 {
    let signature: Bytes = payer().sign_hash_sync(&digest(terms, 8453)).unwrap().as_bytes().into();
    SignedPermit2 { authorization: terms.clone(), signature, permit: None }
}

fn checked(scheme: Scheme, signed: SignedPermit2) -> Result<Checked, Reject> {
    match_with(payment(scheme, signed), offers(scheme))?.check(&CheckPolicy::facilitator(NOW))
}

/// A payment bent in one field and signed all the same.
fn bent(scheme: Scheme, bend: impl FnOnce(&mut Permit2Authorization)) -> Result<Checked, Reject> {
    let mut terms = terms(scheme);
    bend(&mut terms);
    checked(scheme, sign(&terms))
}

fn permit2_facts() -> EvmFacts {
    let permit2 = Permit2Facts { nonce_used: false, allowance: Amount::from_atomic(10_000) };
    EvmFacts { authorization_used: None, permit2: Some(permit2), ..facts() }
}

#[test]
fn honest_transfers_are_accepted_and_identified() {
    for scheme in [Scheme::Exact, Scheme::Upto] {
        let checked = checked(scheme, sign(&terms(scheme))).unwrap();
        let attestation = checked.judge(&permit2_facts(), &policy()).unwrap();
        let id = PaymentId::Permit2 { chain: 8453, owner: payer().address(), nonce: U256::from(7) };
        assert_eq!((attestation.key, attestation.payer), (id.key(), payer().address().into()), "{scheme:?}");
        assert_eq!(checked.matched().requirements().offer.scheme, scheme);
        assert_eq!(checked.matched().expires(), Some(UnixSeconds(now() + 70)));
    }
    // Ours signs what theirs reads.
    let key = EvmKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let signed = key.sign_permit2(terms(Scheme::Upto), 8453).unwrap();
    assert_eq!(signed, sign(&terms(Scheme::Upto)));
}

/// T032: spender, witness, token, amount and times, each bent alone; the payer has signed all of it.
#[test]
fn t032_what_is_signed_must_be_the_offer_and_the_canonical_proxy() {
    type Bend = fn(&mut Permit2Authorization);
    let cases: [(Bend, &str); 9] = [
        (|terms| terms.spender = EvmAddress::repeat_byte(9), "invalid_permit2_spender"),
        (|terms| terms.spender = evm::PERMIT2, "invalid_permit2_spender"),
        (|terms| terms.witness.to = EvmAddress::repeat_byte(9), "invalid_exact_evm_payload_recipient_mismatch"),
        (|terms| terms.token = EvmAddress::repeat_byte(9), "unsupported_asset"),
        (|terms| terms.amount = Amount::from_atomic(9_999), "invalid_exact_evm_payload_authorization_value"),
        (|terms| terms.deadline = U256::from(now() - 1), "invalid_exact_evm_payload_authorization_valid_before"),
        (|terms| terms.deadline = U256::MAX, "invalid_exact_evm_payload_authorization_valid_before"),
        (|terms| terms.witness.valid_after = U256::from(now() + 60), "invalid_exact_evm_payload_authorization_valid_after"),
        (|terms| terms.from = EvmAddress::repeat_byte(9), "invalid_exact_evm_payload_signature"),
    ];
    for scheme in [Scheme::Exact, Scheme::Upto] {
        for (at, (bend, word)) in cases.iter().enumerate() {
            assert_eq!(bent(scheme, bend).unwrap_err().word(), *word, "{scheme:?} {at}");
        }
        assert!(bent(scheme, |_| {}).is_ok());
    }
    // The proxy of the other scheme, and a witness of the other form.
    let other = bent(Scheme::Exact, |terms| terms.spender = evm::UPTO_PROXY);
    assert_eq!(other.unwrap_err(), Reject::Spender);
    let named = bent(Scheme::Exact, |terms| terms.witness.facilitator = Some(evm(FACILITATOR)));
    assert!(matches!(named.unwrap_err(), Reject::Malformed(_)));
    let unnamed = bent(Scheme::Upto, |terms| terms.witness.facilitator = None);
    assert!(matches!(unnamed.unwrap_err(), Reject::Malformed(_)));
}

/// T032: what was signed decides, and not what stands beside the signature.
#[test]
fn t032_every_signed_field_is_under_the_signature() {
    type Bend = fn(&mut Permit2Authorization);
    let bends: [Bend; 5] = [
        |terms| terms.amount = Amount::from_atomic(10_001),
        |terms| terms.nonce = U256::from(8),
        |terms| terms.deadline = U256::from(now() + 71),
        |terms| terms.witness.valid_after = U256::ZERO,
        |terms| terms.from = EvmAddress::repeat_byte(3),
    ];
    for scheme in [Scheme::Exact, Scheme::Upto] {
        for (at, bend) in bends.iter().enumerate() {
            let mut signed = sign(&terms(scheme));
            bend(&mut signed.authorization);
            assert!(matches!(checked(scheme, signed), Err(Reject::Signature(_))), "{scheme:?} {at}");
        }
    }
    let mut elsewhere = sign(&terms(Scheme::Exact));
    elsewhere.signature = payer().sign_hash_sync(&digest(&terms(Scheme::Exact), 84532)).unwrap().as_bytes().into();
    assert!(matches!(checked(Scheme::Exact, elsewhere), Err(Reject::Signature(_))), "of another chain");
    let mut upto = sign(&terms(Scheme::Upto));
    upto.authorization.witness.facilitator = Some(EvmAddress::repeat_byte(3));
    assert!(matches!(checked(Scheme::Upto, upto), Err(Reject::Signature(_))), "another facilitator");
}

/// T033, T034: what the chain says of allowance, nonce, balance and code.
#[test]
fn t033_t034_the_chain_has_the_last_word() {
    let judge = |facts: EvmFacts| checked(Scheme::Exact, sign(&terms(Scheme::Exact))).unwrap().judge(&facts, &policy());
    let permit2 = |nonce_used, allowance| {
        let permit2 = Permit2Facts { nonce_used, allowance: Amount::from_atomic(allowance) };
        EvmFacts { permit2: Some(permit2), ..permit2_facts() }
    };
    let (approved, required) = (Amount::from_atomic(9_999), Amount::from_atomic(10_000));
    assert_eq!(judge(permit2(false, 9_999)), Err(Reject::Allowance { approved, required }.into()));
    // What is promised of the balance is promised of the allowance.
    let promised = JudgePolicy { reserved: Amount::from_atomic(1), ..policy() };
    let beside = |facts: EvmFacts| checked(Scheme::Exact, sign(&terms(Scheme::Exact))).unwrap().judge(&facts, &promised);
    let rich = |allowance| EvmFacts { balance: Amount::from_atomic(1_000_000), ..permit2(false, allowance) };
    assert_eq!(beside(rich(10_000)), Err(Reject::Allowance { approved, required }.into()));
    assert!(beside(rich(10_001)).is_ok());
    assert_eq!(judge(permit2(true, 10_000)), Err(Reject::AuthorizationUsed.into()));
    assert_eq!(judge(EvmFacts { permit2: None, ..permit2_facts() }), Err(Undecided::Chain.into()));
    assert_eq!(judge(EvmFacts { payer_has_code: true, ..permit2_facts() }), Err(Reject::PayerHasCode.into()));
    let poor = judge(EvmFacts { balance: approved, ..permit2_facts() });
    assert!(matches!(poor, Err(VerifyError::Rejected(Reject::InsufficientFunds { .. }))));
    let late = judge(EvmFacts { time: UnixSeconds(now() + 65), ..permit2_facts() });
    assert!(matches!(late, Err(VerifyError::Rejected(Reject::ExpiresTooSoon { .. }))));
    let dear = judge(EvmFacts { simulation: Some(Simulation::Succeeds { gas: 150_001 }), ..permit2_facts() });
    assert!(matches!(dear, Err(VerifyError::Rejected(Reject::Cost { .. }))));
    assert!(judge(permit2(false, 10_000)).is_ok());
}

/// An approval by EIP-2612 stands in for an allowance, and must be the payer's, of Permit2, for the amount.
#[test]
fn an_approval_sent_along_is_taken_if_it_is_one() {
    let key = EvmKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let honest = Permit {
        owner: payer().address(),
        token: evm(USDC_BASE.token),
        spender: evm::PERMIT2,
        value: Amount::from_atomic(10_000),
        nonce: U256::ZERO,
        deadline: U256::from(now() + 70),
    };
    let with = |permit: Permit| {
        let domain = TokenDomain { name: "USD Coin".to_owned(), version: "2".to_owned() };
        let permit = key.sign_permit(permit, &domain, 8453).unwrap();
        checked(Scheme::Exact, SignedPermit2 { permit: Some(permit), ..sign(&terms(Scheme::Exact)) })
    };
    let none = EvmFacts { permit2: Some(Permit2Facts { nonce_used: false, allowance: Amount::ZERO }), ..permit2_facts() };
    assert!(with(honest.clone()).unwrap().judge(&none, &policy()).is_ok());
    let reverts = Simulation::Reverts { reason: "ERC20: transfer amount exceeds allowance".to_owned() };
    let worthless = EvmFacts { simulation: Some(reverts), ..none };
    assert!(matches!(with(honest.clone()).unwrap().judge(&worthless, &policy()), Err(VerifyError::Rejected(Reject::Reverts(_)))));
    let bent = [
        Permit { owner: EvmAddress::repeat_byte(9), ..honest.clone() },
        Permit { token: EvmAddress::repeat_byte(9), ..honest.clone() },
        Permit { spender: evm::EXACT_PROXY, ..honest.clone() },
        Permit { value: Amount::from_atomic(10_001), ..honest.clone() },
        Permit { deadline: U256::from(now() + 11), ..honest },
    ];
    for (at, permit) in bent.into_iter().enumerate() {
        assert!(with(permit).is_err(), "{at}");
    }
}

/// T035: what is charged is what is asked, at most what is signed; nothing but `upto` can be charged for less.
#[test]
fn t035_upto_is_charged_for_what_is_asked() {
    let matched = |scheme| checked(scheme, sign(&terms(scheme))).unwrap().into_matched();
    let charge = |scheme, amount| matched(scheme).charged(Amount::from_atomic(amount)).map(|charged| charged.amount());
    assert_eq!(charge(Scheme::Upto, 4_000), Some(Amount::from_atomic(4_000)));
    assert_eq!(charge(Scheme::Upto, 10_000), Some(Amount::from_atomic(10_000)));
    assert_eq!(charge(Scheme::Upto, 10_001), None);
    assert_eq!(charge(Scheme::Upto, 0), None);
    assert_eq!(charge(Scheme::Exact, 4_000), None);
    assert_eq!(matched(Scheme::Upto).charged(Amount::from_atomic(1)).unwrap().key(), matched(Scheme::Upto).key());
    // A greater maximum than asked for is no reason to take it.
    let generous = bent(Scheme::Upto, |terms| terms.amount = Amount::from_atomic(1_000_000)).unwrap();
    assert_eq!(generous.matched().amount(), Amount::from_atomic(10_000));
}

/// T034: one nonce is one payment, whatever is signed with it and by whichever proxy.
#[test]
fn t034_a_nonce_is_one_payment_in_both_schemes() {
    let key = |scheme, nonce: u64| {
        let terms = Permit2Authorization { nonce: U256::from(nonce), ..terms(scheme) };
        checked(scheme, sign(&terms)).unwrap().matched().key()
    };
    assert_eq!(key(Scheme::Exact, 7), key(Scheme::Upto, 7));
    assert_ne!(key(Scheme::Exact, 7), key(Scheme::Exact, 8));
}

#[test]
fn payments_and_offers_of_different_methods_do_not_meet() {
    let permit2_only = offers(Scheme::Exact).split_off(1);
    let refused = match_with(good(), permit2_only.clone()).unwrap_err();
    assert_eq!(refused.word(), "unsupported_payload_type");
    let refused = match_with(payment(Scheme::Exact, sign(&terms(Scheme::Exact))), vec![usdc()]).unwrap_err();
    assert_eq!(refused.word(), "unsupported_payload_type");
    assert!(match_with(good(), offers(Scheme::Exact)).is_ok());
    // h402 has no words for it.
    assert!(!permit2_only[0].can_be_said_in(Dialect::H402V1) && permit2_only[0].can_be_said_in(Dialect::X402V2));
    // What is no ERC-20 token cannot be paid like this.
    let coin = Offer::new(asset(8453, "ETH"), Amount::from_atomic(1), PAYEE.parse().unwrap()).unwrap();
    assert!(matches!(Offers::new(vec![Arc::new(coin.clone().with_permit2())]), Err(OfferError::Permit2 { .. })));
    assert!(Offers::new(vec![Arc::new(coin)]).is_ok());
}
