//! `verify`: is this payment good, and what does it promise of its payer's balance?

use super::{
    Callers, Engine, HOLD, Shared,
    network::NetworkEngine,
    reserve::{Claimant, Holder, Terms},
};
use h402_core::{
    Amount, Attestation, CallerKey, CheckPolicy, Checked, Clock, JudgePolicy, Matched, PaymentClass, PaymentRow, Proof, Reject, Store,
    Undecided, Verified, VerifyError,
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
        let network = shared.serves(&payment)?;
        let key = payment.key();
        if let Some(row) = shared.store.payment(&key).await.map_err(Undecided::from)? {
            return known(payment, &row, caller);
        }
        shared.takes(network, &payment)?;
        let checked = payment.check(&shared.policy())?;
        match shared.vouch(network, &checked, caller).await {
            Ok(attestation) => Ok(Verified::attested(checked, attestation)),
            // Perhaps the chain refuses because it was settled here meanwhile; then the ledger has the answer.
            Err(error) => match shared.store.payment(&key).await.map_err(Undecided::from)? {
                Some(row) => known(checked.into_matched(), &row, caller),
                None => Err(error),
            },
        }
    }
}

/// A payment that the ledger has: good for the caller that it was claimed for, and for nobody else.
fn known(payment: Matched, row: &PaymentRow, caller: Option<CallerKey>) -> Result<Verified, VerifyError> {
    let transaction = row.state.transaction();
    let repeated = row.caller.is_some() && row.caller == caller && is_same(row, &payment);
    if !repeated || !(row.state.is_open() || row.state.is_settled()) {
        return Err(match row.state {
            state if state.is_settled() => Reject::DuplicateSettlement { transaction },
            state if state.is_open() => Reject::InProgress,
            _ => Reject::AlreadyUsed,
        }
        .into());
    }
    let sent = matches!(payment.proof(), Proof::EvmSent { .. });
    let attestation = Attestation { key: row.key, aliases: payment.aliases(), payer: row.payer, transaction: transaction.filter(|_| sent) };
    // It was in time when it was claimed.
    let any_time = CheckPolicy { now: row.claimed_at, min_left: 0, max_left: u64::MAX };
    Ok(Verified::attested(payment.check(&any_time)?, attestation))
}

/// Whether what is presented is what was claimed: a nonce can be signed twice, for other terms, and the hash of a
/// transaction can be presented by anybody (T054).
pub(super) fn is_same(row: &PaymentRow, payment: &Matched) -> bool {
    let offer = &payment.requirements().offer;
    row.payer == payment.payer() && row.asset == offer.asset.id && row.pay_to == offer.pay_to && row.amount >= offer.least()
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// The network of a payment, if it is served here with this asset and can be asked now.
    pub(super) fn serves(&self, payment: &Matched) -> Result<&NetworkEngine, VerifyError> {
        let network = self.network(payment.network())?;
        let offered = &payment.requirements().offer.asset;
        let known = self.assets.get(&offered.id).ok_or(Reject::Asset)?;
        if known.decimals != offered.decimals || known.eip3009 != offered.eip3009 {
            return Err(Reject::Requirements("the asset's facts are not the ones known here").into());
        }
        if !network.is_recovered() {
            // Until chain and assets are checked and the ledger's open rows are driven again, nothing can be promised.
            return Err(Undecided::Starting.into());
        }
        Ok(network)
    }

    /// Whether this kind of proof and this amount are taken. Asked of new payments only: what was taken before a
    /// change of configuration still gets its answer.
    pub(super) fn takes(&self, network: &NetworkEngine, payment: &Matched) -> Result<(), Reject> {
        if payment.class() == PaymentClass::Transaction && !self.accept_sent {
            return Err(Reject::PayloadType("payments that are already sent are not accepted here"));
        }
        let minimum = network.minimum(&payment.requirements().offer.asset);
        if payment.amount() < minimum { Err(Reject::BelowMinimum { minimum }) } else { Ok(()) }
    }

    /// Asks the chain, judges, and reserves for a minute.
    async fn vouch(&self, network: &NetworkEngine, checked: &Checked, caller: Option<CallerKey>) -> Result<Attestation, VerifyError> {
        self.untaken(checked).await?;
        let holder = caller.map_or(Holder::Nobody, Holder::Key);
        let facts = network.config.chain.facts(checked).await?;
        let terms = Terms {
            holder,
            exclusive: holder == Holder::Nobody && self.callers == Callers::Guarded,
            block: facts.block,
            now: self.clock.now(),
            hold: HOLD,
            max_open: self.max_open_per_payer,
        };
        let judge = |reserved| checked.judge(&facts, &self.judge_policy(network, reserved));
        self.reservations.decide(claimant(checked.matched()), terms, judge)
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

    pub(super) fn judge_policy(&self, network: &NetworkEngine, reserved: Amount) -> JudgePolicy {
        JudgePolicy {
            times: CheckPolicy::facilitator(self.clock.now()),
            reserved,
            max_gas: network.config.max_gas,
            depth: network.config.accept_depth,
            not_before: self.started,
        }
    }

    /// Judges and reserves for a settlement.
    pub(super) async fn judge_for_settlement(
        &self,
        network: &NetworkEngine,
        checked: &Checked,
    ) -> Result<(Attestation, h402_core::EvmFacts), VerifyError> {
        let facts = network.config.chain.facts(checked).await?;
        if matches!(checked.matched().proof(), Proof::EvmSent { .. }) {
            // The money has moved: nothing is promised any more.
            let attestation = checked.judge(&facts, &self.judge_policy(network, Amount::ZERO))?;
            return Ok((attestation, facts));
        }
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
        Proof::EvmSent { .. } => Amount::ZERO,
        _ => payment.amount(),
    };
    Claimant { payer: payment.payer(), asset: offer.asset.id, key: payment.key(), amount }
}
