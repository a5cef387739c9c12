//! `eth_getLogs`.

use alloy_primitives::{Address, B256};
use serde_json::Value;

use super::{
    Place,
    params::{self, At, Params, text},
    render,
};
use crate::{RpcError, evm::ledger::Ledger};

pub(super) fn get_logs(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let filter = params.object(0)?;
    let field = |name: &str| filter.get(name).filter(|value| !value.is_null());
    let addresses: Option<Vec<Address>> = one_or_many(field("address"), "address")?;
    let topics = match field("topics") {
        None => Vec::new(),
        Some(Value::Array(list)) if list.len() <= 4 => list
            .iter()
            .map(|topic| one_or_many::<B256>(Some(topic).filter(|topic| !topic.is_null()), "topics"))
            .collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(RpcError::params("invalid argument 0: topics are malformed")),
    };
    let bound = |name: &str| match field(name) {
        None => Ok(At::Latest),
        Some(value) => params::block(value).ok_or_else(|| RpcError::params(format!("invalid argument 0: {name} is malformed"))),
    };
    let (first, last) = match field("blockHash") {
        Some(hash) => {
            if field("fromBlock").is_some() || field("toBlock").is_some() {
                return Err(RpcError::params("cannot specify both BlockHash and FromBlock/ToBlock"));
            }
            let hash = text(hash).ok_or_else(|| RpcError::params("invalid argument 0: blockHash is malformed"))?;
            let block = ledger.block_by_hash(&hash).ok_or_else(|| RpcError::server("unknown block"))?;
            (block.header.number, block.header.number)
        }
        None => (edge(ledger, bound("fromBlock")?)?, edge(ledger, bound("toBlock")?)?),
    };
    if first > last {
        return Err(RpcError::server("invalid block range params"));
    }
    if let Some(most) = ledger.log_range.filter(|most| last.min(ledger.height()).saturating_sub(first) >= *most) {
        return Err(RpcError::new(-32005, format!("query exceeds max block range {most}")));
    }
    let mut found = Vec::new();
    for block in ledger.range(first, last) {
        for (tx, index, position, log) in Ledger::logs(block) {
            let wanted = addresses.as_ref().is_none_or(|addresses| addresses.contains(&log.address));
            if wanted && matches(&topics, log.topics()) {
                found.push(render::log(block, tx.hash(), index, position, log.address, &log.data));
            }
        }
    }
    Ok(Value::Array(found))
}

/// The number that a bound of the range stands for; a number above the newest is taken as it is.
fn edge(ledger: &Ledger, at: At) -> Result<u64, RpcError> {
    if let At::Number(number) = at {
        return Ok(number);
    }
    match ledger.resolve(&at)? {
        Place::Block(block) => Ok(block.header.number),
        Place::Pending => Ok(ledger.height()),
        Place::Missing => Err(RpcError::server("unknown block")),
    }
}

fn matches(wanted: &[Option<Vec<B256>>], topics: &[B256]) -> bool {
    wanted.len() <= topics.len() && wanted.iter().zip(topics).all(|(any, topic)| any.as_ref().is_none_or(|any| any.contains(topic)))
}

/// Reads one value or a list of alternatives, of which an empty one allows all.
fn one_or_many<T: std::str::FromStr>(value: Option<&Value>, name: &str) -> Result<Option<Vec<T>>, RpcError> {
    let bad = || RpcError::params(format!("invalid argument 0: {name} is malformed"));
    match value {
        None => Ok(None),
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(Value::Array(list)) => list.iter().map(|item| text(item).ok_or_else(bad)).collect::<Result<_, _>>().map(Some),
        Some(one) => text(one).ok_or_else(bad).map(|one| Some(vec![one])),
    }
}
