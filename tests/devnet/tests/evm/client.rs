//! A JSON-RPC client, a sender of transactions and a signer of authorizations.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TypedTransaction};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolStruct, eip712_domain, sol};
use h402_devnet::evm::{Chain, account};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

sol! {
    #[derive(Debug)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    #[derive(Debug)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    #[derive(Debug)]
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    #[derive(Debug)]
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }

    interface Split {
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
    }

    interface Usdc {
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
        function permit(address owner, address spender, uint256 value, uint256 deadline, bytes signature) external;
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function nonces(address owner) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function name() external view returns (string);
        function version() external view returns (string);
        function decimals() external view returns (uint8);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }

    interface Multicall {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Result { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) external payable returns (Result[] returnData);
        function getChainId() external view returns (uint256);
        function getBlockNumber() external view returns (uint256);
        function getCurrentBlockTimestamp() external view returns (uint256);
        function getEthBalance(address account) external view returns (uint256);
        function getBasefee() external view returns (uint256);
    }
}

pub(crate) const GWEI: u128 = 1_000_000_000;

#[derive(Clone)]
pub(crate) struct Rpc {
    url: String,
    http: Client<HttpConnector, Full<axum::body::Bytes>>,
}

impl Rpc {
    pub(crate) fn new(chain: &Chain) -> Self {
        Self { url: chain.url(), http: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Posts a body and returns status and text, or nothing if the connection broke.
    pub(crate) async fn post(&self, body: String) -> Option<(u16, String)> {
        let request = http::Request::post(&self.url).body(Full::from(body)).unwrap();
        let response = self.http.request(request).await.ok()?;
        let status = response.status().as_u16();
        let text = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8(text.to_vec()).unwrap()))
    }

    pub(crate) async fn answer(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        let (status, text) = self.post(body).await.expect("an answer");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert_eq!(answer["id"], 7);
        answer.get("result").unwrap_or_else(|| panic!("{method}: {answer}")).clone()
    }

    pub(crate) async fn error(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        answer.get("error").unwrap_or_else(|| panic!("{method} succeeded: {answer}")).clone()
    }

    pub(crate) async fn send(&self, raw: &Bytes) -> B256 {
        parse(&self.call("eth_sendRawTransaction", json!([raw])).await)
    }

    pub(crate) async fn send_error(&self, raw: &Bytes) -> String {
        let error = self.error("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(error["code"], -32000);
        error["message"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Value {
        self.call("eth_getTransactionReceipt", json!([hash])).await
    }

    pub(crate) async fn view<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let data = Bytes::from(call.abi_encode());
        let output: Bytes = parse(&self.call("eth_call", json!([{ "to": to, "data": data }, "latest"])).await);
        C::abi_decode_returns(&output).unwrap()
    }
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

pub(crate) fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

pub(crate) fn signer(index: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&account(index).secret_key.into()).unwrap()
}

/// A transaction before it is signed.
pub(crate) fn tx(chain: &Chain, nonce: u64, to: Address, data: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        chain_id: chain.chain_id(),
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(to),
        input: data.into(),
        ..TxEip1559::default()
    }
}

pub(crate) fn sign(tx: impl Into<TypedTransaction>, from: usize) -> Bytes {
    let tx = tx.into();
    let signature = signer(from).sign_hash_sync(&tx.signature_hash()).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

/// A transfer of one wei, for tests of the pool.
pub(crate) fn ping(chain: &Chain, nonce: u64, from: usize) -> Bytes {
    let mut ping = tx(chain, nonce, account(9).address, Vec::new());
    ping.value = U256::from(1);
    sign(ping, from)
}

/// An authorization of this value from a development account to the last one, valid for an hour.
pub(crate) fn authorization(chain: &Chain, from: usize, value: u64, salt: u64) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: account(from).address,
        to: account(9).address,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(chain.now() + 3600),
        nonce: keccak256(salt.to_be_bytes()),
    }
}

pub(crate) fn digest(chain: &Chain, token: Address, message: &impl SolStruct) -> B256 {
    let domain = eip712_domain! {
        name: chain.usdc_name().to_owned(),
        version: chain.usdc_version().to_owned(),
        chain_id: chain.chain_id(),
        verifying_contract: token,
    };
    message.eip712_signing_hash(&domain)
}

/// The signature of a development account under a message of the token.
pub(crate) fn signature(chain: &Chain, token: Address, by: usize, message: &impl SolStruct) -> Bytes {
    signer(by).sign_hash_sync(&digest(chain, token, message)).unwrap().as_bytes().into()
}

/// The call with a signature in three parts.
pub(crate) fn split_call(chain: &Chain, token: Address, by: usize, a: &TransferWithAuthorization) -> Vec<u8> {
    let signature = signer(by).sign_hash_sync(&digest(chain, token, a)).unwrap();
    Split::transferWithAuthorizationCall {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    }
    .abi_encode()
}

/// The call with a signature in one piece.
pub(crate) fn bytes_call(chain: &Chain, token: Address, by: usize, a: &TransferWithAuthorization) -> Vec<u8> {
    let signature = signer(by).sign_hash_sync(&digest(chain, token, a)).unwrap();
    with_signature(a, signature.as_bytes().to_vec())
}

pub(crate) fn with_signature(a: &TransferWithAuthorization, signature: Vec<u8>) -> Vec<u8> {
    Usdc::transferWithAuthorizationCall {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        signature: signature.into(),
    }
    .abi_encode()
}

/// The reason of an `Error(string)` in an answer's data.
pub(crate) fn revert_reason(error: &Value) -> String {
    use alloy_sol_types::SolError;
    let data = hex::decode(error["data"].as_str().unwrap()).unwrap();
    alloy_sol_types::Revert::abi_decode(&data).unwrap().reason
}

pub(crate) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
