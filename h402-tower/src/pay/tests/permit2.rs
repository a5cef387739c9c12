//! Payments through Permit2: what is signed, for whom, and how much of an approval goes with it.

use super::*;
use crate::{
    loopback::{Behaviour, Server},
    pay::HttpHints,
};
use alloy_primitives::U256;
use h402_core::{
    Address, CheckPolicy, EvmAddress, Matched, Offer, Offers, Permit2Hints, Permit2Needed, Scheme, SignedPermit2, UnixSeconds, evm,
};
use serde_json::{Value, json};

/// What a chain would say.
#[derive(Clone, Copy)]
struct Chain(Result<Permit2Hints, ()>);

impl Chain {
    fn with(allowance: u128, permit_nonce: Option<u64>) -> Self {
        Self(Ok(Permit2Hints { allowance: Amount::from_atomic(allowance), permit_nonce: permit_nonce.map(U256::from) }))
    }
}

impl Hints for Chain {
    async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
        Err(Undecided::Chain)
    }

    async fn permit2(&self, needed: Permit2Needed) -> Result<Permit2Hints, Undecided> {
        assert_eq!((needed.owner, needed.network), (key().address(), Network::Evm(8453)));
        self.0.map_err(|()| Undecided::Chain)
    }

    async fn blockhash(&self, _: Network) -> Result<[u8; 32], Undecided> {
        Err(Undecided::Chain)
    }
}

fn facilitator() -> EvmAddress {
    EvmAddress::repeat_byte(0xfa)
}

fn terms(scheme: Scheme, symbol: &str) -> Terms {
    let asset = Assets::known().by_symbol(Network::Evm(8453), symbol).unwrap().clone();
    let offer = Offer::new(asset, Amount::from_atomic(10_000), PAYEE.parse().unwrap()).unwrap();
    let offer = if scheme == Scheme::Upto { offer.upto() } else { offer.with_permit2() };
    let resource = Arc::new(h402_core::Resource { url: URL.to_owned(), ..Default::default() });
    let facilitator = (scheme == Scheme::Upto).then(facilitator);
    let requirements = Requirements { offer: Arc::new(offer), resource, lifetime_seconds: Some(70), solana: None, facilitator };
    let now = NOW.seconds().0;
    Terms {
        requirements,
        amount: Amount::from_atomic(10_000),
        resource: URL.to_owned(),
        valid_after: UnixSeconds(now - 5),
        valid_before: UnixSeconds(now + 70),
    }
}

async fn sign<H: Hints>(wallet: &EvmWallet<H>, terms: &Terms) -> Result<SignedPermit2, SignError> {
    let payment = wallet.sign(terms).await?;
    let offers = Offers::new(vec![terms.requirements.offer.clone()]).unwrap();
    let matched = Matched::new(payment.clone(), &offers, &terms.requirements.resource, None).unwrap();
    assert_eq!((matched.payer(), matched.amount()), (Address::from(key().address()), terms.amount));
    matched.check(&CheckPolicy::facilitator(NOW)).unwrap();
    let Payload::Permit2(signed) = payment.payload else { panic!("no transfer through Permit2") };
    Ok(signed)
}

fn wallet() -> EvmWallet {
    EvmWallet::from_key(key()).with_permit2()
}

/// Only where it was asked to, and of `upto` only for a facilitator that is named.
#[test]
fn permit2_is_signed_only_by_who_was_told_to() {
    for scheme in [Scheme::Exact, Scheme::Upto] {
        let requirements = terms(scheme, "USDC").requirements;
        assert_eq!(wallet().can_pay(&requirements), Some(Means::Permit2), "{scheme:?}");
        assert_eq!(EvmWallet::from_key(key()).can_pay(&requirements), None, "{scheme:?}");
        let unnamed = Requirements { facilitator: None, ..requirements };
        assert_eq!(wallet().can_pay(&unnamed).is_some(), scheme == Scheme::Exact);
    }
    // Where the token can move by itself, that comes first.
    assert!(Means::Authorization < Means::Permit2 && Means::Permit2 < Means::EvmTransaction);
}

#[tokio::test]
async fn what_is_signed_is_what_a_facilitator_takes() {
    for scheme in [Scheme::Exact, Scheme::Upto] {
        let signed = sign(&wallet(), &terms(scheme, "USDC")).await.unwrap();
        let again = sign(&wallet(), &terms(scheme, "USDC")).await.unwrap();
        assert_ne!(signed.authorization.nonce, again.authorization.nonce);
        assert_eq!(signed.authorization.witness.facilitator, (scheme == Scheme::Upto).then(facilitator));
        assert_eq!(signed.permit, None, "who cannot ask has approved before");
    }
}

/// T115: an approval is for this payment and not a unit more; where none can be signed nothing is.
#[tokio::test]
async fn t115_an_approval_is_for_exactly_the_payment() {
    let with = |chain| wallet().with_hints(chain);
    for scheme in [Scheme::Exact, Scheme::Upto] {
        let asked = terms(scheme, "USDC");
        assert_eq!(sign(&with(Chain::with(10_000, Some(3))), &asked).await.unwrap().permit, None);
        let signed = sign(&with(Chain::with(9_999, Some(3))), &asked).await.unwrap();
        let permit = signed.permit.unwrap();
        assert_eq!((permit.permit.value, permit.permit.nonce), (asked.amount, U256::from(3)));
        assert_eq!((permit.permit.spender, permit.permit.deadline), (evm::PERMIT2, signed.authorization.deadline));
        let domain = asked.requirements.offer.asset.permit2612.clone().unwrap();
        let signer = evm::recover(&evm::parse_signature(&permit.signature).unwrap(), &evm::permit_hash(&permit.permit, &domain, 8453));
        assert_eq!(signer, Ok(key().address()));
        let refused = sign(&with(Chain::with(9_999, None)), &asked).await.unwrap_err();
        let (approved, required) = (Amount::from_atomic(9_999), asked.amount);
        assert_eq!(refused, SignError::Approval { approved, required });
        assert_eq!(sign(&with(Chain(Err(()))), &asked).await.unwrap_err(), SignError::Hints(Undecided::Chain));
    }
}

/// Call data by hand: selector, address words.
#[tokio::test]
async fn one_batch_asks_for_approval_and_permit_nonce() {
    let word = |number: u64| format!("{number:#066x}");
    let answers = |nonces: Value| json!([{"jsonrpc": "2.0", "id": 5, "result": nonces}, {"jsonrpc": "2.0", "id": 4, "result": word(77)}, {"jsonrpc": "2.0", "id": 0, "result": "0x2105"}]);
    let needed = Permit2Needed { network: Network::Evm(8453), owner: key().address(), token: USDC.parse().unwrap() };
    let client = || hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let read = async |answer: Value| {
        let server = Server::start(vec![Behaviour::json(200, &answer.to_string())]).await;
        let hints = HttpHints::new(client()).with_rpc(Network::Evm(8453), server.url("/key").parse().unwrap());
        let read = hints.permit2(needed).await;
        let asked: Value = serde_json::from_slice(&server.received()[0].body).unwrap();
        (read, asked)
    };
    let (told, asked) = read(answers(word(3).into())).await;
    assert_eq!(told, Ok(Permit2Hints { allowance: Amount::from_atomic(77), permit_nonce: Some(U256::from(3)) }));
    let owner = "000000000000000000000000f39fd6e51aad88f6f4ce6ab8827279cfffb92266";
    let data = [format!("0xdd62ed3e{owner}000000000000000000000000000000000022d473030f116ddee9f6b43ac78ba3"), format!("0x7ecebe00{owner}")];
    for (call, data) in [(&asked[1], &data[0]), (&asked[2], &data[1])] {
        assert_eq!((&call["method"], &call["params"]), (&json!("eth_call"), &json!([{"to": USDC, "data": data}, "latest"])));
    }
    let (told, _) = read(answers(Value::Null)).await;
    assert_eq!(told.unwrap().permit_nonce, None, "a token without EIP-2612");
    let bad = [
        json!([{"id": 0, "result": "0x1"}, {"id": 4, "result": word(77)}]),
        json!([{"id": 0, "result": "0x2105"}, {"id": 4, "result": "0x"}]),
        json!([{"id": 0, "result": "0x2105"}]),
    ];
    for answer in bad {
        assert!(read(answer.clone()).await.0.is_err(), "{answer}");
    }
}
