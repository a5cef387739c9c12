//! Payers that are contracts: what they say is tried as in a real block, with their gas limited, before anything is promised.

use super::{
    EvmChain, Fees, ProxyCall,
    abi::{DryCall, Multicall3},
    quantity::{Data, Quantity, number, read},
    revert,
};
use crate::rpc::{Call, RpcError};
use alloy_primitives::{Bytes, hex};
use alloy_sol_types::{SolCall, SolValue};
use h402_core::{
    Authorization, EvmAddress, Matched, PayerSignature, Proof, Reject, Simulation, Undecided, VerifyError,
    evm::{ContractPayer, transfer_with_authorization_hash},
};
use serde_json::value::RawValue;

/// How far payers that are contracts are trusted: ERC-1271 accounts, EIP-7702 accounts, and ERC-6492 accounts of listed factories.
///
/// ```
/// use h402_facilitator::evm::ContractPayers;
/// let trusted = ContractPayers::default();
/// assert_eq!((trusted.max_gas, trusted.factories.len()), (500_000, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractPayers {
    /// Greatest gas that trying or settling one of their payments may use.
    pub max_gas: u64,
    /// Contracts that may be called to deploy a payer's account. None is called that is not here (T037).
    pub factories: Vec<EvmAddress>,
}

impl Default for ContractPayers {
    fn default() -> Self {
        Self { max_gas: 500_000, factories: Vec::new() }
    }
}

/// A signature of an account that is still to be deployed, taken apart (ERC-6492).
struct Counterfactual {
    factory: EvmAddress,
    deploy: Bytes,
    signature: Bytes,
}

impl Counterfactual {
    fn of(signature: &PayerSignature) -> Result<Option<Self>, Reject> {
        if !signature.is_counterfactual() {
            return Ok(None);
        }
        let bytes = signature.to_bytes();
        let wrapped = bytes.get(..bytes.len().saturating_sub(32)).unwrap_or_default();
        let parts = <(EvmAddress, Bytes, Bytes)>::abi_decode_params(wrapped);
        let (factory, deploy, signature) = parts.map_err(|_| Reject::Signature("not wrapped as ERC-6492 has it"))?;
        Ok(Some(Self { factory, deploy, signature }))
    }
}

/// The call of a token that moves what a contract has authorized.
pub(super) fn transfer(authorization: &Authorization, signature: Bytes) -> Vec<u8> {
    ContractPayer::transferWithAuthorizationCall {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value.to_u256(),
        validAfter: authorization.valid_after,
        validBefore: authorization.valid_before,
        nonce: authorization.nonce,
        signature,
    }
    .abi_encode()
}

impl EvmChain {
    /// The call that settles a payment on this chain: as [`EvmChain::settlement_call`], or for an account that is still to
    /// be deployed through Multicall3, which has no rights of ours: deployed and paid, or neither.
    #[must_use]
    pub fn settling_call(&self, payment: &Matched) -> Option<(EvmAddress, Bytes)> {
        let Proof::Authorization { authorization, signature } = payment.proof() else { return Self::settlement_call(payment) };
        match Counterfactual::of(signature) {
            Ok(None) => Self::settlement_call(payment),
            Ok(Some(wrapped)) => {
                let token = payment.requirements().offer.asset.id.address.evm()?;
                let calls = vec![
                    Multicall3::Call3 { target: wrapped.factory, allowFailure: false, callData: wrapped.deploy },
                    Multicall3::Call3 { target: token, allowFailure: false, callData: transfer(authorization, wrapped.signature).into() },
                ];
                Some((self.inner.multicall3?, Multicall3::aggregate3Call { calls }.abi_encode().into()))
            }
            Err(_) => None,
        }
    }

    /// Whether a stored settling call has a signature that only a contract can accept, or deploys its payer first.
    #[must_use]
    pub fn is_contracts_call(input: &[u8]) -> bool {
        input.starts_with(&ContractPayer::transferWithAuthorizationCall::SELECTOR)
            || input.starts_with(&Multicall3::aggregate3Call::SELECTOR)
    }

    /// Where a stored settling call goes: to the token, to a proxy of Permit2, or to Multicall3 if it deploys its payer first.
    #[must_use]
    pub fn settles_at(&self, token: EvmAddress, input: &[u8]) -> Option<EvmAddress> {
        if input.starts_with(&Multicall3::aggregate3Call::SELECTOR) {
            return self.inner.multicall3;
        }
        Some(ProxyCall::read(input).map_or(token, |call| call.proxy))
    }

    /// Refuses an account that is still to be deployed by a factory that is not listed. Asks nobody.
    ///
    /// # Errors
    /// [`Reject::Factory`], or [`Reject::Signature`] if the signature cannot be taken apart.
    pub fn allows_factory(&self, payment: &Matched, allowed: &ContractPayers) -> Result<(), Reject> {
        let Proof::Authorization { signature, .. } = payment.proof() else { return Ok(()) };
        match Counterfactual::of(signature)? {
            Some(wrapped) if self.inner.multicall3.is_none() || !allowed.factories.contains(&wrapped.factory) => Err(Reject::Factory),
            _ => Ok(()),
        }
    }

    /// Tries a payment of a contract: whether it says yes to the signature, and what settling takes, from the account that will, at
    /// the price and base fee of a real block, and with no more gas than is allowed. Two calls in one HTTP request.
    ///
    /// # Errors
    /// [`VerifyError::Rejected`] with what would revert, or if it needs more gas; [`VerifyError::Undecided`] if the node does not say.
    pub async fn try_contract(&self, payment: &Matched, fees: Fees, allowed: &ContractPayers) -> Result<Simulation, VerifyError> {
        let (Proof::Authorization { authorization, signature }, Some(domain)) =
            (payment.proof(), payment.requirements().offer.asset.eip712_domain())
        else {
            return Err(Undecided::WrongChain.into());
        };
        let (to, settle) = self.settling_call(payment).ok_or(Undecided::WrongChain)?;
        let hash = transfer_with_authorization_hash(authorization, &domain);
        let wrapped = Counterfactual::of(signature)?;
        let asked = |signature| ContractPayer::isValidSignatureCall { hash, signature }.abi_encode();
        let (at, question) = match &wrapped {
            None => (authorization.from, asked(signature.to_bytes())),
            // Deployed, asked and paid from, in this order: all of it or nothing (T038).
            Some(wrapped) => {
                let token = payment.requirements().offer.asset.id.address.evm().ok_or(Undecided::WrongChain)?;
                let call = |target, data: Vec<u8>| Multicall3::Call3 { target, allowFailure: false, callData: data.into() };
                let calls = vec![
                    call(wrapped.factory, wrapped.deploy.to_vec()),
                    call(authorization.from, asked(wrapped.signature.clone())),
                    call(token, transfer(authorization, wrapped.signature.clone())),
                ];
                (to, Multicall3::aggregate3Call { calls }.abi_encode())
            }
        };
        let dry = |to: EvmAddress, data: &[u8]| DryCall {
            from: Some(self.inner.simulate_from.to_string()),
            to: Some(to.to_string()),
            data: hex::encode_prefixed(data),
            gas: Some(number(allowed.max_gas)),
            max_fee_per_gas: Some(format!("{:#x}", fees.max_fee_per_gas)),
            max_priority_fee_per_gas: Some(format!("{:#x}", fees.max_priority_fee_per_gas)),
            value: None,
        };
        let calls = [Call::new("eth_call", &(dry(at, &question), "pending")), Call::new("eth_estimateGas", &(dry(to, &settle), "pending"))];
        let mut answers = self.inner.ask(calls).await?.into_iter();
        let said = done(answers.next())?;
        let said = read::<Data>(&said).map_err(Undecided::from)?.0;
        let said = match wrapped {
            None => said,
            Some(_) => {
                let results = Multicall3::aggregate3Call::abi_decode_returns(&said).map_err(|_| Undecided::Chain)?;
                results.get(1).map(|result| result.returnData.clone()).unwrap_or_default()
            }
        };
        // The selector of isValidSignature, and nothing after it in its word.
        let mut yes = [0; 32];
        yes.iter_mut().zip(ContractPayer::isValidSignatureCall::SELECTOR).for_each(|(byte, of)| *byte = of);
        if said.as_ref() != yes {
            return Err(Reject::Signature("the payer's contract says that it is not its own").into());
        }
        let gas = done(answers.next())?;
        Ok(Simulation::Succeeds { gas: read::<Quantity<u64>>(&gas).map_err(Undecided::from)?.0 })
    }
}

/// What a dry run returned, if it came to its end.
fn done(answer: Option<Result<Box<RawValue>, RpcError>>) -> Result<Box<RawValue>, VerifyError> {
    let error = match answer.ok_or(Undecided::Chain)? {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let text = error.message.to_ascii_lowercase();
    if text.contains("out of gas") || text.contains("gas required exceeds allowance") {
        return Err(Reject::Reverts("it needs more gas than is allowed".to_owned()).into());
    }
    // Geth's words for code that breaks off: it is the payer's.
    let broken = ["invalid opcode", "invalid jump", "stack underflow", "stack limit", "write protection", "return data out of bounds"];
    if broken.iter().any(|words| text.contains(words)) {
        return Err(Reject::Reverts("the payer's contract breaks off".to_owned()).into());
    }
    if revert::is_revert(&error) {
        return Err(Reject::Reverts(revert::reason(&error)).into());
    }
    Err(Undecided::Chain.into())
}
