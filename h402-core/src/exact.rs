//! Schemes `exact` and `upto`: a payment as a chain of types, each step eating the last.
//!
//! `PaymentPayload → Matched → Checked → Verified`. A [`crate::Claimed`] follows, which stands for a stored row.

mod authorization;
mod judge;
mod matching;
mod permit2;
mod proof;
mod sent;
mod signature;
mod solana;
mod transaction;

pub use judge::{
    AllowedExtensions, EvmFacts, JudgePolicy, NativeChange, Permit2Facts, ReceiptFacts, SentFacts, Simulation, SolanaFacts, SolanaPolicy,
    SolanaSentFacts, SolanaSimulation, TokenChange, TransferLog,
};
pub use proof::Proof;
pub use signature::PayerSignature;

use crate::{
    Address, Amount, Network, Offer, Offers, PaymentClass, PaymentId, PaymentKey, PaymentPayload, Reject, Requirements, Resource, Scheme,
    TransactionId, UnixMillis, UnixSeconds,
};
use std::sync::Arc;

/// A payload and the one offer it pays, with its signer recovered. Times and chain are not looked at yet.
#[derive(Debug, Clone)]
pub struct Matched {
    payload: PaymentPayload,
    requirements: Requirements,
    proof: Proof,
}

/// How strictly times are checked, and what the time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPolicy {
    /// The wall clock.
    pub now: UnixMillis,
    /// Seconds a payment must stay valid from now on.
    pub min_left: u64,
    /// Seconds a payment may at most stay valid from now on (T021).
    pub max_left: u64,
}

impl CheckPolicy {
    /// Lifetime beyond which a payment is refused, in seconds.
    pub const MAX_LEFT: u64 = 600;
    /// A facilitator needs this many seconds to settle (T019).
    pub const MIN_LEFT: u64 = 12;

    /// The policy of a facilitator.
    #[must_use]
    pub fn facilitator(now: UnixMillis) -> Self {
        Self { now, min_left: Self::MIN_LEFT, max_left: Self::MAX_LEFT }
    }
}

/// A matched payment whose times and fields are right: all that can be known without the chain.
#[derive(Debug, Clone)]
pub struct Checked(Matched);

/// A checked payment that a facilitator vouches for.
#[derive(Debug, Clone)]
pub struct Verified {
    checked: Checked,
    attestation: Attestation,
}

/// What a facilitator's yes contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The payment's key.
    pub key: PaymentKey,
    /// Its other names.
    pub aliases: Vec<PaymentKey>,
    /// Who pays.
    pub payer: Address,
    /// The transaction, for payments already on chain.
    pub transaction: Option<TransactionId>,
}

impl Matched {
    /// Finds the one offer that `payload` pays, by what was signed and not by what the payer says (T110).
    ///
    /// # Errors
    /// A [`Reject`] that names the first thing no offer agrees with.
    pub fn new(payload: PaymentPayload, offers: &Offers, resource: &Arc<Resource>, lifetime_seconds: Option<u64>) -> Result<Self, Reject> {
        matching::select(payload, offers, resource, lifetime_seconds, false)
    }

    /// As [`Matched::new`], and takes more than the price whatever the dialect: for telling which payment it is, not whether it
    /// is enough; where `contracts` is set, payers may be contracts.
    ///
    /// # Errors
    /// As [`Matched::new`] and [`Matched::with_contracts`].
    pub fn at_least(
        payload: PaymentPayload,
        offers: &Offers,
        resource: &Arc<Resource>,
        lifetime_seconds: Option<u64>,
        contracts: bool,
    ) -> Result<Self, Reject> {
        matching::find(payload, offers, resource, lifetime_seconds, contracts)
    }

    /// As [`Matched::new`], and takes what no key of the payer's account has signed for a signature of the payer's contract.
    /// Nothing is known of it before the chain was asked, so this is for whoever asks.
    ///
    /// # Errors
    /// As [`Matched::new`]; [`Reject::Ambiguous`] if such a signature could be for several offers.
    pub fn with_contracts(
        payload: PaymentPayload,
        offers: &Offers,
        resource: &Arc<Resource>,
        lifetime_seconds: Option<u64>,
    ) -> Result<Self, Reject> {
        matching::select(payload, offers, resource, lifetime_seconds, true)
    }

    /// The payload as decoded.
    #[must_use]
    pub fn payload(&self) -> &PaymentPayload {
        &self.payload
    }

    /// The offer it pays, for which resource.
    #[must_use]
    pub fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// The proof with its signatures checked.
    #[must_use]
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The network it is paid on.
    #[must_use]
    pub fn network(&self) -> Network {
        self.requirements.offer.network()
    }

    /// Whether something is left to settle.
    #[must_use]
    pub fn class(&self) -> PaymentClass {
        self.payload.payload.class()
    }

    /// Whether only the payer's contract can say that it is the payer's: nothing of its signature was checked.
    #[must_use]
    pub fn is_for_contract(&self) -> bool {
        matches!(self.proof, Proof::Authorization { signature: PayerSignature::Contract(_), .. })
    }

    /// Who pays: whoever signed, or is said to have by what only a contract can tell.
    #[must_use]
    pub fn payer(&self) -> Address {
        match &self.proof {
            Proof::Authorization { authorization, .. } => authorization.from.into(),
            Proof::Permit2 { authorization, .. } => authorization.from.into(),
            Proof::EvmTransaction { transaction, .. } => transaction.sender.into(),
            Proof::EvmSent { claimant, .. } => (*claimant).into(),
            Proof::SolanaTransaction { payment, .. } => payment.payer.into(),
            Proof::SolanaSent { claimant, .. } => (*claimant).into(),
        }
    }

    /// How much is paid: at least the price, in scheme `upto` what is asked for and not what was signed. A sent transaction counts as the price until the chain is asked.
    #[must_use]
    pub fn amount(&self) -> Amount {
        match &self.proof {
            Proof::Authorization { authorization, .. } => authorization.value,
            Proof::Permit2 { authorization, .. } if self.requirements.offer.scheme == Scheme::Exact => authorization.amount,
            Proof::EvmTransaction { paid, .. } => *paid,
            Proof::SolanaTransaction { payment, .. } => Amount::from_atomic(u128::from(payment.amount)),
            Proof::Permit2 { .. } | Proof::EvmSent { .. } | Proof::SolanaSent { .. } => self.requirements.offer.amount,
        }
    }

    /// The same payment of less, in scheme `upto`: what it is to be settled for. None for nothing at all, for more than was
    /// asked for, and in other schemes.
    #[must_use]
    pub fn charged(&self, amount: Amount) -> Option<Self> {
        let offer = &self.requirements.offer;
        if offer.scheme != Scheme::Upto || amount.is_zero() || amount > offer.amount {
            return None;
        }
        let offer = Arc::new(Offer { amount, ..offer.as_ref().clone() });
        Some(Self { requirements: Requirements { offer, ..self.requirements.clone() }, ..self.clone() })
    }

    /// The payment's identity, where it shows without asking the chain.
    #[must_use]
    pub fn id(&self) -> Option<PaymentId> {
        match (&self.proof, self.network()) {
            (Proof::Authorization { authorization, .. }, Network::Evm(chain)) => {
                let token = self.requirements.offer.asset.id.address.evm()?;
                Some(PaymentId::Eip3009 { chain, token, from: authorization.from, nonce: authorization.nonce })
            }
            (Proof::Permit2 { authorization, .. }, Network::Evm(chain)) => {
                Some(PaymentId::Permit2 { chain, owner: authorization.from, nonce: authorization.nonce })
            }
            (Proof::EvmTransaction { transaction, .. }, Network::Evm(chain)) => {
                Some(PaymentId::EvmTransaction { chain, sender: transaction.sender, nonce: transaction.nonce })
            }
            (Proof::SolanaTransaction { transaction, .. }, Network::Solana(genesis)) => {
                Some(PaymentId::SolanaMessage { genesis, hash: transaction.message.hash() })
            }
            _ => None,
        }
    }

    /// The key of the payment; a sent transaction goes by its hash until the chain is asked.
    #[must_use]
    pub fn key(&self) -> PaymentKey {
        match (&self.proof, self.id()) {
            (Proof::EvmSent { hash, .. }, _) => PaymentKey::of_transaction(self.network(), &TransactionId::Evm(*hash)),
            (Proof::SolanaSent { signature, .. }, _) => PaymentKey::of_transaction(self.network(), &TransactionId::Solana(*signature)),
            (_, Some(id)) => id.key(),
            // Each is matched on networks of its own kind only, so it has an identity.
            (
                Proof::Authorization { .. } | Proof::Permit2 { .. } | Proof::EvmTransaction { .. } | Proof::SolanaTransaction { .. },
                None,
            ) => PaymentKey::from_bytes([0; 32]),
        }
    }

    /// The payment's other names.
    #[must_use]
    pub fn aliases(&self) -> Vec<PaymentKey> {
        let name = match &self.proof {
            Proof::Authorization { .. } | Proof::Permit2 { .. } => return Vec::new(),
            Proof::EvmTransaction { transaction, .. } => TransactionId::Evm(transaction.hash),
            Proof::EvmSent { hash, .. } => TransactionId::Evm(*hash),
            // The first signature is the sponsor's, and what stands there now is anybody's (T073).
            Proof::SolanaTransaction { payment, .. } if payment.is_sponsored() => return Vec::new(),
            Proof::SolanaTransaction { transaction, .. } => match transaction.signatures.first() {
                Some(signature) => TransactionId::Solana(*signature),
                None => return Vec::new(),
            },
            Proof::SolanaSent { signature, .. } => TransactionId::Solana(*signature),
        };
        vec![PaymentKey::of_transaction(self.network(), &name)]
    }

    /// When the payment can no longer be settled, if that is a time. A Solana transaction expires with its blockhash.
    #[must_use]
    pub fn expires(&self) -> Option<UnixSeconds> {
        match &self.proof {
            Proof::Authorization { authorization, .. } => Some(UnixSeconds(u64::try_from(authorization.valid_before).unwrap_or(u64::MAX))),
            Proof::Permit2 { authorization, .. } => Some(UnixSeconds(u64::try_from(authorization.deadline).unwrap_or(u64::MAX))),
            Proof::EvmTransaction { .. } | Proof::EvmSent { .. } | Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => None,
        }
    }

    /// When the payment is of no use any more to anybody who presents it, if it was good at `now`; none if never.
    ///
    /// A Solana transaction lives for 150 blocks, a minute or two; clusters have stood still for most of a day.
    #[must_use]
    pub fn lapses(&self, now: UnixMillis) -> Option<UnixMillis> {
        const STANDSTILL: core::time::Duration = core::time::Duration::from_secs(3 * 24 * 3600);
        match &self.proof {
            Proof::SolanaTransaction { .. } => Some(now.plus(STANDSTILL)),
            Proof::Authorization { .. }
            | Proof::Permit2 { .. }
            | Proof::EvmTransaction { .. }
            | Proof::EvmSent { .. }
            | Proof::SolanaSent { .. } => self.expires().map(UnixSeconds::millis),
        }
    }

    /// Checks everything that needs no chain.
    ///
    /// # Errors
    /// A [`Reject`] naming the field.
    pub fn check(self, policy: &CheckPolicy) -> Result<Checked, Reject> {
        // Not part of matching: a payment that is used elsewhere is to be recognised whatever it claims to be for.
        // Requirements of others may name no resource: then there is nothing to compare the payer's with.
        let offered = &self.requirements.resource.url;
        if !offered.is_empty() && self.payload.resource.as_ref().is_some_and(|claimed| claimed != offered) {
            return Err(Reject::Resource);
        }
        match &self.proof {
            Proof::Authorization { authorization, .. } => authorization::check(authorization, policy)?,
            Proof::Permit2 { authorization, permit, .. } => {
                permit2::check(&self.requirements.offer.asset, authorization, permit.as_ref(), policy)?;
            }
            Proof::EvmTransaction { .. } | Proof::EvmSent { .. } | Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => {}
        }
        Ok(Checked(self))
    }
}

impl Checked {
    /// The matched payment.
    #[must_use]
    pub fn matched(&self) -> &Matched {
        &self.0
    }

    /// The matched payment, to be checked by somebody else again.
    #[must_use]
    pub fn into_matched(self) -> Matched {
        self.0
    }

    /// Judges an EVM payment by what its chain says.
    ///
    /// # Errors
    /// [`crate::VerifyError::Rejected`] with the payer's fault; [`crate::VerifyError::Undecided`] if the
    /// facts are of the wrong chain or do not cover this kind of proof.
    pub fn judge(&self, facts: &EvmFacts, policy: &JudgePolicy) -> Result<Attestation, crate::VerifyError> {
        judge::judge_evm(&self.0, facts, policy)
    }

    /// Judges a payment on Solana by what its cluster says.
    ///
    /// # Errors
    /// As [`Checked::judge`].
    pub fn judge_solana(&self, facts: &SolanaFacts, policy: &SolanaPolicy) -> Result<Attestation, crate::VerifyError> {
        judge::judge_solana(&self.0, facts, policy)
    }
}

impl Verified {
    /// Records a facilitator's yes. For implementations of [`crate::Facilitator`]: whoever calls this vouches.
    #[must_use]
    pub fn attested(checked: Checked, attestation: Attestation) -> Self {
        Self { checked, attestation }
    }

    /// The matched payment.
    #[must_use]
    pub fn matched(&self) -> &Matched {
        &self.checked.0
    }

    /// What the facilitator vouches for.
    #[must_use]
    pub fn attestation(&self) -> &Attestation {
        &self.attestation
    }
}

#[cfg(test)]
mod tests;
