//! Transfers through Permit2: the call that settles one, what a stored call says, and what became of one on chain.

use super::{
    EvmChain,
    abi::{call_at_latest, word},
    authorization::{AuthorizationLog, AuthorizationTrace},
    logs::Wanted,
    quantity::{Data, hash, read},
    question::WireTransaction,
};
use crate::rpc::Call;
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use h402_core::{
    Amount, BlockRef, EvmAddress, JudgePolicy, Matched, Permit2Authorization, Proof, Scheme, SignedPermit, Undecided, UnixSeconds,
    evm::{
        self, EIP2612Permit, Erc20, ExactProxy, ExactWitness, PERMIT2, Permit2, PermitTransferFrom, TokenPermissions, UptoProxy,
        UptoWitness,
    },
};

/// How payments through Permit2 are settled: its canonical contracts must be on the chain.
///
/// ```
/// assert_eq!(h402_facilitator::evm::Permit2Payments::default().max_gas, 300_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Payments {
    /// Greatest gas that a settlement's dry run may use, the payer's approval included.
    pub max_gas: u64,
}

impl Default for Permit2Payments {
    fn default() -> Self {
        Self { max_gas: JudgePolicy::MAX_GAS_PERMIT2 }
    }
}

/// Payments of one payer to one payee that are looked at, the latest first, to find one of them.
const CANDIDATES: usize = 64;

/// What a call of a proxy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxyCall {
    /// Which proxy it is for.
    pub(crate) proxy: EvmAddress,
    pub(crate) owner: EvmAddress,
    pub(crate) nonce: U256,
    /// What it moves.
    token: EvmAddress,
    /// To whom.
    to: EvmAddress,
    /// How much.
    amount: U256,
    /// The account that must send it; none if anybody may.
    pub(crate) sender: Option<EvmAddress>,
}

impl ProxyCall {
    /// Reads call data, if it settles a payment through a proxy.
    pub(crate) fn read(input: &[u8]) -> Option<Self> {
        let exact = |owner, permit: PermitTransferFrom, witness: ExactWitness| Self {
            proxy: evm::permit2_proxy(Scheme::Exact),
            owner,
            nonce: permit.nonce,
            token: permit.permitted.token,
            to: witness.to,
            amount: permit.permitted.amount,
            sender: None,
        };
        let upto = |owner, permit: PermitTransferFrom, amount, witness: UptoWitness| Self {
            proxy: evm::permit2_proxy(Scheme::Upto),
            owner,
            nonce: permit.nonce,
            token: permit.permitted.token,
            to: witness.to,
            amount,
            sender: Some(witness.facilitator),
        };
        match *input.first_chunk::<4>()? {
            ExactProxy::settleCall::SELECTOR => {
                let call = ExactProxy::settleCall::abi_decode(input).ok()?;
                Some(exact(call.owner, call.permit, call.witness))
            }
            ExactProxy::settleWithPermitCall::SELECTOR => {
                let call = ExactProxy::settleWithPermitCall::abi_decode(input).ok()?;
                Some(exact(call.owner, call.permit, call.witness))
            }
            UptoProxy::settleCall::SELECTOR => {
                let call = UptoProxy::settleCall::abi_decode(input).ok()?;
                Some(upto(call.owner, call.permit, call.amount, call.witness))
            }
            UptoProxy::settleWithPermitCall::SELECTOR => {
                let call = UptoProxy::settleWithPermitCall::abi_decode(input).ok()?;
                Some(upto(call.owner, call.permit, call.amount, call.witness))
            }
            _ => None,
        }
    }

    /// Whether it makes this transfer and no other. With another token in it, that token could move this one in the middle, for
    /// another payment (T173).
    fn makes(&self, wanted: &Permit2Transfer) -> bool {
        let Permit2Transfer { token, from, to, amount, nonce } = *wanted;
        (self.owner, self.nonce, self.token, self.to, self.amount) == (from, nonce, token, to, amount.to_u256())
    }
}

/// The call of the proxy that settles a payment: for the whole amount, in scheme `upto` for what is asked.
pub(super) fn settlement(payment: &Matched) -> Option<(EvmAddress, Bytes)> {
    let Proof::Permit2 { authorization, signature, permit } = payment.proof() else { return None };
    let Permit2Authorization { from: owner, token, amount, spender, nonce, deadline, witness } = authorization.clone();
    let signature = Bytes::copy_from_slice(&signature.as_bytes());
    let of_token = TokenPermissions { token, amount: amount.to_u256() };
    let transfer = PermitTransferFrom { permitted: of_token, nonce, deadline };
    let permit2612 = match permit {
        Some(permit) => Some(approval(permit)?),
        None => None,
    };
    let input = match (witness.facilitator, permit2612) {
        (None, None) => {
            let witness = ExactWitness { to: witness.to, validAfter: witness.valid_after };
            ExactProxy::settleCall { permit: transfer, owner, witness, signature }.abi_encode()
        }
        (None, Some(permit2612)) => {
            let witness = ExactWitness { to: witness.to, validAfter: witness.valid_after };
            ExactProxy::settleWithPermitCall { permit2612, permit: transfer, owner, witness, signature }.abi_encode()
        }
        (Some(facilitator), permit2612) => {
            let witness = UptoWitness { to: witness.to, facilitator, validAfter: witness.valid_after };
            let amount = payment.amount().to_u256();
            match permit2612 {
                None => UptoProxy::settleCall { permit: transfer, amount, owner, witness, signature }.abi_encode(),
                Some(permit2612) => {
                    UptoProxy::settleWithPermitCall { permit2612, permit: transfer, amount, owner, witness, signature }.abi_encode()
                }
            }
        }
    };
    Some((spender, input.into()))
}

fn approval(signed: &SignedPermit) -> Option<EIP2612Permit> {
    let signature = evm::parse_signature(&signed.signature).ok()?;
    Some(EIP2612Permit {
        value: signed.permit.value.to_u256(),
        deadline: signed.permit.deadline,
        r: signature.r().into(),
        s: signature.s().into(),
        v: 27 + u8::from(signature.v()),
    })
}

/// The call that reads the word of Permit2 in which a nonce has its bit.
pub(super) fn nonce_call(owner: EvmAddress, nonce: U256) -> Vec<u8> {
    let (word, _) = evm::permit2_nonce_position(nonce);
    Permit2::nonceBitmapCall { owner, word }.abi_encode()
}

/// Whether a nonce is used, by the word that has its bit.
pub(super) fn is_used(nonce: U256, word: U256) -> bool {
    let (_, bit) = evm::permit2_nonce_position(nonce);
    !(word & bit).is_zero()
}

/// A transfer through Permit2 to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Transfer {
    /// With what it is paid.
    pub token: EvmAddress,
    /// Who pays.
    pub from: EvmAddress,
    /// Who is paid.
    pub to: EvmAddress,
    /// How much.
    pub amount: Amount,
    /// The payer's Permit2 nonce.
    pub nonce: U256,
}

impl EvmChain {
    /// Looks for the transaction that made a transfer through Permit2, in all blocks that are not older than `since`. What
    /// is not there was not there at `block`, or is newer.
    ///
    /// Permit2 logs nothing of a nonce that is used. So the transaction is found by the token's own `Transfer`, and must be a
    /// call of a canonical proxy for just this transfer, made directly: what is wrapped in another contract is not shown, since a
    /// `Transfer` in it could be that of any payment.
    ///
    /// One HTTP request if the nonce is not used; one or more for the logs, as for authorizations; two more if there are such
    /// transfers, and one for the receipt.
    ///
    /// # Errors
    /// [`Undecided`] if a node that has the block does not answer for all of it, or contradicts itself.
    pub async fn permit2_transfer(
        &self,
        wanted: &Permit2Transfer,
        block: BlockRef,
        since: UnixSeconds,
    ) -> Result<AuthorizationTrace, Undecided> {
        let Permit2Transfer { token, from, to, amount, nonce } = *wanted;
        // The state first, as with authorizations.
        let (mut answers, _) = self.inner.ask_with(block, [call_at_latest(PERMIT2, &nonce_call(from, nonce))]).await?;
        let bitmap = answers.pop().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain)?;
        if !is_used(nonce, word(&read::<Data>(&bitmap)?.0)?) {
            return Ok(AuthorizationTrace { used: false, log: None });
        }
        let topics = [Erc20::Transfer::SIGNATURE_HASH, from.into_word(), to.into_word()];
        let mut candidates: Vec<B256> = Vec::new();
        self.logs_back(&Wanted { contract: token, topics }, block, since, |logs| {
            for log in logs.iter().rev() {
                let transfer = log.transfer().filter(|_| !log.removed);
                let pays = transfer.is_some_and(|log| (log.token, log.from, log.to, log.amount) == (token, from, to, amount));
                let id = log.transaction_hash.as_ref().map(|hash| hash.0);
                if pays && !candidates.contains(&id.ok_or(Undecided::Chain)?) {
                    candidates.extend(id);
                }
            }
            Ok(candidates.len() >= CANDIDATES)
        })
        .await?;
        // The one that is looked for may be behind so many others.
        let is_cut = candidates.len() >= CANDIDATES;
        candidates.truncate(CANDIDATES);
        if candidates.is_empty() {
            return Ok(AuthorizationTrace { used: true, log: None });
        }
        let calls = candidates.iter().map(|id| Call::new("eth_getTransactionByHash", &[hash(id)]));
        for (id, answer) in candidates.iter().zip(self.inner.ask(calls).await?) {
            let Some(transaction): Option<WireTransaction> = read(&answer.map_err(|_| Undecided::Chain)?)? else { continue };
            let Some(call) = ProxyCall::read(transaction.input()) else { continue };
            if !transaction.is(id) || transaction.to() != Some(call.proxy) || !call.makes(wanted) {
                continue;
            }
            // A log without a receipt is of a block that is just going: nothing is certain now.
            let receipt = self.receipts(&[*id]).await?.pop().flatten();
            let receipt = receipt.filter(|receipt| receipt.shows_transfer(token, from, to, amount)).ok_or(Undecided::Chain)?;
            return Ok(AuthorizationTrace { used: true, log: Some(AuthorizationLog { transaction: *id, receipt }) });
        }
        if is_cut { Err(Undecided::Chain) } else { Ok(AuthorizationTrace { used: true, log: None }) }
    }
}
