//! What the chain's facts say about a payment, and what that promises of its payer's balance.

use super::{
    super::{
        Shared,
        reserve::Holder,
        verify::{claimant, is_sent},
    },
    EvmEngine,
};
use crate::window::Share;
use h402_core::{
    Amount, Attestation, CheckPolicy, Checked, Clock, EvmFacts, JudgePolicy, Matched, Proof, Reject, Simulation, Store, VerifyError,
};

impl EvmEngine {
    /// Whether a payment through Permit2 is one that can be settled here.
    fn takes_permit2(&self, payment: &Matched) -> Result<(), Reject> {
        let Proof::Permit2 { authorization, .. } = payment.proof() else { return Ok(()) };
        if self.config.permit2.is_none() {
            return Err(Reject::PayloadType("Permit2 is not taken here"));
        }
        match authorization.witness.facilitator {
            Some(named) if self.lane_of(named).is_none() => Err(Reject::Facilitator),
            _ => Ok(()),
        }
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Asks the chain, judges, and reserves: for a minute, or for a settlement until it is included.
    pub(in crate::engine) async fn judge_evm(
        &self,
        evm: &EvmEngine,
        checked: &Checked,
        holder: Holder,
        share: Share,
    ) -> Result<(Attestation, EvmFacts), VerifyError> {
        evm.progress.ensure(evm.config.max_block_age)?;
        let payment = checked.matched();
        let permit2 = matches!(payment.proof(), Proof::Permit2 { .. });
        let ours = permit2 || matches!(payment.proof(), Proof::Authorization { .. });
        if permit2 {
            evm.takes_permit2(payment)?;
        }
        // However it came here: nobody else has looked at its signature.
        if payment.is_for_contract() && evm.config.contract_payers.is_none() {
            return Err(Reject::Signature("not the payer's signature over an offered token").into());
        }
        if ours {
            if evm.strikes.is_too_much(payment.payer(), self.clock.now()) {
                return Err(Reject::GasWasted.into());
            }
            let named = match payment.proof() {
                Proof::Permit2 { authorization, .. } => authorization.witness.facilitator,
                _ => None,
            };
            evm.can_pay(named).await?;
            self.within_budget(evm, named).await?;
        }
        if let Some(allowed) = &evm.config.contract_payers {
            evm.config.chain.allows_factory(payment, allowed)?;
        }
        let mut facts = evm.config.chain.facts_for(checked, share).await?;
        if !is_sent(payment) {
            let asset = payment.requirements().offer.asset.id;
            self.insolvent.note(payment.payer(), asset, facts.balance, payment.amount(), self.clock.now());
        }
        let contract = ours && !permit2 && (facts.payer_has_code || payment.is_for_contract());
        if contract {
            self.try_contract(evm, payment, &mut facts).await?;
        }
        // What was found worth it a moment ago stays so: a handler may have run for it.
        let promised = share == Share::Promised;
        if let (true, Some(Simulation::Succeeds { gas })) = (ours && !promised, &facts.simulation) {
            evm.is_worth(checked, *gas).await?;
        }
        let mut policy = self.judge_policy(evm, checked, Amount::ZERO);
        policy.times.min_left = evm.interval.least_left(promised);
        let mut terms = self.terms(holder, facts.block);
        if let (true, Some(allowed)) = (permit2, &evm.config.permit2) {
            policy.max_gas = allowed.max_gas;
        }
        if !promised && matches!(payment.proof(), Proof::Permit2 { permit: Some(_), .. }) {
            // A permit is good once: of several with the same nonce all would pass now, and one on chain (T036).
            terms.max_open = 1;
        }
        if let (true, Some(allowed)) = (contract, &evm.config.contract_payers) {
            policy.max_gas = allowed.max_gas;
            // What is true of a contract may change with each of its payments.
            terms.max_open = 1;
        }
        // That it is a contract is known and dealt with.
        let judged =
            EvmFacts { payer_has_code: facts.payer_has_code && !(contract && evm.config.contract_payers.is_some()), ..facts.clone() };
        let judge = |reserved: Amount| {
            let mut judged = judged.clone();
            // What was promised of the allowance is not taken away by what has been promised since.
            if let (true, Some(permit2)) = (promised, &mut judged.permit2) {
                permit2.allowance = permit2.allowance.checked_add(reserved).unwrap_or(permit2.allowance);
            }
            checked.judge(&judged, &JudgePolicy { reserved, ..policy })
        };
        let attestation = if holder == Holder::Settlement && is_sent(checked.matched()) {
            // The money has moved: nothing is promised any more.
            judge(Amount::ZERO)?
        } else {
            self.promise(claimant(checked.matched()), terms, judge).await?
        };
        Ok((attestation, facts))
    }

    /// Tries a payment of a contract as in a real block, if such payers are taken (T039). A contract for which gas was burnt within
    /// ten minutes waits.
    async fn try_contract(&self, evm: &EvmEngine, payment: &Matched, facts: &mut EvmFacts) -> Result<(), VerifyError> {
        let Some(allowed) = &evm.config.contract_payers else { return Ok(()) };
        if evm.contract_strikes.is_too_much(payment.payer(), self.clock.now()) {
            return Err(Reject::GasWasted.into());
        }
        let counterfactual = matches!(payment.proof(), Proof::Authorization { signature, .. } if signature.is_counterfactual());
        if !facts.payer_has_code && !counterfactual {
            return Err(Reject::Signature("not the payer's signature over an offered token").into());
        }
        let fees = evm.config.chain.fees().await?;
        facts.simulation = Some(evm.config.chain.try_contract(payment, fees, allowed).await?);
        Ok(())
    }

    fn judge_policy(&self, evm: &EvmEngine, checked: &Checked, reserved: Amount) -> JudgePolicy {
        let payment = checked.matched();
        JudgePolicy {
            times: CheckPolicy::facilitator(self.clock.now()),
            reserved,
            max_gas: evm.config.max_gas,
            depth: evm.depth_for(payment.requirements().offer.asset.id.address, payment.amount()),
            not_before: self.started,
        }
    }
}
