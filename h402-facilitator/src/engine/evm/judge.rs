//! What the chain's facts say about a payment, and what that promises of its payer's balance.

use super::{
    super::{
        Shared,
        reserve::Holder,
        verify::{claimant, is_sent},
    },
    EvmEngine,
};
use h402_core::{Amount, Attestation, CheckPolicy, Checked, Clock, EvmFacts, JudgePolicy, Store, VerifyError};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Asks the chain, judges, and reserves: for a minute, or for a settlement until it is included.
    pub(in crate::engine) async fn judge_evm(
        &self,
        evm: &EvmEngine,
        checked: &Checked,
        holder: Holder,
    ) -> Result<(Attestation, EvmFacts), VerifyError> {
        let facts = evm.config.chain.facts(checked).await?;
        let judge = |reserved| checked.judge(&facts, &self.judge_policy(evm, reserved));
        let attestation = if holder == Holder::Settlement && is_sent(checked.matched()) {
            // The money has moved: nothing is promised any more.
            judge(Amount::ZERO)?
        } else {
            self.reservations.decide(claimant(checked.matched()), self.terms(holder, facts.block), judge)?
        };
        Ok((attestation, facts))
    }

    fn judge_policy(&self, evm: &EvmEngine, reserved: Amount) -> JudgePolicy {
        JudgePolicy {
            times: CheckPolicy::facilitator(self.clock.now()),
            reserved,
            max_gas: evm.config.max_gas,
            depth: evm.config.accept_depth,
            not_before: self.started,
        }
    }
}
