//! The facts of payments, those of many in one HTTP request.

use super::{EvmChain, Inner, plan::Plan, question::Question, reading::Reading};
use crate::{
    rpc::Reach,
    window::{self, Reads, Share, Window},
};
use h402_core::{Checked, EvmFacts, Undecided};

impl EvmChain {
    /// What the chain says about a payment now.
    ///
    /// Shared: all payments that arrive while a read is under way go out together as one HTTP request of up to
    /// 32, as soon as that read is done. Payments already sent take a second request for their block.
    ///
    /// # Errors
    /// [`Undecided::WrongChain`] if the node is of another chain, [`Undecided::Busy`] if 1024 payments wait
    /// already, otherwise whatever kept the answer away. A bad answer for one payment is not one for the others.
    ///
    /// # Cancel safety
    /// A payment whose future is dropped before its turn is not asked for.
    pub async fn facts(&self, payment: &Checked) -> Result<EvmFacts, Undecided> {
        self.facts_for(payment, Share::Anybody).await
    }

    /// The same, at a place of its own if it is promised.
    pub(crate) async fn facts_for(&self, payment: &Checked, share: Share) -> Result<EvmFacts, Undecided> {
        let question = Question::of(payment, self.inner.chain_id, self.inner.simulate_from)?;
        window::read(&self.inner, question, share).await
    }
}

/// Payments in one HTTP request, if the node takes so many calls.
const PER_REQUEST: usize = 32;

impl Reads for Inner {
    type Question = Question;
    type Facts = EvmFacts;

    fn window(&self) -> &Window<Question, EvmFacts> {
        &self.window
    }

    fn portion<'a>(&self, waiting: impl Iterator<Item = &'a Question>) -> usize {
        let mut left = self.rpc.max_calls().saturating_sub(Plan::SHARED_CALLS);
        let fitting = waiting.take(PER_REQUEST).take_while(|question| {
            let calls = question.calls(self.multicall3.is_some());
            let fits = calls <= left;
            left = left.saturating_sub(calls);
            fits
        });
        fitting.count()
    }

    /// Asks for the blocks of sent payments in one more HTTP request.
    async fn read(&self, questions: &[Question]) -> Vec<Result<EvmFacts, Undecided>> {
        let plan = Plan::new(questions, self.multicall3);
        let (answers, answerer) = match self.rpc.ask(&plan.calls, Reach::UntilAnswered).await {
            Ok(answered) => answered,
            Err(undecided) => return questions.iter().map(|_| Err(undecided.clone())).collect(),
        };
        let reading = Reading::new(answers, &plan);
        if reading.headers().any(|header| header.chain_id != self.chain_id) {
            self.rpc.distrust(answerer);
            return questions.iter().map(|_| Err(Undecided::WrongChain)).collect();
        }
        if reading.headers().next().is_none() {
            // Not even the block: that is the node's trouble and no token's.
            self.rpc.distrust(answerer);
        }
        if let Some(lowest) = reading.headers().map(|header| header.block).min()
            && let Err(behind) = self.keeps_up(lowest, answerer)
        {
            return questions.iter().map(|_| Err(behind.clone())).collect();
        }
        let read: Vec<_> = questions.iter().zip(&plan.places).map(|(question, places)| reading.facts(question, places)).collect();
        let blocks: Vec<_> = read
            .iter()
            .filter_map(|read| read.as_ref().ok()?.1.as_ref()?.receipt.as_ref())
            .map(super::receipts::WireReceipt::block)
            .collect();
        // Where this fails, the times stay unknown.
        drop(self.learn_times(blocks).await);
        read.into_iter()
            .map(|read| {
                let (mut facts, found) = read?;
                if let Some(found) = found {
                    let receipt = match &found.receipt {
                        None => None,
                        Some(receipt) => {
                            let time = self.times.get(&receipt.block_hash.0).ok_or(Undecided::Chain)?;
                            Some(receipt.facts(time))
                        }
                    };
                    facts.sent = Some(found.facts(receipt));
                }
                Ok(facts)
            })
            .collect()
    }
}
