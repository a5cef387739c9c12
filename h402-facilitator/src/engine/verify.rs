//! `verify`: is this payment good, and what does it promise of its payer's balance?

use super::{
    Callers, Engine, HOLD, Shared,
    network::NetworkEngine,
    reserve::{Claimant, Holder, Terms},
};
use h402_core::{
    Attestation, CallerKey, CheckPolicy, Checked, Clock, JudgePolicy, Matched, PaymentClass, Proof, Reject, Store, Undecided, UnixSeconds,
    Verified, VerifyError,
};

impl<S: Store, C: Clock> Engine<S, C> {
    /// Verifies a payment: nothing is stored, and the payer's balance stays reserved for a minute.
    ///
    /// # Errors
    /// [`VerifyError::Rejected`] is the payer's fault, [`VerifyError::Undecided`] ours.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn verify(&self, payment: Matched, caller: Option<CallerKey>) -> Result<Verified, VerifyError> {
        let shared = &self.shared;
        let _permit = shared.admit()?;
        let network = shared.accepts(&payment)?;
        let checked = payment.check(&shared.policy())?;
        let key = checked.matched().key();
        if let Some(row) = shared.store.payment(&key).await.map_err(Undecided::from)? {
            let repeated = row.caller.is_some() && row.caller == caller;
            return match repeated && (row.state.is_open() || row.state.is_settled()) {
                true => Ok(Verified::attested(checked.clone(), attestation_of(&checked))),
                false if row.state.is_settled() => Err(Reject::DuplicateSettlement { transaction: row.state.transaction() }.into()),
                false if row.state.is_open() => Err(Reject::InProgress.into()),
                false => Err(Reject::AlreadyUsed.into()),
            };
        }
        shared.untaken(&checked).await?;
        let claimant = claimant(checked.matched());
        let holder = caller.map_or(Holder::Nobody, Holder::Key);
        let facts = network.config.chain.facts(&checked).await?;
        let terms = Terms {
            holder,
            exclusive: holder == Holder::Nobody && shared.callers == Callers::Guarded,
            block: facts.block,
            now: shared.clock.now(),
            hold: HOLD,
            max_open: shared.max_open_per_payer,
        };
        let attestation =
            shared.reservations.decide(claimant, terms, |reserved| checked.judge(&facts, &shared.judge_policy(network, reserved)))?;
        Ok(Verified::attested(checked, attestation))
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Whether this facilitator takes the payment's asset, network and kind of proof at all.
    pub(super) fn accepts(&self, payment: &Matched) -> Result<&NetworkEngine, Reject> {
        let network = self.network(payment.network())?;
        let offered = &payment.requirements().offer.asset;
        let known = self.assets.get(&offered.id).ok_or(Reject::Asset)?;
        if known.decimals != offered.decimals || known.eip3009 != offered.eip3009 {
            return Err(Reject::Requirements("the asset's facts are not the ones known here"));
        }
        if payment.class() == PaymentClass::Transaction && !self.accept_sent {
            return Err(Reject::PayloadType("payments that are already sent are not accepted here"));
        }
        let minimum = network.minimum(known);
        if payment.amount() < minimum {
            return Err(Reject::BelowMinimum { minimum });
        }
        Ok(network)
    }

    /// No other name of the payment belongs to another payment or to a transaction of ours (T173).
    pub(super) async fn untaken(&self, checked: &Checked) -> Result<(), VerifyError> {
        for alias in checked.matched().aliases() {
            if self.store.is_taken(&alias).await.map_err(Undecided::from)? {
                return Err(Reject::AlreadyUsed.into());
            }
        }
        Ok(())
    }

    pub(super) fn judge_policy(&self, network: &NetworkEngine, reserved: h402_core::Amount) -> JudgePolicy {
        JudgePolicy {
            times: CheckPolicy::facilitator(self.clock.now()),
            reserved,
            max_gas: network.config.max_gas,
            depth: network.config.accept_depth,
            not_before: UnixSeconds(self.started.0),
        }
    }

    /// Judges and reserves for a settlement.
    pub(super) async fn judge_for_settlement(
        &self,
        network: &NetworkEngine,
        checked: &Checked,
    ) -> Result<(Attestation, h402_core::EvmFacts), VerifyError> {
        let facts = network.config.chain.facts(checked).await?;
        let terms = Terms {
            holder: Holder::Settlement,
            exclusive: false,
            block: facts.block,
            now: self.clock.now(),
            hold: HOLD,
            max_open: self.max_open_per_payer,
        };
        let attestation = self
            .reservations
            .decide(claimant(checked.matched()), terms, |reserved| checked.judge(&facts, &self.judge_policy(network, reserved)))?;
        Ok((attestation, facts))
    }
}

pub(super) fn claimant(payment: &Matched) -> Claimant {
    let offer = &payment.requirements().offer;
    // A payer's own transaction may also move the native coin for its gas; only the asset paid with is promised here.
    let amount = match payment.proof() {
        // The money has moved already: it promises nothing of the balance.
        Proof::EvmSent { .. } => h402_core::Amount::ZERO,
        _ => payment.amount(),
    };
    Claimant { payer: payment.payer(), asset: offer.asset.id, key: payment.key(), amount }
}

fn attestation_of(checked: &Checked) -> Attestation {
    let matched = checked.matched();
    Attestation { key: matched.key(), aliases: matched.aliases(), payer: matched.payer(), transaction: None }
}
