//! What the simulated chain's two contracts do: a token with EIP-3009, as USDC has it, and Multicall3. Written from the
//! specifications, and knowing nothing of how the code under test reads them.

use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, U256, address, keccak256};
use alloy_sol_types::{Eip712Domain, Revert, SolCall, SolError, SolEvent, SolStruct, SolValue, eip712_domain, sol};
use std::collections::{BTreeMap, BTreeSet};

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    function decimals() external view returns (uint8);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function balanceOf(address account) external view returns (uint256);
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    function transfer(address to, uint256 value) external returns (bool);
    function transferWithAuthorization(
        address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s
    ) external;

    struct Call3 { address target; bool allowFailure; bytes callData; }
    struct Result { bool success; bytes returnData; }
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData);
    function getChainId() external view returns (uint256 chainid);
    function getBlockNumber() external view returns (uint256 blockNumber);
    function getCurrentBlockTimestamp() external view returns (uint256 timestamp);
    function getEthBalance(address addr) external view returns (uint256 balance);

    struct TransferWithAuthorization {
        address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
    }
}

pub const CHAIN_ID: u64 = 31_337;
pub const TOKEN: Address = address!("7070707070707070707070707070707070707070");
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");

pub fn domain() -> Eip712Domain {
    eip712_domain! { name: "USDC", version: "2", chain_id: CHAIN_ID, verifying_contract: TOKEN, }
}

/// An authorization as the chain names it.
pub type Nonce = (Address, B256);

#[derive(Debug, Clone, Default)]
pub struct State {
    pub nonces: BTreeMap<Address, u64>,
    pub wei: BTreeMap<Address, U256>,
    pub tokens: BTreeMap<Address, U256>,
    /// Used or cancelled.
    pub spent: BTreeSet<Nonce>,
}

#[derive(Debug, Clone, Copy)]
pub struct Env {
    pub number: u64,
    pub time: u64,
}

pub struct Reverted {
    pub data: Bytes,
    pub reason: String,
}

/// Signatures that were checked before: recovering keys is what costs most in here.
#[derive(Default)]
pub struct Signers(BTreeMap<(B256, [u8; 65]), Option<Address>>);

pub struct Machine<'a> {
    pub state: &'a mut State,
    pub signers: &'a mut Signers,
    pub env: Env,
    pub gas: u64,
    pub logs: Vec<Log>,
}

fn revert(reason: &str) -> Reverted {
    Reverted { data: Revert { reason: reason.to_owned() }.abi_encode().into(), reason: reason.to_owned() }
}

impl Machine<'_> {
    pub fn call(&mut self, caller: Address, to: Address, input: &[u8]) -> std::result::Result<Vec<u8>, Reverted> {
        match to {
            TOKEN => self.token(caller, input),
            MULTICALL3 => self.multicall(input),
            _ => Ok(Vec::new()),
        }
    }

    fn multicall(&mut self, input: &[u8]) -> std::result::Result<Vec<u8>, Reverted> {
        self.gas += 700;
        if getChainIdCall::abi_decode(input).is_ok() {
            return Ok(U256::from(CHAIN_ID).abi_encode());
        }
        if getBlockNumberCall::abi_decode(input).is_ok() {
            return Ok(U256::from(self.env.number).abi_encode());
        }
        if getCurrentBlockTimestampCall::abi_decode(input).is_ok() {
            return Ok(U256::from(self.env.time).abi_encode());
        }
        if let Ok(call) = getEthBalanceCall::abi_decode(input) {
            return Ok(self.state.wei.get(&call.addr).copied().unwrap_or_default().abi_encode());
        }
        let Ok(batch) = aggregate3Call::abi_decode(input) else { return Err(revert("no such function")) };
        let mut results = Vec::with_capacity(batch.calls.len());
        for call in batch.calls {
            self.gas += 2_500;
            let (before, logs) = (self.state.clone(), self.logs.len());
            let outcome = self.call(MULTICALL3, call.target, &call.callData);
            if outcome.is_err() {
                *self.state = before;
                self.logs.truncate(logs);
                if !call.allowFailure {
                    return Err(revert("Multicall3: call failed"));
                }
            }
            let (success, data) = outcome.map_or_else(|reverted| (false, reverted.data), |data| (true, data.into()));
            results.push(Result { success, returnData: data });
        }
        Ok(aggregate3Call::abi_encode_returns(&results))
    }

    fn token(&mut self, caller: Address, input: &[u8]) -> std::result::Result<Vec<u8>, Reverted> {
        self.gas += 2_000;
        if let Ok(call) = balanceOfCall::abi_decode(input) {
            return Ok(self.state.tokens.get(&call.account).copied().unwrap_or_default().abi_encode());
        }
        if let Ok(call) = authorizationStateCall::abi_decode(input) {
            return Ok(self.state.spent.contains(&(call.authorizer, call.nonce)).abi_encode());
        }
        if let Ok(call) = transferWithAuthorizationCall::abi_decode(input) {
            return self.transfer_with_authorization(&call).map(|()| Vec::new());
        }
        if let Ok(call) = transferCall::abi_decode(input) {
            self.gas += 28_000;
            self.transfer(caller, call.to, call.value)?;
            return Ok(true.abi_encode());
        }
        if decimalsCall::abi_decode(input).is_ok() {
            return Ok(U256::from(6).abi_encode());
        }
        if DOMAIN_SEPARATORCall::abi_decode(input).is_ok() {
            return Ok(domain().separator().abi_encode());
        }
        Err(revert("no such function"))
    }

    fn transfer_with_authorization(&mut self, call: &transferWithAuthorizationCall) -> std::result::Result<(), Reverted> {
        self.gas += 8_000;
        let now = U256::from(self.env.time);
        if now <= call.validAfter {
            return Err(revert("FiatTokenV2: authorization is not yet valid"));
        }
        if now >= call.validBefore {
            return Err(revert("FiatTokenV2: authorization is expired"));
        }
        if self.state.spent.contains(&(call.from, call.nonce)) {
            return Err(revert("FiatTokenV2: authorization is used or canceled"));
        }
        let signed = TransferWithAuthorization {
            from: call.from,
            to: call.to,
            value: call.value,
            validAfter: call.validAfter,
            validBefore: call.validBefore,
            nonce: call.nonce,
        };
        let signature = Signature::new(call.r.into(), call.s.into(), call.v == 28);
        if self.signers.recover(signed.eip712_signing_hash(&domain()), signature) != Some(call.from) {
            return Err(revert("FiatTokenV2: invalid signature"));
        }
        self.gas += 45_000;
        self.state.spent.insert((call.from, call.nonce));
        let used = AuthorizationUsed { authorizer: call.from, nonce: call.nonce };
        self.log(used.encode_log_data());
        self.transfer(call.from, call.to, call.value)
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) -> std::result::Result<(), Reverted> {
        let balance = self.state.tokens.get(&from).copied().unwrap_or_default();
        let Some(left) = balance.checked_sub(value) else { return Err(revert("ERC20: transfer amount exceeds balance")) };
        self.state.tokens.insert(from, left);
        *self.state.tokens.entry(to).or_default() += value;
        self.log(Transfer { from, to, value }.encode_log_data());
        Ok(())
    }

    fn log(&mut self, data: LogData) {
        self.logs.push(Log { address: TOKEN, data });
    }

    /// What a payer does by itself with its authorization: the signature is its own transaction's.
    pub fn cancel(&mut self, authorizer: Address, nonce: B256) {
        if self.state.spent.insert((authorizer, nonce)) {
            self.log(AuthorizationCanceled { authorizer, nonce }.encode_log_data());
        }
    }
}

impl Signers {
    fn recover(&mut self, hash: B256, signature: Signature) -> Option<Address> {
        let recover = || signature.recover_address_from_prehash(&hash).ok();
        *self.0.entry((hash, signature.as_bytes())).or_insert_with(recover)
    }
}

/// The authorizations that a call of the token or of Multicall3 would use.
pub fn authorizations(to: Address, input: &[u8]) -> Vec<Nonce> {
    match to {
        TOKEN => transferWithAuthorizationCall::abi_decode(input).map(|call| vec![(call.from, call.nonce)]).unwrap_or_default(),
        MULTICALL3 => {
            let calls = aggregate3Call::abi_decode(input).map(|batch| batch.calls).unwrap_or_default();
            calls.iter().flat_map(|call| authorizations(call.target, &call.callData)).collect()
        }
        _ => Vec::new(),
    }
}

/// A number that is as good as random and always the same.
pub fn hash_of(parts: &[&[u8]]) -> B256 {
    keccak256(parts.concat())
}
