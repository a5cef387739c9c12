//! What the cluster's facts say about a payment, and what that promises of its payer's balance.

use super::{
    super::{
        Shared,
        reserve::Holder,
        verify::{claimant, is_sent},
    },
    SolanaEngine,
};
use crate::{solana::SolanaRead, window::Share};
use h402_core::{Amount, Attestation, Checked, Clock, Proof, Reject, SolanaPolicy, SolanaReject, Store, VerifyError};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Asks the cluster, judges, and reserves: for a minute, or for a settlement until it is included.
    ///
    /// A settlement of what was verified here a moment ago, and is still held from that, is judged by what was read
    /// then.
    pub(in crate::engine) async fn judge_solana(
        &self,
        solana: &SolanaEngine,
        checked: &Checked,
        holder: Holder,
        share: Share,
    ) -> Result<(Attestation, SolanaRead), VerifyError> {
        solana.progress.ensure(solana.config.max_block_age)?;
        let payment = checked.matched();
        let held = claimant(payment);
        let settles = holder == Holder::Settlement;
        let now = self.clock.now();
        let seen = if share == Share::Promised { solana.seen.take(&held.key, now) } else { None };
        let read = match seen {
            Some(read) => read,
            None => solana.config.chain.facts_for(checked, share).await?,
        };
        let sponsored =
            matches!(payment.proof(), Proof::SolanaTransaction { payment, .. } if Some(payment.fee_payer) == solana.config.sponsor());
        if let Some(lamports) = read.facts.fee_payer_lamports.filter(|_| sponsored) {
            solana.can_pay(lamports)?;
        }
        if sponsored && solana.wasted.is_too_much(payment.payer(), now) {
            return Err(Reject::from(SolanaReject::FeeWasted).into());
        }
        if sponsored {
            solana.within_budget(now)?;
        }
        let judge = |reserved| checked.judge_solana(&read.facts, &self.solana_policy(solana, reserved));
        let attestation = if settles && is_sent(payment) {
            // The money has moved: nothing is promised any more.
            judge(Amount::ZERO)?
        } else {
            self.promise(held, self.terms(holder, read.slot), judge).await?
        };
        if !settles {
            solana.seen.keep(held.key, read.clone(), now);
        }
        Ok((attestation, read))
    }

    fn solana_policy(&self, solana: &SolanaEngine, reserved: Amount) -> SolanaPolicy {
        SolanaPolicy {
            now: self.clock.now(),
            reserved,
            sponsor: solana.config.sponsor(),
            max_fee_lamports: solana.config.max_fee_lamports,
            min_blocks_left: solana.config.min_blocks_left,
            extensions: solana.config.extensions,
            not_before: self.started,
        }
    }
}
