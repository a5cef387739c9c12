//! The facts of payments, those of many in one HTTP request.

use super::{
    EvmChain, Inner, Quantity,
    abi::{DryCall, Multicall3, call_at_latest, is_true, word},
    blocks::{Head, latest_call},
    chain_id_call, chain_id_of,
    quantity::{Data, hash, read},
    question::{Found, Kind, Question, Word, has_code, simulation},
    receipts::receipt_call,
};
use crate::rpc::{Call, Reach, RpcError};
use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use h402_core::{Checked, EvmAddress, EvmFacts, Undecided, UnixSeconds};
use serde_json::value::RawValue;

impl EvmChain {
    /// What the chain says about a payment now.
    ///
    /// Shared: all payments that arrive while a read is under way go out together as one HTTP request of up to
    /// 32, as soon as that read is done. Payments already sent take a second request for their block.
    ///
    /// # Errors
    /// [`Undecided::WrongChain`] if the node is of another chain, [`Undecided::Busy`] if 256 payments wait
    /// already, otherwise whatever kept the answer away. A bad answer for one payment is not one for the others.
    ///
    /// # Cancel safety
    /// A payment whose future is dropped before its turn is not asked for.
    pub async fn facts(&self, payment: &Checked) -> Result<EvmFacts, Undecided> {
        let question = Question::of(payment, self.inner.chain_id, self.inner.simulate_from)?;
        let answer = self.inner.window.enter(question)?;
        if answer.must_read {
            tokio::spawn(super::window::read_until_empty(self.inner.clone()));
        }
        answer.facts.await.unwrap_or(Err(Undecided::ShuttingDown))
    }
}

/// The block that a read is of.
#[derive(Debug, Clone, Copy)]
struct Header {
    chain_id: u64,
    block: u64,
    time: UnixSeconds,
    base_fee: u128,
}

/// Where the answer to a word will be.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the answer of a Multicall3 call, at this position.
    Inner { group: usize, at: usize },
    /// A call of its own.
    Returned(usize),
    /// A native balance of its own.
    Quantity(usize),
}

/// The reads of one asset, which share one Multicall3 call: a token that burns all gas spoils only its own.
struct Group {
    token: Option<EvmAddress>,
    calls: Vec<Multicall3::Call3>,
    call: usize,
}

/// Where the answers to one question will be.
struct Places {
    words: Vec<Place>,
    group: Option<usize>,
    code: usize,
    simulation: Option<usize>,
    nonce: Option<usize>,
    sent: Option<usize>,
}

/// One HTTP request and where to find what in its answer.
#[derive(Default)]
struct Plan {
    calls: Vec<Call>,
    groups: Vec<Group>,
    places: Vec<Places>,
}

/// The answers to a plan.
struct Reading {
    answers: Vec<Result<Box<RawValue>, RpcError>>,
    groups: Vec<Result<(Header, Vec<Multicall3::Result>), Undecided>>,
    /// Of the whole read, where there is no Multicall3.
    header: Option<Result<Header, Undecided>>,
}

impl Plan {
    fn new(questions: &[Question], multicall3: Option<EvmAddress>) -> Self {
        let mut plan = Self::default();
        if multicall3.is_none() {
            // The header before the balances: a payment mined in between lowers the balance and stays reserved.
            plan.push(chain_id_call());
            plan.push(latest_call());
        }
        for question in questions {
            let group = multicall3.map(|multicall3| plan.group(question.token, multicall3));
            let words = question.words().into_iter().map(|word| plan.place(word, group, multicall3)).collect();
            let payer = question.payer.to_string();
            let code = plan.push(Call::new("eth_getCode", &[payer.as_str(), "latest"]));
            let (mut simulation, mut nonce, mut sent) = (None, None, None);
            match &question.kind {
                Kind::Authorization { settlement, .. } => simulation = Some(plan.estimate(settlement)),
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
            Multicall3::getBasefeeCall {}.abi_encode(),
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

impl Reading {
    fn new(answers: Vec<Result<Box<RawValue>, RpcError>>, plan: &Plan) -> Self {
        let mut reading = Self { answers, groups: Vec::new(), header: None };
        reading.groups = plan.groups.iter().map(|group| reading.multicall(group.call)).collect();
        if plan.groups.is_empty() {
            reading.header = Some(reading.plain_header());
        }
        reading
    }

    fn result(&self, at: usize) -> Result<&RawValue, Undecided> {
        self.answers.get(at).ok_or(Undecided::Chain)?.as_deref().map_err(|_| Undecided::Chain)
    }

    fn multicall(&self, at: usize) -> Result<(Header, Vec<Multicall3::Result>), Undecided> {
        let data = read::<Data>(self.result(at)?)?.0;
        let results = Multicall3::aggregate3Call::abi_decode_returns(&data).map_err(|_| Undecided::Chain)?;
        let [chain_id, block, time, base_fee, ..] = results.as_slice() else { return Err(Undecided::Chain) };
        let number = |result| inner_word(result).and_then(|word| u64::try_from(word).map_err(|_| Undecided::Chain));
        let header = Header {
            chain_id: number(chain_id)?,
            block: number(block)?,
            time: UnixSeconds(number(time)?),
            // Chains older than EIP-1559 do not know the instruction.
            base_fee: if base_fee.success { u128::try_from(inner_word(base_fee)?).map_err(|_| Undecided::Chain)? } else { 0 },
        };
        Ok((header, results))
    }

    fn plain_header(&self) -> Result<Header, Undecided> {
        let chain_id = chain_id_of(self.answers.first().ok_or(Undecided::Chain)?.as_ref())?;
        let head: Head = read(self.result(1)?)?;
        Ok(Header { chain_id, block: head.number, time: head.time, base_fee: head.base_fee.unwrap_or_default() })
    }

    fn header(&self, places: &Places) -> Result<Header, Undecided> {
        let group = places.group.and_then(|group| self.groups.get(group));
        match (group, &self.header) {
            (Some(group), _) => group.as_ref().map(|(header, _)| *header).map_err(Clone::clone),
            (None, Some(header)) => header.clone(),
            (None, None) => Err(Undecided::Chain),
        }
    }

    fn headers(&self) -> impl Iterator<Item = Header> {
        let of_groups = self.groups.iter().filter_map(|group| group.as_ref().ok().map(|(header, _)| *header));
        of_groups.chain(self.header.iter().filter_map(|header| header.as_ref().ok().copied()))
    }

    fn word(&self, place: Place) -> Result<U256, Undecided> {
        match place {
            Place::Inner { group, at } => {
                let (_, results) = self.groups.get(group).ok_or(Undecided::Chain)?.as_ref().map_err(Clone::clone)?;
                inner_word(results.get(at).ok_or(Undecided::Chain)?)
            }
            Place::Returned(at) => word(&read::<Data>(self.result(at)?)?.0),
            Place::Quantity(at) => Ok(read::<Quantity<U256>>(self.result(at)?)?.0),
        }
    }

    /// The facts of one payment, and the sent transaction that still lacks its block's time.
    fn facts(&self, question: &Question, places: &Places) -> Result<(EvmFacts, Option<Found>), Undecided> {
        let header = self.header(places)?;
        let mut words = places.words.iter().map(|place| self.word(*place));
        let mut next = || words.next().unwrap_or(Err(Undecided::Chain));
        let mut facts = EvmFacts {
            chain_id: header.chain_id,
            block: header.block,
            time: header.time,
            base_fee: header.base_fee,
            payer_has_code: has_code(self.result(places.code)?)?,
            balance: next()?.into(),
            native_balance: None,
            account_nonce: None,
            authorization_used: None,
            simulation: None,
            sent: None,
        };
        if let Some(at) = places.simulation {
            let payers_own = matches!(question.kind, Kind::Transaction { .. });
            facts.simulation = Some(simulation(self.answers.get(at).ok_or(Undecided::Chain)?, payers_own)?);
        }
        if let Some(at) = places.nonce {
            facts.account_nonce = Some(read::<Quantity<u64>>(self.result(at)?)?.0);
        }
        let mut found = None;
        match &question.kind {
            Kind::Authorization { .. } => facts.authorization_used = Some(is_true(next()?)?),
            Kind::Transaction { .. } => facts.native_balance = Some(next()?),
            Kind::Sent { hash } => {
                let at = places.sent.ok_or(Undecided::Chain)?;
                found = Found::of(hash, self.result(at)?, self.result(at + 1)?)?;
            }
        }
        Ok((facts, found))
    }
}

fn inner_word(result: &Multicall3::Result) -> Result<U256, Undecided> {
    if result.success { word(&result.returnData) } else { Err(Undecided::Chain) }
}

impl Inner {
    /// Asks all questions in one HTTP request, and for the blocks of sent payments in one more.
    pub(super) async fn read_facts(&self, questions: &[Question]) -> Vec<Result<EvmFacts, Undecided>> {
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
        let read: Vec<_> = questions.iter().zip(&plan.places).map(|(question, places)| reading.facts(question, places)).collect();
        let blocks: Vec<_> =
            read.iter().filter_map(|read| read.as_ref().ok()?.1.as_ref()?.receipt.as_ref()).map(|receipt| receipt.block_hash.0).collect();
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
