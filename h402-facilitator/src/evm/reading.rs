//! The answers to a plan, as facts of its payments.

use super::{
    abi::{Multicall3, is_true, word},
    blocks::Head,
    chain_id_of, permit2,
    plan::{Place, Places, Plan},
    quantity::{Data, Quantity, read},
    question::{Found, Kind, Question, has_code, simulation},
};
use crate::rpc::RpcError;
use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use h402_core::{EvmFacts, Permit2Facts, Undecided, UnixSeconds};
use serde_json::value::RawValue;

/// The block that a read is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) chain_id: u64,
    pub(super) block: u64,
    time: UnixSeconds,
}

/// The answers to a plan.
pub(super) struct Reading {
    answers: Vec<Result<Box<RawValue>, RpcError>>,
    groups: Vec<Result<(Header, Vec<Multicall3::Result>), Undecided>>,
    /// Of the whole read, where there is no Multicall3.
    header: Option<Result<Header, Undecided>>,
    /// The latest block, if it was asked for.
    head: Option<Result<Head, Undecided>>,
}

impl Reading {
    pub(super) fn new(answers: Vec<Result<Box<RawValue>, RpcError>>, plan: &Plan) -> Self {
        let mut reading = Self { answers, groups: Vec::new(), header: None, head: None };
        reading.groups = plan.groups.iter().map(|group| reading.multicall(group.call)).collect();
        reading.head = plan.head.map(|at| Ok(read(reading.result(at)?)?));
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
        let [chain_id, block, time, ..] = results.as_slice() else { return Err(Undecided::Chain) };
        let number = |result| inner_word(result).and_then(|word| u64::try_from(word).map_err(|_| Undecided::Chain));
        let header = Header { chain_id: number(chain_id)?, block: number(block)?, time: UnixSeconds(number(time)?) };
        Ok((header, results))
    }

    fn plain_header(&self) -> Result<Header, Undecided> {
        let chain_id = chain_id_of(self.answers.first().ok_or(Undecided::Chain)?.as_ref())?;
        let head = self.head()?;
        Ok(Header { chain_id, block: head.number, time: head.time })
    }

    fn head(&self) -> Result<Head, Undecided> {
        self.head.clone().unwrap_or(Err(Undecided::Chain))
    }

    fn header(&self, places: &Places) -> Result<Header, Undecided> {
        let group = places.group.and_then(|group| self.groups.get(group));
        match (group, &self.header) {
            (Some(group), _) => group.as_ref().map(|(header, _)| *header).map_err(Clone::clone),
            (None, Some(header)) => header.clone(),
            (None, None) => Err(Undecided::Chain),
        }
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = Header> {
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
    pub(super) fn facts(&self, question: &Question, places: &Places) -> Result<(EvmFacts, Option<Found>), Undecided> {
        let header = self.header(places)?;
        let mut words = places.words.iter().map(|place| self.word(*place));
        let mut next = || words.next().unwrap_or(Err(Undecided::Chain));
        let mut facts = EvmFacts {
            chain_id: header.chain_id,
            block: header.block,
            time: header.time,
            base_fee: 0,
            payer_has_code: has_code(self.result(places.code)?)?,
            balance: next()?.into(),
            native_balance: None,
            account_nonce: None,
            authorization_used: None,
            permit2: None,
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
            Kind::Permit2 { nonce, .. } => {
                let nonce_used = permit2::is_used(*nonce, next()?);
                facts.permit2 = Some(Permit2Facts { nonce_used, allowance: next()?.into() });
            }
            Kind::Transaction { .. } => {
                facts.native_balance = Some(next()?);
                facts.base_fee = self.head()?.base_fee.unwrap_or_default();
            }
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
