//! One HTTP request for the facts of several payments, and where in its answer to find what.

use super::{
    abi::{DryCall, Multicall3, call_at_latest},
    blocks::latest_call,
    chain_id_call,
    quantity::hash,
    question::{Kind, Question, Word},
    receipts::receipt_call,
};
use crate::rpc::Call;
use alloy_sol_types::SolCall;
use h402_core::EvmAddress;

/// Where the answer to a word will be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// In the answer of a Multicall3 call, at this position.
    Inner { group: usize, at: usize },
    /// A call of its own.
    Returned(usize),
    /// A native balance of its own.
    Quantity(usize),
}

/// The reads of one asset, which share one Multicall3 call: a token that burns all gas spoils only its own.
pub(super) struct Group {
    pub(super) token: Option<EvmAddress>,
    pub(super) calls: Vec<Multicall3::Call3>,
    pub(super) call: usize,
}

/// Where the answers to one question will be.
pub(super) struct Places {
    pub(super) words: Vec<Place>,
    pub(super) group: Option<usize>,
    pub(super) code: usize,
    pub(super) simulation: Option<usize>,
    pub(super) nonce: Option<usize>,
    pub(super) sent: Option<usize>,
}

/// One HTTP request and where to find what in its answer.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) calls: Vec<Call>,
    pub(super) groups: Vec<Group>,
    pub(super) places: Vec<Places>,
    pub(super) head: Option<usize>,
}

impl Plan {
    /// Calls in a request that are not about one payment: the chain id and the head.
    pub(super) const SHARED_CALLS: usize = 2;

    pub(super) fn new(questions: &[Question], multicall3: Option<EvmAddress>) -> Self {
        let mut plan = Self::default();
        if multicall3.is_none() {
            // The header before the balances: a payment mined in between lowers the balance and stays reserved.
            plan.push(chain_id_call());
        }
        // Contracts are no help here: without a gas price, geth shows them a base fee of zero.
        if multicall3.is_none() || questions.iter().any(|question| matches!(question.kind, Kind::Transaction { .. })) {
            plan.head = Some(plan.push(latest_call()));
        }
        for question in questions {
            let group = multicall3.map(|multicall3| plan.group(question.token, multicall3));
            let words = question.words().into_iter().map(|word| plan.place(word, group, multicall3)).collect();
            let payer = question.payer.to_string();
            let code = plan.push(Call::new("eth_getCode", &[payer.as_str(), "latest"]));
            let (mut simulation, mut nonce, mut sent) = (None, None, None);
            match &question.kind {
                Kind::Authorization { settlement, .. } => simulation = settlement.as_ref().map(|settlement| plan.estimate(settlement)),
                Kind::Permit2 { settlement, .. } => simulation = Some(plan.estimate(settlement)),
                Kind::Transaction { dry } => {
                    simulation = Some(plan.estimate(dry));
                    nonce = Some(plan.push(Call::new("eth_getTransactionCount", &[payer.as_str(), "latest"])));
                }
                Kind::Sent { hash: id } => {
                    sent = Some(plan.push(Call::new("eth_getTransactionByHash", &[hash(id)])));
                    plan.push(receipt_call(id));
                }
            }
            plan.places.push(Places { words, group, code, simulation, nonce, sent });
        }
        for group in &mut plan.groups {
            let (Some(multicall3), Some(call)) = (multicall3, plan.calls.get_mut(group.call)) else { continue };
            let calls = std::mem::take(&mut group.calls);
            *call = call_at_latest(multicall3, &Multicall3::aggregate3Call { calls }.abi_encode());
        }
        plan
    }

    fn push(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.calls.len() - 1
    }

    fn estimate(&mut self, dry: &DryCall) -> usize {
        self.push(Call::new("eth_estimateGas", &(dry, "pending")))
    }

    fn group(&mut self, token: Option<EvmAddress>, multicall3: EvmAddress) -> usize {
        if let Some(index) = self.groups.iter().position(|group| group.token == token) {
            return index;
        }
        let about_the_block = [
            Multicall3::getChainIdCall {}.abi_encode(),
            Multicall3::getBlockNumberCall {}.abi_encode(),
            Multicall3::getCurrentBlockTimestampCall {}.abi_encode(),
        ];
        let calls = about_the_block.map(|data| Multicall3::Call3 { target: multicall3, allowFailure: true, callData: data.into() });
        // The place is taken now, the call written when it is complete.
        let call = self.push(chain_id_call());
        self.groups.push(Group { token, calls: calls.into(), call });
        self.groups.len() - 1
    }

    fn place(&mut self, word: Word, group: Option<usize>, multicall3: Option<EvmAddress>) -> Place {
        if let (Some(index), Some(multicall3)) = (group, multicall3)
            && let Some(group) = self.groups.get_mut(index)
        {
            group.calls.push(word.inner_call(multicall3));
            return Place::Inner { group: index, at: group.calls.len() - 1 };
        }
        match word {
            Word::Token(token, data) => Place::Returned(self.push(call_at_latest(token, &data))),
            Word::Native(who) => Place::Quantity(self.push(Call::new("eth_getBalance", &[who.to_string().as_str(), "latest"]))),
        }
    }
}
