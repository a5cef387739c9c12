//! What an EVM chain must say before a payment is accepted.

use super::super::{Attestation, CheckPolicy, Matched, Proof, authorization, permit2, transaction};
use crate::{Amount, EvmAddress, Network, PaymentId, PaymentKey, Reject, TransactionId, Undecided, UnixSeconds, VerifyError};
use alloy_primitives::{B256, Bytes, U256};

/// What an EVM chain says about one payment, all read at one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvmFacts {
    /// The chain's own id.
    pub chain_id: u64,
    /// Number of the block the facts are of.
    pub block: u64,
    /// Its timestamp.
    pub time: UnixSeconds,
    /// Base fee of the block in wei per gas, zero before EIP-1559; only for transactions.
    pub base_fee: u128,
    /// Whether the payer is a contract or delegates to one.
    pub payer_has_code: bool,
    /// The payer's balance of the asset.
    pub balance: Amount,
    /// The payer's native balance in wei; only for transactions.
    pub native_balance: Option<U256>,
    /// The payer's next account nonce; only for transactions.
    pub account_nonce: Option<u64>,
    /// Whether the authorization's nonce is used or cancelled; only for authorizations.
    pub authorization_used: Option<bool>,
    /// What Permit2 and the token say about the payer; only for transfers through Permit2.
    pub permit2: Option<Permit2Facts>,
    /// The transfer tried without sending it; only for payments not yet on chain.
    pub simulation: Option<Simulation>,
    /// The sent transaction, if the chain knows it; only for sent transactions.
    pub sent: Option<SentFacts>,
}

/// What is asked about a transfer through Permit2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Facts {
    /// Whether its nonce is used or invalidated.
    pub nonce_used: bool,
    /// How much of the token its payer lets Permit2 move.
    pub allowance: Amount,
}

/// How a transfer fared that was tried without being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Simulation {
    /// It would succeed with this much gas.
    Succeeds {
        /// Estimated gas.
        gas: u64,
    },
    /// It would revert.
    Reverts {
        /// The chain's reason, shortened.
        reason: String,
    },
}

/// A transaction as the chain knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFacts {
    /// Sender.
    pub from: EvmAddress,
    /// Called account.
    pub to: Option<EvmAddress>,
    /// Account nonce.
    pub nonce: u64,
    /// Native value in wei.
    pub value: U256,
    /// Call data.
    pub input: Bytes,
    /// Its receipt, once mined.
    pub receipt: Option<ReceiptFacts>,
}

/// A mined transaction's receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptFacts {
    /// Whether it succeeded.
    pub success: bool,
    /// Block number.
    pub block: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Block timestamp.
    pub time: UnixSeconds,
    /// `Transfer` logs with exactly three topics and 32 bytes of data (T056).
    pub transfers: Vec<TransferLog>,
    /// `AuthorizationUsed` logs as (token, authorizer, nonce).
    pub authorizations: Vec<(EvmAddress, EvmAddress, B256)>,
    /// What its sender paid for it in wei: gas, and on OP-stack chains the fee of the chain below. None if the node does not say.
    pub cost: Option<U256>,
}

/// A `Transfer` log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLog {
    /// Contract that logged it.
    pub token: EvmAddress,
    /// Sender.
    pub from: EvmAddress,
    /// Recipient.
    pub to: EvmAddress,
    /// Amount.
    pub amount: Amount,
}

impl ReceiptFacts {
    /// Whether this receipt shows `from` paying `to` at least `amount` of `token` in one log (T061, T066).
    #[must_use]
    pub fn shows_transfer(&self, token: EvmAddress, from: EvmAddress, to: EvmAddress, amount: Amount) -> bool {
        self.success && self.transfers.iter().any(|log| log.token == token && log.from == from && log.to == to && log.amount >= amount)
    }
}

/// What a facilitator demands beyond the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgePolicy {
    /// Times.
    pub times: CheckPolicy,
    /// What other open payments have promised of the payer's balance.
    pub reserved: Amount,
    /// Greatest gas one settlement may use.
    pub max_gas: u64,
    /// Blocks that must be on top of a sent transaction's own, itself included.
    pub depth: u64,
    /// A sent transaction mined before this is too old.
    pub not_before: UnixSeconds,
}

impl JudgePolicy {
    /// Gas that an EIP-3009 settlement may use unless configured otherwise.
    pub const MAX_GAS: u64 = 150_000;
    /// Gas that a settlement through Permit2 may use unless configured otherwise, its payer's approval included.
    pub const MAX_GAS_PERMIT2: u64 = 300_000;
    /// How long after it was mined a sent transaction can be claimed, in seconds.
    pub const CLAIM_WINDOW: u64 = 3600;
}

pub(in crate::exact) fn judge(matched: &Matched, facts: &EvmFacts, policy: &JudgePolicy) -> Result<Attestation, VerifyError> {
    let Network::Evm(chain) = matched.network() else { return Err(Undecided::WrongChain.into()) };
    if facts.chain_id != chain {
        return Err(Undecided::WrongChain.into());
    }
    let mut attestation = Attestation { key: matched.key(), aliases: matched.aliases(), payer: matched.payer(), transaction: None };
    match &matched.proof {
        Proof::Authorization { authorization, .. } => {
            if facts.payer_has_code {
                return Err(Reject::PayerHasCode.into());
            }
            // Validity is a matter of block time; an idle chain's last block may be old, so the later clock counts.
            let now = policy.times.now.max(facts.time.millis());
            let times = CheckPolicy { now, max_left: u64::MAX, ..policy.times };
            authorization::check_times(authorization.valid_after, authorization.valid_before, &times)?;
            if facts.authorization_used.ok_or(Undecided::Chain)? {
                return Err(Reject::AuthorizationUsed.into());
            }
            enough(facts.balance, policy.reserved, authorization.value)?;
            simulated(facts, policy.max_gas)?;
        }
        Proof::Permit2 { authorization, permit, .. } => permit2::judge(matched, authorization, permit.is_some(), facts, policy)?,
        Proof::EvmTransaction { transaction, paid, .. } => {
            let account_nonce = facts.account_nonce.ok_or(Undecided::Chain)?;
            if transaction.nonce != account_nonce {
                return Err(Reject::TransactionState("nonce is not the sender's next").into());
            }
            // 12.5 % is the most the base fee can rise in one block; two blocks may pass before inclusion.
            let needed = facts.base_fee.saturating_add(facts.base_fee / 4);
            if transaction.max_fee_per_gas < needed {
                return Err(Reject::TransactionState("fee is below the base fee and a quarter").into());
            }
            let native = matched.requirements.offer.asset.is_native();
            let held = facts.native_balance.ok_or(Undecided::Chain)?;
            let reserved = if native { policy.reserved } else { Amount::ZERO };
            let wei = Amount::from(transaction.value.saturating_add(transaction.max_gas_cost()));
            enough(held.into(), reserved, wei)?;
            if !native {
                enough(facts.balance, policy.reserved, *paid)?;
            }
            // The payer's own gas: only that it is enough is our concern.
            let gas = simulated(facts, u64::MAX)?;
            if transaction.gas_limit < gas {
                return Err(Reject::TransactionState("gas limit is too low").into());
            }
        }
        Proof::EvmSent { hash, claimant } => {
            let sent = facts.sent.as_ref().ok_or(Reject::TransactionState("the chain does not know it"))?;
            if sent.from != *claimant {
                return Err(Reject::Signature("the resource is not signed by the sender of the transaction").into());
            }
            // What waiting cannot change comes first: only a transaction that pays the price is waited for.
            let candidates = vec![matched.requirements.offer.clone()];
            let (offer, paid) = transaction::direct_transfer(&sent.to.map(Into::into), sent.value, &sent.input, candidates)?;
            let receipt = sent.receipt.as_ref().ok_or(Undecided::Unconfirmed)?;
            if !receipt.success {
                return Err(Reject::TransactionState("it failed").into());
            }
            let oldest = policy.times.now.seconds().0.saturating_sub(JudgePolicy::CLAIM_WINDOW).max(policy.not_before.0);
            if receipt.time.0 < oldest {
                return Err(Reject::TooOld.into());
            }
            if facts.block.saturating_add(1) < receipt.block.saturating_add(policy.depth) {
                return Err(Undecided::Unconfirmed.into());
            }
            if !offer.asset.is_native() {
                let token = offer.asset.id.address.evm().ok_or(Undecided::WrongChain)?;
                let payee = offer.pay_to.evm().ok_or(Undecided::WrongChain)?;
                if !receipt.shows_transfer(token, sent.from, payee, paid) {
                    return Err(Reject::TransferNotObserved.into());
                }
            }
            let id = PaymentId::EvmTransaction { chain, sender: sent.from, nonce: sent.nonce };
            attestation.key = id.key();
            let transaction = TransactionId::Evm(*hash);
            attestation.aliases = vec![PaymentKey::of_transaction(matched.network(), &transaction)];
            attestation.transaction = Some(transaction);
        }
        Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => return Err(Undecided::WrongChain.into()),
    }
    Ok(attestation)
}

pub(in crate::exact) fn enough(balance: Amount, reserved: Amount, required: Amount) -> Result<(), Reject> {
    let held = balance.saturating_sub(reserved);
    if held < required { Err(Reject::InsufficientFunds { held, required }) } else { Ok(()) }
}

pub(in crate::exact) fn simulated(facts: &EvmFacts, max_gas: u64) -> Result<u64, VerifyError> {
    match facts.simulation.as_ref().ok_or(Undecided::Chain)? {
        Simulation::Reverts { reason } => Err(Reject::Reverts(reason.clone()).into()),
        Simulation::Succeeds { gas } if *gas > max_gas => Err(Reject::Cost { cost: *gas, limit: max_gas }.into()),
        Simulation::Succeeds { gas } => Ok(*gas),
    }
}
