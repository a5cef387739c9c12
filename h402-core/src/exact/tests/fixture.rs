//! Payments as other programs make them: signed by alloy, a second implementation of every signature here.

use crate::*;
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
pub(super) use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use std::sync::Arc;

sol! {
    struct TransferWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    struct ReceiveWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
}

pub(super) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
pub(super) const URL: &str = "https://api.example/report?id=1";
pub(super) const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

pub(super) fn now() -> u64 {
    NOW.seconds().0
}

pub(super) fn payer() -> PrivateKeySigner {
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap()
}

pub(super) fn evm(text: &str) -> EvmAddress {
    text.parse::<Address>().unwrap().evm().unwrap()
}

pub(super) fn asset(chain: u64, symbol: &str) -> Arc<Asset> {
    Assets::known().by_symbol(Network::Evm(chain), symbol).unwrap().clone()
}

pub(super) fn offer(asset: Arc<Asset>, amount: u128) -> Arc<Offer> {
    Arc::new(Offer::new(asset, Amount::from_atomic(amount), PAYEE.parse().unwrap()).unwrap())
}

/// USDC on Base for one cent.
pub(super) fn usdc() -> Arc<Offer> {
    offer(asset(8453, "USDC"), 10_000)
}

pub(super) fn resource() -> Arc<Resource> {
    Arc::new(Resource { url: URL.into(), description: None, mime_type: None })
}

pub(super) fn authorization() -> Authorization {
    Authorization {
        from: payer().address(),
        to: evm(PAYEE),
        value: Amount::from_atomic(10_000),
        valid_after: U256::from(now() - 5),
        valid_before: U256::from(now() + 70),
        nonce: B256::repeat_byte(7),
    }
}

/// The domain of a signature, spelled by hand.
#[derive(Clone)]
pub(super) struct Domain {
    pub name: &'static str,
    pub version: &'static str,
    pub chain: u64,
    pub token: &'static str,
}

pub(super) const USDC_BASE: Domain =
    Domain { name: "USD Coin", version: "2", chain: 8453, token: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913" };

pub(super) fn sign(authorization: &Authorization, domain: &Domain, key: &PrivateKeySigner) -> Bytes {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = authorization.clone();
    let message = TransferWithAuthorization { from, to, value: value.to_u256(), validAfter: valid_after, validBefore: valid_before, nonce };
    key.sign_hash_sync(&message.eip712_signing_hash(&alloy_domain(domain))).unwrap().as_bytes().into()
}

pub(super) fn sign_receive(authorization: &Authorization, domain: &Domain, key: &PrivateKeySigner) -> Bytes {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = authorization.clone();
    let message = ReceiveWithAuthorization { from, to, value: value.to_u256(), validAfter: valid_after, validBefore: valid_before, nonce };
    key.sign_hash_sync(&message.eip712_signing_hash(&alloy_domain(domain))).unwrap().as_bytes().into()
}

fn alloy_domain(domain: &Domain) -> alloy_sol_types::Eip712Domain {
    eip712_domain! { name: domain.name, version: domain.version, chain_id: domain.chain, verifying_contract: evm(domain.token), }
}

pub(super) fn payload(network: Network, payload: Payload) -> PaymentPayload {
    PaymentPayload { dialect: Dialect::H402V1, scheme: Scheme::Exact, network, resource: Some(URL.into()), payload }
}

pub(super) fn signed(authorization: Authorization, signature: Bytes) -> PaymentPayload {
    let signed = SignedAuthorization { authorization, signature, version: None };
    payload(Network::Evm(8453), Payload::Authorization(signed))
}

/// A good payment by authorization.
pub(super) fn good() -> PaymentPayload {
    signed(authorization(), sign(&authorization(), &USDC_BASE, &payer()))
}

pub(super) fn match_with(payload: PaymentPayload, offers: Vec<Arc<Offer>>) -> Result<Matched, Reject> {
    Matched::new(payload, &Offers::new(offers).unwrap(), &resource(), Some(70))
}

pub(super) fn check(payload: PaymentPayload) -> Result<Checked, Reject> {
    match_with(payload, vec![usdc()])?.check(&CheckPolicy::facilitator(NOW))
}

pub(super) fn policy() -> JudgePolicy {
    JudgePolicy {
        times: CheckPolicy::facilitator(NOW),
        reserved: Amount::ZERO,
        max_gas: JudgePolicy::MAX_GAS,
        depth: 1,
        not_before: UnixSeconds(now() - 7200),
    }
}

/// What a chain says about a good authorization.
pub(super) fn facts() -> EvmFacts {
    EvmFacts {
        chain_id: 8453,
        block: 100,
        time: UnixSeconds(now() - 1),
        base_fee: 1_000_000_000,
        payer_has_code: false,
        balance: Amount::from_atomic(10_000),
        native_balance: None,
        account_nonce: None,
        authorization_used: Some(false),
        permit2: None,
        simulation: Some(Simulation::Succeeds { gas: 90_000 }),
        sent: None,
    }
}

/// A token transfer of one cent as wallets make it, before signing.
pub(super) fn transfer() -> TxLegacy {
    TxLegacy {
        chain_id: Some(8453),
        nonce: 3,
        gas_price: 2_000_000_000,
        gas_limit: 60_000,
        to: TxKind::Call(evm(USDC_BASE.token)),
        value: U256::ZERO,
        input: call("a9059cbb", PAYEE, 10_000),
    }
}

/// Call data by hand: selector, address word, amount word.
pub(super) fn call(selector: &str, to: &str, amount: u64) -> Bytes {
    let to = to.trim_start_matches("0x").to_lowercase();
    hex::decode(format!("{selector}{to:0>64}{amount:0>64x}")).unwrap().into()
}

pub(super) fn raw(transaction: TxLegacy, key: &PrivateKeySigner) -> Bytes {
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    alloy_consensus::TxEnvelope::Legacy(transaction.into_signed(signature)).encoded_2718().into()
}

pub(super) fn raw_1559(transaction: TxEip1559, key: &PrivateKeySigner) -> Bytes {
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    alloy_consensus::TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718().into()
}

pub(super) fn message(text: &str, key: &PrivateKeySigner) -> Bytes {
    key.sign_message_sync(text.as_bytes()).unwrap().as_bytes().into()
}

pub(super) fn with_transaction(raw: Bytes, signed_message: Bytes) -> PaymentPayload {
    payload(Network::Evm(8453), Payload::EvmTransaction(SignedEvmTransaction { raw, signed_message }))
}
