//! What the chain's facts say about a payment, and what that promises of its payer's balance.

use super::{
    super::{
        Shared,
        reserve::Holder,
        verify::{claimant, is_sent},
    },
    EvmEngine,
};
use h402_core::{Amount, Attestation, CheckPolicy, Checked, Clock, EvmFacts, JudgePolicy, Proof, Reject, Simulation, Store, VerifyError};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Asks the chain, judges, and reserves: for a minute, or for a settlement until it is included.
    pub(in crate::engine) async fn judge_evm(
        &self,
        evm: &EvmEngine,
        checked: &Checked,
        holder: Holder,
    ) -> Result<(Attestation, EvmFacts), VerifyError> {
        evm.progress.ensure(evm.config.max_block_age)?;
        let payment = checked.matched();
        let ours = matches!(payment.proof(), Proof::Authorization { .. });
        if ours {
            if evm.strikes.is_too_much(payment.payer(), self.clock.now()) {
                return Err(Reject::GasWasted.into());
            }
            evm.can_pay().await?;
            self.within_budget(evm).await?;
        }
        let facts = evm.config.chain.facts(checked).await?;
        if !is_sent(payment) {
            let asset = payment.requirements().offer.asset.id;
            self.insolvent.note(payment.payer(), asset, facts.balance, payment.amount(), self.clock.now());
        }
        // What was found worth it a moment ago stays so: a handler may have run for it.
        let promised = holder == Holder::Settlement && self.reservations.holds(&claimant(payment), self.clock.now());
        if let (true, Some(Simulation::Succeeds { gas })) = (ours && !promised, &facts.simulation) {
            evm.is_worth(checked, *gas).await?;
        }
        let judge = |reserved| checked.judge(&facts, &self.judge_policy(evm, checked, reserved));
        let attestation = if holder == Holder::Settlement && is_sent(checked.matched()) {
            // The money has moved: nothing is promised any more.
            judge(Amount::ZERO)?
        } else {
            self.reservations.decide(claimant(checked.matched()), self.terms(holder, facts.block), judge)?
        };
        Ok((attestation, facts))
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
