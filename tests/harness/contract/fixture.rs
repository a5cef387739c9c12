//! Payments to put into stores.

use alloy_primitives::{B256, U256};
use h402_core::{
    Address, Amount, AssetId, Assets, Attestation, Authorization, CallerKey, CheckPolicy, Dialect, EvmKey, Fingerprint, Flow, Grant,
    GrantState, Matched, Network, NewGrant, Offer, Offers, Payload, PaymentKey, PaymentKind, PaymentPayload, PaymentRow, Resource, Scheme,
    Settlement, TransactionId, UnixMillis, UnixSeconds, Verified,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const BASE: Network = Network::Evm(8453);
/// The first key of every development chain.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// The wall clock, which stores go by when they forget.
pub(super) fn now() -> UnixMillis {
    UnixMillis(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

pub(super) fn key(n: u64) -> PaymentKey {
    PaymentKey::from_bytes(B256::from(U256::from(n)).0)
}

/// The key and the other names of a payment, made from a number.
pub(super) type Names = fn(u64) -> (PaymentKey, Vec<PaymentKey>);

/// A name that two payments are given.
pub(super) fn shared() -> PaymentKey {
    key(50)
}

pub(super) fn address(n: u8) -> Address {
    Address::Evm([n; 20].into())
}

pub(super) fn usdc() -> AssetId {
    Assets::known().by_symbol(BASE, "USDC").unwrap().id
}

pub(super) fn hash(n: u64) -> TransactionId {
    TransactionId::Evm(B256::from(U256::from(n)))
}

/// A payment that a facilitator vouches for: a signed authorization with `n` as its nonce.
pub(super) fn verified(n: u64) -> Verified {
    let signer = EvmKey::from_hex(KEY).unwrap();
    let asset = Assets::known().by_symbol(BASE, "USDC").unwrap().clone();
    let domain = asset.eip712_domain().unwrap();
    let offer = Offer::new(asset, Amount::from_atomic(10_000), address(9)).unwrap();
    let authorization = Authorization {
        from: signer.address(),
        to: [9; 20].into(),
        value: Amount::from_atomic(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(now().seconds().plus(300).0),
        nonce: U256::from(n).into(),
    };
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: BASE,
        resource: None,
        payload: Payload::Authorization(signer.sign_authorization(authorization, &domain).unwrap()),
    };
    let resource = Arc::new(Resource { url: "https://api.example/a".to_owned(), ..Resource::default() });
    let matched = Matched::new(payload, &Offers::new(vec![Arc::new(offer)]).unwrap(), &resource, None).unwrap();
    let (key, payer) = (matched.key(), matched.payer());
    let checked = matched.check(&CheckPolicy::facilitator(now())).unwrap();
    Verified::attested(checked, Attestation { key, aliases: vec![], payer, transaction: None })
}

/// The grant of a payment under any key.
pub(super) fn grant(key: PaymentKey) -> Grant {
    let now = now();
    Grant {
        key,
        fingerprint: Fingerprint::from_bytes([7; 32]),
        flow: Flow::Capture,
        payer: address(1),
        asset: usdc(),
        amount: Amount::from_atomic(10_000),
        state: GrantState::Running,
        runs: 1,
        busy_until: now.plus(Duration::from_secs(40)),
        receipt: None,
        claimed_at: now,
        updated_at: now,
        expires_at: now.plus(Duration::from_secs(300)),
        version: 1,
    }
}

pub(super) fn new_grant(key: PaymentKey, aliases: &[PaymentKey]) -> NewGrant {
    NewGrant { grant: grant(key), aliases: aliases.to_vec(), max_unsettled: 1000 }
}

/// A claimed payment under any key.
pub(super) fn payment(key: PaymentKey) -> PaymentRow {
    PaymentRow {
        key,
        asset: usdc(),
        payer: address(1),
        pay_to: address(9),
        amount: Amount::from_atomic(10_000),
        kind: PaymentKind::Authorization,
        nonce: Some([3; 32]),
        caller: Some(CallerKey::from_bytes([4; 32])),
        state: Settlement::Claimed,
        answer: None,
        expires: Some(UnixSeconds(1_900_000_000)),
        last_block_height: None,
        raw: Some(vec![1, 2, 3].into()),
        claimed_at: UnixMillis(1_800_000_000_000),
        updated_at: UnixMillis(1_800_000_000_000),
        version: 1,
    }
}
